"""Fixtures for tests of pilots: a bucket for their logs."""

from __future__ import annotations

import uuid

import boto3
import pytest

from tests.support.logs import Bucket


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    bucket = Bucket(f"logs-{uuid.uuid4().hex}", boto3.client("s3"))
    bucket.client.create_bucket(Bucket=bucket.name)
    return bucket

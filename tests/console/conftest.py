"""Fixtures for tests of commands: operators with tables of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_batch import FakeBatch
from tests.support.importing import FIVE, written
from tests.support.moto_server import make_queue
from tests.support.operator import Operator, stock
from tests.support.place import cleaned_up
from tests.support.submitter import Submitter


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Operator]:
    """An operator with an embedded table that doesn't exist yet."""
    with cleaned_up(Operator.in_file(tmp_path, "Align")) as operator:
        yield operator


@pytest.fixture
def hosted(tmp_path: Path, table_name: str, dynamodb: str) -> Iterator[Operator]:
    """An operator with a table in DynamoDB that doesn't exist yet."""
    with cleaned_up(Operator.at(dynamodb, tmp_path, table_name)) as operator:
        yield operator


@pytest.fixture(params=["embedded", pytest.param("hosted", marks=pytest.mark.services)])
def either(request: pytest.FixtureRequest) -> Operator:
    """An operator with either kind of table: the test runs once for each."""
    chosen: Operator = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def stocked(either: Operator) -> Operator:
    """An operator with either kind of table, which has items in every state."""
    stock(either.table)
    return either


@pytest.fixture
def shelf(embedded: Operator) -> Operator:
    """An operator with an embedded table, which has items in every state."""
    stock(embedded.table)
    return embedded


@pytest.fixture
def five(tmp_path: Path) -> Path:
    return written(tmp_path / "five.txt", FIVE)


@pytest.fixture(scope="session")
def queue(moto: str) -> str:
    """A queue, and the job definition of its name."""
    return make_queue(moto)


@pytest.fixture
def batch(submitter: Submitter) -> Iterator[FakeBatch]:
    """A Batch of the submitter's own."""
    with FakeBatch() as batch:
        submitter.tells("AWS_ENDPOINT_URL_BATCH", batch.url)
        yield batch


@pytest.fixture
def submitter(hosted: Operator, moto: str, queue: str) -> Submitter:
    """An operator with an empty table, who submits pilots."""
    hosted.environment["AWS_ENDPOINT_URL_BATCH"] = moto
    hosted.table.create()
    return Submitter(hosted, queue, moto)

"""Which part of AWS is used: region, profile, and DynamoDB's address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An AWS region and the credentials for it. The SDK finds what is None, in its usual places."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None  # of a DynamoDB other than AWS's; S3 and Batch don't use it

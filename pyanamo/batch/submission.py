"""Make the requests that submit pilots to AWS Batch: how many, in which array jobs, with what.

`Jobs.submit` in `pyanamo.batch.jobs` sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyanamo.account import Account
from pyanamo.errors import UsageError
from pyanamo.model import ItemState
from pyanamo.tables import Store, WorkflowTable

MOST = 1_000  # pilots, unless their number is given
NO_ARCHIVE = "-"

# As the container's entry point has it (use_cases/example_docker/Fetch_and_Run.sh).
_ARCHIVE = re.compile(r"s3://[^/]+/.*[^/](?:\.tar\.gz|\.tgz|\.tar|\.zip)")
_SHA256 = re.compile(r"[0-9a-f]{64}")

LARGEST_ARRAY = 10_000  # jobs (AWS Batch User Guide, "Array jobs"); the smallest has 2
MOST_PILOTS = 1_000_000  # 100 arrays; more is most likely a typing error


@dataclass(frozen=True, kw_only=True)
class PilotJob:
    """A job or array job for AWS Batch. Each of its containers is a pilot."""

    name: str
    queue: str  # name or ARN
    definition: str  # name, name:revision or ARN
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the definition's
    command: tuple[str, ...] = ()  # replaces the definition's, unless it is empty

    def request(self, pilots: int) -> dict[str, Any]:
        """Return the arguments of `SubmitJob` that start this many pilots, 1 to `LARGEST_ARRAY`."""
        overrides: dict[str, Any] = {
            "environment": [
                {"name": name, "value": value} for name, value in self.environment.items()
            ]
        }
        if self.command:
            overrides["command"] = list(self.command)
        request: dict[str, Any] = {
            "jobName": self.name,
            "jobQueue": self.queue,
            "jobDefinition": self.definition,
            "containerOverrides": overrides,
        }
        if pilots > 1:
            request["arrayProperties"] = {"size": pilots}
        return request


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that AWS Batch accepted."""

    job_id: str
    pilots: int


def pilot_job(
    table: str,
    account: Account,
    *,
    queue: str,
    job_definition: str,
    name: str | None = None,
    items: int | None = None,
    nests: int | None = None,
    wall_time: str | int | None = None,
    bucket: str | None = None,
    archive: str | None = None,
    sha256: str | None = None,
    flags: Sequence[str] = (),
) -> PilotJob:
    """The job of pilots that work on a table. An empty value counts as not given.

    `flags` are more flags of the pilot, which are not checked here. AWS Batch checks the names
    itself. Raises `UsageError` for what can't be.
    """
    _check_addresses(account, bucket, archive, sha256)
    # The container's entry point reads these variables, and SDKs the last three. The AWS CLI v1
    # and boto3, which tasks may use, read AWS_DEFAULT_REGION only.
    told = {
        "PYANAMO_TABLE": table,
        "PYANAMO_ITEMS": items,
        "PYANAMO_NESTS": nests,
        "PYANAMO_WALL_TIME": wall_time,
        "S3_BUCKET": bucket,
        "PYANAMO_ARCHIVE_SHA256": sha256 and _checked_sha256(sha256),
        "AWS_REGION": account.region,
        "AWS_DEFAULT_REGION": account.region,
        "AWS_ENDPOINT_URL_DYNAMODB": account.endpoint_url,
    }
    command = (archive or NO_ARCHIVE, "--spot-notice", *flags) if archive or flags else ()
    return PilotJob(
        name=name or job_name_of(table),
        queue=queue,
        definition=job_definition,
        environment={variable: str(value) for variable, value in told.items() if value},
        command=command,
    )


def _check_addresses(
    account: Account, bucket: str | None, address: str | None, sha256: str | None
) -> None:
    """Raise `UsageError` for a bucket or archive that the pilots' container doesn't accept."""
    if bucket:
        from pyanamo.output.bucket import bucket_of

        bucket_of(bucket, None, account)  # only to check it
    if sha256 and address in (None, "", NO_ARCHIVE):
        raise UsageError("--sha256 needs an archive: give --archive s3://... too")
    if address and address != NO_ARCHIVE and not _ARCHIVE.fullmatch(address):
        raise UsageError(
            f"--archive {address!r} is not an archive's address: give s3://BUCKET/KEY, with a KEY "
            f"that ends in .tar.gz, .tgz, .tar or .zip, or {NO_ARCHIVE} for the image's scripts"
        )


def _checked_sha256(text: str) -> str:
    """A SHA-256 in lower case. Raises `UsageError` if it isn't one."""
    if not _SHA256.fullmatch(text.lower()):
        raise UsageError(
            f"--sha256 {text!r} is not a SHA-256: expected 64 hex digits, as sha256sum prints them"
        )
    return text.lower()


def require_hosted(store: Store, table: str) -> None:
    """Raise `UsageError` for a table that pilots in AWS Batch can't reach."""
    if store.local is not None:
        raise UsageError(
            f"table {table!r} is in the file {str(store.local)!r}, which pilots in AWS Batch can't "
            "read: leave out --local and unset PYANAMO_LOCAL, to use a table in DynamoDB"
        )


@dataclass(frozen=True, kw_only=True)
class Left:
    """How many unfinished items a table has."""

    todo: int
    lost: int  # locked, but the lease has expired: any pilot may take them over
    busy: int  # locked, with a lease that has not expired

    def pilots(self, items: int) -> int:
        """Return how many pilots it takes to run all these items at once, `items` in each pilot."""
        return -(-(self.todo + self.lost) // items)


def left_in(table: WorkflowTable) -> Left:
    """Count the unfinished items of a table.

    The leases aren't in the index, so all attributes of locked items are read, in batches.
    """
    todo = sum(1 for _ in table.summaries(ItemState.TODO, only=("Nested_Tasks",)))
    lost = busy = 0
    for item in table.items(ItemState.LOCKED):
        has_expired = item.lease_has_expired(table.now())
        lost += has_expired
        busy += not has_expired
    return Left(todo=todo, lost=lost, busy=busy)


def array_sizes(pilots: int) -> list[int]:
    """Return how many pilots each job has: as few jobs as possible, of sizes as even as possible.

    A size of 1 is a job that isn't an array, and then the only one.
    """
    jobs = -(-pilots // LARGEST_ARRAY)
    return [pilots // jobs + (number < pilots % jobs) for number in range(jobs)]


def job_name_of(table: str) -> str:
    """Return a valid name for a job that is as close as possible to a table's name."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", table).lstrip("_-")
    return name[:128] or "pilots"

"""Pilots as jobs of AWS Batch: how many are wanted, in which arrays, and what a job is told.

`Jobs.submit` of `pyanamo.jobs` sends what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyanamo.errors import UsageError
from pyanamo.model import ItemState
from pyanamo.tables import WorkflowTable

LARGEST_ARRAY = 10_000  # AWS Batch User Guide, "Array jobs"; the smallest has 2 jobs
MOST_PILOTS = 1_000_000  # 100 arrays; who asks for more has slipped
NO_ARCHIVE = "-"

# AWS Batch API Reference, "SubmitJob", "CreateJobQueue" and "RegisterJobDefinition".
_NAME = r"[A-Za-z0-9_-]{1,128}"
_ARN = r"arn:[a-z-]+:batch:[a-z0-9-]+:\d{12}"
_JOB = re.compile(rf"(?![_-]){_NAME}")
_QUEUE = re.compile(rf"(?:{_ARN}:job-queue/)?{_NAME}")
_DEFINITION = re.compile(rf"(?:{_ARN}:job-definition/)?{_NAME}(?::[1-9]\d*)?")
_ARCHIVE = re.compile(r"s3://[a-z0-9][a-z0-9.-]+/.*[^/](?:\.tar\.gz|\.tgz|\.tar|\.zip)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PilotJob:
    """What AWS Batch is told of a job, plain or an array, each of whose containers is a pilot."""

    name: str
    queue: str  # name, or ARN
    definition: str  # name, name:revision, or ARN
    environment: Mapping[str, str] = field(default_factory=dict)  # beyond the job definition's
    command: tuple[str, ...] = ()  # in place of the job definition's; empty: the definition's

    def request(self, pilots: int) -> dict[str, Any]:
        """The arguments of the `SubmitJob` that starts so many pilots, 1 to `LARGEST_ARRAY`."""
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
class Left:
    """The items of a table for which pilots may be wanted."""

    todo: int
    lost: int  # locked, but the lease has expired: whoever finds them takes them over
    busy: int  # locked by pilots that keep their leases

    def pilots(self, items: int) -> int:
        """How many pilots it takes for each item to have its place, with `items` at a time each."""
        return -(-(self.todo + self.lost) // items)


def left_in(table: WorkflowTable, now: float) -> Left:
    """What is left to do in a table at `now`, in epoch seconds.

    What waits is counted in the index. That doesn't have the leases: the locked items are read
    whole, some at a time.
    """
    todo = sum(1 for _ in table.summaries(ItemState.TODO))
    lost = busy = 0
    for item in table.items(ItemState.LOCKED):
        has_expired = item.lease_has_expired(now)
        lost += has_expired
        busy += not has_expired
    return Left(todo=todo, lost=lost, busy=busy)


def array_sizes(pilots: int) -> list[int]:
    """How many pilots each job has: as few jobs as can be, as even as can be.

    A job of 1 is a plain one, for an array has 2 at least; there is none beside arrays.
    """
    jobs = -(-pilots // LARGEST_ARRAY)
    return [pilots // jobs + (number < pilots % jobs) for number in range(jobs)]


def job_name_of(table: str) -> str:
    """A job's name that comes as close to a table's as AWS Batch allows."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", table).lstrip("_-")
    return name[:128] or "pilots"


def check_job_name(name: str) -> None:
    """Raise `UsageError` for a name that no job can have."""
    if not _JOB.fullmatch(name):
        raise UsageError(
            f"--name {name!r} can't be a job's name: 1 to 128 letters, digits, '-' and '_', a "
            "letter or a digit first"
        )


def check_queue(name: str) -> None:
    """Raise `UsageError` for what no job queue can be called."""
    if not _QUEUE.fullmatch(name):
        raise UsageError(
            f"--queue {name!r} can't be a job queue: give its NAME (letters, digits, '-' and '_') "
            "or its ARN (arn:aws:batch:REGION:ACCOUNT:job-queue/NAME)"
        )


def check_definition(name: str) -> None:
    """Raise `UsageError` for what no job definition can be called."""
    if not _DEFINITION.fullmatch(name):
        raise UsageError(
            f"--job-definition {name!r} can't be a job definition: give NAME or NAME:REVISION "
            "(letters, digits, '-' and '_'; a number) or its ARN "
            "(arn:aws:batch:REGION:ACCOUNT:job-definition/NAME:REVISION)"
        )


def check_archive(address: str) -> None:
    """Raise `UsageError` for what a pilot's container can't unpack."""
    if address != NO_ARCHIVE and not _ARCHIVE.fullmatch(address):
        raise UsageError(
            f"--archive {address!r} is no archive: give s3://BUCKET/KEY, a bucket's name and a key "
            f"that ends in .tar.gz, .tgz, .tar or .zip, or {NO_ARCHIVE} for the image's scripts"
        )


def checked_sha256(text: str) -> str:
    """A SHA-256 as programs print it. Raises `UsageError` for what can't be one."""
    if not _SHA256.fullmatch(text.lower()):
        raise UsageError(
            f"--sha256 {text!r} is no SHA-256: 64 hex digits, as sha256sum prints them"
        )
    return text.lower()

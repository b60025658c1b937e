"""An operator who submits pilots to a queue of AWS Batch."""

from __future__ import annotations

import subprocess
from typing import Any

import boto3

from pyanamo.batch.submission import job_name_of
from tests.support.makers import add, claimed, done, ended, failed, single
from tests.support.operator import Operator
from tests.support.programs import Finished


class Submitter:
    """An operator who submits pilots to a queue of AWS Batch."""

    def __init__(self, operator: Operator, queue: str, batch: str) -> None:
        self.operator = operator
        self.table = operator.table_name
        self.queue = queue
        self.batch = boto3.client("batch", endpoint_url=batch)

    def flags(self, *flags: str) -> list[str]:
        """The flags that all submissions need, and these."""
        return ["--queue", self.queue, "--job-definition", self.queue, *flags]

    def submits(self, *flags: str) -> Finished:
        """Submit pilots."""
        return self.operator.types("submit", *self.flags(*flags))

    def starts(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start to submit pilots in a process; call `finish` on it."""
        return self.operator.starts("submit", *self.flags(*flags))

    def tells(self, variable: str, value: str) -> None:
        """Set a variable of the environment."""
        self.operator.environment[variable] = value

    def jobs(self, name: str | None = None) -> list[dict[str, Any]]:
        """What Batch knows of the jobs with a name (the table's), without children of arrays."""
        pages = self.batch.get_paginator("list_jobs").paginate(jobQueue=self.queue)
        found = [job for page in pages for job in page["jobSummaryList"]]
        ids = [job["jobId"] for job in found if job["jobName"] == (name or job_name_of(self.table))]
        ids = [job_id for job_id in ids if ":" not in job_id]
        return self.described(*ids) if ids else []

    def described(self, *job_ids: str) -> list[dict[str, Any]]:
        """What Batch knows of jobs, in their order."""
        known = {job["jobId"]: job for job in self.batch.describe_jobs(jobs=job_ids)["jobs"]}
        return [known[job_id] for job_id in job_ids]


def told(job: dict[str, Any]) -> dict[str, str]:
    """The environment of a job, without the variables that Batch adds."""
    environment = {entry["name"]: entry["value"] for entry in job["container"]["environment"]}
    environment.pop("AWS_BATCH_JOB_ID", None)
    return environment


def fill(submitter: Submitter, *, todo: int, lost: int = 0, busy: int = 0) -> None:
    """Add items in every state."""
    table = submitter.operator.table
    ended(table, single("done"), done())
    ended(table, single("failed"), failed())
    for number in range(busy):
        claimed(table, single(f"busy-{number}"))
    lost_items = [single(f"lost-{number}") for number in range(lost)]
    add(table, *lost_items)
    for _ in lost_items:  # a claim takes what waits before it takes what is lost
        assert table.claim("gone", lease=-60, max_attempts=3)
    add(table, *(single(f"todo-{number}") for number in range(todo)))

"""Jobs of AWS Batch: submit them, and tell whether they have ended.

Each pilot in AWS Batch is a job. Batch starts a failed job again under the same id, so the id alone
doesn't tell whether the pilot that holds an item has ended: its attempt does (see
`pyanamo.identity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from pyanamo.account import Account
from pyanamo.aws import Client, make_client, shortened, translated_errors
from pyanamo.batch.submission import PilotJob, Submitted, array_sizes
from pyanamo.errors import PyAnamoError
from pyanamo.identity import pilot_job

BATCH = 100  # job ids per request (AWS Batch API Reference, "DescribeJobs")


class JobStatus(str, Enum):
    """The state of a job (AWS Batch User Guide, "Job states")."""

    SUBMITTED = "SUBMITTED"  # the scheduler hasn't looked at it yet
    PENDING = "PENDING"  # waits for other jobs
    RUNNABLE = "RUNNABLE"  # waits for a machine, for the first time or again
    STARTING = "STARTING"  # its image is being fetched
    RUNNING = "RUNNING"  # its container runs
    SUCCEEDED = "SUCCEEDED"  # ended with exit code 0
    FAILED = "FAILED"  # ended otherwise, and isn't tried again
    GONE = "gone"  # Batch doesn't know it; this state is ours, not Batch's

    @property
    def is_final(self) -> bool:
        """Whether no container of the job runs, or will ever run."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.GONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """What Batch knows about a job, or about one attempt of it, which is a pilot."""

    job_id: str
    status: JobStatus  # of the whole job
    reason: str = ""  # for its status, in Batch's own words, if there is one
    ended_attempts: int = 0  # how many attempts have ended: number 1 to this one
    attempt: int | None = None  # the pilot's, from 1; None for the whole job

    @property
    def is_gone(self) -> bool:
        """Whether AWS Batch doesn't know it."""
        return self.status is JobStatus.GONE

    @property
    def has_ended(self) -> bool:
        """Whether the pilot (or the whole job) has ended, so that it writes nothing any more.

        A pilot has ended if the whole job has, or if Batch lists its attempt as ended. This can't
        be said of a job that waits to be started: its container may run before Batch knows it.

        A job is `gone` at least a week after it ended ("Job states"), or if it is in another region
        or account. So check the lease too before you act on `gone`: after a week, it has expired.
        """
        attempt_has = self.attempt is not None and self.attempt <= self.ended_attempts
        return self.status.is_final or attempt_has


class Jobs:
    """The jobs of AWS Batch in one region.

    Raises `AccessDenied` and `StoreUnavailable`.
    """

    def __init__(self, account: Account = Account(), *, client: Client | None = None) -> None:
        self._client = client or make_client("batch", account)

    def describe(self, job_ids: Iterable[str]) -> Iterator[JobState]:
        """Yield the state of each distinct job, in the order given; one request per 100 jobs.

        The next request is made when the states of the one before have been read.
        """
        distinct = _distinct(job_ids)
        while some := list(islice(distinct, BATCH)):
            known = self._known(some)
            for job_id in some:
                yield known.get(job_id) or JobState(job_id=job_id, status=JobStatus.GONE)

    def of_instances(self, instance_ids: Iterable[str]) -> dict[str, JobState]:
        """Return the state of each pilot's job, by `InstanceID`, without pilots outside Batch."""
        pilots = {name: parts for name in instance_ids if (parts := pilot_job(name))}
        jobs = {state.job_id: state for state in self.describe(job for job, _ in pilots.values())}
        return {name: replace(jobs[job], attempt=number) for name, (job, number) in pilots.items()}

    def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job; return its id. See `SubmitJob` (AWS Batch API Reference) for the request.

        Raises `PyAnamoError` if Batch refuses it. If the answer to a request is lost, the SDK sends
        the request again. Batch can't recognize it, so there may be two jobs. If `StoreUnavailable`
        is raised, the job may have been submitted too.
        """
        with translated_errors(self._client, "AWS Batch"):
            try:
                answer = self._client.submit_job(**request)
            except self._client.exceptions.ClientException as error:
                message = shortened(error.response["Error"].get("Message", ""))
                raise PyAnamoError(
                    f"AWS Batch in {self._client.meta.region_name} refuses the job for queue "
                    f"{request['jobQueue']!r} and job definition {request['jobDefinition']!r}: "
                    f"{message}"
                ) from error
        job_id: str = answer["jobId"]
        return job_id

    def image_of(self, definition: str) -> str:
        """Return the image that a job definition names; empty if Batch doesn't know it.

        `definition` is a name, of which Batch takes the latest revision, NAME:REVISION, or an ARN.
        """
        name, _, revision = definition.rpartition("/")[2].partition(":")
        pages = self._client.get_paginator("describe_job_definitions").paginate(
            jobDefinitionName=name, status="ACTIVE"
        )
        with translated_errors(self._client, "AWS Batch"):
            found = [one for page in pages for one in page["jobDefinitions"]]
        images = {
            str(one["revision"]): str(one.get("containerProperties", {}).get("image", ""))
            for one in sorted(found, key=lambda one: one["revision"])
        }
        return images.get(revision or next(reversed(images), ""), "")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _known(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of these jobs, by one request; without jobs that Batch doesn't know."""
        with translated_errors(self._client, "AWS Batch"):
            answer = self._client.describe_jobs(jobs=job_ids)
        return {job["jobId"]: _read_state(job) for job in answer["jobs"]}


def submit(job: PilotJob, pilots: int, account: Account) -> list[Submitted]:
    """Submit that many pilots, as few jobs as possible.

    If one is refused, the `PyAnamoError` names those that were submitted before it.
    """
    submitted: list[Submitted] = []
    with closing(Jobs(account)) as jobs:
        for size in array_sizes(pilots):
            try:
                job_id = jobs.submit(job.request(size))
            except PyAnamoError as error:
                ids = ", ".join(each.job_id for each in submitted) or "no job"
                raise PyAnamoError(f"{error}; submitted before: {ids}") from error
            submitted.append(Submitted(job_id=job_id, pilots=size))
    return submitted


def _distinct(job_ids: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for job_id in job_ids:
        if job_id not in seen:
            seen.add(job_id)
            yield job_id


def _read_state(job: Mapping[str, Any]) -> JobState:
    return JobState(
        job_id=job["jobId"],
        status=JobStatus(job["status"]),
        reason=job.get("statusReason", ""),
        ended_attempts=_ended(job.get("attempts", ())),
    )


def _ended(attempts: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of a job's attempts have ended.

    Attempts are numbered from 1 (AWS Batch User Guide, "Automated job retries"), and none starts
    before the last one has stopped. So only the last one in the list may still run: it does if it
    has no `stoppedAt` (AWS Batch API Reference, "AttemptDetail").
    """
    last_runs = bool(attempts) and "stoppedAt" not in attempts[-1]
    return len(attempts) - last_runs

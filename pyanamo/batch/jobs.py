"""The AWS Batch jobs that pilots are: to submit them, and to tell whether they have ended.

Batch starts a failed job again under the same id, so that the id alone doesn't tell whether the
pilot that holds an item is still there: its attempt does (see `pyanamo.identity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from pyanamo.account import Account
from pyanamo.aws import Client, make_client, shortened, translated_errors
from pyanamo.errors import PyAnamoError
from pyanamo.identity import pilot_job

BATCH = 100  # job ids a request: AWS Batch API Reference, "DescribeJobs"


class JobStatus(str, Enum):
    """Where a job is on its way (AWS Batch User Guide, "Job states")."""

    SUBMITTED = "SUBMITTED"  # the scheduler hasn't looked at it yet
    PENDING = "PENDING"  # waits for other jobs
    RUNNABLE = "RUNNABLE"  # waits for a machine, for the first time or again
    STARTING = "STARTING"  # its image is being fetched
    RUNNING = "RUNNING"  # its container runs
    SUCCEEDED = "SUCCEEDED"  # ended with exit code 0
    FAILED = "FAILED"  # ended otherwise, and isn't tried again
    GONE = "gone"  # Batch doesn't know it: ours, not Batch's

    @property
    def is_final(self) -> bool:
        """Whether no container of the job runs, or ever will."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.GONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """What Batch tells of a job, be it of the whole job or of one pilot's attempt at it."""

    job_id: str
    status: JobStatus  # of the whole job
    reason: str = ""  # for its status, in Batch's own words, if it has any
    ended_attempts: int = 0  # how many attempts have ended: those numbered 1 to this
    attempt: int | None = None  # the pilot's, from 1 on; None: the whole job is meant

    @property
    def is_gone(self) -> bool:
        """Whether AWS Batch doesn't know it."""
        return self.status is JobStatus.GONE

    @property
    def has_ended(self) -> bool:
        """Whether the pilot has ended, or the whole job, so that nothing of it writes any more.

        A pilot has if the whole job has, or if Batch lists its attempt among those that ended, to
        start the job again. That the job waits for a start is no proof: Batch learns of it later
        than the container does.

        A job is `gone` a week or more after it ended ("Job states"). It is so too for who asks in
        another region or with another account than the job's: a caller who acts on `gone` should
        look at the lease as well, which a week later has long expired.
        """
        attempt_has = self.attempt is not None and self.attempt <= self.ended_attempts
        return self.status.is_final or attempt_has


class Jobs:
    """The jobs of AWS Batch, in one region.

    Errors are those of `pyanamo.errors`: `AccessDenied`, `StoreUnavailable`.
    """

    def __init__(self, account: Account = Account(), *, client: Client | None = None) -> None:
        self._client = client or make_client("batch", account)

    def describe(self, job_ids: Iterable[str]) -> Iterator[JobState]:
        """The state of every job: each once, in the order they are named, a request for 100.

        The next 100 ids are taken, and asked for, when the states before them have been.
        """
        distinct = _distinct(job_ids)
        while some := list(islice(distinct, BATCH)):
            known = self._known(some)
            for job_id in some:
                yield known.get(job_id) or JobState(job_id=job_id, status=JobStatus.GONE)

    def of_instances(self, instance_ids: Iterable[str]) -> dict[str, JobState]:
        """The state of every pilot's job, by `InstanceID`; pilots outside of Batch are left out."""
        pilots = {name: parts for name in instance_ids if (parts := pilot_job(name))}
        jobs = {state.job_id: state for state in self.describe(job for job, _ in pilots.values())}
        return {name: replace(jobs[job], attempt=number) for name, (job, number) in pilots.items()}

    def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job, by the arguments of `SubmitJob` (AWS Batch API Reference); its id.

        Raises `PyAnamoError` for what Batch refuses. Where the answer to a request was lost the SDK
        sends it again, and as Batch has nothing to tell the two apart by, there may be two jobs. A
        job may have been submitted, too, where `StoreUnavailable` is raised.
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

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _known(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """One request; what Batch doesn't know, it leaves out."""
        with translated_errors(self._client, "AWS Batch"):
            answer = self._client.describe_jobs(jobs=job_ids)
        return {job["jobId"]: _read_state(job) for job in answer["jobs"]}


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
    """How many of a job's attempts have ended.

    Their numbers start at 1 and ascend (AWS Batch User Guide, "Automated job retries"), and the
    next one doesn't start before the last one has stopped: so only the last that is listed may
    still run, as long as it has no `stoppedAt` (AWS Batch API Reference, "AttemptDetail").
    """
    last_runs = bool(attempts) and "stoppedAt" not in attempts[-1]
    return len(attempts) - last_runs

"""The state of AWS Batch jobs: from moto's server, and in answers of Batch that moto can't give."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo.account import Account
from pyanamo.batch.jobs import Jobs, JobState, JobStatus
from pyanamo.errors import AccessDenied, StoreUnavailable
from pyanamo.identity import job_id_of, pilot_name
from tests.support.moto_server import JOBS_SUCCEED, make_queue, set_moto, submit_job

JOB = "0a1b2c3d-1111-2222-3333-444455556666"


# --- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", [JOB, f"{JOB}:7", f"{JOB}:1234", f"{JOB}#3"])
@pytest.mark.parametrize("attempt", ["1", "10"])
def test_a_pilot_of_batch_names_its_job(job_id: str, attempt: str) -> None:
    environment = {"AWS_BATCH_JOB_ID": job_id, "AWS_BATCH_JOB_ATTEMPT": attempt}
    assert job_id_of(pilot_name(environment)) == job_id


def test_a_pilot_on_an_ec2_machine_has_its_name(tmp_path: Path) -> None:
    file = tmp_path / "board_asset_tag"
    file.write_text("i-0123456789abcdef0\n")
    assert pilot_name({}, (tmp_path / "not there", file)) == "i-0123456789abcdef0"
    file.write_text("Not Specified\n")
    assert pilot_name({}, (file,)) == f"{socket.gethostname()}-{os.getpid()}"


@pytest.mark.parametrize(
    "instance_id",
    ["", "i-0123456789abcdef0", "node-17-4242", "host#3", JOB, f"{JOB}#", f"{JOB}:#1", f"{JOB}#1 "],
)
def test_a_pilot_elsewhere_has_no_job(instance_id: str) -> None:
    assert job_id_of(instance_id) is None


# --- What has ended -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.GONE])
@pytest.mark.parametrize("attempt", [None, 1, 2])
def test_every_pilot_of_an_ended_job_has_ended(status: JobStatus, attempt: int | None) -> None:
    assert JobState(job_id=JOB, status=status, attempt=attempt).has_ended


@pytest.mark.parametrize("status", ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"])
@pytest.mark.parametrize(("attempt", "ended"), [(1, True), (2, True), (3, False), (None, False)])
def test_a_pilot_has_ended_when_its_attempt_has(
    status: str, attempt: int | None, ended: bool
) -> None:
    state = JobState(job_id=JOB, status=JobStatus(status), ended_attempts=2, attempt=attempt)
    assert state.has_ended is ended


# --- What Batch answers -------------------------------------------------------------------------


@contextmanager
def batch_with(*jobs: dict[str, Any]) -> Iterator[Jobs]:
    """A Batch that describes these jobs so, once."""
    client = boto3.client("batch")
    required = {"jobName": "name", "jobQueue": "queue", "jobDefinition": "definition"}
    answer = {"jobs": [{**required, "startedAt": 1, **job} for job in jobs]}
    with Stubber(client) as stub:
        stub.add_response("describe_jobs", answer, {"jobs": [job["jobId"] for job in jobs]})
        yield Jobs(client=client)


def described(*jobs: dict[str, Any]) -> list[JobState]:
    """The states of jobs that Batch describes so."""
    with batch_with(*jobs) as batch:
        return list(batch.describe(job["jobId"] for job in jobs))


def test_two_pilots_of_a_job_that_was_started_again() -> None:
    stopped = {"startedAt": 1, "stoppedAt": 2, "statusReason": "Host EC2 terminated"}
    job = {"jobId": f"{JOB}:7", "status": "RUNNING", "attempts": [stopped]}
    first, second = f"{JOB}:7#1", f"{JOB}:7#2"
    with batch_with(job) as batch:
        states = batch.of_instances([second, "i-0123456789abcdef0", first, second])
    assert {name: state.has_ended for name, state in states.items()} == {first: True, second: False}
    assert states[second] == JobState(
        job_id=f"{JOB}:7", status=JobStatus.RUNNING, ended_attempts=1, attempt=2
    )


def test_an_attempt_that_runs_may_be_listed() -> None:
    attempts = [{"startedAt": 1, "stoppedAt": 2}, {"startedAt": 3}]
    (state,) = described({"jobId": JOB, "status": "RUNNING", "attempts": attempts})
    assert state.ended_attempts == 1


def test_an_attempt_before_the_last_has_ended_whatever_is_told_of_it() -> None:
    attempts = [{"statusReason": "Task failed to start"}, {"startedAt": 3}]
    (state,) = described({"jobId": JOB, "status": "RUNNING", "attempts": attempts})
    assert state.ended_attempts == 1


def test_the_reason_is_batchs() -> None:
    reason = "Host EC2 (instance i-0123456789abcdef0) terminated."
    failed, running = described(
        {"jobId": JOB, "status": "FAILED", "statusReason": reason},
        {"jobId": f"{JOB}:1", "status": "RUNNING"},
    )
    assert (failed.status, failed.reason) == (JobStatus.FAILED, reason)
    assert (running.status, running.reason) == (JobStatus.RUNNING, "")


def test_no_access_is_said_so() -> None:
    client = boto3.client("batch")
    with Stubber(client) as stub:
        stub.add_client_error("describe_jobs", "AccessDeniedException", "not authorized to", 403)
        with pytest.raises(AccessDenied, match=r"AWS Batch in us-east-1 .*not authorized to"):
            list(Jobs(client=client).describe([JOB]))


def test_another_error_names_the_service() -> None:
    client = boto3.client("batch")
    with Stubber(client) as stub:
        stub.add_client_error("describe_jobs", "ClientException", "no such thing", 400)
        with pytest.raises(StoreUnavailable, match=r"AWS Batch .*ClientException: no such thing"):
            list(Jobs(client=client).describe([JOB]))


# --- Moto's server ------------------------------------------------------------------------------


@pytest.fixture
def queue(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue in moto's Batch whose jobs succeed at once, and the job definition of its name."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", moto)
    return make_queue(moto)


@pytest.fixture
def waiting_queue(queue: str, moto: str) -> Iterator[str]:
    """The same, but its jobs stay as they are submitted."""
    job = {"model_name": "batch::job"}
    transition = {"progression": "manual", "times": 1_000_000}
    set_moto(moto, "config", {"batch": {"use_docker": True}})
    set_moto(moto, "state-manager/set-transition", {**job, "transition": transition})
    yield queue
    set_moto(moto, "state-manager/unset-transition", job)
    set_moto(moto, "config", JOBS_SUCCEED)


def submit(queue: str, **arguments: Any) -> str:
    """Submit a job; its id."""
    return submit_job(os.environ["AWS_ENDPOINT_URL_BATCH"], queue, **arguments)


def test_known_and_unknown_jobs_in_the_order_they_are_named(queue: str) -> None:
    first, second = submit(queue), submit(queue)
    states = list(Jobs().describe([second, JOB, first, second]))
    assert [(state.job_id, state.status) for state in states] == [
        (second, JobStatus.SUCCEEDED),
        (JOB, JobStatus.GONE),
        (first, JobStatus.SUCCEEDED),
    ]
    assert states[0].ended_attempts == 1


def test_children_of_an_array_job(queue: str) -> None:
    array = submit(queue, arrayProperties={"size": 3})
    children = [f"{array}:{index}" for index in range(4)]
    statuses = [state.status for state in Jobs().describe(children)]
    assert statuses == [JobStatus.SUCCEEDED] * 3 + [JobStatus.GONE]


def test_a_job_that_has_not_started_has_not_ended(waiting_queue: str) -> None:
    job_id = submit(waiting_queue)
    (state,) = Jobs().describe([job_id])
    assert state.status is JobStatus.SUBMITTED
    assert not state.has_ended


def test_a_hundred_jobs_a_request(queue: str) -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(249)]
    ids.insert(200, submit(queue))
    client = boto3.client("batch")
    asked: list[int] = []
    client.meta.events.register(
        "provide-client-params.batch.DescribeJobs",
        lambda params, **_: asked.append(len(params["jobs"])),
    )
    states = Jobs(client=client).describe(iter(ids))
    assert next(states).status is JobStatus.GONE
    assert asked == [100]  # more isn't asked for before it is wanted
    rest = list(states)
    assert asked == [100, 100, 50]
    assert [state.job_id for state in rest] == ids[1:]
    assert rest[199].status is JobStatus.SUCCEEDED


def test_no_jobs_no_request() -> None:
    nobody = boto3.client("batch", endpoint_url="http://127.0.0.1:1")
    assert list(Jobs(client=nobody).describe([])) == []


def test_the_endpoint_of_an_account_is_not_that_of_batch(queue: str) -> None:
    jobs = Jobs(Account(region="us-east-1", endpoint_url="http://127.0.0.1:1"))
    assert [state.status for state in jobs.describe([submit(queue)])] == [JobStatus.SUCCEEDED]
    jobs.close()

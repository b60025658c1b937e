"""What goes wrong while `python -m pyanamo submit` submits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo.batch.jobs import Jobs
from pyanamo.console import command_line
from pyanamo.errors import PyAnamoError
from tests.support.fake_batch import FakeBatch
from tests.support.faulty_proxy import Decide, Fault, FaultyProxy
from tests.support.programs import SECONDS, finish, read_line
from tests.support.submitter import Submitter
from tests.support.waiting import wait_until


@pytest.fixture
def proxy(submitter: Submitter, moto: str) -> Iterator[FaultyProxy]:
    """What the submitter's requests to Batch go through."""
    with FaultyProxy(moto) as proxy:
        submitter.tells("AWS_ENDPOINT_URL_BATCH", proxy.url)
        yield proxy


def on_first(fault: Fault) -> Decide:
    """Let something become of the first request."""
    return lambda _operation, _body, count: fault if count == 1 else Fault.NONE


def test_a_request_that_is_too_many_is_sent_again(submitter: Submitter, proxy: FaultyProxy) -> None:
    proxy.decide = on_first(Fault.THROTTLE)
    ran = submitter.submits("-p", "2")
    (job,) = submitter.jobs()
    assert (ran.code, ran.stdout) == (0, f"{job['jobId']}\n")
    assert proxy.count("submitjob") == 2


def test_after_a_lost_answer_there_may_be_two(submitter: Submitter, proxy: FaultyProxy) -> None:
    proxy.decide = on_first(Fault.DROP_AFTER)
    ran = submitter.submits("-p", "2")
    first, second = submitter.jobs()
    assert (ran.code, ran.stdout) == (0, f"{second['jobId']}\n")
    assert first["container"]["command"] == second["container"]["command"]


def test_an_array_that_is_refused_after_others(submitter: Submitter, batch: FakeBatch) -> None:
    batch.refuse = lambda count: "JobQueue has gone" if count == 3 else ""
    ran = submitter.submits("-p", "45000")
    assert ran.code == 1
    assert ran.stdout.split() == list(batch.jobs)
    assert batch.sizes == [9_000, 9_000]
    assert ran.stderr == (
        f"AWS Batch in us-east-1 refuses the job for queue {submitter.queue!r} and job "
        f"definition {submitter.queue!r}: JobQueue has gone; submitted 2 array jobs with 18000 "
        "pilots; not submitted: 3 array jobs with 27000 pilots\n"
    )


def test_a_job_whose_answer_never_comes_may_be_there(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in submitter.operator.environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("batch")
    monkeypatch.setattr("pyanamo.batch.jobs.Jobs", lambda _: Jobs(client=client))
    command = submitter.operator.command("submit", *submitter.flags("-p", "10001"))
    monkeypatch.setattr(sys, "argv", command[2:])
    with Stubber(client) as stub:
        stub.add_response("submit_job", {"jobName": "n", "jobId": "the-first"})
        stub.add_client_error("submit_job", "ServerException", "try later", 500)
        with pytest.raises(PyAnamoError) as failed_so:
            command_line.main()
    assert capsys.readouterr().out == "the-first\n"
    assert str(failed_so.value).endswith(
        "ServerException: try later; the job whose request got no answer may have been "
        "submitted; submitted an array job with 5001 pilots; not submitted: an array job with 5000 "
        "pilots"
    )


def test_ctrl_c_waits_for_the_request_under_way(submitter: Submitter, batch: FakeBatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def stop(count: int) -> str:
        wait_until(lambda: started, "the command has started")
        if count == 2:
            started[0].send_signal(signal.SIGINT)
        return ""

    batch.refuse = stop
    started.append(submitter.starts("-p", "25000", "--json"))
    ran = finish(started[0])
    assert ran.code == 130
    answer = json.loads(ran.stdout)
    assert [job["job_id"] for job in answer["jobs"]] == list(batch.jobs)
    assert [job["pilots"] for job in answer["jobs"]] == batch.sizes == [8_334, 8_333]
    assert answer["not_submitted"] == 8_333
    assert ran.stderr == (
        "stopping after the current request; a second signal stops at once\n"
        "submitted 2 array jobs with 16667 pilots; not submitted: an array job with 8333 pilots\n"
    )


def test_a_second_signal_does_not_wait(submitter: Submitter, batch: FakeBatch) -> None:
    waiting = threading.Event()

    def hang(count: int) -> str:
        if count == 2:
            waiting.set()
            batch.closing.wait(SECONDS)
        return ""

    batch.refuse = hang
    process = submitter.starts("-p", "10001")
    assert process.stdout is not None
    assert process.stderr is not None
    assert read_line(process.stdout).split() == list(batch.jobs)  # before all are there
    assert waiting.wait(SECONDS)
    process.send_signal(signal.SIGINT)
    assert read_line(process.stderr).startswith("stopping after the current request")
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130


def test_a_job_that_cannot_be_printed_is_named(submitter: Submitter, batch: FakeBatch) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            submitter.operator.command("submit", *submitter.flags("-p", "10001")),
            env={**os.environ, **submitter.operator.environment},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    (job_id,) = batch.jobs
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"job {job_id} was submitted, but its id can't be printed: ")
    assert "not submitted: an array job with 5000 pilots\n" in ran.stderr

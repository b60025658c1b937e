"""`python -m pyanamo submit`: with moto's Batch, and a table in DynamoDB Local."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo import __main__
from pyanamo.batch.jobs import Jobs
from pyanamo.batch.submission import Left, PilotJob, array_sizes, job_name_of
from pyanamo.console import submit as console
from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.pilot.command_line import pilot_parser
from pyanamo.tables import Store
from tests.support.cli import SECONDS, Finished, finish, wait_until
from tests.support.documents import Example, examples, make_checkout, run_example
from tests.support.fake_batch import FakeBatch
from tests.support.faulty_proxy import Decide, Fault, FaultyProxy
from tests.support.moto_server import batch_queue
from tests.support.operator import Operator, add, claimed, ended
from tests.support.tables import done, failed, single

SHA = "0123456789abcdef" * 4


# --- How many, and what they are called ----------------------------------------------------------


@pytest.mark.parametrize(
    ("pilots", "sizes"),
    [
        (0, []),
        (1, [1]),
        (2, [2]),
        (10_000, [10_000]),
        (10_001, [5_001, 5_000]),
        (10_002, [5_001, 5_001]),
        (20_001, [6_667, 6_667, 6_667]),
        (25_000, [8_334, 8_333, 8_333]),
        (1_000_000, [10_000] * 100),
    ],
)
def test_arrays(pilots: int, sizes: list[int]) -> None:
    assert array_sizes(pilots) == sizes


def test_every_split_is_one_that_batch_takes() -> None:
    for pilots in (*range(2, 200), *range(9_990, 10_010), *range(19_990, 20_010), 999_999):
        sizes = array_sizes(pilots)
        assert sum(sizes) == pilots
        assert all(2 <= size <= 10_000 for size in sizes)
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("items", "pilots"), [(1, 9), (4, 3), (9, 1), (10, 1)])
def test_pilots_for_what_waits_and_what_is_lost(items: int, pilots: int) -> None:
    assert Left(todo=7, lost=2, busy=100).pilots(items) == pilots
    assert Left(todo=0, lost=0, busy=100).pilots(items) == 0


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("Align", "Align"),
        ("My_Step-2", "My_Step-2"),
        ("cohort.2026.call", "cohort-2026-call"),
        ("__call", "call"),
        (".-_", "pilots"),
        ("a" * 255, "a" * 128),
    ],
)
def test_a_jobs_name_comes_from_the_tables(table: str, name: str) -> None:
    assert job_name_of(table) == name


# --- An operator with a queue --------------------------------------------------------------------


@pytest.fixture(scope="module")
def queue(moto: str) -> Iterator[str]:
    """A queue, and the job definition of its name."""
    with batch_queue(moto) as name:
        yield name


class Submitter:
    """Somebody with a table who submits pilots to a queue."""

    def __init__(self, operator: Operator, queue: str, batch: str) -> None:
        self.operator = operator
        self.table = operator.table
        self.queue = queue
        self.batch = boto3.client("batch", endpoint_url=batch)

    def flags(self, *flags: str) -> list[str]:
        """The flags of every submission, and others."""
        return ["--queue", self.queue, "--job-definition", self.queue, *flags]

    def submits(self, *flags: str) -> Finished:
        """Submit."""
        return self.operator.types("submit", *self.flags(*flags))

    def starts(self, *flags: str) -> subprocess.Popen[bytes]:
        """Begin to submit; `finish` is to be called."""
        return self.operator.start("submit", *self.flags(*flags))

    def tells(self, variable: str, value: str) -> None:
        """Have another value in the environment from now on."""
        environment = {**self.operator.environment, variable: value}
        self.operator = replace(self.operator, environment=environment)

    def jobs(self, name: str | None = None) -> list[dict[str, Any]]:
        """What Batch knows of the jobs of that name (the table's), without arrays' children."""
        pages = self.batch.get_paginator("list_jobs").paginate(jobQueue=self.queue)
        found = [job for page in pages for job in page["jobSummaryList"]]
        ids = [job["jobId"] for job in found if job["jobName"] == (name or job_name_of(self.table))]
        ids = [job_id for job_id in ids if ":" not in job_id]
        return self.described(*ids) if ids else []

    def described(self, *job_ids: str) -> list[dict[str, Any]]:
        """What Batch knows of jobs, in their order."""
        known = {job["jobId"]: job for job in self.batch.describe_jobs(jobs=job_ids)["jobs"]}
        return [known[job_id] for job_id in job_ids]


@pytest.fixture
def batch(submitter: Submitter) -> Iterator[FakeBatch]:
    """A Batch of the submitter's own."""
    with FakeBatch() as batch:
        submitter.tells("AWS_ENDPOINT_URL_BATCH", batch.url)
        yield batch


def told(job: dict[str, Any]) -> dict[str, str]:
    """The environment of a job, but for what Batch itself puts there."""
    environment = {entry["name"]: entry["value"] for entry in job["container"]["environment"]}
    environment.pop("AWS_BATCH_JOB_ID", None)
    return environment


@pytest.fixture
def submitter(table_name: str, dynamodb: str, moto: str, queue: str) -> Submitter:
    """Somebody with an empty table."""
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb, "AWS_ENDPOINT_URL_BATCH": moto}
    store = Store(endpoint_url=dynamodb)
    operator = Operator(store=store, table=table_name, environment=environment)
    table = operator.opened()
    table.create()
    table.close()
    return Submitter(operator, queue, moto)


def fill(submitter: Submitter, *, todo: int, lost: int = 0, busy: int = 0) -> None:
    """Items of every state."""
    table = submitter.operator.opened()
    ended(table, single("done"), done())
    ended(table, single("failed"), failed())
    for number in range(busy):
        claimed(table, single(f"busy-{number}"))
    lost_items = [single(f"lost-{number}") for number in range(lost)]
    add(table, *lost_items)
    for _ in lost_items:  # a claim takes what waits before it takes what is lost
        assert table.claim("gone", lease=-60, max_attempts=3)
    add(table, *(single(f"todo-{number}") for number in range(todo)))
    table.close()


def test_one_pilot_is_a_plain_job(submitter: Submitter) -> None:
    ran = submitter.submits("-p", "1")
    (job,) = submitter.jobs()
    assert ran == Finished(
        code=0, stdout=f"{job['jobId']}\n", stderr="submitted a job with 1 pilot\n"
    )
    assert "size" not in job.get("arrayProperties", {})
    assert told(job) == {"PYANAMO_TABLE": submitter.table}
    assert job["container"]["command"] == ["true"]  # the definition's own


def test_what_is_given_is_told(submitter: Submitter) -> None:
    ran = submitter.submits(
        *("-p", "2", "-i", "3", "-n", "4", "-w", "2h", "-b", "s3://logs/PyAnamo"),
        *("-r", "us-east-1", "--sha256", SHA.upper()),
        *("--archive", "s3://scripts/my pipeline.tar.gz"),
        *("--name", "Cohort_1", "--job-definition", f"{submitter.queue}:1"),
        *("--", "--retries", "1", "--lease", "30m", "-v"),
    )
    (job,) = submitter.jobs("Cohort_1")
    assert ran == Finished(
        code=0, stdout=f"{job['jobId']}\n", stderr="submitted an array job with 2 pilots\n"
    )
    assert job["arrayProperties"]["size"] == 2
    assert told(job) == {
        "PYANAMO_TABLE": submitter.table,
        "PYANAMO_ITEMS": "3",
        "PYANAMO_NESTS": "4",
        "PYANAMO_WALL_TIME": "2h",
        "S3_BUCKET": "s3://logs/PyAnamo",
        "PYANAMO_ARCHIVE_SHA256": SHA,
        "AWS_REGION": "us-east-1",
    }
    archive, *flags = job["container"]["command"]
    assert archive == "s3://scripts/my pipeline.tar.gz"
    assert flags == ["--spot-notice", "--retries", "1", "--lease", "30m", "-v"]
    pilot = pilot_parser().parse_args(["-t", "any", *flags])  # as the container gives them on
    assert (pilot.spot_notice, pilot.retries, pilot.lease) == (True, 1, 1800.0)
    (child,) = submitter.described(f"{job['jobId']}:1")
    assert told(child) == told(job)
    assert child["container"]["command"] == job["container"]["command"]


def test_flags_alone_leave_the_scripts_of_the_image(submitter: Submitter) -> None:
    assert submitter.submits("-p", "1", "--archive", "", "-b", "", "--", "--idle", "5m").code == 0
    (job,) = submitter.jobs()
    assert job["container"]["command"] == ["-", "--spot-notice", "--idle", "5m"]
    assert told(job) == {"PYANAMO_TABLE": submitter.table}


def test_many_pilots_are_several_arrays(submitter: Submitter, batch: FakeBatch) -> None:
    ran = submitter.submits("-p", "25000", "-i", "4")
    assert ran == Finished(
        code=0,
        stdout="".join(f"{job_id}\n" for job_id in batch.jobs),
        stderr="submitted 3 array jobs with 25000 pilots\n",
    )
    assert batch.sizes == [8_334, 8_333, 8_333]
    first, second, _ = batch.jobs.values()
    assert {**first, "arrayProperties": {"size": 8_333}} == second


# --- How many are wanted --------------------------------------------------------------------------


def test_as_many_as_find_work(submitter: Submitter, dynamodb: str) -> None:
    fill(submitter, todo=7, lost=2, busy=3)
    with FaultyProxy(dynamodb) as proxy:
        submitter.tells("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        ran = submitter.submits("-i", "4")
        # What an operator must be allowed to do, beside batch:SubmitJob.
        assert set(proxy.operations) == {"Query", "BatchGetItem"}
    (job,) = submitter.jobs()
    assert job["arrayProperties"]["size"] == 3
    assert ran.stdout == f"{job['jobId']}\n"
    assert ran.stderr == (
        f"{submitter.table}: 7 todo, 2 locked by pilots that are gone, 3 in the hands of pilots; "
        "4 items at a time: 3 pilots\nsubmitted an array job with 3 pilots\n"
    )


def test_at_most_so_many(submitter: Submitter) -> None:
    fill(submitter, todo=3)
    ran = submitter.submits("--most", "2")
    assert ran.stderr == (
        f"{submitter.table}: 3 todo; an item each (no -i): 3 pilots, of which 2 are submitted "
        "(--most)\nsubmitted an array job with 2 pilots\n"
    )
    (job,) = submitter.jobs()
    assert job["arrayProperties"]["size"] == 2


def test_nobody_is_wanted_twice(submitter: Submitter) -> None:
    fill(submitter, todo=0, busy=2)
    ran = submitter.submits()
    assert ran == Finished(
        code=0,
        stdout="",
        stderr=f"{submitter.table}: 0 todo, 2 in the hands of pilots: nothing is left for other "
        "pilots, none is submitted\n",
    )
    answer = submitter.submits("--json")
    assert json.loads(answer.stdout) == {
        **{"version": 1, "command": "submit"},
        **{"jobs": [], "not_submitted": 0},
    }
    assert submitter.jobs() == []


# --- What would be sent ---------------------------------------------------------------------------


def test_a_dry_run_sends_nothing(submitter: Submitter) -> None:
    fill(submitter, todo=5)
    submitter.tells("AWS_ENDPOINT_URL_BATCH", "http://127.0.0.1:9")  # not even a question
    flags = ("-i", "2", "-w", "90", "--dry-run")
    ran = submitter.submits(*flags, "--", "--retries", "1")
    assert (ran.code, ran.stderr) == (
        0,
        f"{submitter.table}: 5 todo; 2 items at a time: 3 pilots\n",
    )
    assert [line.split("\t") for line in ran.stdout.splitlines()] == [
        ["What", "Value"],
        ["Jobs", "an array job with 3 pilots"],
        ["Name", submitter.table],
        ["Queue", submitter.queue],
        ["Job_Definition", submitter.queue],
        ["Environment", f"PYANAMO_TABLE={submitter.table}"],
        ["Environment", "PYANAMO_ITEMS=2"],
        ["Environment", "PYANAMO_WALL_TIME=90"],
        ["Command", "- --spot-notice --retries 1"],
    ]
    answer = json.loads(submitter.submits(*flags, "--json", "--", "--retries", "1").stdout)
    assert answer["dry_run"] is True
    assert submitter.jobs() == []
    (request,) = answer["requests"]
    submitter.batch.submit_job(**request)  # it is what Batch takes
    (job,) = submitter.jobs()
    assert told(job) == {
        "PYANAMO_TABLE": submitter.table,
        **{"PYANAMO_ITEMS": "2", "PYANAMO_WALL_TIME": "90"},
    }
    assert job["container"]["command"] == ["-", "--spot-notice", "--retries", "1"]
    assert job["arrayProperties"]["size"] == 3


def test_a_dry_run_of_several_arrays(submitter: Submitter) -> None:
    ran = submitter.submits("-p", "25000", "--dry-run")
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert lines[1:3] == [
        "Jobs\t3 array jobs with 25000 pilots",
        "Array_Sizes\t8334, 8333, 8333",
    ]
    assert lines[-1] == "Command\tthe job definition's"
    assert submitter.jobs() == []


# --- What can't be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-t Align Call", "-t Align Call: a pilot works on one table"),
        ("-t A", "'A' can't be a table's name"),
        ("--queue no/queue", "--queue 'no/queue' can't be a job queue: give its NAME"),
        ("--queue arn:aws:batch:us-east-1:123456789012:job-definition/D", "can't be a job queue"),
        ("--job-definition D:0", "--job-definition 'D:0' can't be a job definition: give NAME"),
        ("--job-definition D:latest", "can't be a job definition"),
        ("--name -ab", "--name '-ab' can't be a job's name: 1 to 128 letters"),
        ("--name _ab", "can't be a job's name"),
        (f"--name {'a' * 129}", "can't be a job's name"),
        ("--archive scripts.tar.gz", "--archive 'scripts.tar.gz' is no archive: give s3://"),
        ("--archive s3://bucket/scripts.rar", "is no archive"),
        ("--archive s3://bucket/.zip", "is no archive"),
        ("--archive s3://bucket/a.zip --sha256 abc", "--sha256 'abc' is no SHA-256: 64 hex"),
        (f"--sha256 {SHA}", "--sha256 is that of an archive: give --archive s3://"),
        (f"--archive - --sha256 {SHA}", "--sha256 is that of an archive"),
        ("-b s3://", "-b 's3://' names no bucket"),
        ("--local", "which pilots in AWS Batch can't see: leave --local out"),
        ("--endpoint-url nowhere", "--endpoint-url 'nowhere' is no address"),
        ("strange", "'strange' is no flag: those of the pilots stand behind --"),
        ("-- --table Call", "--table behind --: give it to submit itself, before --"),
        ("-- --item 1", "--items behind --: give it to submit itself, before --"),
        ("-- -w 1h", "--wall-time behind --: give it to submit itself"),
        ("-- --local x.db", "--local behind --: pilots in AWS Batch need a table in DynamoDB"),
        ("-- --log-dir ''", "an empty word among the flags of the pilots"),
    ],
)
def test_wrong_usage(flags: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = "-t Align --queue Q --job-definition D" if "-t A" not in flags else "--queue Q " * 2
    words = shlex.split(f"submit {usual} --job-definition D {flags.replace('--name ', '--name=')}")
    monkeypatch.setattr(sys, "argv", ["pyanamo", *words])
    with pytest.raises(UsageError) as refused:
        __main__.main()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "the following arguments are required: --queue, --job-definition"),
        ("--queue Q --job-definition D -p 0", "'0' is no whole number from 1 to 1000000"),
        ("--queue Q --job-definition D -p 2 --most 3", "not allowed with argument -p/--pilots"),
        ("--queue Q --job-definition D -w soon", "'soon' is no time: 90, 90s, 30m and 2h are"),
        ("--queue Q --job-definition D -- --retires 1", "unrecognized arguments: --retires 1"),
        ("--queue Q --job-definition D -- --retries", "--retries: expected one argument"),
    ],
)
def test_flags_that_cannot_be_read(
    flags: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pyanamo", "submit", "-t", "Align", *flags.split()])
    with pytest.raises(SystemExit) as refused:
        __main__.main()
    assert refused.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)


def test_a_table_in_a_file(submitter: Submitter, tmp_path: Path) -> None:
    file = str(tmp_path / "pyanamo.db")
    submitter.tells("PYANAMO_LOCAL", file)
    ran = submitter.submits("-p", "1")
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"table {submitter.table!r} is in the file {file!r}, which pilots in AWS Batch can't see: "
        "leave --local out and unset PYANAMO_LOCAL, for a table in DynamoDB\n"
    )
    assert submitter.jobs() == []


def test_a_table_that_is_not_there(submitter: Submitter) -> None:
    ran = submitter.operator.types(
        "submit", *submitter.flags("-p", "1", "--name", "astray"), tables=("Exmaple",)
    )
    assert (ran.code, ran.stdout) == (1, "")
    assert re.fullmatch(r"table 'Exmaple' is not there in us-east-1 .*\n", ran.stderr)
    assert submitter.jobs("astray") == []


@pytest.mark.parametrize("flag", ["--queue", "--job-definition"])
def test_a_queue_or_definition_that_is_not_there(submitter: Submitter, flag: str) -> None:
    ran = submitter.submits("-p", "2", flag, "Nowhere")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("AWS Batch in us-east-1 doesn't take the job for queue ")
    assert "'Nowhere'" in ran.stderr
    assert ran.stderr.endswith("Nowhere does not exist\n")
    assert ran.stderr.count("\n") == 1
    assert submitter.jobs() == []


def test_no_access() -> None:
    client = boto3.client("batch")
    request = PilotJob(name="n", queue="q", definition="d").request(1)
    with Stubber(client) as stub:
        stub.add_client_error("submit_job", "AccessDeniedException", "not authorized to", 403)
        with pytest.raises(PyAnamoError, match=r"AWS Batch in us-east-1 .*denied .*not auth"):
            Jobs(client=client).submit(request)


# --- What goes wrong on the way -------------------------------------------------------------------


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
        f"AWS Batch in us-east-1 doesn't take the job for queue {submitter.queue!r} and job "
        f"definition {submitter.queue!r}: JobQueue has gone; submitted 2 array jobs with 18000 "
        "pilots; not submitted: 3 array jobs with 27000 pilots\n"
    )


def test_a_job_whose_answer_never_comes_may_be_there(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in submitter.operator.environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("batch")
    monkeypatch.setattr(console, "Jobs", lambda **_: Jobs(client=client))
    command = submitter.operator.command("submit", *submitter.flags("-p", "10001"))
    monkeypatch.setattr(sys, "argv", command[2:])
    with Stubber(client) as stub:
        stub.add_response("submit_job", {"jobName": "n", "jobId": "the-first"})
        stub.add_client_error("submit_job", "ServerException", "try later", 500)
        with pytest.raises(PyAnamoError) as failed_so:
            __main__.main()
    assert capsys.readouterr().out == "the-first\n"
    assert str(failed_so.value).endswith(
        "ServerException: try later; the job that got no answer may have been submitted all the "
        "same; submitted an array job with 5001 pilots; not submitted: an array job with 5000 "
        "pilots"
    )


def test_ctrl_c_waits_for_the_request_under_way(submitter: Submitter, batch: FakeBatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def stop(count: int) -> str:
        wait_until(lambda: started)
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
        "stopping after the request under way; once more to stop at once\n"
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
    assert process.stdout.readline().decode().split() == list(batch.jobs)  # before all are there
    assert waiting.wait(SECONDS)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"stopping after the request under way")
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
    assert ran.stderr.startswith(f"job {job_id} is submitted, but can't be printed: ")
    assert "not submitted: an array job with 5000 pilots\n" in ran.stderr


# --- The document ---------------------------------------------------------------------------------


def test_the_documents_examples(submitter: Submitter, tmp_path: Path) -> None:
    fill(submitter, todo=10, lost=1)
    (example,) = (
        example
        for example in examples("Creating and Managing Workflows.md")
        if example.language == "batch"
    )
    text = re.sub(r"\bPilots?\b", submitter.queue, example.text)
    text = re.sub(r"\bAlign\b", submitter.table, text)
    dry, *commands = text.splitlines()
    folder = make_checkout(tmp_path)
    assert "--dry-run" in dry
    ran = run_example(Example("", dry), folder, submitter.operator.environment)
    assert ran.code == 0, ran.stderr
    assert "Jobs\tan array job with 3 pilots\n" in ran.stdout
    assert submitter.jobs() == []
    for number, command in enumerate(commands, start=1):
        ran = run_example(Example("", command), folder, submitter.operator.environment)
        assert ran.code == 0, ran.stderr
        assert len(submitter.jobs()) == number
    sizes = [job["arrayProperties"]["size"] for job in submitter.jobs()]
    assert sizes == [3, 20]

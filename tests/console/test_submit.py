"""`python -m pyanamo submit`: with moto's Batch, and a table in DynamoDB Local."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pyanamo.pilot.command_line import pilot_parser
from tests.support.documents import Example, examples, make_checkout, run_example
from tests.support.fake_batch import FakeBatch
from tests.support.faulty_proxy import FaultyProxy
from tests.support.programs import Finished
from tests.support.submitter import Submitter, fill, told

SHA = "0123456789abcdef" * 4


# --- An operator with a queue -------------------------------------------------------------------


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
    ran = submitter.operator.types(
        "submit",
        *(
            "--queue",
            submitter.queue,
            "-p",
            "2",
            "-i",
            "3",
            "-n",
            "4",
            "-w",
            "2h",
            "-b",
            "s3://logs/PyAnamo",
        ),
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
        "AWS_DEFAULT_REGION": "us-east-1",
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


# --- How many are wanted ------------------------------------------------------------------------


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
        f"{submitter.table}: 7 todo, 2 locked with an expired lease, 3 held by pilots; "
        "4 items at a time: 3 pilots\nsubmitted an array job with 3 pilots\n"
    )


def test_at_most_so_many(submitter: Submitter) -> None:
    fill(submitter, todo=3)
    ran = submitter.submits("--most", "2")
    assert ran.stderr == (
        f"{submitter.table}: 3 todo; 1 item each (no -i): 3 pilots, of which 2 are submitted "
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
        stderr=f"{submitter.table}: 0 todo, 2 held by pilots: no work for more pilots, "
        "so none is submitted\n",
    )
    answer = submitter.submits("--json")
    assert json.loads(answer.stdout) == {
        **{"version": 1, "command": "submit"},
        **{"jobs": [], "not_submitted": 0},
    }
    assert submitter.jobs() == []


# --- What would be sent -------------------------------------------------------------------------


def test_a_dry_run_submits_nothing(submitter: Submitter) -> None:
    fill(submitter, todo=5)
    flags = ("-i", "2", "-w", "90", "--dry-run")
    ran = submitter.submits(*flags, "--", "--retries", "1")
    assert (ran.code, ran.stderr) == (
        0,
        f"{submitter.table}: 5 todo; 2 items at a time: 3 pilots\n"
        "image busybox has no digest: what it names may change while pilots start\n",
    )
    assert [line.split("\t") for line in ran.stdout.splitlines()] == [
        ["What", "Value"],
        ["Jobs", "an array job with 3 pilots"],
        ["Name", submitter.table],
        ["Queue", submitter.queue],
        ["Job_Definition", submitter.queue],
        ["Image", "busybox"],
        ["Environment", f"PYANAMO_TABLE={submitter.table}"],
        ["Environment", "PYANAMO_ITEMS=2"],
        ["Environment", "PYANAMO_WALL_TIME=90"],
        ["Command", "- --spot-notice --retries 1"],
    ]
    answer = json.loads(submitter.submits(*flags, "--json", "--", "--retries", "1").stdout)
    assert (answer["dry_run"], answer["image"]) == (True, "busybox")
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


def test_a_dry_run_shows_the_image(submitter: Submitter) -> None:
    name = f"{submitter.queue}-2"
    for image in ("repository:1", f"repository@sha256:{SHA}"):
        container = {"image": image, "vcpus": 1, "memory": 64}
        submitter.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container
        )

    def shown(definition: str) -> tuple[str, str]:
        words = ("--queue", submitter.queue, "--job-definition", definition, "-p", "1")
        ran = submitter.operator.types("submit", *words, "--dry-run")
        assert ran.code == 0
        (line,) = (line for line in ran.stdout.splitlines() if line.startswith("Image\t"))
        return line.partition("\t")[2], ran.stderr

    latest = (f"repository@sha256:{SHA}", "")
    assert shown(name) == shown(f"{name}:2") == latest
    assert shown(f"arn:aws:batch:us-east-1:123456789012:job-definition/{name}:2") == latest
    assert shown(f"{name}:1")[0] == "repository:1"
    assert shown(f"{name}:3") == ("unknown: there is no such job definition", "")
    submitter.tells("AWS_MAX_ATTEMPTS", "1")
    submitter.tells("AWS_ENDPOINT_URL_BATCH", "http://127.0.0.1:9")
    assert shown(name)[0].startswith("unknown: AWS Batch can't be reached at http://127.0.0.1:9")


def test_a_dry_run_of_several_arrays(submitter: Submitter) -> None:
    ran = submitter.submits("-p", "25000", "--dry-run")
    assert ran.stderr.startswith("image busybox has no digest")
    lines = ran.stdout.splitlines()
    assert lines[1:3] == [
        "Jobs\t3 array jobs with 25000 pilots",
        "Array_Sizes\t8334, 8333, 8333",
    ]
    assert lines[-1] == "Command\tthe job definition's"
    assert submitter.jobs() == []


# --- The document -------------------------------------------------------------------------------


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

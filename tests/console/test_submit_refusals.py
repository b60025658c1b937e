"""What `python -m pyanamo submit` refuses."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from pyanamo.batch.jobs import Jobs
from pyanamo.batch.submission import PilotJob
from pyanamo.console import command_line
from pyanamo.errors import PyAnamoError, UsageError
from tests.support.submitter import Submitter

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-t Align Call", "-t Align Call: a pilot works on one table"),
        ("-t A", "'A' can't be a table's name"),
        ("-b Logs", "-b 'Logs': 'Logs' can't be a bucket's name: 3 to 63 lower-case letters"),
        ("--archive scripts.tar.gz", "--archive 'scripts.tar.gz' is not an archive's address: "),
        ("--archive s3://bucket/scripts.rar", "is not an archive's address"),
        ("--archive s3://bucket/.zip", "is not an archive's address"),
        (
            "--archive s3://bucket/a.zip --sha256 abc",
            "--sha256 'abc' is not a SHA-256: expected 64 hex",
        ),
        (f"--sha256 {SHA}", "--sha256 needs an archive: give --archive s3://"),
        (f"--archive - --sha256 {SHA}", "--sha256 needs an archive"),
        ("-b s3://", "-b 's3://' is not a bucket"),
        ("--local", "which pilots in AWS Batch can't read: leave out --local"),
        ("--endpoint-url nowhere", "--endpoint-url 'nowhere' is not a URL"),
        ("strange", "'strange' is not a flag: flags for the pilots go after --"),
        ("-- --table Call", "--table after --: give it before --, to submit itself"),
        ("-- --items 1", "--items after --: give it before --, to submit itself"),
        ("-- -w 1h", "--wall-time after --: give it before --, to submit itself"),
        ("-- --local x.db", "--local after --: pilots in AWS Batch need a table in DynamoDB"),
        ("-- --log-dir ''", "an empty word after --"),
    ],
)
def test_wrong_usage(flags: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "" if "-t A" in flags else "-t Align"
    words = shlex.split(f"submit {table} --queue Q --job-definition D {flags}")
    monkeypatch.setattr(sys, "argv", ["pyanamo", *words])
    with pytest.raises(UsageError) as refused:
        command_line.main()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "the following arguments are required: --queue, --job-definition"),
        ("--queue Q --job-definition D -p 0", "'0' is not a whole number from 1 to 1000000"),
        ("--queue Q --job-definition D -p 2 --most 3", "not allowed with argument -p/--pilots"),
        (
            "--queue Q --job-definition D -w soon",
            "'soon' is not a duration: use 90, 90s, 30m, 2h or 1d",
        ),
        (
            "--queue Q --job-definition D -- --retires 1",
            "the pilots' flags, after --: unrecognized arguments: --retires 1; did you mean "
            "'--retries'? (see pyanamo.py --help)",
        ),
        ("--queue Q --job-definition D -- --retries", "--retries: expected one argument"),
        ("--queue Q --queue R --job-definition D", "argument --queue: it is given twice, but"),
    ],
)
def test_flags_that_cannot_be_read(flags: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        command_line.main(["submit", "-t", "Align", *flags.split()])
    assert message in str(refused.value)


def test_a_table_in_a_file(submitter: Submitter, tmp_path: Path) -> None:
    file = str(tmp_path / "pyanamo.db")
    submitter.tells("PYANAMO_LOCAL", file)
    ran = submitter.submits("-p", "1")
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"table {submitter.table!r} is in the file {file!r}, which pilots in AWS Batch can't read: "
        "leave out --local and unset PYANAMO_LOCAL, to use a table in DynamoDB\n"
    )
    assert submitter.jobs() == []


def test_a_table_that_is_not_there(submitter: Submitter) -> None:
    ran = submitter.operator.types(
        "submit", *submitter.flags("-p", "1", "--name", "astray"), tables=("Exmaple",)
    )
    assert (ran.code, ran.stdout) == (1, "")
    assert re.fullmatch(r"there is no table 'Exmaple' in us-east-1 .*\n", ran.stderr)
    assert submitter.jobs("astray") == []


@pytest.mark.parametrize("name", ["Nowhere", "no/name"])  # its rules for names are Batch's
@pytest.mark.parametrize("flag", ["--queue", "--job-definition"])
def test_a_queue_or_definition_that_is_not_there(
    submitter: Submitter, flag: str, name: str
) -> None:
    flags = submitter.flags("-p", "2")
    flags[flags.index(flag) + 1] = name
    ran = submitter.operator.types("submit", *flags)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("AWS Batch in us-east-1 refuses the job for queue ")
    assert repr(name) in ran.stderr
    assert ran.stderr.endswith(f"{name} does not exist\n")
    assert ran.stderr.count("\n") == 1
    assert submitter.jobs() == []


def test_no_access() -> None:
    client = boto3.client("batch")
    request = PilotJob(name="n", queue="q", definition="d").request(1)
    with Stubber(client) as stub:
        stub.add_client_error("submit_job", "AccessDeniedException", "not authorized to", 403)
        with pytest.raises(PyAnamoError, match=r"AWS Batch in us-east-1 .*denied .*not auth"):
            Jobs(client=client).submit(request)

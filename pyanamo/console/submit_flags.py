"""The flags of submit, and what they mean: the table, the jobs, what isn't accepted."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from pyanamo.batch.submission import MOST_PILOTS, PilotJob, job_name_of
from pyanamo.cli import check_table_name, duration, store_of, whole_number
from pyanamo.errors import UsageError
from pyanamo.pilot.command_line import MOST_AT_A_TIME, pilot_parser
from pyanamo.tables import Store

MOST = 1_000  # pilots, unless their number is given
NO_ARCHIVE = "-"
# submit's own flags, which set what pilots do and how many there are: the two must fit.
_OWN_FLAGS = ("region", "items", "nests", "wall_time", "bucket")
_NO_TABLE = "-"  # which no table can be called

# As the container's entry point has it (use_cases/example_docker/Fetch_and_Run.sh).
_ARCHIVE = re.compile(r"s3://[^/]+/.*[^/](?:\.tar\.gz|\.tgz|\.tar|\.zip)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_job_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags for the jobs: name, queue, definition, how many."""
    number = whole_number(1, most=MOST_PILOTS)
    group.add_argument(
        "--queue", required=True, metavar="QUEUE", help="the job queue's name or ARN"
    )
    group.add_argument(
        "--job-definition",
        required=True,
        metavar="NAME[:REVISION]",
        help="the job definition's name or ARN (default revision: the latest)",
    )
    group.add_argument(
        "--name",
        metavar="NAME",
        help="the jobs' name (default: the table's, with '-' for characters that jobs can't have)",
    )
    how_many = group.add_mutually_exclusive_group()
    how_many.add_argument(
        "-p",
        "--pilots",
        type=number,
        metavar="N",
        help="how many pilots (default: as many as find work)",
    )
    how_many.add_argument(
        "--most",
        type=number,
        default=MOST,
        metavar="N",
        help=f"as many pilots as find work, but at most N (default: {MOST})",
    )


def add_pilot_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags for what the pilots do."""
    number = whole_number(1, most=MOST_AT_A_TIME)
    group.add_argument("-i", "--items", type=number, metavar="N", help="items at a time")
    group.add_argument(
        "-n", "--nests", type=number, metavar="N", help="nested tasks per item at a time"
    )
    group.add_argument(
        "-w", "--wall-time", type=_wall_time, metavar="TIME", help="start nothing more after TIME"
    )
    group.add_argument(
        "-b", "--bucket", help="the bucket for tasks' whole output: NAME, or s3://NAME/PREFIX"
    )
    group.add_argument(
        "--archive",
        metavar="ADDRESS",
        help="an archive with the tasks' scripts, for example s3://BUCKET/KEY.tar.gz; - for none",
    )
    group.add_argument("--sha256", metavar="HEX", help="the archive's SHA-256, for pilots to check")


def _wall_time(text: str) -> str:
    """A duration as it was written; for argparse."""
    duration(text)
    return text.strip()


def table_of(arguments: argparse.Namespace) -> str:
    """The one table that the pilots work on."""
    names = list(dict.fromkeys(arguments.table))
    if len(names) > 1:
        raise UsageError(
            f"-t {' '.join(names)}: a pilot works on one table: run submit once per table"
        )
    name: str = names[0]
    check_table_name(name)
    return name


def batch_store_of(arguments: argparse.Namespace, table: str) -> Store:
    """Where the table is. Raises `UsageError` if pilots in AWS Batch can't reach it."""
    store = store_of(arguments)
    if store.local is not None:
        raise UsageError(
            f"table {table!r} is in the file {str(store.local)!r}, which pilots in AWS Batch can't "
            "read: leave out --local and unset PYANAMO_LOCAL, to use a table in DynamoDB"
        )
    return store


def job_of(arguments: argparse.Namespace, store: Store, table: str) -> PilotJob:
    """The job that the command line describes. An empty value counts as not given.

    AWS Batch checks the names itself, and says what is wrong with them.
    """
    if arguments.archive:
        _check_archive(arguments.archive)
    if arguments.bucket:
        from pyanamo.output.bucket import bucket_of

        bucket_of(arguments.bucket, None, store.account)  # only to check it
    if arguments.sha256 and arguments.archive in (None, "", NO_ARCHIVE):
        raise UsageError("--sha256 needs an archive: give --archive s3://... too")
    _check_pilot_flags(arguments.flags)
    # The container's entry point reads these variables, and the SDK the last two.
    told = {
        "PYANAMO_TABLE": table,
        "PYANAMO_ITEMS": arguments.items,
        "PYANAMO_NESTS": arguments.nests,
        "PYANAMO_WALL_TIME": arguments.wall_time,
        "S3_BUCKET": arguments.bucket,
        "PYANAMO_ARCHIVE_SHA256": arguments.sha256 and _checked_sha256(arguments.sha256),
        "AWS_REGION": store.account.region,
        "AWS_ENDPOINT_URL_DYNAMODB": store.account.endpoint_url,
    }
    command: tuple[str, ...] = ()
    if arguments.archive or arguments.flags:
        command = (arguments.archive or NO_ARCHIVE, "--spot-notice", *arguments.flags)
    return PilotJob(
        name=arguments.name or job_name_of(table),
        queue=arguments.queue,
        definition=arguments.job_definition,
        environment={name: str(value) for name, value in told.items() if value},
        command=command,
    )


def _check_pilot_flags(flags: Sequence[str]) -> None:
    """Raise `UsageError` for flags that the pilots would not accept, or that must not be theirs."""
    if flags and not flags[0].startswith("-"):
        raise UsageError(f"{flags[0]!r} is not a flag: flags for the pilots go after --")
    if "" in flags:
        raise UsageError("an empty word after --: AWS Batch accepts no empty words")
    parser = pilot_parser()
    parser.prog = "the pilots' flags, after --"
    nothing = object()
    given = argparse.Namespace(**dict.fromkeys(_OWN_FLAGS, nothing))
    parser.parse_args(["-t", _NO_TABLE, *flags], given)
    if given.table != _NO_TABLE:
        raise UsageError("--table after --: give it before --, to submit itself")
    if given.local:
        raise UsageError("--local after --: pilots in AWS Batch need a table in DynamoDB")
    for name in _OWN_FLAGS:
        if getattr(given, name) is not nothing:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} after --: give it before --, to submit itself")


def _check_archive(address: str) -> None:
    """Raise `UsageError` for an address that the pilots' container doesn't accept."""
    if address != NO_ARCHIVE and not _ARCHIVE.fullmatch(address):
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

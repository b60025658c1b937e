"""The flags of submit, and what they mean: the table, the jobs, what is refused."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from pyanamo.batch.submission import MOST_PILOTS, PilotJob, job_name_of
from pyanamo.cli import check_table_name, duration, store_of, whole_number
from pyanamo.errors import UsageError
from pyanamo.pilot.command_line import MOST_AT_A_TIME, pilot_parser
from pyanamo.tables import Store

MOST = 1_000  # pilots that nobody asked for by number
NO_ARCHIVE = "-"
# What submit has flags of its own for; what pilots do and how many there are must fit.
_OWN_FLAGS = ("region", "items", "nests", "wall_time", "bucket")
_NO_TABLE = "-"  # which no table can be called

# As the container's entry point has it (use_cases/example_docker/Fetch_and_Run.sh).
_ARCHIVE = re.compile(r"s3://[^/]+/.*[^/](?:\.tar\.gz|\.tgz|\.tar|\.zip)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_job_flags(group: argparse._ArgumentGroup) -> None:
    """What the jobs are called, where they go, and how many there are."""
    number = whole_number(1, most=MOST_PILOTS)
    group.add_argument("--queue", required=True, metavar="QUEUE", help="name or ARN of its queue")
    group.add_argument(
        "--job-definition",
        required=True,
        metavar="NAME[:REVISION]",
        help="or its ARN; the latest revision if none is given",
    )
    group.add_argument(
        "--name", metavar="NAME", help="of the jobs (the table's, as far as it can be one)"
    )
    how_many = group.add_mutually_exclusive_group()
    how_many.add_argument(
        "-p",
        "--pilots",
        type=number,
        metavar="N",
        help="how many (as many as find work)",
    )
    how_many.add_argument(
        "--most",
        type=number,
        default=MOST,
        metavar="N",
        help=f"as many as find work, but so many at the most ({MOST})",
    )


def add_pilot_flags(group: argparse._ArgumentGroup) -> None:
    """What the pilots are told."""
    number = whole_number(1, most=MOST_AT_A_TIME)
    group.add_argument("-i", "--items", type=number, metavar="N", help="items at a time")
    group.add_argument(
        "-n", "--nests", type=number, metavar="N", help="nested tasks of each item at a time"
    )
    group.add_argument(
        "-w", "--wall-time", type=_wall_time, metavar="TIME", help="start nothing more after that"
    )
    group.add_argument("-b", "--bucket", help="for tasks' whole output: NAME, or s3://NAME/PREFIX")
    group.add_argument(
        "--archive",
        metavar="ADDRESS",
        help="an archive with the tasks' scripts, s3://BUCKET/KEY.tar.gz say; - for none",
    )
    group.add_argument("--sha256", metavar="HEX", help="of the archive, which pilots then check")


def _wall_time(text: str) -> str:
    """A time as it was written, which must be one; for argparse."""
    duration(text)
    return text.strip()


def table_of(arguments: argparse.Namespace) -> str:
    """The one table that the pilots work on."""
    names = list(dict.fromkeys(arguments.table))
    if len(names) > 1:
        raise UsageError(
            f"-t {' '.join(names)}: a pilot works on one table; submit once for each of them"
        )
    name: str = names[0]
    check_table_name(name)
    return name


def batch_store_of(arguments: argparse.Namespace, table: str) -> Store:
    """Where the table is, which must be where pilots in AWS Batch see it."""
    store = store_of(arguments)
    if store.local is not None:
        raise UsageError(
            f"table {table!r} is in the file {str(store.local)!r}, which pilots in AWS Batch can't "
            "see: leave --local out and unset PYANAMO_LOCAL, for a table in DynamoDB"
        )
    return store


def job_of(arguments: argparse.Namespace, store: Store, table: str) -> PilotJob:
    """What the command line says of the jobs. An empty value counts as not given.

    AWS's rules for names aren't checked: AWS Batch checks them, and says what is wrong.
    """
    if arguments.archive:
        _check_archive(arguments.archive)
    if arguments.bucket:
        from pyanamo.output.bucket import bucket_of

        bucket_of(arguments.bucket, None, store.account)  # for its check
    if arguments.sha256 and arguments.archive in (None, "", NO_ARCHIVE):
        raise UsageError("--sha256 is that of an archive: give --archive s3://... too")
    _check_pilot_flags(arguments.flags)
    # The names are those that the container's entry point reads; the last two the SDK's own.
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
    """Let no pilot start that would end at once with its usage."""
    if flags and not flags[0].startswith("-"):
        raise UsageError(f"{flags[0]!r} is no flag: those of the pilots stand behind --")
    if "" in flags:
        raise UsageError("an empty word among the flags of the pilots: AWS Batch takes none")
    parser = pilot_parser()
    parser.prog = "the pilots' flags, behind --"
    nothing = object()
    given = argparse.Namespace(**dict.fromkeys(_OWN_FLAGS, nothing))
    parser.parse_args(["-t", _NO_TABLE, *flags], given)
    if given.table != _NO_TABLE:
        raise UsageError("--table behind --: give it to submit itself, before --")
    if given.local:
        raise UsageError("--local behind --: pilots in AWS Batch need a table in DynamoDB")
    for name in _OWN_FLAGS:
        if getattr(given, name) is not nothing:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} behind --: give it to submit itself, before --")


def _check_archive(address: str) -> None:
    """Raise `UsageError` for what a pilot's container can't unpack."""
    if address != NO_ARCHIVE and not _ARCHIVE.fullmatch(address):
        raise UsageError(
            f"--archive {address!r} is not an archive's address: give s3://BUCKET/KEY, with a KEY "
            f"that ends in .tar.gz, .tgz, .tar or .zip, or {NO_ARCHIVE} for the image's scripts"
        )


def _checked_sha256(text: str) -> str:
    """A SHA-256 as programs print it. Raises `UsageError` for what can't be one."""
    if not _SHA256.fullmatch(text.lower()):
        raise UsageError(
            f"--sha256 {text!r} is no SHA-256: 64 hex digits, as sha256sum prints them"
        )
    return text.lower()

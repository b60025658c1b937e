"""The flags of submit, and what they mean: the table, the jobs, what isn't accepted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pyanamo.batch.submission import MOST, MOST_PILOTS, PilotJob, pilot_job
from pyanamo.cli import MOST_AT_A_TIME, duration, whole_number
from pyanamo.errors import UsageError
from pyanamo.tables import Store

# submit's own flags, which set what pilots do and how many there are: the two must fit.
_OWN_FLAGS = ("table", "region", "items", "nests", "wall_time", "bucket")


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
    group.add_argument("-i", "--items", type=number, metavar="N", help="items at the same time")
    group.add_argument(
        "-n", "--nests", type=number, metavar="N", help="tasks of one nested item at the same time"
    )
    group.add_argument(
        "-w",
        "--wall-time",
        type=_wall_time,
        metavar="TIME",
        help="start nothing more after TIME, such as 90m, 2h or 1d",
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
    names: list[str] = arguments.table
    if len(names) > 1:
        raise UsageError(
            f"-t {' '.join(names)}: a pilot works on one table: run submit once per table"
        )
    return names[0]


def job_of(arguments: argparse.Namespace, store: Store, table: str) -> PilotJob:
    """The job that the command line describes."""
    job = pilot_job(
        table,
        store.account,
        queue=arguments.queue,
        job_definition=arguments.job_definition,
        name=arguments.name,
        items=arguments.items,
        nests=arguments.nests,
        wall_time=arguments.wall_time,
        bucket=arguments.bucket,
        archive=arguments.archive,
        sha256=arguments.sha256,
        flags=arguments.flags,
    )
    _check_pilot_flags(arguments.flags)
    return job


def _check_pilot_flags(flags: Sequence[str]) -> None:
    """Raise `UsageError` for flags that the pilots would not accept, or that must not be theirs."""
    if flags and not flags[0].startswith("-"):
        raise UsageError(f"{flags[0]!r} is not a flag: flags for the pilots go after --")
    if "" in flags:
        raise UsageError("an empty word after --: AWS Batch accepts no empty words")
    from pyanamo.pilot.command_line import pilot_parser  # much that no other command needs

    parser = pilot_parser()
    parser.prog = "pyanamo.py"
    nothing = object()
    given = argparse.Namespace(**dict.fromkeys(_OWN_FLAGS, nothing))
    try:
        parser.parse_args(flags, given)
    except UsageError as error:
        raise UsageError(f"the pilots' flags, after --: {error}") from error
    if given.local:
        raise UsageError("--local after --: pilots in AWS Batch need a table in DynamoDB")
    for name in _OWN_FLAGS:
        if getattr(given, name) is not nothing:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} after --: give it before --, to submit itself")

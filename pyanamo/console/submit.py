"""The command that starts pilots in AWS Batch."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pyanamo.cli import check_table_name, duration, store_of, whole_number
from pyanamo.console.arguments import Commands, add_command
from pyanamo.console.screen import counted, print_json, print_table
from pyanamo.errors import PyAnamoError, StoreUnavailable, UsageError
from pyanamo.jobs import Jobs
from pyanamo.logbucket import bucket_of
from pyanamo.pilot.arguments import MOST_AT_A_TIME, pilot_parser
from pyanamo.signals import exit_code, stop_signals
from pyanamo.submit import (
    MOST_PILOTS,
    NO_ARCHIVE,
    PilotJob,
    array_sizes,
    check_archive,
    check_definition,
    check_job_name,
    check_queue,
    checked_sha256,
    job_name_of,
    left_in,
)
from pyanamo.tables import Store

MOST = 1_000  # pilots that nobody asked for by number
# What this command has flags of its own for; what pilots do and how many there are must fit.
_OWN_FLAGS = ("region", "items", "nests", "wall_time", "bucket")
_NO_TABLE = "-"  # which no table can be called
STOPPING = b"stopping after the request under way; once more to stop at once\n"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    submit = add_command(
        commands,
        "submit",
        run_submit,
        "start pilots in AWS Batch",
        "submit -t Align --queue Pilots --job-definition Pilot -i 4 -w 2h -- --retries 1",
    )
    submit.add_argument(
        "flags",
        nargs="*",
        metavar="-- FLAG",
        help="more flags for the pilots: see pyanamo.py --help",
    )
    _add_job_flags(submit.add_argument_group("the jobs"))
    _add_pilot_flags(submit.add_argument_group("the pilots (else as the job definition has it)"))
    submit.add_argument(
        "--dry-run", action="store_true", help="only tell what would be sent to AWS Batch"
    )


def _add_job_flags(group: argparse._ArgumentGroup) -> None:
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


def _add_pilot_flags(group: argparse._ArgumentGroup) -> None:
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


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that AWS Batch took."""

    job_id: str
    pilots: int


def run_submit(arguments: argparse.Namespace) -> int:
    """Start pilots."""
    table = _table_of(arguments)
    store = _store_of(arguments, table)
    job = _job_of(arguments, store, table)
    sizes = array_sizes(_pilots(arguments, store, table))
    if arguments.dry_run:
        _print_dry_run(job, sizes, as_json=arguments.json)
        return 0
    if sizes:
        return _submit(job, sizes, store, as_json=arguments.json)
    if arguments.json:
        _print_submitted([], sizes)
    return 0


def _table_of(arguments: argparse.Namespace) -> str:
    names = list(dict.fromkeys(arguments.table))
    if len(names) > 1:
        raise UsageError(
            f"-t {' '.join(names)}: a pilot works on one table; submit once for each of them"
        )
    name: str = names[0]
    check_table_name(name)
    return name


def _store_of(arguments: argparse.Namespace, table: str) -> Store:
    store = store_of(arguments)
    if store.local is not None:
        raise UsageError(
            f"table {table!r} is in the file {str(store.local)!r}, which pilots in AWS Batch can't "
            "see: leave --local out and unset PYANAMO_LOCAL, for a table in DynamoDB"
        )
    return store


def _job_of(arguments: argparse.Namespace, store: Store, table: str) -> PilotJob:
    """What the command line says of the jobs. An empty value counts as not given."""
    check_queue(arguments.queue)
    check_definition(arguments.job_definition)
    if arguments.name:
        check_job_name(arguments.name)
    if arguments.archive:
        check_archive(arguments.archive)
    if arguments.bucket:
        bucket_of(arguments.bucket, None, region=None, profile=None)  # for its check
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
        "PYANAMO_ARCHIVE_SHA256": arguments.sha256 and checked_sha256(arguments.sha256),
        "AWS_REGION": store.region,
        "AWS_ENDPOINT_URL_DYNAMODB": store.endpoint_url,
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
    parser.prog = f"{parser.prog}, behind --"
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


def _pilots(arguments: argparse.Namespace, store: Store, name: str) -> int:
    """How many pilots to start; the table must be there."""
    table = store.open(name)
    try:
        table.check()
        if arguments.pilots is not None:
            pilots: int = arguments.pilots
            return pilots
        left = left_in(table, time.time())
    finally:
        table.close()
    wanted = left.pilots(arguments.items or 1)
    pilots = min(wanted, arguments.most)
    found = f"{name}: {left.todo} todo"
    if left.lost:
        found += f", {left.lost} locked by pilots that are gone"
    if left.busy:
        found += f", {left.busy} in the hands of pilots"
    if not pilots:
        _say(f"{found}: nothing is left for other pilots, none is submitted")
        return 0
    each = f"{counted(arguments.items)} at a time" if arguments.items else "an item each (no -i)"
    limit = f", of which {pilots} are submitted (--most)" if pilots < wanted else ""
    _say(f"{found}; {each}: {_pilots_text(wanted)}{limit}")
    return pilots


def _submit(job: PilotJob, sizes: Sequence[int], store: Store, *, as_json: bool) -> int:
    """Submit the jobs one after another, and name each as soon as it is there; the exit code."""
    submitted: list[Submitted] = []
    jobs = Jobs(region=store.region, profile=store.profile)
    try:
        with stop_signals() as stop, stop.then(lambda: os.write(2, STOPPING)):
            for size in sizes:
                if stop:
                    break
                submitted.append(Submitted(job_id=jobs.submit(job.request(size)), pilots=size))
                if not as_json:
                    _print_id(submitted[-1].job_id)
    except PyAnamoError as error:
        parts = [str(error)]
        if isinstance(error, StoreUnavailable):
            parts.append("the job that got no answer may have been submitted all the same")
        if submitted:
            parts.append(_told(submitted, sizes))
        raise PyAnamoError("; ".join(parts)) from error
    finally:
        jobs.close()
        if as_json:
            _print_submitted(submitted, sizes)
    _say(_told(submitted, sizes))
    is_whole = len(submitted) == len(sizes)
    return 0 if is_whole or stop.signal is None else exit_code(stop.signal)


def _print_id(job_id: str) -> None:
    try:
        print(job_id, flush=True)
    except OSError as error:  # who reads them has gone, or the disk is full
        raise PyAnamoError(f"job {job_id} is submitted, but can't be printed: {error}") from error


def _told(submitted: Sequence[Submitted], sizes: Sequence[int]) -> str:
    """What was submitted and what wasn't."""
    if not submitted:
        return "nothing was submitted"
    done = f"submitted {_jobs_text([job.pilots for job in submitted])}"
    rest = sizes[len(submitted) :]
    return f"{done}; not submitted: {_jobs_text(rest)}" if rest else done


def _jobs_text(sizes: Sequence[int]) -> str:
    """`a job with 1 pilot`, `an array job with 20 pilots`, `3 array jobs with 25000 pilots`."""
    if len(sizes) > 1:
        return f"{len(sizes)} array jobs with {_pilots_text(sum(sizes))}"
    return f"{'an array job' if sizes[0] > 1 else 'a job'} with {_pilots_text(sizes[0])}"


def _pilots_text(pilots: int) -> str:
    return "1 pilot" if pilots == 1 else f"{pilots} pilots"


def _print_submitted(submitted: Sequence[Submitted], sizes: Sequence[int]) -> None:
    print_json("submit", jobs=submitted, not_submitted=sum(sizes[len(submitted) :]))


def _print_dry_run(job: PilotJob, sizes: Sequence[int], *, as_json: bool) -> None:
    if as_json:
        print_json("submit", dry_run=True, requests=[job.request(size) for size in sizes])
        return
    if not sizes:
        return
    rows = [("Jobs", _jobs_text(sizes))]
    if len(sizes) > 1:
        rows.append(("Array_Sizes", ", ".join(map(str, sizes))))
    rows += [
        ("Name", job.name),
        ("Queue", job.queue),
        ("Job_Definition", job.definition),
        *(("Environment", f"{name}={value}") for name, value in job.environment.items()),
        ("Command", shlex.join(job.command) or "the job definition's"),
    ]
    print_table(("What", "Value"), rows)


def _say(text: str) -> None:
    """Talk, which is not what was asked for."""
    print(text, file=sys.stderr, flush=True)

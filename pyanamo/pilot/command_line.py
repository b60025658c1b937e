"""A pilot's command line: its flags, what they mean, and its exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pyanamo.cli import (
    add_store_flags,
    add_version_flag,
    check_table_name,
    duration,
    size,
    store_of,
    whole_number,
)
from pyanamo.errors import UsageError
from pyanamo.output.keeper import Keeper
from pyanamo.output.stores import LogFolder, LogStore
from pyanamo.pilot.lease import SHORTEST_SECONDS
from pyanamo.pilot.pilot import Pilot, Settings
from pyanamo.pilot.pilotlog import start_logging
from pyanamo.pilot.tally import Summary
from pyanamo.signals import exit_code

ITEMS_FAILED = 3  # the exit code of --fail-on-item-failure
MOST_AT_A_TIME = 10_000  # each is a process


def main(started: float, argv: Sequence[str] | None = None) -> int:
    """Run a pilot; its exit code.

    `started` is the moment of the start (monotonic clock), from which the wall time counts. `argv`
    are the words behind the program's name; those of this process where None is given.
    """
    arguments = pilot_parser().parse_args(argv)
    settings = settings_of(arguments)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    start_logging(
        level=logging.WARNING if arguments.quiet else level,
        json_lines=arguments.log_format == "json",
    )
    summary = Pilot(settings, started=started).run()
    print(summary)
    return _exit_code(summary, arguments.fail_on_item_failure)


def _exit_code(summary: Summary, fail_on_item_failure: bool) -> int:
    if summary.error:
        print(summary.error, file=sys.stderr)
        return 1
    if summary.stopped_by is not None:
        return exit_code(summary.stopped_by)
    return ITEMS_FAILED if fail_on_item_failure and summary.failed else 0


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Where the command line wants whole logs. An empty value counts as not given."""
    store: LogStore | None = None
    if arguments.bucket:
        from pyanamo.output.bucket import bucket_of

        store = bucket_of(arguments.bucket, arguments.bucket_key, store_of(arguments).account)
    elif arguments.log_dir:
        store = LogFolder(Path(arguments.log_dir))
    spare = Path(arguments.log_dir or "pyanamo-logs")
    return Keeper(store=store, spare_folder=spare, max_log=arguments.max_log)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What the command line asks for."""
    if arguments.lease < SHORTEST_SECONDS:
        raise UsageError(
            f"--lease {arguments.lease:g}: a lease of less than {SHORTEST_SECONDS:g} s can't be "
            "renewed safely"
        )
    if arguments.kill_after is not None and arguments.wall_time is None:
        raise UsageError("--kill-after counts from the wall time: give -w too")
    if arguments.task_timeout == 0:
        raise UsageError("--task-timeout 0 leaves a task no time")
    check_table_name(arguments.table)
    return Settings(
        store=store_of(arguments),
        table=arguments.table,
        items=arguments.items,
        nests=arguments.nests,
        wall_time=arguments.wall_time,
        kill_after=arguments.kill_after,
        task_timeout=arguments.task_timeout,
        lease=arguments.lease,
        retries=arguments.retries,
        max_attempts=arguments.max_attempts,
        max_items=arguments.max_items,
        idle=arguments.idle,
        max_failures_in_a_row=arguments.max_failures_in_a_row,
        spot_notice=arguments.spot_notice,
        keeper=keeper_of(arguments),
    )


def pilot_parser() -> argparse.ArgumentParser:
    """What reads a pilot's command line."""
    parser = argparse.ArgumentParser(
        description="Work on the items of a table until none is left or the wall time is used up.",
        epilog="Exit codes: 0 it did its job, also where items failed; 1 it could not; 2 wrong "
        "usage; 3 items failed and --fail-on-item-failure was given; 130 and 143 stopped by "
        "SIGINT and SIGTERM. A TIME is in seconds, or like 90s, 30m, 2h.",
    )
    add_version_flag(parser)
    add_store_flags(parser)
    _add_amount_flags(parser.add_argument_group("how much at a time"))
    _add_time_flags(parser.add_argument_group("how long"))
    _add_trouble_flags(parser.add_argument_group("when things go wrong"))
    _add_log_flags(parser.add_argument_group("where tasks' whole output goes"))
    talk = parser.add_argument_group("how much to tell")
    talk.add_argument("-v", "--verbose", action="store_true", help="nested tasks too")
    talk.add_argument("-q", "--quiet", action="store_true", help="only what is wrong")
    talk.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="of this program's own log, on stderr",
    )
    return parser


def _add_amount_flags(group: argparse._ArgumentGroup) -> None:
    number = whole_number(1, most=MOST_AT_A_TIME)
    group.add_argument("-i", "--items", type=number, default=1, metavar="N", help="items (1)")
    group.add_argument(
        "-n", "--nests", type=number, default=1, metavar="N", help="nested tasks of each item (1)"
    )


def _add_time_flags(group: argparse._ArgumentGroup) -> None:
    def add(*names: str, help: str, default: float | None = None) -> None:
        group.add_argument(*names, type=duration, metavar="TIME", default=default, help=help)

    add("-w", "--wall-time", help="start nothing more after that")
    add(
        "--kill-after",
        help="how long past the wall time running tasks may go on (else to their end)",
    )
    add("--task-timeout", help="the longest that one task may run")
    add("--idle", default=0.0, help="wait so long for new items when there are none (0)")
    add(
        "--lease",
        default=900.0,
        help="how long an item stays ours if we die; it is renewed while we live (15m)",
    )
    group.add_argument(
        "--max-items", type=whole_number(1), metavar="N", help="stop after so many items"
    )


def _add_trouble_flags(group: argparse._ArgumentGroup) -> None:
    def add(name: str, least: int, default: int, help: str) -> None:
        group.add_argument(name, type=whole_number(least), default=default, metavar="N", help=help)

    add("--retries", 0, 0, "how often an item that failed is put back (0)")
    add("--max-attempts", 1, 3, "how often an item may be lost before it is failed (3)")
    add(
        "--max-failures-in-a-row",
        0,
        10,
        "claim nothing more after so many quick failures in a row; 0: go on (10)",
    )
    group.add_argument(
        "--fail-on-item-failure", action="store_true", help="exit with 3 if an item failed"
    )
    group.add_argument(
        "--spot-notice",
        action="store_true",
        help="on a Spot machine: give items back before it is taken away",
    )


def _add_log_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-b", "--bucket", help="a bucket of S3: NAME, or s3://NAME/PREFIX")
    group.add_argument(
        "-k", "--bucket-key", metavar="PREFIX", help="its prefix (the bucket's own, or PyAnamo)"
    )
    group.add_argument("--log-dir", metavar="DIR", help="a folder")
    group.add_argument(
        "--max-log",
        type=size,
        default=10**9,
        metavar="SIZE",
        help="the most that is kept of each output of a task, in bytes, or like 500MB (1GB)",
    )

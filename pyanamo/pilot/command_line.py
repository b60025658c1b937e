"""A pilot's command line: its flags, what they mean, and its exit code."""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pyanamo.cli import (
    MOST_AT_A_TIME,
    TIME_HELP,
    add_store_flags,
    add_version_flag,
    discard,
    duration,
    say,
    size,
    store_of,
    table_of,
    whole_number,
)
from pyanamo.errors import OutputError, UsageError
from pyanamo.output.keeper import Keeper
from pyanamo.output.stores import LogFolder, LogStore
from pyanamo.parser import Parser
from pyanamo.pilot.closing import closing_lines
from pyanamo.pilot.lease import SHORTEST_SECONDS
from pyanamo.pilot.live import Screen
from pyanamo.pilot.pilot import Pilot, Settings
from pyanamo.pilot.pilotlog import start_logging
from pyanamo.pilot.tally import Summary
from pyanamo.signals import exit_code

ITEMS_FAILED = 3  # the exit code of --fail-on-item-failure


def main(started: float, argv: Sequence[str] | None = None) -> int:
    """Run a pilot, and return its exit code.

    The wall time counts from `started` (monotonic clock). `argv` are the arguments without the
    program's name (default: those of this process).
    """
    arguments = pilot_parser().parse_args(argv)
    settings = settings_of(arguments)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    screen = _screen_of(arguments)
    start_logging(
        level=logging.WARNING if arguments.quiet else level,
        json_lines=arguments.log_format == "json",
        screen=screen,
    )
    summary = Pilot(settings, started=started, screen=screen).run()
    lines = []
    if screen is not None:
        look = _operators_command("failures", arguments, settings)
        lines = closing_lines(summary, settings.store, settings.table, look)
    try:
        print(summary, flush=True)
        for line in lines:
            say(line)
    except (OutputError, OSError):
        if summary.stopped_by != signal.SIGHUP:
            raise
        discard(sys.stdout, sys.stderr)  # the terminal is gone; the exit code says so
    return _exit_code(summary, arguments.fail_on_item_failure)


def _screen_of(arguments: argparse.Namespace) -> Screen | None:
    """Return the terminal on which a person follows the pilot; None if there is none."""
    is_followed = sys.stderr.isatty() and not arguments.quiet and arguments.log_format == "text"
    return Screen(sys.stderr) if is_followed else None


def _operators_command(name: str, arguments: argparse.Namespace, settings: Settings) -> str:
    """Return an operator's command on the pilot's table, as it can be typed."""
    where = {
        "-t": settings.table,
        "--local": arguments.local,
        "-r": arguments.region,
        "--profile": arguments.profile,
        "--endpoint-url": arguments.endpoint_url,
    }
    flags = [word for flag, value in where.items() if value for word in (flag, value)]
    is_installed = Path(sys.argv[0]).name == "pyanamo-pilot"
    program = ["pyanamo"] if is_installed else ["python", "-m", "pyanamo"]
    return shlex.join([*program, name, *flags])


def _exit_code(summary: Summary, fail_on_item_failure: bool) -> int:
    if summary.error:
        say(summary.error)
        return 1
    if summary.stopped_by is not None:
        return exit_code(summary.stopped_by)
    return ITEMS_FAILED if fail_on_item_failure and summary.failed else 0


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Return the keeper for the log flags. An empty value counts as not given."""
    store: LogStore | None = None
    if arguments.bucket:
        from pyanamo.output.bucket import bucket_of

        store = bucket_of(arguments.bucket, arguments.bucket_key, store_of(arguments).account)
    elif arguments.log_dir:
        store = LogFolder(Path(arguments.log_dir))
    spare = Path(arguments.log_dir or "pyanamo-logs")
    return Keeper(store=store, spare_folder=spare, max_log=arguments.max_log)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings for the given arguments. Raises `UsageError` if they are invalid."""
    if arguments.lease < SHORTEST_SECONDS:
        raise UsageError(
            f"--lease {arguments.lease:g}: a lease must be at least {SHORTEST_SECONDS:g} s to be "
            "renewed safely"
        )
    if arguments.kill_after is not None and arguments.wall_time is None:
        raise UsageError("--kill-after needs a wall time: give -w too")
    if arguments.task_timeout == 0:
        raise UsageError("--task-timeout 0: a timeout must be more than 0 s")
    return Settings(
        store=store_of(arguments),
        table=table_of(arguments),
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


def pilot_parser() -> Parser:
    """Return the parser of a pilot's command line."""
    parser = Parser(
        description="Work on the items of a table until none is left or the wall time is used up.",
        epilog="Exit codes: 0 success, even if items failed; 1 error; 2 wrong usage; 3 items "
        "failed and --fail-on-item-failure was given; 129, 130 and 143 stopped by SIGHUP, "
        f"SIGINT and SIGTERM. {TIME_HELP}",
    )
    add_version_flag(parser)
    add_store_flags(parser)
    _add_amount_flags(parser.add_argument_group("parallelism"))
    _add_time_flags(parser.add_argument_group("time and item limits"))
    _add_trouble_flags(parser.add_argument_group("failures and interruptions"))
    _add_log_flags(parser.add_argument_group("whole logs of tasks"))
    talk = parser.add_argument_group("log of the pilot (stderr)")
    talk.add_argument("-v", "--verbose", action="store_true", help="log nested tasks too")
    talk.add_argument("-q", "--quiet", action="store_true", help="log only warnings and errors")
    talk.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="format of the log (default: text)",
    )
    return parser


def _add_amount_flags(group: argparse._ArgumentGroup) -> None:
    number = whole_number(1, most=MOST_AT_A_TIME)
    group.add_argument(
        "-i",
        "--items",
        type=number,
        default=1,
        metavar="N",
        help="items at the same time (default: 1)",
    )
    group.add_argument(
        "-n",
        "--nests",
        type=number,
        default=1,
        metavar="N",
        help="tasks of one nested item at the same time (default: 1)",
    )


def _add_time_flags(group: argparse._ArgumentGroup) -> None:
    def add(*names: str, help: str, default: float | None = None) -> None:
        group.add_argument(*names, type=duration, metavar="TIME", default=default, help=help)

    add("-w", "--wall-time", help="start no more tasks after this TIME (default: no limit)")
    add(
        "--kill-after",
        help="stop running tasks this TIME after the wall time (default: let them finish)",
    )
    add("--task-timeout", help="stop a task that runs longer than TIME (default: no limit)")
    add("--idle", default=0.0, help="wait this TIME for new items if none is left (default: 0)")
    add(
        "--lease",
        default=900.0,
        help="how long an item stays claimed after its pilot dies (default: 15m)",
    )
    group.add_argument(
        "--max-items",
        type=whole_number(1),
        metavar="N",
        help="stop claiming after N items (default: no limit)",
    )


def _add_trouble_flags(group: argparse._ArgumentGroup) -> None:
    def add(name: str, least: int, default: int, help: str) -> None:
        group.add_argument(name, type=whole_number(least), default=default, metavar="N", help=help)

    add("--retries", 0, 0, "retry a failed item up to N times (default: 0)")
    add("--max-attempts", 1, 3, "mark an item as failed when it was lost N times (default: 3)")
    add(
        "--max-failures-in-a-row",
        0,
        10,
        "stop claiming after N items in a row failed within 5 s (default: 10; 0: never)",
    )
    group.add_argument(
        "--fail-on-item-failure", action="store_true", help="exit with 3 if an item failed"
    )
    group.add_argument(
        "--spot-notice",
        action="store_true",
        help="on an EC2 Spot Instance: give items back before it is interrupted",
    )


def _add_log_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-b", "--bucket", help="keep whole logs in this S3 bucket: NAME, or s3://NAME/PREFIX"
    )
    group.add_argument(
        "-k",
        "--bucket-key",
        metavar="PREFIX",
        help="prefix in the bucket (default: the PREFIX of -b, or PyAnamo)",
    )
    group.add_argument("--log-dir", metavar="DIR", help="keep whole logs in this folder")
    group.add_argument(
        "--max-log",
        type=size,
        default=10**9,
        metavar="SIZE",
        help="keep at most SIZE of each output; bytes, or for example 500MB (default: 1GB)",
    )

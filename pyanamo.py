#!/usr/bin/env python3
"""The pilot: claim items of a table, run their commands, record what happened."""

from __future__ import annotations

import time

STARTED = time.monotonic()  # the wall time counts from here, slow imports included

from pyanamo.startup import start_up  # noqa: E402

start_up()

import argparse  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from pyanamo.cli import check_table_name, run_command_line, store_of  # noqa: E402
from pyanamo.errors import UsageError  # noqa: E402
from pyanamo.logstore import LogFolder, LogStore  # noqa: E402
from pyanamo.pilot.arguments import pilot_parser  # noqa: E402
from pyanamo.pilot.keeping import Keeper  # noqa: E402
from pyanamo.pilot.lease import SHORTEST_SECONDS  # noqa: E402
from pyanamo.pilot.pilot import Pilot, Settings, Summary  # noqa: E402
from pyanamo.pilot.pilotlog import start_logging  # noqa: E402
from pyanamo.signals import exit_code  # noqa: E402

ITEMS_FAILED = 3  # the exit code of --fail-on-item-failure


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Where the command line wants whole logs. An empty value counts as not given."""
    store: LogStore | None = None
    if arguments.bucket:
        from pyanamo.logbucket import bucket_of

        store = bucket_of(
            arguments.bucket,
            arguments.bucket_key,
            region=arguments.region or None,
            profile=arguments.profile or None,
        )
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


def main() -> int:
    """Run a pilot; its exit code."""
    arguments = pilot_parser().parse_args()
    settings = settings_of(arguments)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    start_logging(
        level=logging.WARNING if arguments.quiet else level,
        json_lines=arguments.log_format == "json",
    )
    summary = Pilot(settings, started=STARTED).run()
    print(summary)
    return _exit_code(summary, arguments.fail_on_item_failure)


def _exit_code(summary: Summary, fail_on_item_failure: bool) -> int:
    if summary.error:
        print(summary.error, file=sys.stderr)
        return 1
    if summary.stopped_by is not None:
        return exit_code(summary.stopped_by)
    return ITEMS_FAILED if fail_on_item_failure and summary.failed else 0


if __name__ == "__main__":
    sys.exit(run_command_line(main))

"""The flags of a pilot."""

from __future__ import annotations

import argparse

from pyanamo.cli import add_store_flags, duration, size, whole_number

MOST_AT_A_TIME = 10_000  # each is a process


def pilot_parser() -> argparse.ArgumentParser:
    """What reads a pilot's command line."""
    parser = argparse.ArgumentParser(
        prog="pyanamo.py",
        description="Work on the items of a table until none is left or the wall time is used up.",
        epilog="Exit codes: 0 it did its job, also where items failed; 1 it could not; 2 wrong "
        "usage; 3 items failed and --fail-on-item-failure was given; 130 and 143 stopped by "
        "SIGINT and SIGTERM. A TIME is in seconds, or like 90s, 30m, 2h.",
    )
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

"""What the command lines have in common: where the table is, times, errors, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.tables import Store

REQUIREMENTS = ("boto3", "botocore", "rich")
LOCAL_FILE = "pyanamo.db"
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's rule, for both kinds of table
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_DURATION_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 100 * 366 * 86400.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?")
_SIZE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LARGEST_SIZE = 10**15


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which table is meant, and where it is."""
    where = parser.add_argument_group("the table")
    where.add_argument("-t", "--table", required=True, help="the table: one workflow step")
    add_place_flags(where)


def add_place_flags(where: argparse._ArgumentGroup) -> None:
    """The flags that say where tables are."""
    where.add_argument("-r", "--region", help="its AWS region (else AWS_REGION, or the profile's)")
    where.add_argument("--profile", help="the AWS profile to use")
    where.add_argument("--endpoint-url", metavar="URL", help="another DynamoDB than AWS's")
    where.add_argument(
        "--local",
        nargs="?",
        const=LOCAL_FILE,
        metavar="FILE",
        help=f"an embedded table in FILE ({LOCAL_FILE} if none is named) instead of DynamoDB; "
        "PYANAMO_LOCAL=FILE in the environment does the same",
    )


def store_of(arguments: argparse.Namespace) -> Store:
    """Where the flags say that tables are. An empty value counts as not given."""
    if arguments.endpoint_url:
        _check_url(arguments.endpoint_url)
    local = arguments.local or os.environ.get("PYANAMO_LOCAL")
    return Store(
        local=Path(local) if local else None,
        account=Account(
            region=arguments.region or None,
            profile=arguments.profile or None,
            endpoint_url=arguments.endpoint_url or None,
        ),
    )


def _check_url(url: str) -> None:
    """Raise `UsageError` for what is no address of a service."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        is_address = False
    if not is_address:
        raise UsageError(f"--endpoint-url {url!r} is no address: http://127.0.0.1:8000 is one, say")


def check_table_name(name: str) -> None:
    """Raise `UsageError` for a name that no table can have."""
    if not _TABLE_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a table's name: 3 to 255 letters, digits, '_', '-' and '.'"
        )


def delimiter_of(flag: str, text: str) -> str:
    """The delimiter that a flag's value means. Raises `UsageError` for what can't be one."""
    delimiter = text.replace(r"\t", "\t")
    if not delimiter or "\n" in delimiter or "\r" in delimiter:
        raise UsageError(f"{flag} {text!r}: a delimiter is one or more characters of a line")
    return delimiter


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `30m`, `2h` or `1d`; for argparse."""
    parts = _DURATION.fullmatch(text.strip())
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 90, 90s, 30m and 2h are")
    seconds = float(parts[1]) * _DURATION_UNITS[parts[2]]
    if seconds > LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is too long a time")
    return seconds


def size(text: str) -> int:
    """Bytes of `1000`, `500KB`, `10 MB` or `1GB`; for argparse."""
    parts = _SIZE.fullmatch(text.strip().upper())
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: 1000, 500KB, 10MB and 1GB are")
    number = float(parts[1]) * _SIZE_UNITS[parts[2]]
    if number > LARGEST_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is too large a size")
    return int(number)


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """What argparse takes for whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        # Not int() of any number of digits: that may take for ever.
        if not re.fullmatch(r"\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse


def run_command_line(main: Callable[[], int]) -> int:
    """Run a command line; an error of ours becomes its message on stderr and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it
    try:
        code = main()
        sys.stdout.flush()
        return code
    except PyAnamoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has gone; the interpreter must not try to write it once more.
        _discard_output()
        return 1
    except ModuleNotFoundError as error:
        if error.name not in REQUIREMENTS:
            raise
        print(
            f"{error.name} is missing: python -m pip install -r requirements.txt", file=sys.stderr
        )
        return 1
    except OSError as error:  # of our own files: those of others are told with what was done
        print(error, file=sys.stderr)
        _discard_output()
        return 1


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

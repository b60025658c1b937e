"""What the command lines have in common: flags, durations and sizes, errors, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from pyanamo import __version__
from pyanamo.account import Account
from pyanamo.errors import OutputError, PyAnamoError, UsageError, in_words
from pyanamo.tables import Store
from pyanamo.text import harmless

MOST_AT_A_TIME = 10_000  # items of a pilot, or nested tasks: each is a process
LOCAL_FILE = "pyanamo.db"
TIME_HELP = "A TIME is a number of seconds, or has a unit: 90s, 30m, 2h, 1d."
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's rule, for both kinds of table
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_DURATION_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 100 * 366 * 86400.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?")
_SIZE_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LARGEST_SIZE = 10**15


def add_version_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument("--version", action="version", version=f"pyanamo {__version__}")


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which table to use, and where it is."""
    where = parser.add_argument_group("the table")
    where.add_argument(
        "-t", "--table", help="the table: one workflow step (default: PYANAMO_TABLE)"
    )
    add_place_flags(where)


def add_place_flags(where: argparse._ArgumentGroup) -> None:
    """Add the flags that say where tables are."""
    where.add_argument(
        "-r", "--region", help="the AWS region (default: AWS_REGION, or the profile's)"
    )
    where.add_argument("--profile", help="the AWS profile to use")
    where.add_argument(
        "--endpoint-url", metavar="URL", help="the DynamoDB address (default: AWS's)"
    )
    where.add_argument(
        "--local",
        nargs="?",
        const=LOCAL_FILE,
        metavar="FILE",
        help="use a table in FILE on this machine instead of DynamoDB (default FILE: "
        f"{LOCAL_FILE}); PYANAMO_LOCAL=FILE in the environment does the same",
    )


def store_of(arguments: argparse.Namespace) -> Store:
    """Return where the flags say that tables are. An empty value counts as not given."""
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
    """Raise `UsageError` if this is not the address of a service."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is not a number
        is_address = False
    if not is_address:
        raise UsageError(f"--endpoint-url {url!r} is not a URL: use one like http://127.0.0.1:8000")


def table_of(arguments: argparse.Namespace) -> str:
    """Return the table's name. Raises `UsageError` if none is given, or no table can have it."""
    name: str = default_table() if arguments.table is None else arguments.table
    check_table_name(name)
    return name


def default_table() -> str:
    """Return the name that stands for a missing `-t`. Raises `UsageError` if there is none."""
    name = os.environ.get("PYANAMO_TABLE")
    if not name:
        raise UsageError("which table? Give -t, or set PYANAMO_TABLE")
    return name


def check_table_name(name: str) -> None:
    """Raise `UsageError` if no table can have this name."""
    if not _TABLE_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a table's name: 3 to 255 letters, digits, '_', '-' and '.'"
        )


def delimiters_of(fields: str, arguments: str) -> tuple[str, str]:
    """Return the delimiters that -d and -n give. Raises `UsageError` if they can't be that."""
    from pyanamo.taskfile.rows import ALL_COLUMNS  # pilots have no use for it

    delimiter, nested_delimiter = _delimiter_of("-d", fields), _delimiter_of("-n", arguments)
    if delimiter == nested_delimiter:
        raise UsageError(f"-d and -n are both {delimiter!r}: give different ones")
    if column := next((name for name in ALL_COLUMNS if delimiter in name), ""):
        raise UsageError(f"-d {fields!r} is part of the column name {column}: give another one")
    if delimiter in nested_delimiter:  # a line would be split there first
        raise UsageError(f"-n {arguments!r} contains -d {fields!r}: give different ones")
    return delimiter, nested_delimiter


def _delimiter_of(flag: str, text: str) -> str:
    delimiter = text.replace(r"\t", "\t")
    if not delimiter or "\n" in delimiter or "\r" in delimiter:
        raise UsageError(
            f"{flag} {text!r}: a delimiter needs at least one character, and no line break"
        )
    if delimiter.encode(errors="ignore").decode() != delimiter:
        raise UsageError(f"{flag} {text!r} is not UTF-8, as task files are")
    if re.search(r"\\[A-Za-z0-9]", delimiter):
        raise UsageError(rf"{flag} {text!r} has a \ that means nothing: only \t does, a tab")
    return delimiter


def duration(text: str) -> float:
    """Return the seconds of `90`, `90s`, `30m`, `2h` or `1d`; for argparse."""
    parts = _DURATION.fullmatch(text.strip())
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: use 90, 90s, 30m, 2h or 1d")
    seconds = float(parts[1]) * _DURATION_UNITS[parts[2]]
    if seconds > LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is too long")
    return seconds


def size(text: str) -> int:
    """Return the bytes of `1000`, `500KB`, `10 MB` or `1GB`; for argparse."""
    parts = _SIZE.fullmatch(text.strip().upper())
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: use 1000, 500KB, 10MB or 1GB")
    number = float(parts[1]) * _SIZE_UNITS[parts[2]]
    if number > LARGEST_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is too large")
    return int(number)


def utf8_name(word: str) -> str:
    """Return a name or text of a table that a command line gives; for argparse.

    Names are printed as UTF-8, so they are read as UTF-8 if they can be, whatever the locale.
    """
    try:
        return os.fsencode(word).decode()
    except UnicodeError:
        return word


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        # int() of a very long text would take very long.
        if not re.fullmatch(r"\d{1,12}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return parse


def run_command_line(main: Callable[[], int]) -> int:
    """Run a command line; the exit code. Turn a `PyAnamoError` into its message and exit code."""
    _choose_encodings()
    try:
        return _run(main)
    finally:
        with _writing_to_stderr():
            sys.stderr.flush()  # a log's line may still be in its buffer


def _run(main: Callable[[], int]) -> int:
    try:
        try:
            return main()
        except OutputError:
            raise
        except PyAnamoError as error:
            say(str(error))
            return error.exit_code
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # nobody reads our output any more
    except OutputError as error:
        say(str(error))
    except OSError as error:  # for files of users there is a better message
        say(": ".join(map(str, filter(None, (error.filename, in_words(error))))))
    discard(sys.stdout)  # the interpreter must not try to write it again
    return 1


class _Stdout(io.FileIO):
    """Standard output, whose errors can be told from those of other files."""

    def write(self, data: Any) -> int:
        """Write bytes. Raises `OutputError`, or `BrokenPipeError` if nobody reads them."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"stdout can't be written to: {error.strerror}") from error


def watch_stdout() -> None:
    """Have errors of this process's stdout raised as `OutputError`."""
    before = sys.stdout
    if isinstance(before, io.TextIOWrapper) and before is sys.__stdout__:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Stdout(before.fileno(), "w", closefd=False)),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.line_buffering or before.write_through,
        )


def say(text: str) -> None:
    """Print a message to stderr, without what might control a terminal.

    If stderr can't be written to, the message is lost: the work goes on.
    """
    with _writing_to_stderr():
        print(harmless(text), file=sys.stderr, flush=True)


@contextmanager
def _writing_to_stderr() -> Iterator[None]:
    try:
        yield
    except OSError:
        discard(sys.stderr)  # the interpreter's own try, at the exit, would change the exit code


def stdin_bytes() -> bytes:
    """Read all of stdin. Raises `PyAnamoError` if it is closed."""
    if sys.stdin is None:
        raise PyAnamoError("stdin is closed: name a file instead of -")
    return sys.stdin.buffer.read()


def _choose_encodings() -> None:
    """Print UTF-8 to files and pipes, and what a terminal's locale has to a terminal.

    Characters that a terminal lacks are escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def discard(*streams: TextIO) -> None:
    """Drop what couldn't be written to these streams, and all that follows."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

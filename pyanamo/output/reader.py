"""Read what a task printed: the tail from its item, or the whole log from its store."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError
from pyanamo.model import Result
from pyanamo.output.stores import unzipped

Stream = Literal["stdout", "stderr"]

CHUNK = 1024 * 1024


def tail_of(result: Result, stream: Stream) -> tuple[str, int]:
    """Return the tail of an output stream, and the size of the whole stream in bytes."""
    if stream == "stdout":
        return result.stdout, result.stdout_bytes
    return result.stderr, result.stderr_bytes


def whole_log(result: Result, stream: Stream, account: Account) -> Iterator[bytes]:
    """Yield the whole output in chunks. Raises `PyAnamoError` if it was not kept."""
    tail, size = tail_of(result, stream)
    if len(tail.encode()) == size:  # the tail is the output: the keeper sees to that
        yield tail.encode()
        return
    if not result.log_uri:
        raise PyAnamoError(
            f"only the tail of {stream} was kept, {len(tail.encode())} of {size} bytes: run "
            "pilots with -b or --log-dir to keep whole logs"
        )
    # The item has the address of one stream's log; the other address differs only in the name.
    base = result.log_uri.removesuffix(".stdout.gz").removesuffix(".stderr.gz")
    uri = f"{base}.{stream}.gz"
    try:
        yield from unzipped(_read(uri, account))
    except zlib.error as error:
        raise PyAnamoError(f"the log {uri} is damaged: {error}") from error


def _read(uri: str, account: Account) -> Iterator[bytes]:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        try:
            with Path(os.fsdecode(unquote_to_bytes(parts.path))).open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise PyAnamoError(
                f"the log {uri} can't be read: {error.strerror}; it is on the machine that ran "
                "the task"
            ) from error
        return
    from pyanamo.output.bucket import read_object

    yield from read_object(uri, account)

"""What a task prints: kept in files while it runs, and as a readable tail in its item."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from typing import IO

from pyanamo.model import Item
from pyanamo.tables.attributes import new_item
from pyanamo.tables.size import RESULT_BYTES, item_size

TAIL_BYTES = 1000  # of each of stdout and stderr
ITEM_BYTES = 100 * 1000  # what an item with the tails of all its tasks may come to
WINDOW_BYTES = 64 * 1024  # how far back a tail looks: progress bars draw over one line many times

# What no terminal shows and a table's reader can't use; tabs and line ends stay.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Tail:
    """The readable end of an output, and the size of the whole in bytes."""

    text: str
    size: int


class TaskOutput:
    """The files that a task writes its stdout and stderr to, gone when the block ends."""

    def __init__(self) -> None:
        self.stdout: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.stderr: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def __enter__(self) -> TaskOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()


def read_tail(file: IO[bytes], limit: int) -> Tail:
    """The last `limit` bytes (of UTF-8) of a file, as a terminal would show them."""
    size = os.fstat(file.fileno()).st_size
    start = max(0, size - WINDOW_BYTES) if limit else size
    return Tail(
        text=last_bytes(readable(os.pread(file.fileno(), size - start, start)), limit), size=size
    )


def readable(output: bytes) -> str:
    """Text from any bytes: what is no UTF-8 is replaced, carriage returns draw over their line."""
    text = output.decode(errors="replace").replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_drawn(line) for line in text.split("\n"))
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def last_bytes(text: str, limit: int) -> str:
    """The end of a text, whole characters of at most `limit` bytes in all."""
    encoded = text.encode()
    return (
        text if len(encoded) <= limit else encoded[len(encoded) - limit :].decode(errors="ignore")
    )


def tail_bytes(item: Item) -> int:
    """How many bytes of stdout, and of stderr, each task of an item may keep in it.

    It depends on nothing that changes while the item is worked on, so that tails never have to be
    cut again.
    """
    taken = item_size(new_item(item, "")) + len(item.tasks) * RESULT_BYTES
    return max(0, min(TAIL_BYTES, (ITEM_BYTES - taken) // (2 * len(item.tasks))))


def _drawn(line: str) -> str:
    """What is seen of a line in the end: each carriage return starts again at its front."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown

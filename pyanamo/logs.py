"""What of a task's output is kept, and where: a readable tail in its item, the whole in a store."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from pyanamo.model import Item, Result
from pyanamo.tables.attributes import new_item, result_attribute
from pyanamo.tables.size import LIFE_BYTES, RESULT_BYTES, item_size, size_of

TAIL_BYTES = 1000  # of each of stdout and stderr
RESULTS_BYTES = 4096  # of a task's result lines
ITEM_BYTES = 100 * 1000  # what an item with the tails of all its tasks may come to
MOST_BYTES = 390 * 1000  # what it may come to with its result lines and log addresses
NOTES_BYTES = 60  # of a task: names of attributes, and the note where result lines were cut
WINDOW_BYTES = 64 * 1024  # how far back a tail looks: progress bars draw over one line many times
NAME_BYTES = 200  # of one part of a log's name: file systems allow 255 with the ending

# What no terminal shows and a table's reader can't use; tabs and line ends stay.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much each task of an item may keep in it, in bytes.

    It depends on nothing that changes while the item is worked on, so that what was kept never has
    to be cut again.
    """

    task: int  # for its result, tails and all
    results: int  # for its result lines
    address: int  # for its Log_URI

    @classmethod
    def of(cls, item: Item) -> Room:
        """What fits into an item beside what it must have."""
        count = len(item.tasks)
        without_results = item_size(new_item(item, "")) + LIFE_BYTES
        least = without_results + count * RESULT_BYTES
        spare = max(0, (MOST_BYTES - max(least, ITEM_BYTES)) // count - NOTES_BYTES)
        return cls(
            task=(ITEM_BYTES - without_results) // count,
            results=min(RESULTS_BYTES, spare // 2),
            address=spare // 2,
        )

    def tail_beside(self, result: Result) -> int:
        """How much of stdout, and of stderr, fits beside the rest of a result."""
        left = self.task - size_of(result_attribute(result)) - NOTES_BYTES
        return max(0, min(TAIL_BYTES, left // 2))


@dataclass(frozen=True)
class LogName:
    """What a task's log is called, wherever it is kept: TABLE/ITEM/TASK.ATTEMPT."""

    table: str
    item_id: str
    task: str
    attempt: int

    def path(self, stream: str) -> str:
        """The relative path of the log of `stdout` or `stderr`."""
        parts = (self.table, self.item_id, f"{self.task}.{self.attempt}.{stream}.gz")
        return "/".join(safe_name(part) for part in parts)


def safe_name(name: str) -> str:
    """A name as one part of an S3 key or file path; different names stay different.

    Letters, digits and `_.-` stay, all else is percent-encoded, as in a URL (S3 User Guide,
    "Naming Amazon S3 objects": safe characters). Of a name that is too long the end is replaced by
    `~` and its hash.
    """
    safe = quote(name, safe="").replace("~", "%7E")
    if not safe.strip("."):  # "." and ".." mean folders
        safe = safe.replace(".", "%2E")
    if len(safe) > NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        safe = f"{safe[: NAME_BYTES - 33]}~{digest}"
    return safe


def readable(output: bytes) -> str:
    """Text from any bytes: what is no UTF-8 is replaced, carriage returns draw over their line."""
    text = output.decode(errors="replace").replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_drawn(line) for line in text.split("\n"))
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def last_bytes(text: str, limit: int) -> str:
    """The end of a text, whole characters of at most `limit` bytes in all."""
    encoded = text.encode()
    start = max(0, len(encoded) - limit)
    return encoded[start:].decode(errors="ignore")


def first_bytes(text: str, limit: int) -> str:
    """The beginning of a text, whole characters of at most `limit` bytes in all."""
    return text.encode()[:limit].decode(errors="ignore")


def _drawn(line: str) -> str:
    """What is seen of a line in the end: each carriage return starts again at its front."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown

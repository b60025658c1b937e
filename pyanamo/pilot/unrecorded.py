"""Keep results in a file if the table can't be written, so that they aren't lost silently."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyanamo.model import Claim, Outcome
from pyanamo.output.stores import write_file
from pyanamo.signals import Halt
from pyanamo.tables.attributes import log_attribute

log = logging.getLogger(__name__)


class SpareCopy:
    """A file with an outcome, in the current folder or else in the folder for temporary files.

    It is thread-safe. Only its owner can read it.
    """

    def __init__(self, table: str, claim: Claim, outcome: Outcome) -> None:
        """Take what the file will contain, without writing it."""
        self._table = table
        self._claim = claim
        self._outcome = outcome
        self._lock = threading.Lock()
        self._file: Path | None = None

    def keep(self) -> Path | None:
        """Write the file, once, and return it; None if no task has ended or writing fails."""
        with self._lock:
            if self._file is None and self._outcome.results:
                self._file = self._write()
            return self._file

    def discard(self) -> None:
        """Delete the file: the table has the outcome now."""
        with self._lock:
            if self._file is not None:
                self._file.unlink(missing_ok=True)

    def _write(self) -> Path | None:
        troubles = []
        for file in _files(self._table, self._claim):
            try:
                write_file(file, [self._content().encode()])
                return file
            except OSError as error:
                troubles.append(f"{file}: {error.strerror}")
        log.error("the results could not be written to a file either: %s", ", ".join(troubles))
        return None

    def _content(self) -> str:
        item, outcome = self._claim.item, self._outcome
        content = {
            "table": self._table,
            "itemID": item.item_id,
            "TaskID": item.task_id,
            "lockID": self._claim.token,
            "Lock_Date": item.lock_date,
            "outcome": outcome.ending.value,
            "reason": outcome.reason,
            "Log": log_attribute(outcome.results, nested=item.nested),
        }
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


class SpareCopies:
    """Copies of the outcomes that are being written to the table. It is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies: list[SpareCopy] = []

    @contextmanager
    def hold(self, copy: SpareCopy, stop: Halt) -> Iterator[None]:
        """Include this copy in `keep` until the block ends; write it now if `stop` is set."""
        with self._lock:
            self._copies.append(copy)
        if stop:
            copy.keep()
        try:
            yield
        finally:
            with self._lock:
                self._copies.remove(copy)

    def keep(self) -> None:
        """Write the files of all copies."""
        with self._lock:
            for copy in self._copies:
                copy.keep()


def kept_file(table: str, claim: Claim) -> Path | None:
    """Return the file that a killed worker has left for this claim, if there is one."""
    return next(filter(Path.is_file, _files(table, claim)), None)


def _files(table: str, claim: Claim) -> list[Path]:
    """Return where the file may be: if not in the first place, then in the next."""
    name = f"pyanamo-unrecorded-{table}-{claim.token}.json"
    folders = [Path()]
    with suppress(OSError):  # there is none in which files can be opened now
        folders.append(Path(tempfile.gettempdir()))
    return [(folder / name).absolute() for folder in folders]

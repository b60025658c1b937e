"""Make a task's result from its output: tails, result lines and whole logs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyanamo.errors import PyAnamoError, StoreUnavailable
from pyanamo.model import NOT_EXECUTABLE, NOT_FOUND, CommandEnd, Result, TaskStatus
from pyanamo.output.capture import Capture, TaskOutput
from pyanamo.output.room import TAIL_BYTES, Room
from pyanamo.output.stores import PRIVATE, LogFolder, LogName, LogStore
from pyanamo.signals import Halt
from pyanamo.tables.size import MAX_REASON_BYTES
from pyanamo.text import first_bytes, valid_text

log = logging.getLogger(__name__)

# How long a stop waits for a log that is being stored; a container gets 30 s in all.
STOPPED_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Settings for the output of tasks, and how to make results from it."""

    store: LogStore | None = None  # for whole logs; None: keep only tails
    spare_folder: Path = Path("pyanamo-logs")  # for logs that can't be written to the store
    max_log: int = 10**9  # bytes, for each of stdout and stderr

    def capture(self) -> TaskOutput:
        """Return a place for a task's output. Raises `OSError` if too many files are open."""
        return TaskOutput(self.max_log if self.store else 0)

    def result(
        self,
        end: CommandEnd,
        output: TaskOutput,
        name: LogName,
        room: Room,
        halts: Sequence[Halt],
        extra: Mapping[str, str],
    ) -> Result:
        """Make the result of a command that ended, and store its logs.

        `room` limits what goes into the item. If one of `halts` is set while a log is being
        stored, the log is given up after `STOPPED_SECONDS`. `extra` goes into the pilot's log.
        """
        reason = _reason(end, output)
        result_with = partial(
            Result,
            status=TaskStatus.FAILED if reason else TaskStatus.DONE,
            exit_code=end.exit_code,
            reason=reason,
            start_date=end.start_date,
            run_seconds=end.run_seconds,
            cpu_seconds=end.cpu_seconds,
            max_rss_mb=end.max_rss_mb,
            peak_mb=end.peak_mb,
            stdout_bytes=output.stdout.size,
            stderr_bytes=output.stderr.size,
            results=() if output.is_empty else output.results(room.results),
        )
        if output.is_empty:
            return result_with()
        if output.error:  # the machine's failure, not the task's
            log.error("not all of its output could be kept: %s", output.error, extra=extra)
        limit = room.tail_beside(result_with())
        uri = room.fitting(self._keep_logs(output, name, limit, halts, extra))
        limit = room.tail_beside(result_with(log_uri=uri))
        return result_with(
            log_uri=uri,
            stdout=self._tail(output.stdout, limit),
            stderr=self._tail(output.stderr, limit),
        )

    def _keep_logs(
        self,
        output: TaskOutput,
        name: LogName,
        limit: int,
        halts: Sequence[Halt],
        extra: Mapping[str, str],
    ) -> str:
        """Store the outputs that don't fit into `limit` bytes; return the first log's address."""
        addresses = [
            self._keep_whole(name.path(stream), capture, halts, extra)
            for stream, capture in (("stdout", output.stdout), ("stderr", output.stderr))
            if not capture.equals(self._tail(capture, limit))
        ]
        return next(filter(None, addresses), "")

    def _tail(self, capture: Capture, limit: int) -> str:
        """Return the tail of an output; if its log is incomplete, the last line says so.

        It has as many bytes as the output only if it is the output, byte for byte: so a reader
        knows. Another tail of that length loses its first character.
        """
        tail = capture.tail(limit)
        if not capture.is_whole and self.store is not None:
            why = capture.error or "--max-log"
            note = f"\n[{capture.kept} of {capture.size} bytes were kept: {why}]"
            tail = capture.tail(limit - len(note)) + note if limit > len(note) else ""
        as_long = len(tail.encode()) == capture.size
        return tail[1:] if as_long and not capture.equals(tail) else tail

    def _keep_whole(
        self, path: str, capture: Capture, halts: Sequence[Halt], extra: Mapping[str, str]
    ) -> str:
        """Store a log and return its address; empty if there is no store or the log is lost."""
        if self.store is None:
            return ""
        try:
            return _store(self.store, path, capture, halts)
        except PyAnamoError as error:
            log.warning("a log could not be stored: %s", error, extra=extra)
        try:
            address = LogFolder(self.spare_folder, PRIVATE).keep(path, capture.content)
            log.warning("the log is kept in %s", address, extra=extra)
            return address
        except PyAnamoError as error:
            log.error("a log is lost: %s", error, extra=extra)
            return ""


def _reason(end: CommandEnd, output: TaskOutput) -> str:
    """Return why the task failed; empty if it didn't."""
    reason = end.reason
    if reason in (f"exit code {NOT_EXECUTABLE}", f"exit code {NOT_FOUND}"):
        # A shell exits with these codes if it can't run a command; stderr names the command.
        said = output.stderr.tail(TAIL_BYTES).strip().splitlines()
        reason += f": {said[-1]}" if said else ""
    return first_bytes(valid_text(reason), MAX_REASON_BYTES)


def _store(store: LogStore, path: str, capture: Capture, halts: Sequence[Halt]) -> str:
    """Store a log and return its address; give up `STOPPED_SECONDS` after a halt is set.

    After a halt, time is needed to record the result. A request of the SDK can't be interrupted,
    so the log is stored in a thread, which is abandoned. Raises `StoreUnavailable` in this case.
    """
    stored: Future[str] = Future()

    def run() -> None:
        try:
            stored.set_result(store.keep(path, capture.content))
        except BaseException as error:
            stored.set_exception(error)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:  # there can't be one more thread: then nothing ends the wait
        run()
    give_up_at: float | None = None
    while not wait([stored], timeout=0.2).done:
        if give_up_at is None and any(halts):
            give_up_at = time.monotonic() + STOPPED_SECONDS
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise StoreUnavailable("the pilot is being stopped")
    return stored.result()

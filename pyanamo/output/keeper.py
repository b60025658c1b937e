"""What of a task's output becomes of its result: the tails, the result lines, the whole logs."""

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
from pyanamo.output.stores import LogFolder, LogName, LogStore
from pyanamo.output.text import first_bytes
from pyanamo.signals import Halt
from pyanamo.tables.size import MAX_REASON_BYTES

log = logging.getLogger(__name__)

# Of a stop, for a log that is being stored: a container gets 30 s in all.
STOPPED_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Keeps what tasks print."""

    store: LogStore | None = None  # for whole logs; None: the tails are all there is
    spare_folder: Path = Path("pyanamo-logs")  # for logs that the store doesn't take
    max_log: int = 10**9  # bytes of each output

    def capture(self) -> TaskOutput:
        """Where a task's output is to go. Raises `OSError` when no more files can be open."""
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
        """The result of a command that ended, with what it printed.

        `room` is for what of that goes into the item. A log that is being stored is waited for
        until one of `halts` is set. `extra` is for our own log, which tells of trouble.
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
        )
        if output.is_empty:
            return result_with()
        result_with = partial(
            result_with,
            stdout_bytes=output.stdout.size,
            stderr_bytes=output.stderr.size,
            results=output.results(room.results),
        )
        limit = room.tail_beside(result_with())
        uri = self._keep_logs(output, name, limit, halts, extra)
        if len(uri.encode()) > room.address:
            uri = ""
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
        """Store what a tail of `limit` bytes doesn't tell; the address of the first log, if any."""
        addresses = [
            self._keep_whole(name.path(stream), capture, halts, extra)
            for stream, capture in (("stdout", output.stdout), ("stderr", output.stderr))
            if not capture.equals(self._tail(capture, limit))
        ]
        return next(filter(None, addresses), "")

    def _tail(self, capture: Capture, limit: int) -> str:
        """The end of an output; if its log isn't whole, the last line says so."""
        if capture.is_whole or self.store is None:
            return capture.tail(limit)
        why = capture.error or "--max-log"
        note = f"\n[{capture.kept} of {capture.size} bytes were kept: {why}]"
        return (capture.tail(limit - len(note)) + note) if limit > len(note) else ""

    def _keep_whole(
        self, path: str, capture: Capture, halts: Sequence[Halt], extra: Mapping[str, str]
    ) -> str:
        """Store a log; its address, or nothing if there is no store or it is lost."""
        if self.store is None:
            return ""
        try:
            return _store(self.store, path, capture, halts)
        except PyAnamoError as error:
            log.warning("a log could not be stored: %s", error, extra=extra)
        try:
            address = LogFolder(self.spare_folder).keep(path, capture.content)
            log.warning("the log is kept in %s", address, extra=extra)
            return address
        except PyAnamoError as error:
            log.error("a log is lost: %s", error, extra=extra)
            return ""


def _reason(end: CommandEnd, output: TaskOutput) -> str:
    """Why the task failed, with what explains it; empty if it did not."""
    reason = end.reason
    if output.error:
        reason += f"{', and ' if reason else ''}its output could not be kept: {output.error}"
    elif reason in (f"exit code {NOT_EXECUTABLE}", f"exit code {NOT_FOUND}"):
        # By these a shell says that it could not run what it was told to; stderr says what.
        said = output.stderr.tail(TAIL_BYTES).strip().splitlines()
        reason += f": {said[-1]}" if said else ""
    return first_bytes(reason, MAX_REASON_BYTES)


def _store(store: LogStore, path: str, capture: Capture, halts: Sequence[Halt]) -> str:
    """Store a log, but don't wait much longer once a halt is set: the result must be written too.

    What the SDK has begun can't be interrupted, so that it is done in a thread, and left to it.
    """
    stored: Future[str] = Future()

    def run() -> None:
        try:
            stored.set_result(store.keep(path, capture.content))
        except BaseException as error:
            stored.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    give_up_at: float | None = None
    while not wait([stored], timeout=0.2).done:
        if give_up_at is None and any(halts):
            give_up_at = time.monotonic() + STOPPED_SECONDS
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise StoreUnavailable("the pilot is being stopped")
    return stored.result()

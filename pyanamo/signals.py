"""Handle stop signals, and pass on the reason to stop."""

from __future__ import annotations

import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def heeded_signals() -> list[signal.Signals]:
    """The stop signals, without SIGHUP if it is ignored: nohup(1) starts a program so."""
    return [
        number
        for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]


class Halt:
    """An event that tells code to stop, with a reason; it can be polled together with files.

    It may be set from a signal handler and from any thread.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._reason = ""
        self.grace = 0.0  # seconds that running work has to end

    def set(self, reason: str, *, grace: float) -> None:
        """Set the halt; running work has `grace` seconds to end. Only the first call counts."""
        if not self._reason:
            self.grace = grace
            self._reason = reason
            os.write(self._writer, b"!")  # never read, so the pipe stays readable

    @property
    def reason(self) -> str:
        """The reason to stop; empty while the halt is not set."""
        return self._reason

    @property
    def seconds_left(self) -> float:
        """Seconds until the halt sets itself; infinity if it never does."""
        return math.inf

    def __bool__(self) -> bool:
        return bool(self.reason)

    def fileno(self) -> int:
        """A file that is readable once the halt is set."""
        return self._reader

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the halt, and return whether it is set."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(max(0.0, min(seconds, self.seconds_left)) * 1000)
        return bool(self)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def when_set(halt: Halt, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` in a thread when the halt is set, unless the block ends first.

    If the halt is set already, `act` is called at once. Use this for work that a signal handler
    must not do.
    """
    over = Halt()

    def wait_and_act() -> None:
        poll = select.poll()
        for source in (halt, over):
            poll.register(source, select.POLLIN)
        poll.poll()
        if not over:
            act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set("the block has ended", grace=0.0)
        thread.join()
        over.close()


class Stop(Halt):
    """The halt that a stop signal sets, the number of that signal, and when it came."""

    def __init__(self) -> None:
        super().__init__()
        self.signal: int | None = None
        self.since = math.inf  # monotonic clock


@contextmanager
def stop_signals(
    *,
    grace: float = 0.0,
    again: Halt | None = None,
) -> Iterator[Stop]:
    """Set a halt on the first stop signal, and `again` on the second, if it is given.

    From the last of these on, as after the block, the signals act as they did before.
    """
    stop = Stop()
    previous = {number: signal.getsignal(number) for number in heeded_signals()}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        is_last = again is None or bool(stop)
        if is_last:
            restore()
        if again is not None and stop:
            again.set("stopped again", grace=0.0)
        stop.signal = stop.signal or number
        stop.since = min(stop.since, time.monotonic())
        stop.set(f"stopped by {signal.Signals(number).name}", grace=grace)

    for number in previous:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()
        stop.close()


class StoppedBySignal(BaseException):
    """A stop signal came during a `raising_signals` block."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = exit_code(number)


@contextmanager
def raising_signals() -> Iterator[None]:
    """Raise `StoppedBySignal` for a stop signal wherever the block is, so that it can clean up."""
    previous = {number: signal.getsignal(number) for number in heeded_signals()}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        for known in previous:
            signal.signal(known, signal.SIG_IGN)  # one is enough: let it clean up
        raise StoppedBySignal(number)

    for number in previous:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_at_once_on_signals() -> None:
    """Make stop signals end the process at once, also if it is process 1 of a container.

    Without a handler, the kernel would ignore these signals for process 1. Handlers that are
    installed later replace these.
    """
    for number in heeded_signals():
        signal.signal(number, lambda received, _frame: os._exit(exit_code(received)))


def exit_code(number: int) -> int:
    """The exit code that tells of a signal, as a shell has it: 130 for SIGINT, for example."""
    return 128 + number

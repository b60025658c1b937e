"""Stop signals, and reasons to stop."""

from __future__ import annotations

import math
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Halt:
    """A reason to stop, once there is one: an event that can be polled beside files.

    Safe to set from a signal handler and from any thread.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._reason = ""
        self.grace = 0.0  # seconds that what runs has to end

    def set(self, reason: str, *, grace: float) -> None:
        """Stop, for this reason; what runs has `grace` seconds to end. The first call counts."""
        if not self._reason:
            self.grace = grace
            self._reason = reason
            os.write(self._writer, b"!")  # never read: readable from now on

    @property
    def reason(self) -> str:
        """Why to stop; empty while there is no need."""
        return self._reason

    @property
    def seconds_left(self) -> float:
        """In how many seconds there is a reason to stop, if nothing else happens."""
        return math.inf

    def __bool__(self) -> bool:
        return bool(self.reason)

    def fileno(self) -> int:
        """A file that is readable once the halt is set."""
        return self._reader

    def wait(self, seconds: float) -> bool:
        """Wait until there is a reason to stop, but at most `seconds`; whether there is one."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(max(0.0, min(seconds, self.seconds_left)) * 1000)
        return bool(self)

    def close(self) -> None:
        """Close its files."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def when_set(halt: Halt, act: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread as soon as a halt is set, at once if it is; not after the block.

    For what a signal handler must not do itself.
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
    """The halt that a stop signal sets."""

    def __init__(self) -> None:
        super().__init__()
        self.signal: int | None = None


@contextmanager
def stop_signals(
    *,
    grace: float = 0.0,
    again: Halt | None = None,
    why: Callable[[int], str] = lambda number: f"stopped by {signal.Signals(number).name}",
) -> Iterator[Stop]:
    """Set a halt on the first SIGTERM or SIGINT, and `again` on the second, if it is given.

    From the last of these on, as after the block, the signals act as they did before. `why` gives
    the reason for a signal.
    """
    stop = Stop()
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}

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
        stop.set(why(number), grace=grace)

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()
        stop.close()


class StoppedBySignal(BaseException):
    """A stop signal came while `raising_signals`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = exit_code(number)


@contextmanager
def raising_signals() -> Iterator[None]:
    """Raise `StoppedBySignal` for a stop signal wherever the block is, so that it can clean up."""
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        for known in STOP_SIGNALS:
            signal.signal(known, signal.SIG_IGN)  # one is enough: let it clean up
        raise StoppedBySignal(number)

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_at_once_on_signals() -> None:
    """Until somebody handles stop signals, let them end the process, also when it is process 1.

    The kernel ignores a signal for process 1 of a container where that has no handler for it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, lambda received, _frame: os._exit(exit_code(received)))


def exit_code(number: int) -> int:
    """The exit code that tells of a signal, as a shell has it: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number

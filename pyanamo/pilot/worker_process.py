"""Run a worker in its own process, and exchange messages with it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

from pyanamo.errors import PyAnamoError
from pyanamo.pilot.command import grace_seconds
from pyanamo.pilot.marks import die_with_parent
from pyanamo.pilot.shared import SharedNumbers
from pyanamo.pilot.shortage import EXIT_CODE, shortage_of, tell
from pyanamo.pilot.worker import Message, NoRoom, Report, Worker
from pyanamo.signals import STOP_SIGNALS, Halt, heeded_signals

log = logging.getLogger(__name__)

A_BUG = 70  # EX_SOFTWARE of sysexits.h
PILOT_GONE = "the pilot is gone"
ORDER_SECONDS = 1.0  # within which a pilot that is being stopped tells its workers
HEARD_SECONDS = 5.0  # how long a worker waits for its pilot to act on a message

BLOCKED = {*STOP_SIGNALS, signal.SIGCHLD}  # while a worker is forked

MakeWorker = Callable[[int, Halt, Report], Worker]

# Forked workers share the memory of the pilot: modules and objects need not be sent to them.
_FORK = multiprocessing.get_context("fork")


class WorkerProcess:
    """The pilot's handle of a worker in its own process."""

    def __init__(self, number: int, make_worker: MakeWorker, shared: SharedNumbers) -> None:
        """Start a process that makes a worker and runs it.

        Raises `Shortage` when there can't be one more process.
        """
        self.number = number
        # What is received from `messages` is a list. Its parts are a `Message`, or text that says
        # why the worker can't go on. `EOFError` means that the worker has ended.
        try:
            self.messages, messages = _FORK.Pipe()
        except OSError as error:
            raise shortage_of(error) or error from error
        self._process = _FORK.Process(
            target=_run, args=(number, make_worker, shared, messages, os.getpid()), daemon=True
        )
        try:
            with _signals_blocked():  # until the worker has installed its handlers
                self._process.start()
        except OSError as error:
            self.messages.close()
            raise shortage_of(error) or error from error
        finally:
            messages.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def acknowledge(self) -> None:
        """Tell the worker that its message was handled, so that it goes on."""
        with suppress(OSError):  # the worker has died
            self.messages.send(None)

    def signal(self, number: int) -> None:
        """Send the process a signal, if it hasn't ended."""
        # To start a process, `multiprocessing` reaps those that have ended: the number of this one
        # may be another's by now. `exitcode` tells of both.
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def join(self) -> int:
        """Wait for the end; return the exit code, or minus the signal that killed the worker."""
        self.messages.close()
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        return code


def _run(
    number: int, make_worker: MakeWorker, shared: SharedNumbers, messages: Connection, pilot: int
) -> None:
    """What the worker's process does."""
    try:
        with _worker_signals(pilot, shared) as stop:
            code = _work(number, make_worker, stop, messages)
    except OSError as error:
        shortage = shortage_of(error)
        if shortage is None:
            raise
        tell(shortage)
        code = EXIT_CODE
    sys.exit(code)


def _work(number: int, make_worker: MakeWorker, stop: Halt, messages: Connection) -> int:
    """Make a worker and have it work; the exit code."""

    unsent: list[Message | str] = []

    def report(*told: Message | str, later: bool = False, and_wait: bool = False) -> None:
        unsent.extend(told)
        if later or not unsent:
            return
        try:
            messages.send_bytes(pickle.dumps(unsent))  # `send` is for objects of multiprocessing
            unsent.clear()
            if and_wait and messages in wait([messages, stop.fileno()], HEARD_SECONDS):
                messages.recv()
        except (OSError, EOFError):
            stop.set(PILOT_GONE, grace=grace_seconds())

    try:
        worker = make_worker(number, stop, report)
        try:
            return 0 if worker.work() else EXIT_CODE
        finally:
            report()
            worker.table.close()  # the last one leaves an embedded table's file whole, for copies
    except PyAnamoError as error:
        report(str(error))
        return error.exit_code
    except BaseException as error:
        if shortage := shortage_of(error):
            tell(shortage)
            report(NoRoom(str(shortage)))
            return EXIT_CODE
        log.exception("worker %d: this is a bug in PyAnamo", number)
        return A_BUG


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let signals wait until the block ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)


@contextmanager
def _worker_signals(pilot: int, shared: SharedNumbers) -> Iterator[Halt]:
    """Set a halt on a SIGTERM that the pilot has ordered, and when the pilot is gone.

    The other stop signals are the pilot's to mind. They are handled by doing nothing: if they were
    ignored, a task would inherit that. Entered with signals blocked, in the forked process.
    """
    stop = Halt()
    order = _Order(stop, pilot, shared)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in heeded_signals():
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, order.on_terminate)
    signal.signal(signal.SIGALRM, order.on_alarm)
    die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    order.heed()
    try:
        yield stop
    finally:
        stop.close()


class _Order:
    """Tells a SIGTERM that the pilot has ordered from one that somebody else sends.

    A worker dies of the latter. But the same signal may be on its way to all processes of the
    pilot, so the pilot has a moment to order it.
    """

    def __init__(self, stop: Halt, pilot: int, shared: SharedNumbers) -> None:
        self._stop = stop
        self._pilot = pilot
        self._shared = shared

    def heed(self) -> None:
        """Set the halt if the pilot has ordered a stop, or is gone."""
        if os.getppid() != self._pilot:
            self._stop.set(PILOT_GONE, grace=grace_seconds())
        elif self._shared.stop_reason:
            self._stop.set(self._shared.stop_reason, grace=grace_seconds())

    def on_terminate(self, *_: object) -> None:
        """Handle SIGTERM."""
        self.heed()
        if not self._stop:
            signal.setitimer(signal.ITIMER_REAL, ORDER_SECONDS)

    def on_alarm(self, *_: object) -> None:
        """Handle SIGALRM: the moment is over."""
        self.heed()
        if not self._stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

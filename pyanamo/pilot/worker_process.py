"""Run a worker in its own process, and exchange messages with it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

from pyanamo.errors import PyAnamoError
from pyanamo.pilot.command import GRACE_SECONDS
from pyanamo.pilot.marks import die_with_parent
from pyanamo.pilot.shared import SharedNumbers
from pyanamo.pilot.worker import Message, Report, Worker
from pyanamo.signals import STOP_SIGNALS, Stop, exit_code, stop_signals

log = logging.getLogger(__name__)

A_BUG = 70  # EX_SOFTWARE of sysexits.h
PILOT_GONE = "the pilot is gone"
HEARD_SECONDS = 5.0  # how long a worker waits for its pilot to handle a message

MakeWorker = Callable[[int, Stop, Report], Worker]

# Forked workers share the memory of the pilot: modules and objects need not be sent to them.
_FORK = multiprocessing.get_context("fork")


class WorkerProcess:
    """The pilot's handle of a worker in its own process."""

    def __init__(self, number: int, make_worker: MakeWorker, shared: SharedNumbers) -> None:
        """Start a process that makes a worker and runs it.

        Raises `PyAnamoError` if the process can't be started.
        """
        self.number = number
        # `messages` receives a `Message`, or a text that says why the worker can't go on. An
        # `EOFError` means that the worker has ended.
        self.messages, messages = _FORK.Pipe()
        self._process = _FORK.Process(
            target=_run, args=(number, make_worker, shared, messages, os.getpid()), daemon=True
        )
        try:
            with _signals_blocked():  # until the worker has installed its handlers
                self._process.start()
        except OSError as error:
            self.messages.close()
            raise PyAnamoError(f"a worker can't be started: {error.strerror}") from error
        finally:
            messages.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def acknowledge(self) -> None:
        """Tell the worker that its message was handled, so that it goes on."""
        with suppress(OSError):  # the worker has died
            self.messages.send(None)

    def signal(self, number: int) -> None:
        """Send the process a signal."""
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
    """Run the worker's process."""
    with _worker_signals(pilot, shared) as stop:
        code = _work(number, make_worker, stop, messages)
    sys.exit(code)


def _work(number: int, make_worker: MakeWorker, stop: Stop, messages: Connection) -> int:
    """Make a worker and run it; return the exit code."""

    def report(message: Message, /, *, and_wait: bool = False) -> None:
        try:
            messages.send(message)
            if and_wait and messages in wait([messages, stop.fileno()], HEARD_SECONDS):
                messages.recv()
        except (OSError, EOFError):
            stop.set(PILOT_GONE, grace=GRACE_SECONDS)

    try:
        worker = make_worker(number, stop, report)
        try:
            worker.work()
        finally:
            worker.table.close()  # makes an embedded table one file, safe to copy
        return 0 if stop.signal is None else exit_code(stop.signal)
    except PyAnamoError as error:
        with suppress(OSError):
            messages.send(str(error))
        return error.exit_code
    except BaseException:
        log.exception("worker %d: this is a bug in PyAnamo", number)
        return A_BUG


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals until the block ends; they are delivered then."""
    handled = {*STOP_SIGNALS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)


@contextmanager
def _worker_signals(pilot: int, shared: SharedNumbers) -> Iterator[Stop]:
    """Set a worker's halt on SIGTERM, which it also gets when its pilot dies.

    Other signals are left to the pilot. This is entered in the forked process with signals blocked.
    Signals get a handler that does nothing, because tasks would inherit ignored signals.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in STOP_SIGNALS:  # a second SIGTERM must not kill the worker
        signal.signal(number, _do_nothing)

    def why(_number: int) -> str:
        return shared.stop_reason if os.getppid() == pilot else PILOT_GONE

    with stop_signals(grace=GRACE_SECONDS, why=why) as stop:
        signal.signal(signal.SIGINT, _do_nothing)  # Ctrl-C: the pilot sends SIGTERM
        die_with_parent(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
        if os.getppid() != pilot:
            stop.set(PILOT_GONE, grace=GRACE_SECONDS)
        yield stop


def _do_nothing(_number: int, _frame: object) -> None:
    pass

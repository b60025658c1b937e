"""A worker's process: fork it, and hear from it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe

from pyanamo.errors import PyAnamoError
from pyanamo.pilot.command import GRACE_SECONDS
from pyanamo.pilot.marks import die_with_parent
from pyanamo.pilot.shared import SharedNumbers
from pyanamo.pilot.worker import Message, Worker
from pyanamo.signals import STOP_SIGNALS, Stop, exit_code, stop_signals

log = logging.getLogger(__name__)

A_BUG = 70  # EX_SOFTWARE of sysexits.h
PILOT_GONE = "the pilot is gone"

Report = Callable[[Message], None]
MakeWorker = Callable[[int, Stop, Report], Worker]


@dataclass
class WorkerProcess:
    """A worker, as its pilot sees it."""

    number: int
    pid: int
    messages: Connection  # Message, or text: why it can't go on; its end is the worker's


def start_worker(number: int, make_worker: MakeWorker, shared: SharedNumbers) -> WorkerProcess:
    """Fork a process, and have it make a worker and do its work.

    Raises `PyAnamoError` when there can't be one more process.
    """
    messages, sender = Pipe(duplex=False)
    pilot = os.getpid()
    with _signals_blocked():  # until the worker has handlers of its own
        try:
            pid = os.fork()
        except OSError as error:
            raise PyAnamoError(f"a worker can't be started: {error.strerror}") from error
        if pid == 0:
            code = A_BUG
            try:
                with _worker_signals(pilot, shared) as stop:
                    code = _work(number, make_worker, stop, sender)
            finally:
                os._exit(code)  # nothing of the pilot's code is to run here
    sender.close()
    return WorkerProcess(number=number, pid=pid, messages=messages)


def _work(number: int, make_worker: MakeWorker, stop: Stop, sender: Connection) -> int:
    """What the worker's process does; its exit code."""

    def report(message: Message) -> None:
        try:
            sender.send(message)
        except OSError:
            stop.set(PILOT_GONE, grace=GRACE_SECONDS)

    try:
        worker = make_worker(number, stop, report)
        try:
            worker.work()
        finally:
            worker.table.close()  # the last one leaves an embedded table's file whole, for copies
        return 0 if stop.signal is None else exit_code(stop.signal)
    except PyAnamoError as error:
        with suppress(OSError):
            sender.send(str(error))
        return error.exit_code
    except BaseException:
        log.exception("worker %d: this is a bug in PyAnamo", number)
        return A_BUG


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let signals wait until the block ends."""
    handled = {*STOP_SIGNALS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)


@contextmanager
def _worker_signals(pilot: int, shared: SharedNumbers) -> Iterator[Stop]:
    """SIGTERM stops a worker, also when its pilot dies; all else is the pilot's to mind.

    Entered with signals blocked, in the process that was just forked.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in STOP_SIGNALS:  # a SIGTERM after the first must not end it at once
        signal.signal(number, signal.SIG_IGN)

    def why(_number: int) -> str:
        return shared.stop_reason if os.getppid() == pilot else PILOT_GONE

    with stop_signals(grace=GRACE_SECONDS, why=why) as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the pilot forwards it
        die_with_parent(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
        if os.getppid() != pilot:
            stop.set(PILOT_GONE, grace=GRACE_SECONDS)
        yield stop

"""Run one command in its own process group, capture its output, and stop it if necessary."""

from __future__ import annotations

import errno
import math
import os
import select
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pyanamo.identity import runs_in_batch
from pyanamo.model import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    SIGNALLED,
    TIMED_OUT,
    CommandEnd,
    Ending,
    utc_date,
)
from pyanamo.output.capture import TaskOutput
from pyanamo.pilot.marks import kill_marked
from pyanamo.pilot.memory import out_of_memory_kills, prefer_as_victim
from pyanamo.pilot.peak import RSS_UNIT, PeakMemory
from pyanamo.pilot.shortage import shortage_of
from pyanamo.pilot.spawn import Environment, encoded, spawn
from pyanamo.shellwords import split_words
from pyanamo.signals import STOP_SIGNALS, Halt

TIME_IS_UP = "the wall time is used up"
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL
# A container has only 10 s in all if its machine is shut down without notice. Its pilot needs the
# rest of them to give its items back.
BATCH_GRACE_SECONDS = 5.0
# How long background processes may run after the task's end, to finish their output.
LEFTOVER_SECONDS = 5.0
DYING_SECONDS = 1.0  # for processes that were killed; zombies may stay until they are reaped
BRIEF_SECONDS = 0.05  # a command that ends within this time hasn't exhausted the memory

TOLD_SECONDS = 0.5  # within which the pilot tells its workers of a stop signal
# Of a command that ends by a stop signal, and of a shell that tells of such an end.
_STOPPED_STATUSES = {*(-n for n in STOP_SIGNALS), *(SIGNALLED + n for n in STOP_SIGNALS)}


def grace_seconds() -> float:
    """How long tasks have from SIGTERM to SIGKILL."""
    return min(GRACE_SECONDS, BATCH_GRACE_SECONDS) if runs_in_batch() else GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The conditions that stop a command before it ends by itself."""

    halts: Sequence[Halt] = ()
    timeout: float | None = None  # seconds
    kill_at: float | None = None  # monotonic clock; the wall time plus --kill-after

    @property
    def reached_halt(self) -> Halt | None:
        """The first halt that is set, if any."""
        return next((halt for halt in self.halts if halt), None)

    def wait(self, seconds: float) -> bool:
        """Wait until a halt is set, but at most `seconds`; whether one is."""
        poll = select.poll()
        for halt in self.halts:
            poll.register(halt, select.POLLIN)
        poll.poll(1000 * min([seconds, *(halt.seconds_left for halt in self.halts)]))
        return any(self.halts)


def run_command(
    command: str,
    *,
    environment: Environment,
    output: TaskOutput,
    bounds: Bounds,
    marks: Sequence[str] = (),
) -> CommandEnd:
    """Run a command until it ends or reaches its bounds, and leave no process of it running.

    `marks` are passed to `kill_marked`, to find processes that left the process group. Raises
    `Shortage` when the command can't be started because the machine is short of something.
    """
    kills_before = out_of_memory_kills()
    started_at, started = time.time(), time.monotonic()
    try:
        child = Child(split_words(command, environment), environment, output, marks)
    except (OSError, ValueError) as error:
        if shortage := shortage_of(error):
            raise shortage from error
        exit_code, reason = _why_not_started(error, command, environment)
        return CommandEnd(
            ending=Ending.FAILED,
            exit_code=exit_code,
            reason=reason,
            start_date=utc_date(started_at),
            run_seconds=round(time.monotonic() - started, 3),
        )
    return _await_end(child, bounds, kills_before)


class Child:
    """A running command, the leader of its own process group and session."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Environment,
        output: TaskOutput,
        marks: Sequence[str],
    ) -> None:
        """Start the command. Raises `OSError` and `ValueError` as `spawn` does."""
        self._marks = marks
        self._captures = output.captures
        self._start_date = utc_date(time.time())
        self.started = time.monotonic()
        self._process = spawn(words, environment, output.stdout.writer, output.stderr.writer)
        self.pid = self._process.pid
        self.status: int | None = None  # the exit code, or minus the signal that ended it
        self._cpu_seconds = 0.0
        self._max_rss = 0  # bytes
        self._peak = PeakMemory(self.pid, marks, self.started)
        self._brief_until: float | None = self.started + BRIEF_SECONDS

    def end(self, ending: Ending, exit_code: int | None = None, reason: str = "") -> CommandEnd:
        """Return how the command ended, and what it used. It must have ended."""
        return CommandEnd(
            ending=ending,
            exit_code=exit_code,
            reason=reason,
            start_date=self._start_date,
            run_seconds=round(time.monotonic() - self.started, 3),
            cpu_seconds=self._cpu_seconds,
            max_rss_mb=round(self._max_rss / 1e6, 1),
            peak_mb=self._peak.mb(self._max_rss),
        )

    def wait(self, until: float | None = None, halts: Sequence[Halt] = ()) -> bool:
        """Wait for the end; return False if a halt or the time `until` (monotonic) came first."""
        handle = _process_handle(self.pid) if self.status is None else None
        try:
            while not self._reap():
                now = time.monotonic()
                left = math.inf if until is None else until - now
                if left <= 0 or any(halts):
                    return False
                # Without a handle that wakes us, we have to poll.
                longest = 3600.0 if handle is not None else 0.02
                next_look = (self._brief_until or self._peak.due) - now
                left = min(left, longest, next_look, *(halt.seconds_left for halt in halts))
                self._pump(left, *halts, *(() if handle is None else (handle,)))
                self._look()
            return True
        finally:
            if handle is not None:
                os.close(handle)

    def _look(self) -> None:
        """See to the command's memory, once it has turned out not to be a brief one."""
        now = time.monotonic()
        if self._brief_until and now >= self._brief_until:
            self._brief_until = None
            prefer_as_victim(self.pid)
        elif now >= self._peak.due:
            self._peak.look()

    def _pump(self, seconds: float, *wakers: Halt | int) -> None:
        """Read output, until a waker or an output is ready or the seconds have passed."""
        poll = select.poll()
        for waker in wakers:
            poll.register(waker, select.POLLIN)
        captures = {capture.fileno(): capture for capture in self._captures}
        for file in captures:
            poll.register(file, select.POLLIN)
        for file, _ in poll.poll(1000 * max(0.0, seconds) + 1):
            if file in captures:
                captures[file].pump()

    def stop(self, grace: float) -> None:
        """Stop the command and its descendants: SIGTERM, then SIGKILL after `grace` seconds."""
        deadline = time.monotonic() + grace
        self._signal_group(signal.SIGTERM)
        self._signal_group(signal.SIGCONT)  # suspended processes must continue to get it
        self.wait(deadline)
        self.stop_leftovers(deadline - time.monotonic())
        if self._marks:
            kill_marked(*self._marks)
        self.wait()

    def stop_leftovers(self, grace: float) -> None:
        """Wait `grace` seconds for the other processes of the group, then kill them."""
        deadline = time.monotonic() + grace
        is_killed = False
        while self._signal_group(0):
            if time.monotonic() >= deadline:
                if is_killed:
                    break
                self._signal_group(signal.SIGKILL)
                is_killed, deadline = True, time.monotonic() + DYING_SECONDS
            self._pump(0.01)
        for capture in self._captures:
            capture.pump()

    def _signal_group(self, number: int) -> bool:
        """Send a signal to the group; return whether the group had a process to receive it."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # for zombies on macOS, and for setuid programs everywhere
            return number != 0
        return True

    def _reap(self) -> bool:
        """Return whether the command has ended; if so, note its status and what it used."""
        if self.status is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
                self._process.returncode = self.status  # Popen didn't wait for it itself
                self._cpu_seconds = round(used.ru_utime + used.ru_stime, 3)
                self._max_rss = used.ru_maxrss * RSS_UNIT
        return self.status is not None


def _await_end(child: Child, bounds: Bounds, kills_before: int) -> CommandEnd:
    """Wait for the command to end, or stop it when it reaches its bounds."""
    timeout_at = None if bounds.timeout is None else child.started + bounds.timeout
    times = [moment for moment in (timeout_at, bounds.kill_at) if moment is not None]
    if child.wait(min(times, default=None), bounds.halts):
        if halt := _stopped_by(child, bounds):
            child.stop(halt.grace)  # what it has left behind
            return child.end(Ending.INTERRUPTED, reason=halt.reason)
        child.stop_leftovers(LEFTOVER_SECONDS)
        return _end_by_status(child, kills_before)
    halt = bounds.reached_halt
    timed_out = timeout_at is not None and time.monotonic() >= timeout_at
    child.stop(halt.grace if halt else grace_seconds())
    if halt is not None:
        return child.end(Ending.INTERRUPTED, reason=halt.reason)
    if timed_out:
        return child.end(Ending.FAILED, TIMED_OUT, f"timed out after {bounds.timeout:g} s")
    return child.end(Ending.INTERRUPTED, reason=TIME_IS_UP)


def _stopped_by(child: Child, bounds: Bounds) -> Halt | None:
    """The halt for which somebody else has ended the command; None if it ended by itself.

    The guardian or the pilot kills it, or whoever stops the pilot sends the same signal to all
    processes at once (systemd, Slurm, a machine that shuts down): then the command may end before
    its pilot has told us.
    """
    if child.status == 0:
        return None
    if child.status in _STOPPED_STATUSES:
        bounds.wait(TOLD_SECONDS)
    return bounds.reached_halt


def _end_by_status(child: Child, kills_before: int) -> CommandEnd:
    """Return the end by exit status; `kills_before` is the out-of-memory count at the start."""
    status = child.status or 0
    if status == 0:
        return child.end(Ending.DONE, 0)
    if status > 0:
        return child.end(Ending.FAILED, status, f"exit code {status}")
    for_memory = -status == signal.SIGKILL and out_of_memory_kills() > kills_before
    why = " (out of memory)" if for_memory else ""
    return child.end(Ending.FAILED, SIGNALLED - status, f"killed by signal {-status}{why}")


def _why_not_started(error: Exception, command: str, environment: Environment) -> tuple[int, str]:
    """Return the exit code and the reason for a command that could not be started."""
    if not isinstance(error, OSError):
        return NOT_EXECUTABLE, f"not a command: {error}"
    program = split_words(command, environment)[:1]
    name = program[0] if program else ""
    path = os.fsdecode(encoded(environment.get("PATH", os.defpath)))
    if error.errno == errno.ENOENT and shutil.which(os.fsdecode(encoded(name)), path=path):
        return NOT_EXECUTABLE, f"its interpreter is missing: {name}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NOT_FOUND, f"command not found: {name}"
    if error.errno == errno.EACCES:
        return NOT_EXECUTABLE, f"not executable: {name}"
    return NOT_EXECUTABLE, f"can't be started: {name}: {error.strerror}"


def _process_handle(pid: int) -> int | None:
    """Return a file that becomes readable when the process ends (pidfd_open(2)), if possible."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None

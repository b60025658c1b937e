"""Finding what tasks have left running, also where it can't be looked at."""

import ctypes
import os
import signal
from collections.abc import Callable

from pyanamo.pilot.marks import adopt_orphans, hidden_orphans
from tests.support.waiting import wait_until

NOBODY = 65534
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def in_a_process_without_privileges(act: Callable[[], object]) -> None:
    """Root may look at everything: do something in a process that may not, and wait for it."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def hidden_orphan() -> int:
    """Its pid: a child's child, which may not be looked at, and whose parent has died."""
    reader, writer = os.pipe()
    if (parent := os.fork()) == 0:
        if (pid := os.fork()) == 0:
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            os.write(writer, b"!")
            signal.pause()
        os.read(reader, 1)
        os.write(writer, pid.to_bytes(4, "big"))
        os._exit(0)
    os.waitpid(parent, 0)
    return int.from_bytes(os.read(reader, 4), "big")


def test_orphans_that_no_mark_can_be_seen_of_are_found() -> None:
    """Whoever has adopted them can't tell what they are, but that they are there."""

    def look() -> None:
        adopt_orphans()
        orphan = hidden_orphan()
        try:
            assert hidden_orphans(own=()) == [orphan]
            assert hidden_orphans(own={orphan}) == []  # one of the pilot's other workers, say
        finally:
            os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: hidden_orphans(own=()) == [], "a dead one counts no more")

    in_a_process_without_privileges(look)


def test_processes_that_can_be_looked_at_are_not_hidden() -> None:
    if (child := os.fork()) == 0:
        signal.pause()
    try:
        assert child not in hidden_orphans(own=())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

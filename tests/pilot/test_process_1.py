"""A pilot as process 1 of a container, and what its tasks orphan."""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import partial
from pathlib import Path

import pytest

from pyanamo.model import ItemState
from tests.support.hanging import DELAYS, PLAIN, STUBBORN, assert_given_back, hanging
from tests.support.hasty import STOP
from tests.support.pilots import PilotProcess
from tests.support.place import Place
from tests.support.processes import processes, unshared
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED

ORPHANS = """
for n in 1 2 3 4 5; do setsid --fork bash -c 'until test -e end; do sleep 0.02; done'; done
touch ready
wait_for go
"""


def test_what_a_task_orphans_does_not_stay_as_a_zombie(local: Place) -> None:
    local.script("orphans.sh", ORPHANS)
    local.fill({"item": "./orphans.sh"})
    pilot = local.start()
    local.wait_for("ready")

    def adopted() -> list[int]:
        tasks = local.task("item")
        return [child.pid for child in pilot.children if child.pid in tasks]

    wait_until(lambda: len(adopted()) == 5, "the pilot has adopted the orphans")
    orphans = adopted()
    local.touch("end")
    wait_until(
        lambda: not any(process.pid in orphans for process in processes()),
        "the orphans have been reaped, the pilot still running",
        seconds=5,
    )
    assert pilot.is_running
    local.touch("go")
    assert pilot.wait().counts["done"] == 1


def process_one(pilot: PilotProcess) -> int:
    """The pilot itself, where `pilot` is the unshare(1) that runs it as process 1."""
    return wait_until(lambda: pilot.children, "process 1")[0].pid


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in status if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << (number - 1))


def test_a_pilot_that_is_process_1_stops_like_any_other(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, **STUBBORN)
    unshare = local.start("-i", "7", prefix=unshared(), hasty=True)
    local.wait_for(*ready)
    signalled = time.monotonic()
    os.kill(process_one(unshare), signal.SIGTERM)
    ended = unshare.wait(20)
    assert time.monotonic() - signalled < STOP + 2
    assert ended.code == 143
    assert ended.counts["released"] == 7
    assert_given_back(local, "plain", *STUBBORN, reason="stopped by SIGTERM")


def test_a_signal_to_process_1_in_the_first_second(local: Place) -> None:
    """Later and later, from its first lines on: before them the kernel ignores the signal."""
    local.script("plain.sh", PLAIN)
    local.fill({"one": "./plain.sh", "two": ["./plain.sh"]})
    for delay in DELAYS[::2]:
        unshare = local.start("-i", "2", prefix=unshared())
        pilot = process_one(unshare)
        wait_until(partial(handles, pilot, signal.SIGTERM), "it has a handler")
        time.sleep(delay)
        os.kill(pilot, signal.SIGTERM)
        assert unshare.wait(20).code == 143, f"after {delay} s"
        items = local.items().values()
        assert all((item.state, item.token, item.attempts) == (TODO, "", 0) for item in items)
        if all(item.history for item in items):
            return
    pytest.fail(f"even {DELAYS[-1]} s after the start no signal came while the items were run")


@pytest.mark.parametrize("is_process_1", [False, True])
def test_a_signal_while_the_table_does_not_answer(local: Place, is_process_1: bool) -> None:
    """So early that nothing has been claimed: it ends at once.

    But if the signal comes in the very instant before the wait for the answer, Python acts on it
    when that wait is over, after 10 s.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(30)
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        prefix = unshared() if is_process_1 else []
        pilot = local.start(prefix=prefix, table=["-t", "Table", "--endpoint-url", endpoint])
        connection, _ = nobody.accept()
        os.kill(process_one(pilot) if is_process_1 else pilot.pid, signal.SIGTERM)
        assert pilot.wait(15).code == 143
        connection.close()

"""An embedded table's file that is locked, deleted or copied while a pilot works on it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time

import pytest

from pyanamo.model import Ending, ItemState
from pyanamo.tables import Store
from pyanamo.tables.sqlitefile import BUSY_SECONDS
from tests.support.hasty import STOP
from tests.support.importing import locked_file
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.processes import has_open
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)


def test_without_its_table_an_item_keeps_its_lease_when_its_worker_dies(local: Place) -> None:
    local.script("murder.sh", "wait_for gone; kill -KILL $PPID; sleep 300")
    local.fill({"item": "./murder.sh"})
    pilot = local.start("-v")
    local.wait_for_state("item", LOCKED)
    local.table.close()
    (local.folder / "table.db").rename(local.folder / "elsewhere.db")
    local.touch("gone")
    ended = pilot.wait()
    (local.folder / "elsewhere.db").rename(local.folder / "table.db")
    assert (ended.code, ended.counts["lost"]) == (1, 1)
    (line,) = [line for line in ended.stderr.splitlines() if "not given back" in line]
    assert "WARNING itemID=item TaskID=item-group" in line
    assert "there is no table" in line
    item = local.item("item")
    assert (item.state, item.attempts, endings(item)) == (LOCKED, 1, [])


def test_a_stop_does_not_wait_for_an_item_to_be_given_back(local: Place) -> None:
    """Another program holds the table's file, for longer than anybody has."""
    local.script("murder.sh", "wait_for locked; kill -KILL $PPID; sleep 300")
    local.fill({"item": "./murder.sh"})
    pilot = local.start(hasty=True)
    local.wait_for_state("item", LOCKED)
    database = sqlite3.connect(local.folder / "table.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    local.touch("locked")
    pilot.wait_for_log("starting another one")
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    database.execute("ROLLBACK")
    database.close()
    assert time.monotonic() - signalled < STOP + 2
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    assert local.item("item").state is LOCKED


def test_a_stop_does_not_wait_for_a_claim(local: Place) -> None:
    """Another program holds the table's file."""
    local.fill({"item": "true"})
    file = local.folder / "table.db"
    with locked_file(file):
        pilot = local.start()
        wait_until(lambda: any(has_open(pid, file) for pid in pilot.workers), "a worker looks")
        pilot.signal(signal.SIGTERM)
        ended = pilot.wait(BUSY_SECONDS / 2)
    assert ended.code == 143
    assert (local.item("item").state, local.item("item").attempts) == (TODO, 0)


@pytest.mark.parametrize("dies_too", [False, True])
def test_an_item_is_given_back_as_soon_as_its_table_answers(local: Place, dies_too: bool) -> None:
    """Even if the worker that is to give it back dies as well."""
    local.script("murder.sh", "mkdir once || exit 0; wait_for locked; kill -KILL $PPID; sleep 300")
    local.fill({"item": "./murder.sh"})
    pilot = local.start(hasty=True)
    local.wait_for_state("item", LOCKED)
    database = sqlite3.connect(local.folder / "table.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    local.touch("locked")
    pilot.wait_for_log("not given back yet")
    if dies_too:
        (worker,) = pilot.workers
        os.kill(worker, signal.SIGKILL)
        pilot.wait_for_log(f"(pid {worker}) was killed by signal 9: starting another one")
    database.execute("ROLLBACK")
    database.close()
    ended = pilot.wait()
    assert ended.counts == {"done": 1, "failed": 0, "released": 0, "lost": 1}
    assert endings(local.item("item")) == [Ending.LOST, Ending.DONE]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_table_whose_file_is_deleted_ends_the_pilot(local: Place, replaced: bool) -> None:
    """SQLite would go on in a file without a name: no result could be found again."""
    local.script("waits.sh", "wait_for gone; echo said")
    local.fill({"item": "./waits.sh"})
    pilot = local.start()
    local.wait_for_state("item", LOCKED)
    local.table.close()
    for file in local.folder.glob("table.db*"):
        file.unlink()
    if replaced:
        local.table.create()
        local.table.close()
    local.touch("gone")
    ended = pilot.wait()
    assert ended.code == 1
    assert "was deleted or replaced while it was in use" in ended.stderr
    (file,) = local.folder.glob("pyanamo-unrecorded-*.json")
    assert str(file) in ended.stderr
    assert json.loads(file.read_text())["Log"]["stdout"] == "said\n"


def test_what_a_stop_could_not_give_back_is_named(local: Place) -> None:
    """Another program holds the table's file while the item's end is to be written."""
    local.script("waits.sh", "touch ready; wait_for locked; echo said")
    local.fill({"item": "./waits.sh"})
    pilot = local.start(hasty=True)
    local.wait_for("ready")
    database = sqlite3.connect(local.folder / "table.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    local.touch("locked")
    wait_until(lambda: not local.task("item"), "the end of the task")
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    database.execute("ROLLBACK")
    database.close()
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    (line,) = [line for line in ended.stderr.splitlines() if "not given back in time" in line]
    assert "ERROR itemID=item TaskID=item-group" in line
    (file,) = local.folder.glob("pyanamo-unrecorded-*.json")
    assert line.endswith(f"the results are in {file}")
    assert json.loads(file.read_text())["Log"]["stdout"] == "said\n"
    assert local.item("item").state is LOCKED


def test_a_copy_of_the_file_has_all_that_a_pilot_did(local: Place) -> None:
    """Nothing of it is left in the files that SQLite keeps beside it."""
    local.fill({f"item{number}": "true" for number in range(5)})
    local.table.close()
    assert local.run("-i", "2").counts["done"] == 5
    copy = local.folder / "copy.db"
    copy.write_bytes((local.folder / "table.db").read_bytes())
    rows = Store(local=copy).open(local.table_name).summaries()
    assert {row.state for row in rows} == {DONE}

"""A table that disappears, for a while or for good, while pilots work on it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyanamo.model import Ending, ItemState
from tests.support.dynamodb_local import DynamoDBLocal
from tests.support.hasty import LEASE, STOP
from tests.support.pilots import Ended, endings
from tests.support.place import Place, cleaned_up
from tests.support.waiting import wait_until

OUTAGE_SECONDS = 3.0  # a hasty pilot's SDK and SQLite give up a request earlier


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DynamoDBLocal]:
    """A DynamoDB that may be killed and started again: it keeps its tables in a file."""
    with DynamoDBLocal(data_dir=tmp_path / "dynamodb") as server:
        yield server


@pytest.fixture
def place(server: DynamoDBLocal, tmp_path: Path, table_name: str) -> Iterator[Place]:
    """A place with a table of that server."""
    with cleaned_up(Place.at(server.endpoint, tmp_path, table_name)) as place:
        yield place


def fill_with_many(place: Place) -> list[str]:
    """Single and nested items; the lines that running each task once writes to `ran`."""
    place.script("note.sh", "echo $id >> ran; sleep 0.2")
    place.fill({f"single{n:02}": "./note.sh" for n in range(30)})
    place.fill({f"nested{n}": ["./note.sh"] * 4 for n in range(5)})
    singles = [f"single{n:02}.Task_0" for n in range(30)]
    return sorted(singles + [f"nested{n}.Task_{task}" for n in range(5) for task in range(4)])


def assert_all_ran_once(place: Place, ended: Ended, expected: list[str]) -> None:
    assert ended.code == 0
    assert ended.counts == {"done": 35, "failed": 0, "released": 0, "lost": 0}
    assert place.lines("ran") == expected
    for item in place.items().values():
        assert (item.state, item.attempts, endings(item)) == (ItemState.DONE, 1, [Ending.DONE])
    assert list(place.folder.glob("pyanamo-unrecorded-*")) == []


def test_a_pilot_outlives_an_outage(place: Place, server: DynamoDBLocal) -> None:
    expected = fill_with_many(place)
    pilot = place.start("-i", "3", "-n", "2", hasty=True)
    wait_until(lambda: len(place.lines("ran")) >= 10, "some tasks have run")

    server.kill()
    time.sleep(OUTAGE_SECONDS)
    assert pilot.is_running
    assert len(place.lines("ran")) < len(expected)
    server.start()

    assert_all_ran_once(place, pilot.wait(90), expected)


def test_a_pilot_outlives_a_file_that_is_locked(local: Place) -> None:
    """Another program holds the embedded table's file for a few seconds."""
    expected = fill_with_many(local)
    pilot = local.start("-i", "3", "-n", "2", hasty=True)
    wait_until(lambda: len(local.lines("ran")) >= 10, "some tasks have run")
    database = sqlite3.connect(local.folder / "table.db", timeout=30, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    time.sleep(OUTAGE_SECONDS)
    assert len(local.lines("ran")) < len(expected)
    database.execute("ROLLBACK")
    database.close()
    assert_all_ran_once(local, pilot.wait(), expected)


def unrecorded(place: Place) -> dict[str, dict[str, object]]:
    """What the pilots' files tell of results that the table didn't take, by item."""
    files = place.folder.glob("pyanamo-unrecorded-*.json")
    contents = [json.loads(file.read_text()) for file in files]
    return {content["itemID"]: content for content in contents}


def test_a_table_that_is_gone_for_good(place: Place, server: DynamoDBLocal) -> None:
    """What was done is kept in files. Then the pilot, which finds nothing to claim, gives up."""
    place.script("wait.sh", "touch ready.$id; wait_for go; echo the result of $id")
    place.fill({"single": "./wait.sh", "nested": ["./wait.sh", "./wait.sh", "./wait.sh"]})
    pilot = place.start("-i", "2", "-n", "3", "--lease", f"{LEASE}s", hasty=True)
    place.wait_for("ready.single.Task_0", *(f"ready.nested.Task_{n}" for n in range(3)))
    token = place.item("single").token

    server.kill()
    place.touch("go")
    ended = pilot.wait(110)

    assert ended.code == 1
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 2}
    (line,) = ended.error_lines
    assert server.endpoint in line
    kept = unrecorded(place)
    assert kept.keys() == {"single", "nested"}
    for file in place.folder.glob("pyanamo-unrecorded-*"):
        assert f"the results are in {file}" in ended.stderr
    single, nested = kept["single"], kept["nested"]
    assert (single["table"], single["lockID"]) == (place.table_name, token)
    assert (single["TaskID"], single["outcome"]) == ("single-group", "done")
    log = nested["Log"]
    assert isinstance(log, dict)
    for number in range(3):
        assert log[f"Task_{number}"]["stdout"] == f"the result of nested.Task_{number}\n"


def test_tasks_do_not_outlive_a_lease_that_cannot_be_renewed(
    place: Place, server: DynamoDBLocal
) -> None:
    """Somebody else may run them from then on, though we can't know whether they do."""
    place.fill({"item": "bash -c 'sleep 300 & touch ready; sleep 300'"})
    pilot = place.start("--lease", f"{LEASE}s", "--max-items", "1", hasty=True)
    place.wait_for("ready")
    expires = place.item("item").lease_expires
    assert expires is not None

    server.kill()
    wait_until(lambda: not place.task("item"), "the tasks are dead")

    assert time.time() < expires + LEASE / 3  # renewed at most once more, at a third
    ended = pilot.wait()
    assert (ended.code, ended.counts["lost"]) == (0, 1)
    assert "the lease could not be renewed in time" in ended.stderr
    assert unrecorded(place) == {}
    server.start()
    assert (place.item("item").state, place.item("item").history) == (ItemState.LOCKED, ())


def test_a_stop_while_a_result_cannot_be_written(place: Place, server: DynamoDBLocal) -> None:
    """The result is kept in a file, though there is no time left to try again."""
    place.script("wait.sh", "touch ready; wait_for go; echo the result")
    place.fill({"item": "./wait.sh"})
    pilot = place.start(hasty=True)
    place.wait_for("ready")
    server.kill()
    with socket.create_server(("127.0.0.1", server.port)) as nobody:
        nobody.settimeout(30)
        place.touch("go")
        nobody.accept()[0].close()  # the pilot tries to write the result
        signalled = time.monotonic()
        pilot.signal(signal.SIGTERM)
        ended = pilot.wait(25)

    assert time.monotonic() - signalled < STOP + 2
    assert ended.code == 143
    assert unrecorded(place)["item"]["Log"]["stdout"] == "the result\n"  # type: ignore[index]

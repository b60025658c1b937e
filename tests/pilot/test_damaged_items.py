"""Pilots among rows that aren't items, and among items that others hold."""

from __future__ import annotations

import re
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pyanamo.model import ItemState
from tests.support.damage import OF_A_CLAIM, Damage, inflict, insert_raw
from tests.support.damaged_rows import damage
from tests.support.makers import claimed, nested, single
from tests.support.pilots import LOG_LINE
from tests.support.place import Place, cleaned_up


@pytest.mark.parametrize("kind", ["local", pytest.param("remote", marks=pytest.mark.services)])
def test_a_pilot_sets_damaged_items_aside_and_does_the_others(
    request: pytest.FixtureRequest, kind: str
) -> None:
    place: Place = request.getfixturevalue(kind)
    place.fill({f"good{number}": "true" for number in range(5)})
    for number, each in enumerate(OF_A_CLAIM):
        name = f"bad{number}"
        place.table.add([nested(name, 1) if each.nested else single(name)])
        inflict(place.store, place.table_name, name, each)
    ended = place.run("-i", "2")
    assert (ended.code, ended.counts["done"], ended.counts["failed"]) == (0, 5, 0)
    assert ended.error_lines == []
    told = re.findall(r"put on hold: table '.+': item '(bad\d+)' is damaged: ", ended.stderr)
    assert sorted(told) == sorted(f"bad{number}" for number in range(len(OF_A_CLAIM)))
    assert place.run().counts["done"] == 0


def test_an_item_that_is_mended_runs(local: Place) -> None:
    local.fill({"bad": "true"})
    inflict(local.store, local.table_name, "bad", Damage("Attempts", None, "none"))
    assert local.run().counts["done"] == 0
    inflict(local.store, local.table_name, "bad", Damage("Attempts", None, 0))
    with local.workflow() as workflow:
        from pyanamo.workflow import Selection

        assert workflow.unhold(Selection(names=("bad",))).changed == 1
    assert local.run().counts["done"] == 1


@pytest.mark.parametrize("kind", ["local", pytest.param("remote", marks=pytest.mark.services)])
def test_a_pilot_that_finds_only_locked_items_says_until_when(
    request: pytest.FixtureRequest, kind: str
) -> None:
    place: Place = request.getfixturevalue(kind)
    place.table.create()
    claimed(place.table, single("first"), lease=800)
    claimed(place.table, single("second"), lease=7200)
    ended = place.run("-i", "2")
    assert ended.code == 0
    last = ended.stderr.splitlines()[-1]
    assert last.endswith("nothing else is left: 2 items are locked, the first lease ends in 13 min")


def test_a_pilot_does_not_tell_of_its_own_items(local: Place) -> None:
    local.fill({"long": "sleep 2", "short": "true"})
    ended = local.run("-i", "2")
    assert ended.counts["done"] == 2
    assert "nothing else is left" not in ended.stderr


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE items DROP COLUMN Log", "PRAGMA user_version = 99"]
)
def test_a_file_that_waiting_will_not_mend_ends_the_pilot(local: Place, statement: str) -> None:
    local.fill({"item": "true"})
    local.table.close()
    with closing(sqlite3.connect(local.folder / "table.db")) as database, database:
        database.execute(statement)
    ended = local.run()
    assert ended.code == 1
    assert len(ended.stderr.splitlines()) == 1
    assert ended.seconds < 20


def test_a_file_that_is_damaged_during_the_work_ends_the_pilot(local: Place) -> None:
    """The result is kept in a file; nothing waits for the lease."""
    local.script("waits.sh", "touch ready; wait_for gone; echo said")
    local.fill({"item": "./waits.sh", **{f"item{n}": "true " * 500 for n in range(200)}})
    pilot = local.start()
    local.wait_for("ready")
    local.table.close()
    with closing(sqlite3.connect(local.folder / "table.db")) as database, database:
        database.execute("ALTER TABLE items RENAME TO others")
    local.touch("gone")
    ended = pilot.wait(30)
    assert ended.code == 1
    assert ended.error_lines[-1].endswith("import into another file")
    assert list(local.folder.glob("pyanamo-unrecorded-*.json"))


@given(rows=st.lists(damage, min_size=10, max_size=30))
@settings(
    max_examples=4,
    phases=[Phase.reuse, Phase.generate],  # to shrink an example, many pilots would have to run
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_pilot_among_rows_of_any_shape(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    with cleaned_up(Place.in_file(folder)) as place:
        place.fill({"good": "true"})
        for number, row in enumerate(rows):
            whole = {"itemID": f"any{number}", "TaskID": "S1", "TaskScript": "true", "Slot": "0"}
            insert_raw(place.store, "Step", {**whole, "ItemState": "todo", **row})
        ended = place.run("-i", "2", "--max-failures-in-a-row", "0")
        assert ended.code == 0, ended.stderr
        assert all(map(LOG_LINE.fullmatch, ended.stderr.splitlines())), ended.stderr
        assert place.item("good").state is ItemState.DONE
        place.table.on_damaged = lambda _: None
        assert place.names(ItemState.TODO) == []

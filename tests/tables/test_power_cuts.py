"""What an embedded table has on the disk when it says so: which commits wait for the disk."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyanamo.model import Outcome
from pyanamo.tables.sqlite import SQLiteTable
from tests.support.makers import add, claim_from, done, interrupted, nested, well


@pytest.fixture
def table(tmp_path: Path) -> Iterator[SQLiteTable]:
    with closing(SQLiteTable("Step", tmp_path / "table.db")) as table:
        table.create()
        add(table, nested("item", 2))
        yield table


def waits_for_the_disk(table: SQLiteTable) -> list[bool]:
    """For each change of an item from now on, whether its commit waits."""
    connection = table._file._connection
    assert connection is not None
    waits: list[bool] = []
    level = "NORMAL"

    def see(statement: str) -> None:
        nonlocal level
        if statement.startswith("PRAGMA synchronous = "):
            level = statement.rpartition(" ")[2]
        if statement.startswith("UPDATE items"):
            waits.append(level == "FULL")

    connection.set_trace_callback(see)
    return waits


def outcome(seconds: float) -> Outcome:
    return done({"Task_0": well(seconds), "Task_1": well(seconds)})


@pytest.mark.parametrize(("seconds", "waits"), [(0.1, False), (0.6, True), (3600.0, True)])
def test_an_end_waits_if_its_tasks_took_time(
    table: SQLiteTable, seconds: float, waits: bool
) -> None:
    claim = claim_from(table)
    seen = waits_for_the_disk(table)
    assert table.finish(claim, outcome(seconds))
    assert seen == [waits]


def test_results_of_a_nested_item_that_goes_on_wait_and_renewals_do_not(table: SQLiteTable) -> None:
    claim = claim_from(table)
    seen = waits_for_the_disk(table)
    assert table.renew(claim, lease=60, results={"Task_0": outcome(7200).results["Task_0"]})
    assert table.renew(claim, lease=60)
    assert table.release(claim, interrupted())
    claim_from(table)
    assert seen == [True, False, False, False]


def test_a_refused_end_leaves_the_level_as_it_was(table: SQLiteTable) -> None:
    claim = claim_from(table)
    assert table.finish(claim, outcome(5))
    assert not table.renew(claim, lease=60)
    connection = table._file._connection
    assert connection is not None
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1

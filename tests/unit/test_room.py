"""How large an item gets by what its tasks print."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyanamo.model import Claim, Ending, Item, Outcome, Result, TaskStatus
from pyanamo.output.room import ITEM_BYTES, Room
from pyanamo.pilot.madewith import MOST_BYTES
from pyanamo.tables import transitions
from pyanamo.tables.attributes import new_item
from pyanamo.tables.size import MAX_ITEM_BYTES, MAX_REASON_BYTES, grown_size, item_size
from tests.support.fuzz import examples
from tests.support.makers import nested
from tests.support.output import output_of


def item_of(tasks: int, script_bytes: int) -> Item:
    """A nested item with scripts of that size."""
    return nested("i" * 2048, ["x" * script_bytes] * tasks)


def finished_size(item: Item, *, lines: int, address: int) -> int:
    """An item's size after every task has printed so many result lines and much else, and failed.

    `address` is the length of each `Log_URI`, if there is room for that.
    """
    room = Room(item)
    with output_of(b"PyAnamo:\tresult\n" * lines) as output:
        results = output.results(room.results)
    result = Result(
        status=TaskStatus.FAILED,
        exit_code=127,
        reason="r" * MAX_REASON_BYTES,
        start_date="2026-01-31T23:59:59Z",
        run_seconds=123456.789,
        cpu_seconds=123456.789,
        max_rss_mb=123456.7,
        peak_mb=123456.7,
        stdout_bytes=10**12,
        stderr_bytes=10**12,
        log_uri="u" * min(address, room.address),
        results=results,
    )
    tail = room.tail_beside(result)
    result = replace(result, stdout="o" * tail, stderr="e" * tail)
    claim = Claim(item=item, token="t" * 16)
    outcome = Outcome(
        ending=Ending.FAILED,
        results={task.name: result for task in item.tasks},
        reason=result.reason,
        exit_code=127,
        made_with={f"name-of-{n}" * 2: "m" * MOST_BYTES for n in range(4)},
    )
    changes = transitions.finished(claim, outcome, 1_800_000_000.0)
    return item_size({**new_item(item, "i" * 29), **changes})


@settings(max_examples=examples(50))
@given(st.integers(1, 1200), st.integers(0, 400_000))
@example(1, 385_000)
@example(1100, 0)
@example(1050, 10)
@example(500, 400)
@example(90, 4000)
def test_no_item_that_an_import_accepts_grows_too_large(tasks: int, script_bytes: int) -> None:
    item = item_of(tasks, script_bytes % (400_000 // tasks))
    if grown_size(item) <= MAX_ITEM_BYTES:
        for address in (0, Room(item).address):
            assert finished_size(item, lines=1000, address=address) <= MAX_ITEM_BYTES


@pytest.mark.parametrize("tasks", [1, 2, 20, 50, 100, 150, 190])
@pytest.mark.parametrize("address", [0, 110])
def test_with_their_tails_items_stay_below_100_kb(tasks: int, address: int) -> None:
    assert finished_size(item_of(tasks, 20), lines=0, address=address) <= ITEM_BYTES

"""The contract of a workflow table: what an overview shows."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from pyanamo.model import ItemState, ItemSummary
from pyanamo.tables import Count
from pyanamo.tables.dynamodb import table
from tests.support.backends import DynamoDBBackend
from tests.support.makers import badly, failed, nested, single, well
from tests.support.step import LATER, LEASE, STARTED, Step, make_step


def by_name(summaries: Iterable[ItemSummary]) -> list[ItemSummary]:
    return sorted(summaries, key=lambda summary: summary.item_id)


def test_summaries_show_an_item_a_row(step: Step) -> None:
    step.add(single("a"))
    step.table.finish(step.claim(), failed({"Task_0": badly(3, 1.5)}))
    step.clock.advance(10)
    step.add(nested("b", 3))
    results = {"Task_0": well(), "Task_1": badly()}
    step.table.renew(step.claim("pilot-2"), lease=LEASE, results=results)
    step.add(single("c", task_id="sample-3"))

    ended = ItemSummary(
        item_id="a",
        task_id="group",
        state=ItemState.FAILED,
        instance="pilot-1",
        lock_date=STARTED,
        done_date=STARTED,
        exit_code=3,
        run_seconds=1.5,
    )
    locked = ItemSummary(
        item_id="b",
        task_id="group",
        state=ItemState.LOCKED,
        instance="pilot-2",
        lock_date=LATER,
        nested_tasks=3,
        nested_done=1,
    )
    waiting = ItemSummary(item_id="c", task_id="sample-3", state=ItemState.TODO)
    ended, locked, waiting = (
        replace(row, table=step.table.name) for row in (ended, locked, waiting)
    )
    assert by_name(step.table.summaries()) == [ended, locked, waiting]
    assert list(step.table.summaries(ItemState.LOCKED)) == [locked]
    assert by_name(step.table.summaries(ItemState.TODO, ItemState.FAILED)) == [ended, waiting]
    assert list(step.table.summaries(ItemState.DONE)) == []


def test_summaries_show_held_items(step: Step) -> None:
    step.add(single("a"))
    step.backend.set_raw(step.name, "a", "ItemState", "held")
    assert [summary.item_id for summary in step.table.summaries(ItemState.HELD)] == ["a"]


def test_summaries_show_all_of_many(step: Step) -> None:
    """More than a page: of an embedded table 500 rows, of DynamoDB 1 MB."""
    items = {f"{n:04}-" + "x" * 1500 for n in range(1001)}
    step.add(*map(single, items))
    shown = [summary.item_id for summary in step.table.summaries(ItemState.TODO)]
    assert len(shown) == 1001
    assert set(shown) == items


def test_counts(step: Step) -> None:
    step.add(*(single(f"item-{number}") for number in range(5)))
    step.claim()
    assert step.table.count(ItemState.TODO) == Count(items=4)
    assert step.table.count(ItemState.LOCKED) == Count(items=1)
    assert step.table.count(ItemState.DONE) == Count(items=0)


@pytest.mark.services
def test_a_count_reads_a_few_pages_only(
    dynamo: DynamoDBBackend, table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step(dynamo, table_name)
    monkeypatch.setattr(table, "COUNT_PAGES", 1)
    step.add(*(single(f"{number:04}-" + "x" * 1500) for number in range(1001)))
    count = step.table.count(ItemState.TODO)
    assert 0 < count.items < 1001
    assert not count.is_all
    assert str(count) == f"{count.items}+"

"""The contract of a workflow table: many at once."""

import multiprocessing
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pyanamo.model import Claim, Item, ItemState
from pyanamo.tables import Store
from pyanamo.tables.reading import Row, read_item
from tests.support.backends import SQLiteBackend
from tests.support.makers import done, nested, single, well
from tests.support.step import LEASE, Step, make_step

RACERS, RACED_ITEMS = 16, 200


def race(store: Store, name: str, pilot: str, start: Any, results: Any) -> None:
    """Claim for as long as there is something to claim; what was claimed goes to `results`."""
    table = store.open(name)
    table.check()
    start.wait(60)
    claims: list[tuple[str, str]] = []
    while claim := table.claim(pilot, lease=3600, max_attempts=3):
        claims.append((claim.item.item_id, claim.token))
    table.close()
    results.put((pilot, claims))


def test_of_many_processes_that_race_for_an_item_one_wins(step: Step) -> None:
    items = {f"item-{n}" for n in range(RACED_ITEMS)}
    step.add(*map(single, items))
    # Processes of a server that has the libraries loaded, so that they don't take turns loading.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["boto3", "pyanamo.tables.dynamodb", "pyanamo.tables.sqlite"])
    start, results = processes.Barrier(RACERS), processes.Queue()
    racers = [
        processes.Process(
            target=race, args=(step.backend.store, step.name, f"pilot-{n}", start, results)
        )
        for n in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    won = dict(results.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * RACERS

    winners = [
        (item_id, token, pilot) for pilot, claims in won.items() for item_id, token in claims
    ]
    assert len(winners) == RACED_ITEMS
    assert {item_id for item_id, _, _ in winners} == items
    for item_id, token, pilot in winners:
        item = step.get(item_id)
        assert (item.token, item.instance, item.attempts) == (token, pilot, 1)


def test_threads_that_work_through_one_table_get_different_items(step: Step) -> None:
    items = {f"item-{n}" for n in range(300)}
    step.add(*map(single, items))
    threads = 4
    together = threading.Barrier(threads)

    def work(pilot: str) -> list[str]:
        together.wait(60)
        ended = []
        while claim := step.table.claim(pilot, lease=LEASE, max_attempts=3):
            assert step.table.finish(claim, done()) is True
            ended.append(claim.item.item_id)
        return ended

    with ThreadPoolExecutor(threads) as pool:
        ended = list(pool.map(work, (f"pilot-{n}" for n in range(threads))))
    assert sorted(item_id for ids in ended for item_id in ids) == sorted(items)
    assert {row.item_id for row in step.table.summaries(ItemState.DONE)} == items


def after_the_first_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have others act between the first time that a row is read for a claim, and its change."""
    reads = []

    def read_too_early(row: Row, *, table: str, only: Iterable[str] = ()) -> Item:
        reads.append(row)
        if len(reads) == 1:
            act()
        return read_item(row, table=table, only=only)

    monkeypatch.setattr("pyanamo.tables.sqlite.read_item", read_too_early)


@pytest.mark.parametrize("state", ["todo", "damaged", "expired"])
def test_an_item_that_others_change_just_before_it_is_claimed_is_read_again(
    sqlite: SQLiteBackend, table_name: str, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """An import replaces it in between: nobody runs the old command, or sets the new row aside."""
    step = make_step(sqlite, table_name)
    step.add(single("item", "old"))
    if state == "damaged":
        sqlite.set_raw(step.name, "item", "Attempts", "many")
    if state == "expired":
        step.claim("pilot-0")
        step.clock.advance(LEASE + 1)

    def replace() -> None:
        sqlite.set_raw(step.name, "item", "ItemState", "done")
        step.add(single("item", "new"), replace=True)

    after_the_first_read(monkeypatch, replace)
    claim = step.claim()
    assert (claim.item.tasks[0].script, claim.item.attempts) == ("new", 1)
    assert step.claim_if_any("pilot-2") is None


def test_an_item_that_another_pilot_claims_just_before_stays_its_own(
    sqlite: SQLiteBackend, table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step(sqlite, table_name)
    step.add(single("item"))
    others = []
    after_the_first_read(monkeypatch, lambda: others.append(step.claim("pilot-2")))
    assert step.claim_if_any("pilot-1") is None
    item = step.get("item")
    assert (item.instance, item.token, item.attempts) == ("pilot-2", others[0].token, 1)


def test_a_lease_that_is_renewed_just_before_it_would_be_taken_over_holds(
    sqlite: SQLiteBackend, table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step(sqlite, table_name)
    step.add(single("item"))
    claim = step.claim("pilot-2")
    step.clock.advance(LEASE + 1)
    after_the_first_read(monkeypatch, lambda: step.table.renew(claim, lease=LEASE))
    assert step.claim_if_any("pilot-1") is None
    assert step.table.finish(claim, done())


def test_a_row_that_is_repaired_just_before_it_would_be_set_aside_is_claimed(
    sqlite: SQLiteBackend, table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step(sqlite, table_name)
    step.add(single("item"))
    sqlite.set_raw(step.name, "item", "Attempts", "many")
    after_the_first_read(monkeypatch, lambda: sqlite.set_raw(step.name, "item", "Attempts", 0))
    assert step.claim().item.attempts == 1


def test_threads_share_a_table(step: Step) -> None:
    """A worker's lease is renewed by another thread than that which runs the item."""
    step.add(*(nested(f"item-{n}", 1) for n in range(4)))
    claims = [step.claim() for _ in range(4)]
    together = threading.Barrier(4)

    def work(claim: Claim) -> list[bool]:
        together.wait(60)
        answers = []
        for n in range(10):
            answers.append(step.table.renew(claim, lease=LEASE))
            answers.append(step.table.renew(claim, lease=LEASE, results={"Task_0": well(float(n))}))
        answers.append(step.table.finish(claim, done({"Task_0": well(10.0)})))
        return answers

    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(work, claims):
            assert answers == [True] * 21
    assert [summary.run_seconds for summary in step.table.summaries(ItemState.DONE)] == [10] * 4

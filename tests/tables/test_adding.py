"""The contract of a workflow table: adding items."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest

from pyanamo.errors import StoreUnavailable
from pyanamo.model import Item, ItemState
from pyanamo.tables import Added
from pyanamo.tables.size import MAX_KEY_BYTES
from tests.support.makers import badly, done, failed, nested, single, well
from tests.support.step import LEASE, Step


def test_new_items_wait_to_be_claimed(step: Step) -> None:
    assert step.add(single("a", "seq 8", task_id="sample-1"), nested("b", 2)) == Added(imported=2)
    assert step.get("a") == single("a", "seq 8", task_id="sample-1")
    assert step.get("b") == nested("b", 2)
    assert step.get("b").state is ItemState.TODO
    assert step.table.get("c") is None


MANY = 1200  # items: several batches of either kind


def item_ids(step: Step) -> set[str]:
    return {summary.item_id for summary in step.table.summaries()}


@pytest.mark.parametrize("replace", [False, True], ids=["insert", "replace"])
def test_batches_are_told_of_once_they_are_written(step: Step, replace: bool) -> None:
    there: list[int] = []  # in the table, when a batch is told of
    told: list[Added] = []

    def on_batch(added: Added) -> None:
        told.append(added)
        if len(there) < 3:  # they are counted by reading the index
            there.append(len(item_ids(step)))

    items = [single(f"item-{n}") for n in range(MANY)]
    added = step.table.add(items, replace=replace, on_batch=on_batch)
    assert added == sum(told, Added()) == Added(imported=MANY)
    assert item_ids(step) == {item.item_id for item in items}
    so_far = accumulate(batch.items for batch in told)
    assert all(count >= least > 0 for count, least in zip(there, so_far, strict=False))


@pytest.mark.parametrize("replace", [False, True], ids=["insert", "replace"])
def test_a_stopped_add_finishes_its_batches(step: Step, replace: bool) -> None:
    told: list[Added] = []  # true once a batch is written
    items = (single(f"item-{n}") for n in range(MANY))
    added = step.table.add(items, replace=replace, stop=told, on_batch=told.append)
    assert 0 < added.imported < MANY
    assert added == sum(told, Added()) == Added(imported=len(item_ids(step)))


def test_what_was_added_before_an_error_has_been_told(step: Step) -> None:
    told: list[Added] = []

    def items() -> Iterator[Item]:
        yield from (single(f"item-{n}") for n in range(MANY))
        raise StoreUnavailable("on purpose")

    with pytest.raises(StoreUnavailable, match="on purpose"):
        step.table.add(items(), on_batch=told.append)
    assert 0 < sum(told, Added()).imported <= len(item_ids(step))


def test_items_that_are_there_are_left_alone(step: Step) -> None:
    step.add(single("done"))
    step.table.finish(step.claim(), done())
    step.add(single("failed"))
    step.table.finish(step.claim(), failed())
    step.add(single("locked"))
    step.claim()
    step.add(single("todo"))
    before = {item_id: step.raw(item_id) for item_id in ("done", "failed", "locked", "todo")}
    assert {item_id: raw["ItemState"] for item_id, raw in before.items()} == {
        item_id: item_id for item_id in before
    }

    again = [single(item_id, "another command", task_id="another") for item_id in before]
    assert step.add(*again, single("new")) == Added(imported=1, already_there=4)
    assert {item_id: step.raw(item_id) for item_id in before} == before


def test_replace_overwrites_all_of_an_item(step: Step) -> None:
    step.add(nested("a", 2))
    step.table.finish(step.claim(), failed({"Task_0": well(), "Task_1": badly()}))
    assert step.add(single("a", "seq 9"), single("b"), replace=True) == Added(
        imported=1, replaced=1
    )
    assert step.get("a") == single("a", "seq 9")
    fresh, other = step.raw("a"), step.raw("b")
    assert fresh.keys() == other.keys()  # nothing of its old life is left


def test_replace_leaves_a_locked_item_to_its_pilot(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    before = step.raw("a")
    assert step.add(single("a", "seq 9"), replace=True) == Added(locked=("a",))
    assert step.raw("a") == before
    assert step.table.finish(claim, done()) is True


def test_imports_at_the_same_time_import_each_item_once(step: Step) -> None:
    def run_import(script: str) -> Added:
        table = step.backend.open(step.name)
        return table.add([single(f"item-{n}", script) for n in range(100)])

    with ThreadPoolExecutor(2) as pool:
        added = list(pool.map(run_import, ("seq 1", "seq 2")))
    scripts = [step.get(f"item-{n}").tasks[0].script for n in range(100)]
    assert [told.imported for told in added] == [scripts.count("seq 1"), scripts.count("seq 2")]
    assert sum(added, Added()) == Added(imported=100, already_there=100)


ODD_NAMES = [
    "with spaces",
    " blank at both ends ",
    "a/b\\c",
    "..",
    "'single' \"double\" `back`",
    "100 %; DROP TABLE items; --",
    "$HOME ${HOME} #x :y",
    "tab\tand\nnewline",
    "Größe-試料-🧬",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "007",
    "7",
    "Case",
    "case",
    "é" * (MAX_KEY_BYTES // 2),
    "x" * MAX_KEY_BYTES,
]


def test_items_with_odd_names_live_as_others_do(step: Step) -> None:
    step.add(*(single(name, script=f"echo {name}", task_id=name) for name in ODD_NAMES))
    assert {summary.item_id for summary in step.table.summaries()} == set(ODD_NAMES)
    claims = {}
    while claim := step.claim_if_any("host:1"):
        claims[claim.item.item_id] = claim
    assert set(claims) == set(ODD_NAMES)
    for name, claim in claims.items():
        assert claim.item.task_id == name
        assert claim.item.tasks[0].script == f"echo {name}"
        assert step.table.renew(claim, lease=LEASE) is True
        assert step.table.finish(claim, done({"Task_0": well(stdout=name)})) is True
        assert step.raw(name)["Log"]["stdout"] == name
    assert {summary.item_id for summary in step.table.summaries(ItemState.DONE)} == set(ODD_NAMES)

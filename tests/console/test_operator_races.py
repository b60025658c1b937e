"""What an operator changes while others change it too: the contract of `amend`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyanamo.account import Account
from pyanamo.model import Ending, Item, ItemState
from pyanamo.tables import Amended, Store, WorkflowTable, transitions
from pyanamo.tables.transitions import Change, Changes
from pyanamo.workflow import Changed, Workflow
from pyanamo.workflow.selection import Selection
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.makers import add, done, ended, failed, nested, single
from tests.support.place import Place
from tests.support.waiting import wait_until

FAILED = Selection(states=(ItemState.FAILED,))
PILOTS = 4
COUNTS = {"local": 800, "remote": 200}


@pytest.fixture
def local(local: Place) -> Place:
    """A place with an embedded table that is there."""
    local.table.create()
    return local


@pytest.fixture
def remote(remote: Place) -> Place:
    """A place with a table of DynamoDB that is there: a write may come between read and write."""
    remote.table.create()
    return remote


def restarted(item: Item) -> Changes | Amended:
    """The change that `restart` makes."""
    return transitions.restarted(item, lambda _: True, "restarted: all tasks", "me@here", 1.0)


def claim_it(table: WorkflowTable) -> None:
    assert table.claim("pilot-2", lease=60, max_attempts=3)


# --- Amend --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [restarted, transitions.deleted])
def test_amend_of_what_is_not_there(place: Place, change: Change) -> None:
    assert place.table.amend("nobody", change) is Amended.MISSING


def test_amend_of_what_is_as_it_should_be(place: Place) -> None:
    add(place.table, single("item"))
    before = place.item("item")
    assert place.table.amend("item", restarted) is Amended.UNCHANGED
    assert place.item("item") == before


@pytest.mark.parametrize("answer", Amended)
def test_a_change_may_say_what_became_of_the_item(place: Place, answer: Amended) -> None:
    add(place.table, single("item"))
    before = place.item("item")
    assert place.table.amend("item", lambda _: answer) is answer
    assert place.item("item") == before


def test_amend_changes_and_deletes(place: Place) -> None:
    ended(place.table, single("item"), failed())
    assert place.table.amend("item", restarted) is Amended.CHANGED
    assert place.item("item").state is ItemState.TODO
    assert place.table.amend("item", transitions.deleted) is Amended.CHANGED
    assert place.table.get("item") is None


def test_what_a_pilot_holds_is_not_deleted(place: Place) -> None:
    add(place.table, single("item"))
    claim_it(place.table)
    assert place.table.amend("item", transitions.deleted) is Amended.UNCHANGED
    assert place.item("item").state is ItemState.LOCKED


MEANWHILE: dict[str, Callable[[WorkflowTable], object]] = {
    "claimed": claim_it,
    "held": lambda table: _amended(table, transitions.held),
    "replaced": lambda table: table.add([nested("item", 2)], replace=True),
    "without a task": lambda table: _amended(
        table, lambda item: transitions.without_tasks(item, {"Task_2"}, 1.0)
    ),
}


def _amended(table: WorkflowTable, change: Change) -> None:
    assert table.amend("item", change) is Amended.CHANGED


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_what_was_changed_meanwhile_is_taken(remote: Place, meanwhile: str) -> None:
    table, other = remote.table, remote.store.open(remote.table_name)
    add(table, nested("item", 3))
    found: list[Item] = []

    def interrupted(item: Item) -> Changes | Amended:
        MEANWHILE[meanwhile](other)
        found.append(remote.item("item"))
        return transitions.without_tasks(item, {"Task_0"}, 1.0)

    assert table.amend("item", interrupted) is Amended.TAKEN
    assert remote.item("item") == found[0] != nested("item", 3)
    other.close()


def test_what_was_claimed_meanwhile_is_not_deleted(remote: Place) -> None:
    table = remote.table
    add(table, single("item"))

    def interrupted(item: Item) -> Changes | Amended:
        claim_it(table)
        return transitions.deleted(item)

    assert table.amend("item", interrupted) is Amended.TAKEN
    assert remote.item("item").state is ItemState.LOCKED


@pytest.mark.parametrize("change", [transitions.held, transitions.deleted])
def test_what_two_operators_change_alike_counts_once(remote: Place, change: Change) -> None:
    other = remote.store.open(remote.table_name)
    add(remote.table, single("item"))

    def interrupted(item: Item) -> Changes | Amended:
        _amended(other, change)
        return change(item)

    assert remote.table.amend("item", interrupted) is Amended.TAKEN
    other.close()


def test_an_embedded_item_cannot_be_changed_meanwhile(local: Place) -> None:
    """Who looks at it to change it has it alone: a pilot that tries waits."""
    add(local.table, single("item"))
    started, claims = threading.Event(), []

    def claim() -> None:
        other = local.store.open(local.table_name)
        started.set()
        claims.append(other.claim("pilot-2", lease=60, max_attempts=3))
        other.close()

    pilot = threading.Thread(target=claim)

    def interrupted(item: Item) -> Changes | Amended:
        pilot.start()
        started.wait()
        return transitions.held(item)

    assert local.table.amend("item", interrupted) is Amended.CHANGED
    pilot.join()
    assert claims == [None]
    assert local.item("item").state is ItemState.HELD


# --- Lost replies -------------------------------------------------------------------------------


@contextmanager
def losing_reply(place: Place, operation: str) -> Iterator[WorkflowTable]:
    """The table through a proxy that loses the first reply to such a request."""
    assert place.store.account.endpoint_url is not None

    def decide(name: str, _body: object, count: int) -> Fault:
        return Fault.DROP_AFTER if name == operation and count == 1 else Fault.NONE

    with FaultyProxy(place.store.account.endpoint_url, decide) as proxy:
        table = Store(account=Account(endpoint_url=proxy.url)).open(place.table_name)
        yield table
        assert proxy.operations.count(operation) == 2
        table.close()


@pytest.mark.parametrize("change", [restarted, transitions.held])
def test_a_change_whose_reply_was_lost_is_made(remote: Place, change: Change) -> None:
    ended(remote.table, single("item"), failed())
    with losing_reply(remote, "UpdateItem") as table:
        assert table.amend("item", change) is Amended.CHANGED
    history = [past.ending for past in remote.item("item").history]
    assert history == [Ending.FAILED] + [Ending.RESTARTED] * (change is restarted)


def test_a_restart_whose_reply_was_lost_is_made_though_a_pilot_was_faster(
    remote: Place,
) -> None:
    """The repeated write finds the item in the pilot's hands."""
    ended(remote.table, single("item"), failed())
    assert remote.store.account.endpoint_url is not None
    other = remote.store.open(remote.table_name)

    def decide(name: str, _body: object, count: int) -> Fault:
        if name == "UpdateItem" and count == 2:
            claim_it(other)
        return Fault.DROP_AFTER if name == "UpdateItem" and count == 1 else Fault.NONE

    with FaultyProxy(remote.store.account.endpoint_url, decide) as proxy:
        table = Store(account=Account(endpoint_url=proxy.url)).open(remote.table_name)
        assert table.amend("item", restarted) is Amended.CHANGED
        table.close()
    other.close()
    assert remote.item("item").state is ItemState.LOCKED


def test_a_deletion_whose_reply_was_lost_is_made(remote: Place) -> None:
    add(remote.table, single("item"))
    with losing_reply(remote, "DeleteItem") as table:
        assert table.amend("item", transitions.deleted) is Amended.CHANGED
    assert remote.table.get("item") is None


# --- Stale selections ---------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["restart", "delete", "hold"])
def test_what_is_no_longer_meant_is_left_alone(place: Place, act: str) -> None:
    ended(place.table, single("again"), failed())
    ended(place.table, single("held"), failed())
    ended(place.table, single("claimed"), failed())
    ended(place.table, single("failed"), failed())

    def meanwhile() -> None:
        for name in ("again", "claimed"):
            assert place.table.amend(name, restarted) is Amended.CHANGED
            other = place.store.open(place.table_name)  # ours has just had it, and looks elsewhere
            claim = other.claim("pilot-2", lease=60, max_attempts=3)
            assert claim is not None
            if name == "again":
                assert other.finish(claim, done())
            other.close()
        assert place.table.amend("held", transitions.held) is Amended.CHANGED

    with Workflow(
        place.table_name, local=place.store.local, endpoint_url=place.store.account.endpoint_url
    ) as workflow:
        found = [(row.table, row.item_id) for row in workflow.items(FAILED)]
        meanwhile()
        assert getattr(workflow, act)(FAILED, found) == Changed(changed=1, unchanged=2, taken=1)
    states = {name: item.state.value for name, item in place.items().items()}
    after = {"restart": {"failed": "todo"}, "hold": {"failed": "held"}, "delete": {}}[act]
    assert states == {"again": "done", "held": "held", "claimed": "locked", **after}


def test_each_item_is_changed_but_once(place: Place) -> None:
    """Though what moves on to another state meanwhile shows up there again."""
    ended(place.table, single("item"), failed())
    with place.workflow() as workflow:
        both = Selection(states=(ItemState.FAILED, ItemState.TODO, ItemState.HELD))
        assert workflow.hold(both) == Changed(changed=1)


# --- A restart while pilots run -----------------------------------------------------------------


def test_a_restart_while_pilots_run(place: Place) -> None:
    """A task makes a folder of the item's name: it fails if it is run twice."""
    count = COUNTS["local" if place.store.local else "remote"]
    runs = place.folder / "runs"
    runs.mkdir()
    for number in range(count):
        ended(place.table, single(f"item-{number:04}", "mkdir runs/$PYANAMO_ITEM_ID"), failed())
    pilots = [place.start("--idle", "60", "-q") for _ in range(PILOTS)]
    add(place.table, *(single(f"before-{number}", "true") for number in range(PILOTS)))
    for pilot in pilots:
        wait_until(lambda pilot=pilot: pilot.workers, "a worker")  # type: ignore[misc]
    wait_until(lambda: not [*place.table.summaries(ItemState.TODO)], "pilots at work")
    with place.workflow() as workflow:
        assert workflow.restart(FAILED) == Changed(changed=count)
        unfinished = (ItemState.TODO, ItemState.LOCKED)
        wait_until(lambda: not any(place.table.summaries(*unfinished)), "all is done", 60)
        (status,) = workflow.status()
    assert status.items[ItemState.DONE] == status.total == count + PILOTS
    assert len(os.listdir(runs)) == count
    for item in place.table.items():
        if item.item_id.startswith("item"):
            assert item.attempts == 1
            endings = [past.ending for past in item.history]
            assert endings == [Ending.FAILED, Ending.RESTARTED, Ending.DONE]
    for pilot in pilots:
        pilot.signal(signal.SIGTERM)
    summaries = [pilot.wait().counts for pilot in pilots]
    assert sum(summary["done"] for summary in summaries) == count + PILOTS
    assert all(summary["failed"] == 0 for summary in summaries)

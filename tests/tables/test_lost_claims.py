"""The contract of a workflow table: claims of the dead, and who has lost a claim."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pyanamo.account import Account
from pyanamo.aws import make_client
from pyanamo.model import Claim, ItemState, Locked
from pyanamo.tables import WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from tests.support.backends import DynamoDBBackend
from tests.support.makers import badly, done, failed, interrupted, nested, single, well
from tests.support.step import DIED, LATER, LEASE, STARTED, Step, make_step

# --- A worker that died -------------------------------------------------------------------------


def test_lose_writes_every_attribute(step: Step) -> None:
    """Also by somebody who knows no more of the item than its claim."""
    step.add(single("a"))
    step.table.release(step.claim(), failed())
    claim = step.claim("host:1")
    before = step.raw("a")
    step.clock.advance(10)
    assert step.backend.open(step.name).lose(as_told(claim), DIED, max_attempts=2) is True
    (failure,) = before["History"]
    expected = before | {
        "ItemState": "todo",
        "Reason": DIED,
        "History": [
            failure,
            {
                "Attempt": 2,
                "InstanceID": "host:1",
                "Lock_Date": STARTED,
                "End_Date": LATER,
                "Outcome": "lost",
                "Reason": DIED,
                "lockID": claim.token,
                "Times_Lost": 1,
            },
        ],
    }
    for gone in ("lockID", "Lease_Expires", "Exit_Code"):
        del expected[gone]
    assert step.raw("a") == expected

    again = step.claim("pilot-2")
    assert (again.item.attempts, again.item.times_lost, again.failures) == (3, 1, 1)
    assert step.table.finish(again, done()) is True


def as_told(claim: Claim) -> Claim:
    """A claim as a worker tells its pilot of it."""
    return replace(claim, item=replace(claim.item, tasks=(), results={}))


def test_what_was_recorded_stays_when_a_worker_dies(step: Step) -> None:
    step.add(nested("a", 3))
    claim = step.claim()
    step.table.renew(claim, lease=LEASE, results={"Task_1": well(stdout="kept"), "Task_2": badly()})
    assert step.table.lose(as_told(claim), DIED, max_attempts=3) is True
    raw = step.raw("a")
    assert (raw["ItemState"], raw["Nested_Tasks"], raw["Nested_Done"]) == ("todo", 3, 1)
    again = step.claim()
    assert [task.status.value for task in again.item.tasks] == ["todo", "done", "failed"]
    assert again.item.results["Task_1"].stdout == "kept"


def test_an_item_whose_workers_die_too_often_fails(step: Step) -> None:
    """However they were lost: here its lease expires once, too."""
    step.add(single("a"))
    step.claim()
    step.clock.advance(LEASE)
    assert step.table.lose(step.claim(), DIED, max_attempts=3) is True
    last = step.claim("pilot-3")
    step.clock.advance(10)
    assert step.table.lose(as_told(last), DIED, max_attempts=3) is True
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert raw["Reason"] == f"lost 3 times: {DIED}"
    assert (raw["Attempts"], raw["InstanceID"]) == (3, "pilot-3")
    assert raw["Done_Date"] == "2027-01-15T08:01:10Z"
    assert not raw.keys() & {"lockID", "Lease_Expires", "Exit_Code"}
    assert [(past["Outcome"], past["Times_Lost"], past["Reason"]) for past in raw["History"]] == [
        ("lost", 1, "the lease expired"),
        ("lost", 2, DIED),
        ("lost", 3, DIED),
    ]
    assert step.claim_if_any(max_attempts=99) is None


# --- Who lost a claim ---------------------------------------------------------------------------

WRITES: dict[str, Callable[[WorkflowTable, Claim], bool]] = {
    "renew": lambda table, claim: table.renew(claim, lease=LEASE),
    "renew with results": lambda table, claim: table.renew(
        claim, lease=LEASE, results={"Task_0": well(stdout="stale")}
    ),
    "finish done": lambda table, claim: table.finish(claim, done({"Task_0": well()})),
    "finish failed": lambda table, claim: table.finish(claim, failed({"Task_0": badly()})),
    "release interrupted": lambda table, claim: table.release(claim, interrupted()),
    "release failed": lambda table, claim: table.release(claim, failed({"Task_0": badly()})),
    "lose": lambda table, claim: table.lose(claim, DIED, max_attempts=3),
    "lose for good": lambda table, claim: table.lose(claim, DIED, max_attempts=1),
}

LOSSES = {"lose", "lose for good"}


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_holder_changes_nothing(step: Step, write: str) -> None:
    """Whatever has become of the item since."""
    step.add(nested("a", 1))
    stale = step.claim("pilot-1")
    step.clock.advance(LEASE)
    successor = step.claim("pilot-2")
    fates: list[Callable[[], object]] = [
        lambda: None,  # the successor works on it
        lambda: step.table.release(successor, interrupted()),
        lambda: step.table.finish(step.claim("pilot-3"), done({"Task_0": well()})),
    ]
    for fate in fates:
        fate()
        before = step.raw("a")
        assert WRITES[write](step.backend.open(step.name), stale) is False
        assert step.raw("a") == before


@pytest.mark.parametrize("write", WRITES)
def test_who_is_given_up_changes_nothing(step: Step, write: str) -> None:
    step.add(nested("a", 1))
    stale = step.claim()
    step.clock.advance(LEASE)
    assert step.claim_if_any(max_attempts=1) is None
    before = step.raw("a")
    assert before["ItemState"] == "failed"
    assert WRITES[write](step.table, stale) is False
    assert step.raw("a") == before


@pytest.mark.parametrize("write", WRITES)
def test_an_item_that_is_gone_is_not_made_again(step: Step, write: str) -> None:
    step.add(nested("a", 1))
    claim = step.claim()
    step.backend.delete_raw(step.name, "a")
    assert WRITES[write](step.table, claim) is False
    assert step.table.get("a") is None


@pytest.mark.parametrize("end", ["finish done", "finish failed", "release interrupted", "lose"])
def test_a_claim_ends_once(step: Step, end: str) -> None:
    """The same end again is well, since it has happened; nothing else is."""
    step.add(nested("a", 1))
    claim = step.claim()
    assert WRITES[end](step.table, claim) is True
    before = step.raw("a")
    step.clock.advance(10)
    for write, call in WRITES.items():
        same_ending = write.split()[-1] == end.split()[-1] or {write, end} <= LOSSES
        assert call(step.table, claim) is same_ending, write
        assert step.raw("a") == before


@pytest.mark.parametrize("max_attempts", [1, 3], ids=["give up", "take over"])
def test_a_renewal_between_look_and_write_wins(
    dynamo: DynamoDBBackend, table_name: str, max_attempts: int
) -> None:
    step = make_step(dynamo, table_name)
    step.add(single("a"))
    claim = step.claim()
    step.clock.advance(LEASE)
    client = make_client("dynamodb", Account(endpoint_url=dynamo.endpoint))
    client.meta.events.register(
        "before-call.dynamodb.UpdateItem",
        lambda **_: step.table.renew(claim, lease=LEASE) and None,
    )
    late = DynamoDBTable(table_name, client=client, clock=step.clock)
    assert late.claim("pilot-2", lease=LEASE, max_attempts=max_attempts) is None
    assert step.get("a").token == claim.token
    assert step.get("a").state is ItemState.LOCKED
    assert step.table.finish(claim, done()) is True


def test_what_others_hold_is_told_if_there_is_nothing_to_claim(step: Step) -> None:
    """Also by how long. What the pilot itself holds is none of it."""
    step.add(single("a"), single("b"), single("c"))
    table = step.backend.open(step.name)
    for pilot in ("pilot-1", "pilot-2", "pilot-2"):
        assert table.claim(pilot, lease=LEASE, max_attempts=3)
    seen = {}
    for pilot in ("pilot-1", "pilot-2", "pilot-3"):
        assert table.claim(pilot, lease=LEASE, max_attempts=3) is None
        seen[pilot] = table.locked
    assert seen == {
        "pilot-1": Locked(items=2, seconds=LEASE),
        "pilot-2": Locked(items=1, seconds=LEASE),
        "pilot-3": Locked(items=3, seconds=LEASE),
    }

"""What becomes of a write whose reply is lost: it counts once, and nobody is told otherwise."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest

from pyanamo import aws
from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim, Ending, ItemState, Outcome
from pyanamo.tables import Added, WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from tests.support.failing_table import FailingTable, When
from tests.support.faulty_proxy import Action, Fault, FaultyProxy, Hang, StatementErrors
from tests.support.tables import (
    START,
    Clock,
    DynamoDBPlace,
    Place,
    badly,
    done,
    failed,
    interrupted,
    nested,
    single,
    well,
)

LEASE = 60
READ_SECONDS = 1.0  # how long the client waits for an answer, where one comes late
AFTER_THE_WRITE = [Fault.DROP_AFTER, Fault.ERROR_AFTER]


@pytest.fixture
def proxy(dynamodb: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(dynamodb) as running:
        yield running


@pytest.fixture
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits seconds before it tries again: here a twentieth of that."""
    patient = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 20))
    monkeypatch.setattr(botocore.endpoint, "time", patient)


@pytest.fixture
def _short_read_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "READ_SECONDS", READ_SECONDS)


@pytest.fixture
def _sdk_that_gives_up(monkeypatch: pytest.MonkeyPatch, _impatient_sdk: None) -> None:
    """The SDK tries twice, instead of ten times."""
    monkeypatch.setattr(aws, "ATTEMPTS", 2)


def behind(proxy: FaultyProxy, name: str, clock: Clock) -> DynamoDBTable:
    """A table, with a client of its own, that is reached through the proxy."""
    return DynamoDBTable(name, endpoint_url=proxy.url, clock=clock)


def new_table(place: Place, name: str) -> WorkflowTable:
    """A table with a nested item."""
    table = place.open(name)
    table.create()
    list(table.add([nested("a", 2)]))
    return table


def claim_of(table: WorkflowTable, pilot: str = "pilot-1") -> Claim:
    claim = table.claim(pilot, lease=LEASE, max_attempts=3)
    assert claim is not None, "there is nothing to claim"
    return claim


def first(operation: str, action: Action) -> Callable[[str, Any, int], Action]:
    """That action for the first request of an operation, and none for all others."""

    def decide(asked: str, body: Any, count: int) -> Action:
        return action if (asked, count) == (operation, 1) else Fault.NONE

    return decide


def every(operation: str, action: Action) -> Callable[[str, Any, int], Action]:
    """That action for all requests of an operation."""

    def decide(asked: str, body: Any, count: int) -> Action:
        return action if asked == operation else Fault.NONE

    return decide


TASKS = {"Task_0": well(), "Task_1": well()}
# A verb, and what the item is like once it was called.
Write = Callable[[WorkflowTable, Claim], bool]
WRITES: dict[str, tuple[str, Write, dict[str, Any]]] = {
    "renew": (
        "renew",
        lambda table, claim: table.renew(claim, lease=100),
        {"ItemState": "locked", "Lease_Expires": START + 100, "Attempts": 1},
    ),
    "record": (
        "record",
        lambda table, claim: table.record(claim, {"Task_0": well()}),
        {"ItemState": "locked", "Nested_Done": 1, "Attempts": 1},
    ),
    "finish done": (
        "finish",
        lambda table, claim: table.finish(claim, done(TASKS)),
        {"ItemState": "done", "Nested_Done": 2, "Attempts": 1, "Exit_Code": 0},
    ),
    "finish failed": (
        "finish",
        lambda table, claim: table.finish(claim, failed(TASKS | {"Task_1": badly()})),
        {"ItemState": "failed", "Nested_Done": 1, "Attempts": 1, "Exit_Code": 3},
    ),
    "release interrupted": (
        "release",
        lambda table, claim: table.release(claim, interrupted({"Task_0": well()})),
        {"ItemState": "todo", "Nested_Done": 1, "Attempts": 0},
    ),
    "release failed": (
        "release",
        lambda table, claim: table.release(claim, failed({"Task_0": badly()})),
        {"ItemState": "todo", "Nested_Done": 0, "Attempts": 1, "Exit_Code": 3},
    ),
    "lose": (
        "lose",
        lambda table, claim: table.lose(claim, "the worker died", max_attempts=3),
        {"ItemState": "todo", "Nested_Done": 0, "Attempts": 1, "Reason": "the worker died"},
    ),
}
ENDS = [name for name in WRITES if name.startswith(("finish", "release", "lose"))]


def check_written(raw: dict[str, Any], write: str, claim: Claim) -> None:
    """The write was made, and made once."""
    expected = WRITES[write][2]
    assert {name: raw.get(name) for name in expected} == expected
    assert [past["lockID"] for past in raw.get("History", ())] == (
        [claim.token] if write in ENDS else []
    )
    assert raw.get("lockID") == (None if write in ENDS else claim.token)


# --- The SDK tries again by itself --------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_a_claim_whose_reply_is_lost_is_ours(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    new_table(dynamo, table_name)
    proxy.decide = first("UpdateItem", fault)
    check_lost_claim(behind(proxy, table_name, dynamo.clock))
    assert proxy.count("UpdateItem") == 3  # the claim twice, and the finish


@pytest.mark.usefixtures("_impatient_sdk", "_short_read_timeout")
def test_a_claim_whose_reply_comes_too_late_is_ours(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    new_table(dynamo, table_name)
    proxy.decide = first("UpdateItem", Hang(3 * READ_SECONDS))
    check_lost_claim(behind(proxy, table_name, dynamo.clock))
    assert proxy.count("UpdateItem") >= 3


def check_lost_claim(table: WorkflowTable) -> None:
    """A claim, made by a write whose reply is lost, is as any other."""
    claim = claim_of(table)
    assert claim.item == table.get("a")
    assert (claim.item.token, claim.item.attempts) == (claim.token, 1)
    assert [task.script for task in claim.item.tasks] == ["seq 0", "seq 1"]
    assert table.finish(claim, done(TASKS)) is True


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_a_lost_item_is_taken_over_once(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    lost = claim_of(new_table(dynamo, table_name))
    dynamo.clock.advance(LEASE)
    proxy.decide = first("UpdateItem", fault)
    claim = claim_of(behind(proxy, table_name, dynamo.clock), "pilot-2")
    assert proxy.count("UpdateItem") == 2
    assert (claim.item.attempts, claim.item.times_lost) == (2, 1)
    assert [past.token for past in claim.item.history] == [lost.token]
    assert dynamo.raw(table_name, "a")["lockID"] == claim.token


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_an_item_is_given_up_once(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    claim_of(new_table(dynamo, table_name))
    dynamo.clock.advance(LEASE)
    proxy.decide = first("UpdateItem", fault)
    table = behind(proxy, table_name, dynamo.clock)
    assert table.claim("pilot-2", lease=LEASE, max_attempts=1) is None
    raw = dynamo.raw(table_name, "a")
    assert (raw["ItemState"], raw["Attempts"], len(raw["History"])) == ("failed", 1, 1)


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_reply_is_lost_was_made(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, write: str, fault: Action
) -> None:
    claim = claim_of(new_table(dynamo, table_name))
    proxy.decide = first("UpdateItem", fault)
    _, call, _ = WRITES[write]
    assert call(behind(proxy, table_name, dynamo.clock), claim) is True
    assert proxy.count("UpdateItem") == 2
    check_written(dynamo.raw(table_name, "a"), write, claim)


@pytest.mark.usefixtures("_impatient_sdk", "_short_read_timeout")
def test_a_finish_whose_reply_comes_too_late_was_made(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    claim = claim_of(new_table(dynamo, table_name))
    proxy.decide = first("UpdateItem", Hang(3 * READ_SECONDS))
    assert behind(proxy, table_name, dynamo.clock).finish(claim, done(TASKS)) is True
    assert proxy.count("UpdateItem") >= 2
    check_written(dynamo.raw(table_name, "a"), "finish done", claim)


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.ERROR_BEFORE, Fault.THROTTLE], ids=str)
@pytest.mark.parametrize("write", ["renew", "finish done", "release failed"])
def test_a_write_that_did_not_arrive_is_made_again(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, write: str, fault: Action
) -> None:
    new_table(dynamo, table_name)
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = first("UpdateItem", fault)
    claim = claim_of(table)
    assert claim.item.attempts == 1
    asked = proxy.count("UpdateItem")
    proxy.decide = lambda operation, body, count: fault if count == asked + 1 else Fault.NONE
    _, call, _ = WRITES[write]
    assert call(table, claim) is True
    assert proxy.count("UpdateItem") == asked + 2
    check_written(dynamo.raw(table_name, "a"), write, claim)


@pytest.mark.usefixtures("_impatient_sdk")
def test_a_release_is_ours_even_when_the_item_has_been_claimed_since(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    """Between the write and its repetition somebody claims the item."""
    claim = claim_of(new_table(dynamo, table_name))
    successors: list[Claim] = []

    def decide(operation: str, body: Any, count: int) -> Action:
        if count == 2:
            successors.append(claim_of(dynamo.open(table_name), "pilot-2"))
        return Fault.DROP_AFTER if count == 1 else Fault.NONE

    proxy.decide = decide
    assert behind(proxy, table_name, dynamo.clock).release(claim, interrupted()) is True
    raw = dynamo.raw(table_name, "a")
    assert (raw["lockID"], raw["Attempts"]) == (successors[0].token, 1)
    assert raw["InstanceID"] == "pilot-2"


# --- The SDK gives up, and the verb is called again ---------------------------------------------


@pytest.mark.usefixtures("_sdk_that_gives_up")
def test_a_claim_that_may_have_been_made_is_the_next_one(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    list(new_table(dynamo, table_name).add(single(f"other-{n}") for n in range(5)))
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = every("UpdateItem", Fault.DROP_AFTER)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="doesn't answer"):
            claim_of(table)
    (locked,) = table.summaries(ItemState.LOCKED)

    proxy.decide = every("UpdateItem", Fault.NONE)
    claim = claim_of(table)
    assert claim.item.item_id == locked.item_id
    raw = dynamo.raw(table_name, locked.item_id)
    assert (raw["lockID"], raw["Attempts"]) == (claim.token, 1)
    assert [row.item_id for row in table.summaries(ItemState.LOCKED)] == [locked.item_id]
    assert claim_of(table).item.item_id != locked.item_id
    assert table.finish(claim, done(TASKS)) is True


@pytest.mark.usefixtures("_sdk_that_gives_up")
def test_a_take_over_that_may_have_been_made_is_the_next_claim(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    claim_of(new_table(dynamo, table_name))
    dynamo.clock.advance(LEASE)
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = every("UpdateItem", Fault.DROP_AFTER)
    with pytest.raises(StoreUnavailable):
        claim_of(table, "pilot-2")
    proxy.decide = every("UpdateItem", Fault.NONE)
    claim = claim_of(table, "pilot-2")
    assert (claim.item.attempts, claim.item.times_lost) == (2, 1)
    assert dynamo.raw(table_name, "a")["lockID"] == claim.token


@pytest.mark.usefixtures("_sdk_that_gives_up")
@pytest.mark.parametrize("meanwhile", ["not made", "lost to another pilot"])
def test_a_claim_in_doubt_may_turn_out_not_to_be_ours(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, meanwhile: str
) -> None:
    new_table(dynamo, table_name)
    table = behind(proxy, table_name, dynamo.clock)
    not_made = meanwhile == "not made"
    proxy.decide = every("UpdateItem", Fault.DROP_BEFORE if not_made else Fault.DROP_AFTER)
    with pytest.raises(StoreUnavailable):
        claim_of(table)
    if not not_made:
        dynamo.clock.advance(LEASE)
    other = claim_of(dynamo.open(table_name), "pilot-2")
    before = dynamo.raw(table_name, "a")

    proxy.decide = every("UpdateItem", Fault.NONE)
    list(table.add([single("b")]))
    assert claim_of(table).item.item_id == "b"
    assert dynamo.raw(table_name, "a") == before
    assert table.finish(other, done(TASKS)) is True


@pytest.mark.usefixtures("_sdk_that_gives_up")
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_may_have_been_made_may_be_made_again(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, write: str
) -> None:
    claim = claim_of(new_table(dynamo, table_name))
    table = behind(proxy, table_name, dynamo.clock)
    _, call, _ = WRITES[write]
    proxy.decide = every("UpdateItem", Fault.ERROR_AFTER)
    with pytest.raises(StoreUnavailable, match="InternalServerError"):
        call(table, claim)
    assert proxy.count("UpdateItem") == 2
    check_written(dynamo.raw(table_name, "a"), write, claim)
    proxy.decide = every("UpdateItem", Fault.NONE)
    assert call(table, claim) is True
    check_written(dynamo.raw(table_name, "a"), write, claim)


@pytest.mark.parametrize("when", When, ids=lambda when: when.name)
@pytest.mark.parametrize("write", WRITES)
def test_a_verb_that_failed_may_be_called_again(
    place: Place, table_name: str, write: str, when: When
) -> None:
    """With either kind of table, whether its write was made or not."""
    table = FailingTable(new_table(place, table_name))
    claim = claim_of(table)
    before = place.raw(table_name, "a")
    verb, call, _ = WRITES[write]
    table.fail(verb, when)
    with pytest.raises(StoreUnavailable):
        call(table, claim)
    after = place.raw(table_name, "a")
    assert (after == before) is (when is When.BEFORE)

    assert call(table, claim) is True
    check_written(place.raw(table_name, "a"), write, claim)
    if when is When.AFTER:
        assert place.raw(table_name, "a") == after


@pytest.mark.parametrize("write", ENDS)
def test_an_end_that_was_written_is_known_after_another_claim(
    place: Place, table_name: str, write: str
) -> None:
    """The end was written and its answer lost; then the item goes on without us."""
    table = FailingTable(new_table(place, table_name))
    claim = claim_of(table)
    verb, call, _ = WRITES[write]
    table.fail(verb, When.AFTER)
    with pytest.raises(StoreUnavailable):
        call(table, claim)
    place.clock.advance(10)
    if verb == "release":
        claim_of(place.open(table_name), "pilot-2")
    before = place.raw(table_name, "a")
    assert call(table, claim) is True
    assert place.raw(table_name, "a") == before


def test_a_claim_that_failed_before_its_write_takes_nothing(place: Place, table_name: str) -> None:
    table = FailingTable(new_table(place, table_name))
    table.fail("claim", When.BEFORE)
    with pytest.raises(StoreUnavailable):
        claim_of(table)
    assert place.raw(table_name, "a")["ItemState"] == "todo"
    assert claim_of(table).item.attempts == 1


# --- Imports ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("replace", [False, True], ids=["insert", "replace"])
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_an_import_whose_reply_is_lost_counts_its_own_items(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, fault: Action, replace: bool
) -> None:
    """An item that was there is no new one, though both answer alike the second time."""
    new_table(dynamo, table_name)  # with an item "a"
    faults = [fault]

    def decide(operation: str, body: Any, count: int) -> Action:
        is_lost = operation in ("BatchExecuteStatement", "PutItem") and '"a"' in json.dumps(body)
        return faults.pop() if is_lost and faults else Fault.NONE

    proxy.decide = decide
    table = behind(proxy, table_name, dynamo.clock)
    items = [nested("a", 2), *(single(f"item-{n}") for n in range(9))]
    added = sum(table.add(items, replace=replace), Added())
    assert faults == []
    if replace:
        assert added == Added(imported=9, replaced=1)
    else:
        assert added == Added(imported=9, already_there=1)
    assert len(list(table.summaries())) == 10


@pytest.mark.parametrize("written", [False, True], ids=["refused", "written"])
@pytest.mark.parametrize("code", ["ThrottlingError", "InternalServerError"])
def test_statements_that_fail_for_now_are_tried_again(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str, code: str, written: bool
) -> None:
    """The errors come inside an answer that is otherwise well, of which the SDK knows nothing."""
    new_table(dynamo, table_name)
    errors = StatementErrors({0: code, 3: code, 4: code}, written=written)
    proxy.decide = first("BatchExecuteStatement", errors)
    table = behind(proxy, table_name, dynamo.clock)
    items = [single("new"), nested("a", 2), *(single(f"item-{n}") for n in range(8))]
    assert sum(table.add(items), Added()) == Added(imported=9, already_there=1)
    assert proxy.count("BatchExecuteStatement") == 2
    assert len(list(table.summaries())) == 10


# --- Throttling ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
def test_all_is_done_once_though_three_requests_in_ten_are_refused(
    dynamo: DynamoDBPlace, proxy: FaultyProxy, table_name: str
) -> None:
    items = {f"item-{n}" for n in range(100)}
    rng = Random(1)
    dynamo.open(table_name).create()
    list(dynamo.open(table_name).add(map(single, items)))

    def decide(operation: str, body: Any, count: int) -> Action:
        return Fault.THROTTLE if rng.random() < 0.3 else Fault.NONE

    def drain(pilot: str) -> list[str]:
        """Claim and finish until nothing is left; give up on nothing."""
        table = behind(proxy, table_name, dynamo.clock)
        ended: list[str] = []
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            with suppress(StoreUnavailable):
                claim = table.claim(pilot, lease=LEASE, max_attempts=3)
                if claim is None:
                    return ended
                finish(table, claim, limit)
                ended.append(claim.item.item_id)
        raise AssertionError(f"{pilot} is not done after a minute")

    def finish(table: WorkflowTable, claim: Claim, limit: float) -> None:
        outcome = Outcome(ending=Ending.DONE, results={"Task_0": well()}, exit_code=0)
        while time.monotonic() < limit:
            with suppress(StoreUnavailable):
                assert table.finish(claim, outcome) is True
                return

    proxy.decide = decide
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(drain, ("pilot-1", "pilot-2", "pilot-3")))
    assert sorted(name for names in ended for name in names) == sorted(items)
    for item_id in items:
        raw = dynamo.raw(table_name, item_id)
        assert (raw["ItemState"], raw["Attempts"], len(raw["History"])) == ("done", 1, 1)

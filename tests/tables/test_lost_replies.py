"""What becomes of a write whose reply is lost: it counts once, and nobody is told otherwise."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim
from pyanamo.tables import Added, WorkflowTable
from tests.support.backends import DynamoDBBackend
from tests.support.faulty_proxy import Action, Fault, FaultyProxy, Hang, StatementErrors
from tests.support.lossy import (
    AFTER_THE_WRITE,
    READ_SECONDS,
    TASKS,
    WRITES,
    behind,
    check_written,
    first,
    new_table,
)
from tests.support.makers import LEASE, claim_from, done, interrupted, nested, single

# --- The SDK tries again by itself --------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_a_claim_whose_reply_is_lost_is_ours(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    new_table(dynamo, table_name)
    proxy.decide = first("UpdateItem", fault)
    check_lost_claim(behind(proxy, table_name, dynamo.clock))
    assert proxy.count("UpdateItem") == 3  # the claim twice, and the finish


@pytest.mark.usefixtures("_impatient_sdk", "_short_read_timeout")
def test_a_claim_whose_reply_comes_too_late_is_ours(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    new_table(dynamo, table_name)
    proxy.decide = first("UpdateItem", Hang(3 * READ_SECONDS))
    check_lost_claim(behind(proxy, table_name, dynamo.clock))
    assert proxy.count("UpdateItem") >= 3


def check_lost_claim(table: WorkflowTable) -> None:
    """A claim, made by a write whose reply is lost, is as any other."""
    claim = claim_from(table)
    assert claim.item == table.get("a")
    assert (claim.item.token, claim.item.attempts) == (claim.token, 1)
    assert [task.script for task in claim.item.tasks] == ["seq 0", "seq 1"]
    assert table.finish(claim, done(TASKS)) is True


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_a_lost_item_is_taken_over_once(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    lost = claim_from(new_table(dynamo, table_name))
    dynamo.clock.advance(LEASE)
    proxy.decide = first("UpdateItem", fault)
    claim = claim_from(behind(proxy, table_name, dynamo.clock), "pilot-2")
    assert proxy.count("UpdateItem") == 2
    assert (claim.item.attempts, claim.item.times_lost) == (2, 1)
    assert [past.token for past in claim.item.history] == [lost.token]
    assert dynamo.raw(table_name, "a")["lockID"] == claim.token


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_an_item_is_given_up_once(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, fault: Action
) -> None:
    claim_from(new_table(dynamo, table_name))
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
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, write: str, fault: Action
) -> None:
    claim = claim_from(new_table(dynamo, table_name))
    proxy.decide = first("UpdateItem", fault)
    _, call, _ = WRITES[write]
    assert call(behind(proxy, table_name, dynamo.clock), claim) is True
    assert proxy.count("UpdateItem") == 2
    check_written(dynamo.raw(table_name, "a"), write, claim)


@pytest.mark.usefixtures("_impatient_sdk", "_short_read_timeout")
def test_a_finish_whose_reply_comes_too_late_was_made(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    claim = claim_from(new_table(dynamo, table_name))
    proxy.decide = first("UpdateItem", Hang(3 * READ_SECONDS))
    assert behind(proxy, table_name, dynamo.clock).finish(claim, done(TASKS)) is True
    assert proxy.count("UpdateItem") >= 2
    check_written(dynamo.raw(table_name, "a"), "finish done", claim)


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.ERROR_BEFORE, Fault.THROTTLE], ids=str)
@pytest.mark.parametrize("write", ["renew", "finish done", "release failed"])
def test_a_write_that_did_not_arrive_is_made_again(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, write: str, fault: Action
) -> None:
    new_table(dynamo, table_name)
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = first("UpdateItem", fault)
    claim = claim_from(table)
    assert claim.item.attempts == 1
    asked = proxy.count("UpdateItem")
    proxy.decide = lambda operation, body, count: fault if count == asked + 1 else Fault.NONE
    _, call, _ = WRITES[write]
    assert call(table, claim) is True
    assert proxy.count("UpdateItem") == asked + 2
    check_written(dynamo.raw(table_name, "a"), write, claim)


@pytest.mark.usefixtures("_impatient_sdk")
def test_a_release_is_ours_even_when_the_item_has_been_claimed_since(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    """Between the write and its repetition somebody claims the item."""
    claim = claim_from(new_table(dynamo, table_name))
    successors: list[Claim] = []

    def decide(operation: str, body: Any, count: int) -> Action:
        if count == 2:
            successors.append(claim_from(dynamo.open(table_name), "pilot-2"))
        return Fault.DROP_AFTER if count == 1 else Fault.NONE

    proxy.decide = decide
    assert behind(proxy, table_name, dynamo.clock).release(claim, interrupted()) is True
    raw = dynamo.raw(table_name, "a")
    assert (raw["lockID"], raw["Attempts"]) == (successors[0].token, 1)
    assert raw["InstanceID"] == "pilot-2"


# --- Imports ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
@pytest.mark.parametrize("replace", [False, True], ids=["insert", "replace"])
@pytest.mark.parametrize("fault", AFTER_THE_WRITE, ids=str)
def test_an_import_whose_reply_is_lost_counts_its_own_items(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, fault: Action, replace: bool
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
    added = table.add(items, replace=replace)
    assert faults == []
    if replace:
        assert added == Added(imported=9, replaced=1)
    else:
        assert added == Added(imported=9, already_there=1)
    assert len(list(table.summaries())) == 10


@pytest.mark.parametrize("written", [False, True], ids=["refused", "written"])
@pytest.mark.parametrize("code", ["ThrottlingError", "InternalServerError"])
def test_statements_that_fail_for_now_are_tried_again(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, code: str, written: bool
) -> None:
    """The errors come inside an answer that is otherwise well, of which the SDK knows nothing."""
    new_table(dynamo, table_name)
    errors = StatementErrors({0: code, 3: code, 4: code}, written=written)
    proxy.decide = first("BatchExecuteStatement", errors)
    table = behind(proxy, table_name, dynamo.clock)
    items = [single("new"), nested("a", 2), *(single(f"item-{n}") for n in range(8))]
    assert table.add(items) == Added(imported=9, already_there=1)
    assert proxy.count("BatchExecuteStatement") == 2
    assert len(list(table.summaries())) == 10


def test_what_is_refused_for_now_is_not_tried_again_after_a_stop(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    new_table(dynamo, table_name)
    asked: list[int] = []  # true once a request has come

    def decide(operation: str, body: Any, count: int) -> Action:
        if operation != "BatchExecuteStatement":
            return Fault.NONE
        asked.append(count)
        return StatementErrors({0: "ThrottlingError"})

    proxy.decide = decide
    table = behind(proxy, table_name, dynamo.clock)
    assert table.add([single("b"), single("c")], stop=asked) == Added(imported=1)
    assert asked == [1]


# --- Throttling ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient_sdk")
def test_all_is_done_once_though_three_requests_in_ten_are_refused(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    items = {f"item-{n}" for n in range(100)}
    rng = Random(1)
    dynamo.open(table_name).create()
    dynamo.open(table_name).add(map(single, items))

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
        while time.monotonic() < limit:
            with suppress(StoreUnavailable):
                assert table.finish(claim, done()) is True
                return

    proxy.decide = decide
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(drain, ("pilot-1", "pilot-2", "pilot-3")))
    assert sorted(name for names in ended for name in names) == sorted(items)
    for item_id in items:
        raw = dynamo.raw(table_name, item_id)
        assert (raw["ItemState"], raw["Attempts"], len(raw["History"])) == ("done", 1, 1)

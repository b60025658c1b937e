"""A write that failed, and may have been made all the same, is made again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyanamo.errors import StoreUnavailable
from pyanamo.model import ItemState
from tests.support.backends import Backend, DynamoDBBackend
from tests.support.failing_table import FailingTable, When
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.lossy import ENDS, TASKS, WRITES, behind, check_written, every, new_table
from tests.support.makers import LEASE, claim_from, done, single


@pytest.mark.usefixtures("_sdk_that_gives_up")
def test_a_claim_that_may_have_been_made_is_the_next_one(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    new_table(dynamo, table_name).add(single(f"other-{n}") for n in range(5))
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = every("UpdateItem", Fault.DROP_AFTER)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="doesn't answer"):
            claim_from(table)
    (locked,) = table.summaries(ItemState.LOCKED)

    proxy.decide = every("UpdateItem", Fault.NONE)
    claim = claim_from(table)
    assert claim.item.item_id == locked.item_id
    raw = dynamo.raw(table_name, locked.item_id)
    assert (raw["lockID"], raw["Attempts"]) == (claim.token, 1)
    assert [row.item_id for row in table.summaries(ItemState.LOCKED)] == [locked.item_id]
    assert claim_from(table).item.item_id != locked.item_id
    assert table.finish(claim, done(TASKS)) is True


@pytest.mark.usefixtures("_sdk_that_gives_up")
def test_of_several_threads_one_gets_a_claim_that_may_have_been_made(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    items = {f"item-{n}" for n in range(40)}
    dynamo.open(table_name).create()
    dynamo.open(table_name).add(map(single, items))
    table = behind(proxy, table_name, dynamo.clock)
    threads = 4
    together = threading.Barrier(threads)

    def work(pilot: str) -> list[str]:
        """Lose some replies to claims, then claim and finish until nothing is left."""
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                claim_from(table, pilot)
        if together.wait(60) == 0:
            proxy.decide = every("UpdateItem", Fault.NONE)
        together.wait(60)
        ended = []
        while claim := table.claim(pilot, lease=LEASE, max_attempts=3):
            assert claim.item.attempts == 1
            assert table.finish(claim, done()) is True
            ended.append(claim.item.item_id)
        return ended

    proxy.decide = every("UpdateItem", Fault.DROP_AFTER)
    with ThreadPoolExecutor(threads) as pool:
        ended = list(pool.map(work, (f"pilot-{n}" for n in range(threads))))
    assert sorted(item_id for ids in ended for item_id in ids) == sorted(items)


@pytest.mark.usefixtures("_sdk_that_gives_up")
def test_a_take_over_that_may_have_been_made_is_the_next_claim(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str
) -> None:
    claim_from(new_table(dynamo, table_name))
    dynamo.clock.advance(LEASE)
    table = behind(proxy, table_name, dynamo.clock)
    proxy.decide = every("UpdateItem", Fault.DROP_AFTER)
    with pytest.raises(StoreUnavailable):
        claim_from(table, "pilot-2")
    proxy.decide = every("UpdateItem", Fault.NONE)
    claim = claim_from(table, "pilot-2")
    assert (claim.item.attempts, claim.item.times_lost) == (2, 1)
    assert dynamo.raw(table_name, "a")["lockID"] == claim.token


@pytest.mark.usefixtures("_sdk_that_gives_up")
@pytest.mark.parametrize("meanwhile", ["not made", "lost to another pilot"])
def test_a_claim_in_doubt_may_turn_out_not_to_be_ours(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, meanwhile: str
) -> None:
    new_table(dynamo, table_name)
    table = behind(proxy, table_name, dynamo.clock)
    not_made = meanwhile == "not made"
    proxy.decide = every("UpdateItem", Fault.DROP_BEFORE if not_made else Fault.DROP_AFTER)
    with pytest.raises(StoreUnavailable):
        claim_from(table)
    if not not_made:
        dynamo.clock.advance(LEASE)
    other = claim_from(dynamo.open(table_name), "pilot-2")
    before = dynamo.raw(table_name, "a")

    proxy.decide = every("UpdateItem", Fault.NONE)
    table.add([single("b")])
    assert claim_from(table).item.item_id == "b"
    assert dynamo.raw(table_name, "a") == before
    assert table.finish(other, done(TASKS)) is True


@pytest.mark.usefixtures("_sdk_that_gives_up")
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_may_have_been_made_may_be_made_again(
    dynamo: DynamoDBBackend, proxy: FaultyProxy, table_name: str, write: str
) -> None:
    claim = claim_from(new_table(dynamo, table_name))
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
    backend: Backend, table_name: str, write: str, when: When
) -> None:
    """With either kind of table, whether its write was made or not."""
    table = FailingTable(new_table(backend, table_name))
    claim = claim_from(table)
    before = backend.raw(table_name, "a")
    verb, call, _ = WRITES[write]
    table.fail(verb, when)
    with pytest.raises(StoreUnavailable):
        call(table, claim)
    after = backend.raw(table_name, "a")
    assert (after == before) is (when is When.BEFORE)

    assert call(table, claim) is True
    check_written(backend.raw(table_name, "a"), write, claim)
    if when is When.AFTER:
        assert backend.raw(table_name, "a") == after


@pytest.mark.parametrize("write", ENDS)
def test_an_end_that_was_written_is_known_after_another_claim(
    backend: Backend, table_name: str, write: str
) -> None:
    """The end was written and its answer lost; then the item goes on without us."""
    table = FailingTable(new_table(backend, table_name))
    claim = claim_from(table)
    verb, call, _ = WRITES[write]
    table.fail(verb, When.AFTER)
    with pytest.raises(StoreUnavailable):
        call(table, claim)
    backend.clock.advance(10)
    if verb == "release":
        claim_from(backend.open(table_name), "pilot-2")
    before = backend.raw(table_name, "a")
    assert call(table, claim) is True
    assert backend.raw(table_name, "a") == before


def test_a_claim_that_failed_before_its_write_takes_nothing(
    backend: Backend, table_name: str
) -> None:
    table = FailingTable(new_table(backend, table_name))
    table.fail("claim", When.BEFORE)
    with pytest.raises(StoreUnavailable):
        claim_from(table)
    assert backend.raw(table_name, "a")["ItemState"] == "todo"
    assert claim_from(table).item.attempts == 1

"""What the verbs of a table cost in DynamoDB."""

import math
from dataclasses import replace

import pytest

from pyanamo.model import Claim, Result
from pyanamo.output.room import Room
from pyanamo.pilot.progress import Progress
from pyanamo.tables.attributes import new_item
from pyanamo.tables.size import item_size
from tests.support.backends import DynamoDBBackend
from tests.support.makers import done, interrupted, nested, single, well
from tests.support.metered import Metered, metered_table
from tests.support.step import DIED, LEASE, RESULT, STARTED


@pytest.fixture
def metered(dynamo: DynamoDBBackend, table_name: str) -> Metered:
    return metered_table(dynamo, table_name)


def test_what_the_writes_of_an_item_cost(
    metered: Metered, dynamo: DynamoDBBackend, table_name: str
) -> None:
    table = metered.table
    table.add([single("a", "x" * 370)])
    list(table.summaries())
    claims: list[Claim] = []

    def claim() -> bool:
        claimed = table.claim("pilot-1", lease=LEASE, max_attempts=3)
        claims.extend([claimed] if claimed else [])
        return claimed is not None

    assert [cost for cost in metered.units(claim) if cost[0] != "Query"] == [("UpdateItem", 3)]
    dynamo.clock.advance(LEASE / 3)
    assert metered.units(lambda: table.renew(claims[0], lease=LEASE)) == (("UpdateItem", 1),)
    assert metered.units(lambda: table.finish(claims[0], done({"Task_0": RESULT}))) == (
        ("UpdateItem", 3),
    )
    assert 900 < item_size(dynamo.raw(table_name, "a")) <= 1024  # what the figures are for


@pytest.mark.parametrize("printed", [0, 100, 2000])
@pytest.mark.parametrize("tasks", [25, 100, 300, 900])
def test_what_a_nested_item_costs(metered: Metered, tasks: int, printed: int) -> None:
    """At most 3 write units a task with all that its item needs but renewals.

    Its tasks end one by one, slowly enough that each end (of many tasks: each hundredth of the
    ends) is looked at for what is due.
    """
    item = nested("a", [f"call-variants sample-0017.bam chr{n}" for n in range(tasks)])
    imported = math.ceil(item_size(new_item(item, import_id="x" * 29)) / 1024) + 1
    metered.table.add([item])
    metered.requests.clear()
    claim = metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
    assert claim is not None
    progress = Progress()
    room = Room(claim.item)
    for number, task in enumerate(claim.item.tasks):
        progress.add(task.name, printing(room, printed))
        if number % max(1, tasks // 100):
            continue
        results = progress.so_far()
        units = metered.table.renewal_units(claim, results)
        if progress.has_earned(units):
            assert metered.table.renew(claim, lease=LEASE, results=results)
            assert metered.requests[-1] == ("UpdateItem", pytest.approx(units, rel=0.05, abs=2))
            progress.wrote(results, units)
    assert metered.table.finish(claim, done(dict(progress.so_far())))
    assert imported + sum(units for _, units in metered.requests) <= 3 * tasks


def printing(room: Room, printed: int) -> Result:
    """The result of a task that prints so many bytes on stdout and on stderr."""
    without = well(12.345, cpu_seconds=11.234, max_rss_mb=123.4, start_date=STARTED)
    limit = min(printed, room.tail_beside(without))
    return replace(
        without,
        stdout="x" * limit,
        stderr="y" * limit,
        stdout_bytes=printed,
        stderr_bytes=printed,
    )


def test_to_lose_an_item_costs_one_write(metered: Metered) -> None:
    metered.table.add([single("a", "x" * 370)])
    claim = metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
    assert claim is not None
    assert metered.units(lambda: metered.table.lose(claim, DIED, max_attempts=3)) == (
        ("UpdateItem", 3),
    )


def test_a_query_serves_ten_claims(metered: Metered) -> None:
    metered.table.add(single(f"item-{n}") for n in range(300))
    metered.requests.clear()
    for _ in range(100):
        assert metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
    operations = [operation for operation, _ in metered.requests]
    assert operations.count("UpdateItem") == 100
    assert operations.count("Query") <= 10
    assert set(operations) == {"UpdateItem", "Query"}


def test_an_empty_table_costs_few_requests(metered: Metered) -> None:
    """Whether it never had items, or they are all done."""
    for _ in range(2):
        metered.requests.clear()
        assert metered.table.claim("pilot-1", lease=LEASE, max_attempts=3) is None
        assert len(metered.requests) <= 4
        assert {operation for operation, _ in metered.requests} == {"Query"}
        metered.table.add([single("a")])
        claim = metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
        if claim is not None:
            metered.table.finish(claim, done())


def test_a_lease_is_not_read_again_while_it_holds(
    metered: Metered, dynamo: DynamoDBBackend
) -> None:
    """To read it costs as much as to read the item, which may be large."""
    table = metered.table
    table.add(single(f"item-{number}", "x" * 40_000) for number in range(10))
    other = dynamo.open(table.name)
    claims = [other.claim("pilot-1", lease=LEASE, max_attempts=3) for _ in range(10)]
    look = lambda: table.claim("pilot-2", lease=LEASE, max_attempts=3)  # noqa: E731
    metered.clear()
    assert look() is None
    assert metered.total > 10 * 5
    told = table.locked
    for _ in range(5):
        dynamo.clock.advance(LEASE / 10)
        metered.clear()
        assert look() is None
        assert set(metered.counts) == {"Query"}
        assert metered.total <= 5
    assert told is not None
    assert table.locked == replace(told, seconds=LEASE / 2)
    for claim in claims[1:]:
        assert claim is not None
        assert other.renew(claim, lease=LEASE)
    dynamo.clock.advance(LEASE / 2)
    claim = look()
    assert claims[0] is not None
    assert claim is not None
    assert claim.item.item_id == claims[0].item.item_id
    metered.clear()
    assert look() is None
    assert metered.total <= 5 + 5  # the item that was claimed anew is read


def test_a_new_claim_of_a_known_item_is_a_new_lease(
    metered: Metered, dynamo: DynamoDBBackend
) -> None:
    """It may be a shorter one, and be made in the same second."""
    table = metered.table
    other = dynamo.open(table.name)
    table.add([single("a")])
    first = other.claim("pilot-1", lease=LEASE, max_attempts=3)
    assert first is not None
    assert table.claim("pilot-2", lease=LEASE, max_attempts=3) is None
    other.release(first, interrupted())
    other = dynamo.open(table.name)
    assert other.claim("pilot-3", lease=LEASE / 4, max_attempts=3)
    assert table.claim("pilot-2", lease=LEASE, max_attempts=3) is None
    dynamo.clock.advance(LEASE / 4)
    assert table.claim("pilot-2", lease=LEASE, max_attempts=3)


def test_an_import_sends_a_megabyte_at_a_time(metered: Metered) -> None:
    sizes: list[int] = []
    metered.client.meta.events.register(
        "before-call.dynamodb.BatchExecuteStatement",
        lambda params, **_: sizes.append(len(params["body"])),
    )
    added = metered.table.add(single(f"item-{number}", "x" * 300_000) for number in range(20))
    assert added.imported == 20
    assert len(sizes) >= 6
    assert max(sizes) <= 1_100_000
    sizes.clear()
    metered.table.add(single(f"small-{number}") for number in range(100))
    assert len(sizes) == 4

"""What the verbs of a table cost in DynamoDB."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from pyanamo.account import Account
from pyanamo.aws import make_client
from pyanamo.model import Claim, Result
from pyanamo.output.room import Room
from pyanamo.pilot.progress import Progress
from pyanamo.tables import WorkflowTable
from pyanamo.tables.attributes import new_item
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.size import item_size
from tests.support.backends import DynamoDBBackend
from tests.support.makers import done, nested, single, well
from tests.support.step import DIED, LEASE, RESULT, STARTED


@dataclass(frozen=True)
class Metered:
    """A table whose requests are counted, with the units that they consume."""

    table: WorkflowTable
    requests: list[tuple[str, float]]  # the operation, and its units

    def units(self, call: Callable[[], object]) -> Sequence[tuple[str, float]]:
        """The requests of one call."""
        self.requests.clear()
        assert call()
        return tuple(self.requests)


@pytest.fixture
def metered(dynamo: DynamoDBBackend, table_name: str) -> Metered:
    requests: list[tuple[str, float]] = []

    def ask(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"
        return params

    def note(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = cast(dict[str, float], parsed.get("ConsumedCapacity") or {})
        requests.append((model.name, consumed.get("CapacityUnits", 0.0)))

    client = make_client("dynamodb", Account(endpoint_url=dynamo.endpoint))
    client.meta.events.register("provide-client-params.dynamodb.*", ask)
    client.meta.events.register("after-call.dynamodb.*", note)
    table = DynamoDBTable(table_name, client=client, clock=dynamo.clock)
    table.create()
    return Metered(table, requests)


def test_what_the_writes_of_an_item_cost(
    metered: Metered, dynamo: DynamoDBBackend, table_name: str
) -> None:
    table = metered.table
    table.add([single("a", "x" * 420)])
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
    metered.table.add([single("a", "x" * 420)])
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

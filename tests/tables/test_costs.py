"""What the verbs of a table cost in DynamoDB."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from pyanamo.account import Account
from pyanamo.aws import make_client
from pyanamo.model import Claim
from pyanamo.tables import WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.size import item_size
from tests.support.backends import DynamoDBBackend
from tests.support.makers import done, single
from tests.support.step import DIED, LEASE, RESULT


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

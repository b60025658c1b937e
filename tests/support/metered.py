"""A table in DynamoDB whose requests are counted, with the units that they consume."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyanamo.account import Account
from pyanamo.aws import Client, make_client
from pyanamo.tables.dynamodb.table import DynamoDBTable
from tests.support.backends import DynamoDBBackend


@dataclass(frozen=True)
class Metered:
    """A table, and its requests since they were last cleared."""

    table: DynamoDBTable
    client: Client
    requests: list[tuple[str, float]] = field(default_factory=list)  # the operation, and its units
    answers: list[dict[str, Any]] = field(default_factory=list)

    def units(self, call: Callable[[], object]) -> Sequence[tuple[str, float]]:
        """The requests of one call."""
        self.clear()
        assert call()
        return tuple(self.requests)

    def clear(self) -> None:
        """Forget all requests so far."""
        self.requests.clear()
        self.answers.clear()

    @property
    def counts(self) -> Counter[str]:
        """How many requests each operation had."""
        return Counter(operation for operation, _ in self.requests)

    @property
    def total(self) -> float:
        """The units of all requests."""
        return sum(units for _, units in self.requests)

    def _note(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity") or {}
        parts = consumed if isinstance(consumed, list) else [consumed]
        units = sum(part.get("CapacityUnits", 0.0) for part in parts)
        self.requests.append((model.name, units))
        self.answers.append(parsed)


def metered_table(dynamo: DynamoDBBackend, name: str) -> Metered:
    """Create a table whose requests are counted."""

    def ask(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"
        return params

    client = make_client("dynamodb", Account(endpoint_url=dynamo.endpoint))
    client.meta.events.register("provide-client-params.dynamodb.*", ask)
    table = DynamoDBTable(name, client=client, clock=dynamo.clock)
    metered = Metered(table, client)
    client.meta.events.register("after-call.dynamodb.*", metered._note)
    table.create()
    return metered

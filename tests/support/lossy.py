"""Tables of DynamoDB behind a proxy that loses replies, and what a write must leave behind."""

from collections.abc import Callable
from typing import Any

from pyanamo.account import Account
from pyanamo.model import Claim
from pyanamo.tables import WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from tests.support.backends import START, Backend, Clock
from tests.support.faulty_proxy import Action, Fault, FaultyProxy
from tests.support.makers import badly, done, failed, interrupted, nested, well

READ_SECONDS = 1.0  # the client's read timeout in tests of late replies
AFTER_THE_WRITE = [Fault.DROP_AFTER, Fault.ERROR_AFTER]


def behind(proxy: FaultyProxy, name: str, clock: Clock) -> DynamoDBTable:
    """A table that is reached through the proxy, with a client of its own."""
    return DynamoDBTable(name, account=Account(endpoint_url=proxy.url), clock=clock)


def new_table(backend: Backend, name: str) -> WorkflowTable:
    """A table with a nested item."""
    table = backend.open(name)
    table.create()
    table.add([nested("a", 2)])
    return table


def first(operation: str, action: Action) -> Callable[[str, Any, int], Action]:
    """Apply the action to the first request of an operation, and to no other."""

    def decide(asked: str, body: Any, count: int) -> Action:
        return action if (asked, count) == (operation, 1) else Fault.NONE

    return decide


def every(operation: str, action: Action) -> Callable[[str, Any, int], Action]:
    """Apply the action to all requests of an operation."""

    def decide(asked: str, body: Any, count: int) -> Action:
        return action if asked == operation else Fault.NONE

    return decide


TASKS = {"Task_0": well(), "Task_1": well()}
# By the name of a write: the verb, a call of it, and the attributes that it leaves behind.
Write = Callable[[WorkflowTable, Claim], bool]
WRITES: dict[str, tuple[str, Write, dict[str, Any]]] = {
    "renew": (
        "renew",
        lambda table, claim: table.renew(claim, lease=100),
        {"ItemState": "locked", "Lease_Expires": START + 100, "Attempts": 1},
    ),
    "renew with results": (
        "renew",
        lambda table, claim: table.renew(claim, lease=100, results={"Task_0": well()}),
        {"ItemState": "locked", "Nested_Done": 1, "Lease_Expires": START + 100, "Attempts": 1},
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
    """Check that the write was made, and made once."""
    expected = WRITES[write][2]
    assert {name: raw.get(name) for name in expected} == expected
    assert [past["lockID"] for past in raw.get("History", ())] == (
        [claim.token] if write in ENDS else []
    )
    assert raw.get("lockID") == (None if write in ENDS else claim.token)

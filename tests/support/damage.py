"""Damage to rows of either kind of table, written around the program."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pyanamo.tables import Store
from tests.support.backends import shared_client


@dataclass(frozen=True)
class Damage:
    """A value that an attribute can't have. None takes the attribute away."""

    attribute: str
    dynamodb: dict[str, Any] | None
    sqlite: Any  # None where SQLite has no such value
    nested: bool = False  # whether it is a nested item's

    def __str__(self) -> str:
        return f"{self.attribute}={self.dynamodb or 'none'}"


OF_A_CLAIM = (
    Damage("TaskScript", {"N": "5"}, b"\xff"),
    Damage("TaskScript", {"S": "tr\0ue"}, "tr\0ue"),
    Damage("TaskScript", {"NULL": True}, None),
    Damage("TaskScript", None, None),
    Damage("TaskScript", {"L": [{"S": "true"}]}, '["true"]', nested=True),
    Damage("TaskScript", {"S": "true"}, "{", nested=True),
    Damage("TaskScript", {"M": {}}, "{}", nested=True),
    Damage("TaskScript", {"M": {"Task_0": {"M": {}}}}, '{"Task_0": {}}', nested=True),
    Damage("TaskScript", {"M": {"Task_0": {"N": "1"}}}, '{"Task_0": 1}', nested=True),
    Damage("TaskScript", {"M": {"../x": {"S": "true"}}}, '{"../x": "true"}', nested=True),
    Damage("Nested_Status", {"S": "todo"}, "todo", nested=True),
    Damage("Nested_Status", {"M": {"Task_0": {"S": "gone"}}}, '{"Task_0": "gone"}', nested=True),
    Damage("Nested_Status", {"M": {"../x": {"S": "todo"}}}, '{"../x": "todo"}', nested=True),
    Damage("Attempts", {"S": "0"}, "zero"),
    Damage("Attempts", {"BOOL": True}, b"0"),
    Damage("Attempts", {"N": "1e100"}, 1e100),
    Damage("Attempts", {"N": "-3"}, -3),
    Damage("TaskID", {"SS": ["a"]}, b"a"),
    Damage("TaskID", None, None),
    Damage("Log", {"S": "done"}, "done"),
    Damage("Log", {"M": {"Status": {"N": "1"}}}, '{"Status": 1}'),
    Damage(
        "Log",
        {"M": {"Status": {"S": "done"}, "Run_Seconds": {"S": "1"}}},
        '{"Status": "done", "Run_Seconds": NaN}',
    ),
    Damage(
        "Log",
        {"M": {"Status": {"S": "done"}, "Peak_MB": {"S": "1"}}},
        '{"Status": "done", "Peak_MB": Infinity}',
    ),
    Damage("History", {"S": "none"}, "none"),
    Damage("History", {"SS": ["a"]}, "[" * 100_000),
    Damage("History", {"L": [{"M": {}}]}, "[{}]"),
    Damage("Nested_Tasks", {"S": "1"}, "one", nested=True),
)
OF_A_LEASE = (
    Damage("Lease_Expires", {"S": "soon"}, "soon"),
    Damage("Lease_Expires", None, None),
    Damage("Lease_Expires", {"N": "1e30"}, 1e30),
)
OF_AN_EXPIRED_ITEM = (
    Damage("History", {"S": "none"}, "none"),
    Damage("Lock_Date", {"N": "1"}, b"1"),
    Damage("InstanceID", {"BOOL": True}, b"1"),
    Damage("TaskScript", {"N": "5"}, b"\xff"),
)
HARMLESS_TO_A_CLAIM = (
    Damage("Reason", {"N": "1"}, b"1"),
    Damage("Exit_Code", {"S": "x"}, "x"),
    Damage("Run_Seconds", {"BOOL": True}, "x"),
    Damage("CPU_Seconds", {"S": "x"}, "x"),
    Damage("Max_RSS_MB", {"L": []}, "x"),
    Damage("Peak_MB", {"N": "1e100"}, 1e100),
    Damage("Made_With", {"S": "x"}, "x"),
    Damage("Made_With", {"M": {"PyAnamo": {"N": "1"}}}, '{"PyAnamo": 1}'),
    Damage("Made_With", {"L": []}, "[]"),
    Damage("Done_Date", {"N": "1"}, b"1"),
)


def inflict(store: Store, table: str, item_id: str, damage: Damage) -> None:
    """Write the damage into an item's row."""
    if store.local is not None:
        with closing(sqlite3.connect(store.local)) as database, database:
            database.execute(
                f"UPDATE items SET {damage.attribute} = ? WHERE workflow_table = ? AND itemID = ?",
                (damage.sqlite, table, item_id),
            )
        return
    assert store.account.endpoint_url is not None
    update = "REMOVE #name" if damage.dynamodb is None else "SET #name = :value"
    values = {} if damage.dynamodb is None else {":value": damage.dynamodb}
    shared_client(store.account.endpoint_url).update_item(
        TableName=table,
        Key={"itemID": {"S": item_id}},
        UpdateExpression=update,
        ExpressionAttributeNames={"#name": damage.attribute},
        **({"ExpressionAttributeValues": values} if values else {}),
    )


def insert_raw(store: Store, table: str, row: Mapping[str, Any]) -> None:
    """Insert a row into SQLite's table as it is; maps and lists become JSON."""
    assert store.local is not None
    stored = {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in {"workflow_table": table, **row}.items()
    }
    marks = ", ".join("?" * len(stored))
    with closing(sqlite3.connect(store.local)) as database, database:
        database.execute(
            f"INSERT OR REPLACE INTO items ({', '.join(stored)}) VALUES ({marks})",
            tuple(stored.values()),
        )

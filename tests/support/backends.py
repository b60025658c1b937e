"""Backends of tables for the contract tests: SQLite and DynamoDB, with a clock that tests set."""

import functools
import json
import sqlite3
from abc import ABC, abstractmethod
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from pyanamo.account import Account
from pyanamo.aws import Client, make_client
from pyanamo.tables import Store, WorkflowTable
from pyanamo.tables.dynamodb.expressions import typed
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.sqlite import SQLiteTable

KINDS = ("sqlite", "dynamodb")
START = 1_800_000_000  # 2027-01-15T08:00:00Z


class Clock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Backend(ABC):
    """Where the tables of a test are."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._opened: list[WorkflowTable] = []

    @property
    @abstractmethod
    def store(self) -> Store:
        """The store of these tables. Tables that it opens have the real clock."""

    def open(self, name: str) -> WorkflowTable:
        """Open a table as a new object, as another process would."""
        table = self._open(name)
        self._opened.append(table)
        return table

    def close(self) -> None:
        """Close all tables that were opened."""
        for table in self._opened:
            table.close()

    @abstractmethod
    def raw(self, name: str, item_id: str) -> dict[str, Any]:
        """Read an item's attributes as plain values, without the package's help."""

    @abstractmethod
    def set_raw(self, name: str, item_id: str, attribute: str, value: str | int) -> None:
        """Set one attribute of an item, without the package's help."""

    @abstractmethod
    def delete_raw(self, name: str, item_id: str) -> None:
        """Delete an item, without the package's help."""

    @abstractmethod
    def _open(self, name: str) -> WorkflowTable: ...


class SQLiteBackend(Backend):
    """A SQLite file."""

    def __init__(self, clock: Clock, file: Path) -> None:
        super().__init__(clock)
        self.file = file

    @property
    def store(self) -> Store:
        return Store(local=self.file)

    def raw(self, name: str, item_id: str) -> dict[str, Any]:
        query = "SELECT * FROM items WHERE workflow_table = ? AND itemID = ?"
        (row,) = self.execute(query, name, item_id)
        row = {column: value for column, value in row.items() if value is not None}
        del row["workflow_table"]
        scripts = ("TaskScript",) if "Nested_Tasks" in row else ()
        for column in ("Nested_Status", "Log", "History", *scripts):
            if column in row:
                with suppress(ValueError, RecursionError):  # it may be damaged on purpose
                    row[column] = json.loads(row[column])
        return row

    def set_raw(self, name: str, item_id: str, attribute: str, value: str | int) -> None:
        where = "workflow_table = ? AND itemID = ?"
        self.execute(f"UPDATE items SET {attribute} = ? WHERE {where}", value, name, item_id)

    def delete_raw(self, name: str, item_id: str) -> None:
        self.execute("DELETE FROM items WHERE workflow_table = ? AND itemID = ?", name, item_id)

    def execute(self, statement: str, *values: str | int) -> list[dict[str, Any]]:
        """Execute a statement on a new connection; the rows that it returns."""
        database = sqlite3.connect(self.file)
        try:
            database.row_factory = sqlite3.Row
            with database:
                return [dict(row) for row in database.execute(statement, values)]
        finally:
            database.close()

    def _open(self, name: str) -> WorkflowTable:
        return SQLiteTable(name, self.file, clock=self.clock)


class DynamoDBBackend(Backend):
    """A DynamoDB endpoint. Its tables share a client."""

    def __init__(self, clock: Clock, endpoint: str) -> None:
        super().__init__(clock)
        self.endpoint = endpoint
        self.client = shared_client(endpoint)

    @property
    def store(self) -> Store:
        return Store(account=Account(endpoint_url=self.endpoint))

    def raw(self, name: str, item_id: str) -> dict[str, Any]:
        return {attribute: _plain(value) for attribute, value in self.typed(name, item_id).items()}

    def typed(self, name: str, item_id: str) -> dict[str, dict[str, Any]]:
        """An item's attributes as DynamoDB gives them: `{"Attempts": {"N": "1"}, ...}`."""
        answer = self.client.get_item(
            TableName=name, Key={"itemID": {"S": item_id}}, ConsistentRead=True
        )
        item: dict[str, dict[str, Any]] = answer["Item"]
        return item

    def set_raw(self, name: str, item_id: str, attribute: str, value: str | int) -> None:
        self.client.update_item(
            TableName=name,
            Key={"itemID": {"S": item_id}},
            UpdateExpression="SET #attribute = :value",
            ExpressionAttributeNames={"#attribute": attribute},
            ExpressionAttributeValues={":value": typed(value)},
        )

    def delete_raw(self, name: str, item_id: str) -> None:
        self.client.delete_item(TableName=name, Key={"itemID": {"S": item_id}})

    def _open(self, name: str) -> WorkflowTable:
        return DynamoDBTable(name, client=self.client, clock=self.clock)


@functools.cache
def shared_client(endpoint: str) -> Client:
    """A client that all tests of this process share: making one takes a while."""
    return make_client("dynamodb", Account(endpoint_url=endpoint))


def _plain(value: Any) -> Any:
    return _without_decimals(TypeDeserializer().deserialize(value))


def _without_decimals(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, dict):
        return {name: _without_decimals(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_decimals(part) for part in value]
    return value

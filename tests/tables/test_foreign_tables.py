"""A table whose keys or whose index are not ours is not used, and not filled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError
from pyanamo.tables.attributes import PROJECTED
from pyanamo.tables.dynamodb.capacity import TableCapacity
from pyanamo.tables.dynamodb.definition import table_definition
from tests.support.backends import DynamoDBBackend

Definition = dict[str, Any]


def index_of(definition: Definition) -> Definition:
    index: Definition = definition["GlobalSecondaryIndexes"][0]
    return index


def with_projection(**projection: object) -> Callable[[Definition], None]:
    def change(definition: Definition) -> None:
        index_of(definition)["Projection"] = projection

    return change


def with_index_keys(*keys: str, types: str = "S") -> Callable[[Definition], None]:
    def change(definition: Definition) -> None:
        index_of(definition)["KeySchema"] = [
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ]
        definition["AttributeDefinitions"] = [
            {"AttributeName": "itemID", "AttributeType": "S"},
            *({"AttributeName": key, "AttributeType": types} for key in keys if key != "itemID"),
        ]

    return change


def with_sort_key(definition: Definition) -> None:
    definition["KeySchema"].append({"AttributeName": "ItemState", "KeyType": "RANGE"})


def with_a_number_as_key(definition: Definition) -> None:
    definition["AttributeDefinitions"][0]["AttributeType"] = "N"


FOREIGN: Mapping[str, tuple[Callable[[Definition], None], str]] = {
    "keys only": (with_projection(ProjectionType="KEYS_ONLY"), "does not project TaskID, "),
    "too few attributes": (
        with_projection(ProjectionType="INCLUDE", NonKeyAttributes=list(PROJECTED[1:])),
        "does not project TaskID",
    ),
    "another order": (with_index_keys("Slot", "ItemState"), r"is Slot \(S, HASH\), ItemState"),
    "no range": (with_index_keys("ItemState"), r"is ItemState \(S, HASH\)"),
    "another range": (with_index_keys("ItemState", "TaskID"), "TaskID"),
    "numbers": (with_index_keys("ItemState", "Slot", types="N"), r"is ItemState \(N, HASH\)"),
    "a sort key": (with_sort_key, r"its key is itemID \(S, HASH\), ItemState \(S, RANGE\)"),
    "a number as key": (with_a_number_as_key, r"its key is itemID \(N, HASH\)"),
}
# What a pilot, which may not describe the table, learns only when it works on an item.
NOT_SEEN_BY_A_QUERY = ("a sort key", "a number as key")


def make(dynamo: DynamoDBBackend, name: str, change: Callable[[Definition], None]) -> None:
    definition = copy.deepcopy(table_definition(name))
    change(definition)
    dynamo.client.create_table(**definition)


@pytest.mark.parametrize("kind", FOREIGN)
def test_it_is_refused(dynamo: DynamoDBBackend, table_name: str, kind: str) -> None:
    change, why = FOREIGN[kind]
    make(dynamo, table_name, change)
    table = dynamo.open(table_name)
    described = f"^table '{table_name}' is not a PyAnamo table: .*{why}.*name another table$"
    with pytest.raises(PyAnamoError, match=described):
        table.create()
    capacity = TableCapacity(table_name, Account(endpoint_url=dynamo.endpoint))
    with pytest.raises(PyAnamoError, match=described):
        capacity.describe()
    capacity.close()
    if kind not in NOT_SEEN_BY_A_QUERY:
        with pytest.raises(
            PyAnamoError, match=f"^table '{table_name}' in .* is not a PyAnamo table: "
        ):
            table.check()


def test_an_index_may_project_more(dynamo: DynamoDBBackend, table_name: str) -> None:
    make(dynamo, table_name, with_projection(ProjectionType="ALL"))
    table = dynamo.open(table_name)
    assert table.create() is False
    table.check()

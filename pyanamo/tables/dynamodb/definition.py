"""Define PyAnamo's tables in DynamoDB, and recognize them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyanamo.errors import PyAnamoError
from pyanamo.tables.attributes import INDEX, INDEX_KEYS, PROJECTED
from pyanamo.tables.dynamodb.units import Units


def table_definition(name: str, units: Units | None = None) -> dict[str, Any]:
    """Return the arguments of `CreateTable`: on-demand, or these units each for table and index."""
    keys = ("itemID", *INDEX_KEYS)
    state, place = INDEX_KEYS
    throughput = {"ProvisionedThroughput": units.attribute()} if units else {}
    return {
        "TableName": name,
        "BillingMode": "PROVISIONED" if units else "PAY_PER_REQUEST",
        **throughput,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": [{"AttributeName": "itemID", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": state, "KeyType": "HASH"},
                    {"AttributeName": place, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(PROJECTED)},
                **throughput,
            }
        ],
    }


def require_own_table(name: str, description: Mapping[str, Any]) -> None:
    """Raise an error for a table, by its description, whose keys or index are not ours."""
    types = {
        key["AttributeName"]: key["AttributeType"] for key in description["AttributeDefinitions"]
    }
    key = _key(description["KeySchema"], types)
    indexes = {index["IndexName"]: index for index in description.get("GlobalSecondaryIndexes", ())}
    if key != "itemID (S, HASH)" or INDEX not in indexes:
        raise _not_ours(name, f"its key is {key}, its indexes are {', '.join(indexes) or 'none'}")
    index_key = _key(indexes[INDEX]["KeySchema"], types)
    state, place = INDEX_KEYS
    if index_key != f"{state} (S, HASH), {place} (S, RANGE)":
        raise _not_ours(name, f"the key of its index {INDEX} is {index_key}")
    projection = indexes[INDEX]["Projection"]
    projected = projection.get("NonKeyAttributes", ())
    missing = [attribute for attribute in PROJECTED if attribute not in projected]
    if projection["ProjectionType"] != "ALL" and missing:
        raise _not_ours(name, f"its index {INDEX} does not project {', '.join(missing)}")


def _key(schema: Iterable[Mapping[str, str]], types: Mapping[str, str]) -> str:
    """Return a key as `itemID (S, HASH)`."""
    return ", ".join(
        f"{part['AttributeName']} ({types[part['AttributeName']]}, {part['KeyType']})"
        for part in schema
    )


def _not_ours(name: str, why: str) -> PyAnamoError:
    return PyAnamoError(f"table {name!r} is not a PyAnamo table: {why}; name another table")

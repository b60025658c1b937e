"""DynamoDB's typed values, and the expressions of a conditional update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def typed(value: Any) -> dict[str, Any]:
    """Return a value as DynamoDB takes it. (boto3's own serializer takes no floats.)"""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, dict):
        return {"M": typed_map(value)}
    if isinstance(value, list):
        return {"L": [typed(part) for part in value]}
    return {"N": str(value)}


def typed_map(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as DynamoDB takes them."""
    return {name: typed(value) for name, value in attributes.items()}


def plain(value: Mapping[str, Any]) -> Any:
    """Return a value from DynamoDB as a str, int, float, dict, list, bool, bytes, set or None."""
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content) if content.lstrip("-").isdigit() else float(content)
    if kind == "M":
        return plain_map(content)
    if kind == "L":
        return [plain(part) for part in content]
    if kind in ("SS", "NS", "BS"):
        return set(content)
    return None if kind == "NULL" else content


def plain_map(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes from DynamoDB as plain values."""
    return {
        name: value["S"] if "S" in value else plain(value) for name, value in attributes.items()
    }


class Expression:
    """Names and values behind placeholders. (`Log` and others are reserved words.)"""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder for an attribute's name."""
        self._names[f"#{attribute}"] = attribute
        return f"#{attribute}"

    def value(self, label: str, value: Any) -> str:
        """Return the placeholder for a value."""
        self._values[f":{label}"] = typed(value)
        return f":{label}"

    def unchanged(self, item: Mapping[str, Any], attributes: Iterable[str]) -> str:
        """Return the condition that these attributes are still as they were in `item`."""
        clauses = []
        for attribute in attributes:
            if attribute in item:
                label = f":old_{attribute}"
                self._values[label] = item[attribute]
                clauses.append(f"{self.name(attribute)} = {label}")
            else:
                clauses.append(f"attribute_not_exists({self.name(attribute)})")
        return " AND ".join(clauses)

    def arguments(self, condition: str) -> dict[str, Any]:
        """Return the arguments of a conditional write, without `TableName` and `Key`."""
        return {
            "ConditionExpression": condition,
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


class Update(Expression):
    """The expressions of an `UpdateItem` that makes some changes if a condition holds."""

    def __init__(self, changes: Mapping[str, Any]) -> None:
        super().__init__()
        self._set = [
            f"{self.name(attribute)} = {self.value(attribute, value)}"
            for attribute, value in changes.items()
            if value is not None
        ]
        self._remove = [self.name(name) for name, value in changes.items() if value is None]

    def add_one(self, attribute: str, most: int) -> str:
        """Add one to a number; return the condition that it is one up to `most`, or isn't there.

        Without it, DynamoDB refuses the whole request. The rest of the condition must fail once
        this is done, as requests repeat.
        """
        name = self.name(attribute)
        zero, one = self.value("zero", 0), self.value("one", 1)
        self._set.append(f"{name} = if_not_exists({name}, {zero}) + {one}")
        return f"(attribute_not_exists({name}) OR {name} <= {self.value('most', most)})"

    def arguments(self, condition: str) -> dict[str, Any]:
        """Return the arguments of `update_item`, without `TableName` and `Key`."""
        parts = []
        if self._set:
            parts.append("SET " + ", ".join(self._set))
        if self._remove:
            parts.append("REMOVE " + ", ".join(self._remove))
        # DynamoDB refuses an empty expression; without one, it only checks the condition.
        expression = {"UpdateExpression": " ".join(parts)} if parts else {}
        return {**expression, **super().arguments(condition)}

"""Read the index of a table from one end to the other, several ranges of it at a time.

A page has at most 1 MB, and tells where the next one begins. So the pages of a range are read one
after the other, and only several ranges at a time are faster. Slots are spread evenly, so equal
ranges of slots have about the same number of items.

Rows come state by state; within a state they have no order. A few pages are in memory at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, TypeVar

from pyanamo.aws import Client, not_understood, translated_errors
from pyanamo.errors import DamagedItem
from pyanamo.model import ItemState, ItemSummary
from pyanamo.parallel import in_turns, several_at_a_time
from pyanamo.tables.attributes import INDEX, PROJECTED
from pyanamo.tables.dynamodb.candidates import SLOTS
from pyanamo.tables.dynamodb.expressions import plain_map, typed_map
from pyanamo.tables.reading import LARGEST, read_summary

RANGES = 8  # that are read at a time
PAGE = 5000  # rows: about 1 MB of items that have ended
COLUMNS = ("itemID", *PROJECTED)

# What `read_summary` expects of an attribute. (A fraction where a whole number should be isn't
# recognized.)
_NAME = "attribute_type({0}, :text) AND NOT contains({0}, :nul)"
_TEXT = "(attribute_not_exists({0}) OR attribute_type({0}, :text))"
_NUMBER = "(attribute_not_exists({0}) OR {0} BETWEEN :least AND :most)"
_EXPECTED = {
    "itemID": _NAME,
    "TaskID": _NAME,
    "InstanceID": _TEXT,
    "Lock_Date": _TEXT,
    "Done_Date": _TEXT,
    "Nested_Tasks": _NUMBER,
    "Nested_Done": _NUMBER,
    "Exit_Code": _NUMBER,
    "Run_Seconds": _NUMBER,
}
_VALUES = {":text": "S", ":nul": "\0", ":least": -LARGEST, ":most": LARGEST}

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the rows in one state: those in a range of slots, after a key."""

    state: ItemState
    first: str = ""  # the lowest slot; it may be any text, as others may write into the table
    last: str = ""  # the highest one; empty for the highest there is
    after: Mapping[str, Any] | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of a query, apart from its table."""
        condition, values = "ItemState = :state", {":state": self.state.value}
        if self.last:
            condition += " AND Slot BETWEEN :first AND :last"
            values |= {":first": self.first, ":last": self.last}
        elif self.first:
            condition += " AND Slot >= :first"
            values |= {":first": self.first}
        return {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": typed_map(values),
            **({"ExclusiveStartKey": self.after} if self.after else {}),
        }

    def split(self, rows_before: int) -> list[Part]:
        """Return the parts of what is left, after this many rows from the first slot of all."""
        slot = (self.after or {}).get("Slot", {}).get("S", "")
        if not re.fullmatch("[0-9a-f]{8}", slot):
            return [self]
        start = int(slot, 16)
        rows_left = rows_before * (SLOTS - start) / (start + 1)
        count = min(RANGES, max(1, math.ceil(rows_left / PAGE)))
        # No slot of ours is such a bound, so no row is in two ranges; and none is between two.
        bounds = [f"{start + (SLOTS - start) * part // count:08x}~" for part in range(1, count)]
        parts = [
            Part(state=self.state, first=first, last=last)
            for first, last in pairwise((slot, *bounds, ""))
        ]
        return [replace(parts[0], after=self.after), *parts[1:]]


class Overview:
    """The index of a table."""

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        self._table = table

    def summaries(
        self, states: Sequence[ItemState], only: Sequence[str] | None = None
    ) -> Iterator[ItemSummary | DamagedItem]:
        """Yield the rows in these states, or what is wrong with a row.

        With `only`, no other attributes are fetched. DynamoDB checks the others, and if one of a
        page is damaged, the page is fetched again with all attributes, which tell the item's name.
        """
        columns = [name for name in COLUMNS if only is None or name in only]
        some, whole = _projection(columns), _projection(COLUMNS)

        def read(part: Part, page: Mapping[str, Any]) -> list[ItemSummary | DamagedItem]:
            rows = self._rows(part, page, columns)
            is_good = page["Count"] == page.get("ScannedCount", page["Count"])
            if some == whole or (is_good and not any(type(row) is DamagedItem for row in rows)):
                return rows
            return self._rows(part, self._query(part, whole), COLUMNS)

        yield from chain.from_iterable(self.pages(states, read, some))

    def item_ids(self, states: Sequence[ItemState]) -> Iterator[str]:
        """Yield the ids of the items in these states."""

        def read(_: Part, page: Mapping[str, Any]) -> list[str]:
            return [row["itemID"]["S"] for row in page["Items"]]

        how = {"ProjectionExpression": "itemID"}
        yield from chain.from_iterable(self.pages(states, read, how))

    def pages(
        self,
        states: Sequence[ItemState],
        read: Callable[[Part, Mapping[str, Any]], R],
        how: Mapping[str, Any],
    ) -> Iterator[R]:
        """Yield what `read` returns for each page. It is called in threads."""

        def begin(state: ItemState) -> tuple[R, list[Part]]:
            part = Part(state=state)
            page = self._query(part, how)
            rest = self._rest(part, page)
            rows = page.get("ScannedCount", page["Count"])
            return read(part, page), rest.split(rows) if rest else []

        def follow(part: Part | None) -> Iterator[R]:
            while part is not None:
                page = self._query(part, how)
                yield read(part, page)
                part = self._rest(part, page)

        for first, parts in several_at_a_time(begin, states, len(states)):
            yield first
            if parts:
                yield from in_turns(map(follow, parts), len(parts))

    def _query(self, part: Part, how: Mapping[str, Any]) -> Mapping[str, Any]:
        request = part.request
        values = {**request["ExpressionAttributeValues"], **how.get("values", {})}
        arguments = {name: value for name, value in how.items() if name != "values"}
        with translated_errors(self._client, f"table {self._table!r}"):
            page: Mapping[str, Any] = self._client.query(
                TableName=self._table,
                IndexName=INDEX,
                Limit=PAGE,
                **{**request, **arguments, "ExpressionAttributeValues": values},
            )
        return page

    def _rest(self, part: Part, page: Mapping[str, Any]) -> Part | None:
        """Return what is left of a part after a page; None if nothing is."""
        after = page.get("LastEvaluatedKey")
        if after and after == part.after:
            raise not_understood(self._client, "the same page again and again")
        return replace(part, after=after) if after else None

    def _rows(
        self, part: Part, page: Mapping[str, Any], columns: Sequence[str]
    ) -> list[ItemSummary | DamagedItem]:
        known = {name: "" for name in ("itemID", "TaskID") if name not in columns}
        known["ItemState"] = part.state.value
        rows: list[ItemSummary | DamagedItem] = []
        for raw in page["Items"]:
            try:
                rows.append(read_summary(self._table, {**known, **plain_map(raw)}))
            except DamagedItem as damaged:
                rows.append(damaged)
        return rows


def _projection(columns: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of a query that fetches these columns, and checks the others."""
    unread = [name for name in COLUMNS if name not in columns]
    condition = " AND ".join(_EXPECTED[name].format(name) for name in unread)
    values = {name: value for name, value in _VALUES.items() if name in condition}
    return {
        "ProjectionExpression": ", ".join(columns),
        **({"FilterExpression": condition, "values": typed_map(values)} if unread else {}),
    }

"""A workflow step in a DynamoDB table.

A claim costs one conditional write, and sometimes a query of the index, whose page may serve many
claims (see `pyanamo.tables.dynamodb.candidates`). No claim scans or describes the table or reads
the whole index, so it costs the same however many items wait and however many pilots run.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from pyanamo.account import Account
from pyanamo.aws import (
    Client,
    ConditionFailed,
    make_client,
    not_understood,
    on_date,
    translated_errors,
)
from pyanamo.clocks import ServiceClock
from pyanamo.errors import DamagedItem
from pyanamo.model import Claim, Item, ItemState, ItemSummary, Locked, Result
from pyanamo.tables import transitions
from pyanamo.tables.attributes import (
    INDEX,
    PROJECTED,
    Attributes,
    item_attributes,
    new_import_id,
    new_item,
)
from pyanamo.tables.dynamodb import importing
from pyanamo.tables.dynamodb.candidates import ALL_SLOTS, PAGE, Candidates, SlotRange, page_around
from pyanamo.tables.dynamodb.definition import require_own_table, table_definition
from pyanamo.tables.dynamodb.expressions import Expression, Update, plain_map, typed, typed_map
from pyanamo.tables.dynamodb.leases import LOCKED_COLUMNS, KnownLeases, LockedRow
from pyanamo.tables.dynamodb.overview import PAGE as OVERVIEW_PAGE
from pyanamo.tables.dynamodb.overview import Overview
from pyanamo.tables.dynamodb.units import Units
from pyanamo.tables.dynamodb.whole import WholeItems
from pyanamo.tables.reading import (
    LARGEST,
    OF_A_CLAIM,
    Row,
    Tell,
    raise_damaged,
    read_item,
    read_lease,
    read_lost,
    readable,
)
from pyanamo.tables.size import item_size
from pyanamo.tables.table import Added, Count, HoldersVerbs
from pyanamo.tables.transitions import DELETED, Amended, Change, ChangeOfDamaged

if TYPE_CHECKING:
    from boto3.session import Session

# What is read of a locked item before it is taken over. `_still_lost` checks that it still holds.
_OF_A_LOST_ITEM = (
    "itemID",
    "ItemState",
    "lockID",
    "InstanceID",
    "Lock_Date",
    "Lease_Expires",
    "Attempts",
    "History",
)

# An item has changed since it was read if one of these has: each end of a claim and each restart
# adds an entry to the history, nested tasks are only ever removed, and an import that replaces the
# item has an id of its own.
_VERSION = ("ItemState", "lockID", "History", "Nested_Tasks", "Import_ID")
# The same for a damaged item: what a claim and a renewal write. None of them is projected away.
_VERSION_OF_DAMAGED = ("ItemState", "lockID", "Lease_Expires", "Attempts")
COUNT_PAGES = 5  # of 1 MB, some 5,000 rows: a count must cost little and take a moment


class DynamoDBTable(HoldersVerbs):
    """A workflow step in DynamoDB. See `WorkflowTable` for the contract."""

    settle_seconds = 1.5  # the index lags behind the table, usually by much less than a second

    def __init__(
        self,
        name: str,
        *,
        account: Account = Account(),
        session: Session | None = None,
        slots: SlotRange = ALL_SLOTS,
        clock: Callable[[], float] | None = None,
        steady_clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        client: Client | None = None,
        on_damaged: Tell = raise_damaged,
    ) -> None:
        """`clock` is the table's clock (default: the dates of DynamoDB's answers)."""
        self.name = name
        self.on_damaged = on_damaged
        self.locked: Locked | None = None
        self._client = client or make_client("dynamodb", account, session=session)
        if clock is None:
            clock = service_clock = ServiceClock()
            on_date(self._client, service_clock.hear)
        self.now = clock
        self._random = rng or random.Random()
        self._candidates = Candidates(
            self._page,
            own=slots,
            clock=steady_clock,
            rng=self._random,
        )
        self._locked_fit_a_page = True  # as far as we know
        self._leases = KnownLeases()
        # Item ids and tokens of claims whose write raised an error: it may have been made.
        self._in_doubt: deque[tuple[str, str]] = deque()

    def check(self) -> None:
        """Raise an error if the table can't be used, or isn't a PyAnamo table.

        DynamoDB refuses this query if the index has other keys, or lacks an attribute. So a pilot
        needs no permission to describe the table.
        """
        self._rows(ItemState.TODO, ALL_SLOTS, limit=1, attributes=("itemID", *PROJECTED))

    def create(self, units: Units | None = None) -> bool:
        """Create the table, on-demand or with these units, and wait until it can be used.

        Returns False if it was there; it is then left as it is.
        """
        with self._errors():
            made = self._make_unless_there(units)
            waiter = self._client.get_waiter("table_exists")
            waiter.wait(TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
            return made

    def add(
        self,
        items: Iterable[Item],
        *,
        replace: bool = False,
        stop: object = None,
        on_batch: Callable[[Added], object] = lambda _: None,
    ) -> Added:
        """Add new items, several requests at a time."""
        import_id = new_import_id(self.now())
        rows = (new_item(item, import_id) for item in items)
        write = importing.replace if replace else importing.insert
        total = Added()
        for added in write(self._client, self.name, rows, stop):
            total += added
            on_batch(added)
        return total

    def claim(self, pilot: str, *, lease: float, max_attempts: int) -> Claim | None:
        """Claim an item that is todo, or else one whose lease has expired."""
        while (doubtful := self._next_in_doubt()) is not None:
            if claim := self._claim(*doubtful, pilot, lease):
                return claim
        while (item_id := self._candidates.next()) is not None:
            if claim := self._claim(item_id, secrets.token_hex(8), pilot, lease):
                return claim
            self._candidates.conflict()
        return self._claim_expired(pilot, lease, max_attempts)

    def renewal_units(self, claim: Claim, results: Mapping[str, Result]) -> int:
        """Return how many write units it takes to renew with these results.

        A write takes one for each KB of the item, and one for its row of the index.
        """
        attributes = item_attributes(claim.item) | transitions.recorded(claim, results)
        return math.ceil(item_size(attributes) / 1024) + 1

    def get(self, item_id: str) -> Item | None:
        """Return the item as it is now, or None if it isn't there. Raises `DamagedItem`."""
        raw = self._get(item_id)
        return self._read(plain_map(raw)) if raw else None

    def summaries(
        self, *states: ItemState, only: Sequence[str] | None = None
    ) -> Iterator[ItemSummary]:
        """Yield the index's rows in these states, or all, state by state."""
        overview = Overview(self._client, self.name)
        for row in overview.summaries(states or tuple(ItemState), only):
            if isinstance(row, DamagedItem):
                self.on_damaged(row)
            else:
                yield row

    def count(self, state: ItemState) -> Count:
        """How many rows the index has in a state, at most `COUNT_PAGES` pages of it."""
        count = Count(items=0)
        pages = self._client.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=INDEX,
            KeyConditionExpression="ItemState = :state",
            ExpressionAttributeValues={":state": typed(state.value)},
            Select="COUNT",
            Limit=OVERVIEW_PAGE,
        )
        with self._errors():
            for page in islice(pages, COUNT_PAGES):
                items = count.items + page["Count"]
                count = Count(items=items, is_all="LastEvaluatedKey" not in page)
        return count

    def items(self, *states: ItemState) -> Iterator[Item]:
        """Yield the items in these states, found through the index, or all, by a scan."""
        items = WholeItems(self._client, self.name)
        if not states:
            yield from readable(items.all(), self._read, self.on_damaged)
            return
        wanted = {state.value for state in states}
        rows = items.named(Overview(self._client, self.name).item_ids(states))
        still = (row for row in rows if row.get("ItemState") in wanted)  # the index may lag behind
        yield from readable(still, self._read, self.on_damaged)

    def amend(
        self, item_id: str, change: Change, *, if_damaged: ChangeOfDamaged | None = None
    ) -> Amended:
        """Read an item and change it, unless somebody else changes it in between."""
        raw = self._get(item_id)
        if raw is None:
            return Amended.MISSING
        changes = self._decided(plain_map(raw), change, if_damaged)
        if isinstance(changes, Amended):
            return changes
        is_deletion = changes == DELETED
        write = self._client.delete_item if is_deletion else self._client.update_item
        expression = Expression() if is_deletion else Update(changes)
        condition = expression.unchanged(raw, _VERSION)
        try:
            with self._errors():
                write(TableName=self.name, Key=_key(item_id), **expression.arguments(condition))
        except ConditionFailed as failed:
            there = plain_map(failed.item or {})
            is_ours = failed.was_repeated and _has_landed(changes, there)
            return Amended.CHANGED if is_ours else Amended.TAKEN
        return Amended.CHANGED

    def drop(self) -> None:
        """Delete the table with all its items, and wait until it is gone."""
        with self._errors():
            self._client.delete_table(TableName=self.name)
            waiter = self._client.get_waiter("table_not_exists")
            waiter.wait(TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, item_id: str) -> dict[str, Any] | None:
        with self._errors():
            answer = self._client.get_item(
                TableName=self.name, Key=_key(item_id), ConsistentRead=True
            )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def _read(self, row: Row) -> Item:
        return read_item(row, table=self.name)

    def _errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._client, f"table {self.name!r}")

    def _next_in_doubt(self) -> tuple[str, str] | None:
        """Return a claim in doubt, or None. Each goes to one thread only."""
        try:
            return self._in_doubt.popleft()
        except IndexError:
            return None

    def _claim(self, item_id: str, token: str, pilot: str, lease: float) -> Claim | None:
        """Claim an item if it is todo, or if it has that token already."""
        update = Update(transitions.claimed(pilot, token, self.now(), lease))
        is_number = update.add_one("Attempts", LARGEST)
        is_todo = f"{update.name('ItemState')} = {update.value('todo', ItemState.TODO.value)}"
        return self._write_claim(item_id, token, update.arguments(f"{is_todo} AND {is_number}"))

    def _claim_expired(self, pilot: str, lease: float, max_attempts: int) -> Claim | None:
        """Claim an item whose lease has expired, from a random page of locked items."""
        fits = self._locked_fit_a_page
        locked = page_around(self._locked_page, PAGE, self._random, fits_a_page=fits)
        self._locked_fit_a_page = len(locked) < PAGE
        now = self.now()
        known = self._leases.that_hold(now)
        held = {row: known[row] for row in locked if row in known}
        unknown = self._read_leases([row.item_id for row in locked if row not in held])
        for item in self._lost(unknown, held):
            now = self.now()
            if transitions.is_lost_too_often(item, max_attempts):
                self._give_up(item, now)
            elif claim := self._take_over(item, pilot, lease, now):
                return claim
        ends = [end for row, end in held.items() if row.instance != pilot]
        self.locked = Locked.of(ends, now, is_all=self._locked_fit_a_page)
        return None

    def _lost(self, rows: Iterable[Mapping[str, Any]], held: dict[LockedRow, int]) -> list[Item]:
        """Return the items of these rows whose leases have expired; add the others to `held`."""
        lost = []
        now = self.now()
        for raw in rows:
            try:
                row = plain_map(raw)
                if (end := read_lease(row, table=self.name)) > now:
                    held[LockedRow.of(raw)] = end
                    self._leases.note(LockedRow.of(raw), end)
                else:
                    lost.append(read_lost(row, table=self.name))
            except DamagedItem as damaged:
                self._set_aside(raw, damaged)
        return lost

    def _take_over(self, lost: Item, pilot: str, lease: float, now: float) -> Claim | None:
        token = secrets.token_hex(8)
        claimed = transitions.claimed(pilot, token, now, lease)
        update = Update(transitions.taken_over(lost, claimed, now))
        return self._write_claim(
            lost.item_id, token, update.arguments(_still_lost(update, lost, now))
        )

    def _give_up(self, lost: Item, now: float) -> None:
        update = Update(transitions.given_up(lost, now))
        with suppress(ConditionFailed), self._errors():
            self._client.update_item(
                TableName=self.name,
                Key=_key(lost.item_id),
                **update.arguments(_still_lost(update, lost, now)),
            )

    def _write_claim(self, item_id: str, token: str, arguments: Mapping[str, Any]) -> Claim | None:
        """Write a claim. Returns None if another pilot has the item.

        The SDK repeats a write whose answer was lost, and the condition of the second one fails.
        The token then tells whether the first one was made.
        """
        try:
            with self._errors():
                answer = self._client.update_item(
                    TableName=self.name, Key=_key(item_id), ReturnValues="ALL_NEW", **arguments
                )
                if "Attributes" not in answer:
                    raise not_understood(self._client, "a claim without its item")
            raw = answer["Attributes"]
        except ConditionFailed as failed:
            raw = failed.item or {}
        except BaseException:
            self._in_doubt.append((item_id, token))
            raise
        row = plain_map(raw)
        is_ours = row.get("lockID") == token
        # One that is still todo was refused for its `Attempts`, or put back just before that.
        if not is_ours and row.get("ItemState") != ItemState.TODO.value:
            return None
        try:
            item = read_item(row, table=self.name, only=OF_A_CLAIM)
        except DamagedItem as damaged:
            self._set_aside(raw, damaged)
            return None
        return Claim(item=item, token=token) if is_ours else None

    def _set_aside(self, raw: Mapping[str, Any], damaged: DamagedItem) -> None:
        """Hold a damaged item, unless somebody else has changed it since it was read."""
        update = Update(transitions.set_aside(damaged))
        as_read = {name: value for name, value in raw.items() if name in _VERSION_OF_DAMAGED}
        condition = update.unchanged(as_read, _VERSION_OF_DAMAGED)
        try:
            with self._errors():
                self._client.update_item(
                    TableName=self.name,
                    Key={"itemID": raw["itemID"]},
                    **update.arguments(condition),
                )
        except ConditionFailed:
            return
        self.on_damaged(damaged)

    def _change(self, claim: Claim, changes: Attributes) -> bool:
        """Write the changes if the item has the claim's token; see `HoldersVerbs`."""
        update = Update(changes)
        is_ours = f"{update.name('lockID')} = {update.value('token', claim.token)}"
        try:
            with self._errors():
                self._client.update_item(
                    TableName=self.name,
                    Key=_key(claim.item.item_id),
                    **update.arguments(is_ours),
                )
            return True
        except ConditionFailed as failed:
            there = plain_map(failed.item) if failed.item else None
            return transitions.is_landed(there, claim, changes)

    def _page(self, slots: SlotRange, limit: int) -> Sequence[str]:
        """Return the first ids that the index has of items that are todo, in a range of slots."""
        rows = self._rows(ItemState.TODO, slots, limit, ("itemID",))
        return [row["itemID"]["S"] for row in rows]

    def _rows(
        self, state: ItemState, slots: SlotRange, limit: int, attributes: Sequence[str]
    ) -> Sequence[dict[str, Any]]:
        """Return the first rows that the index has in this state, in a range of slots.

        They may come in several pages, as a page has at most 1 MB. (DynamoDB Local counts the whole
        items, which may be large.)
        """
        values = {
            ":state": state.value,
            ":first": f"{slots.first:08x}",
            ":last": f"{slots.last:08x}",
        }
        request = {
            "TableName": self.name,
            "IndexName": INDEX,
            "KeyConditionExpression": "ItemState = :state AND Slot BETWEEN :first AND :last",
            "ExpressionAttributeValues": typed_map(values),
            "ProjectionExpression": ", ".join(attributes),
        }
        rows: list[dict[str, Any]] = []
        while len(rows) < limit:
            with self._errors():
                page = self._client.query(**request, Limit=limit - len(rows))
            rows += page["Items"]
            if not (page["Items"] and page.get("LastEvaluatedKey")):
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return rows

    def _locked_page(self, slots: SlotRange, limit: int) -> Sequence[LockedRow]:
        """Return the first rows that the index has of locked items, in a range of slots."""
        return list(map(LockedRow.of, self._rows(ItemState.LOCKED, slots, limit, LOCKED_COLUMNS)))

    def _read_leases(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Read what a pilot needs to take over one of these items. Omit those not locked now."""
        if not item_ids:
            return []
        names = {f"#{number}": name for number, name in enumerate(_OF_A_LOST_ITEM)}
        request = {
            "Keys": [_key(item_id) for item_id in item_ids],
            "ProjectionExpression": ", ".join(names),
            "ExpressionAttributeNames": names,
        }
        with self._errors():
            answer = self._client.batch_get_item(RequestItems={self.name: request})
        is_locked = typed(ItemState.LOCKED.value)
        rows = answer["Responses"].get(self.name, ())
        return [row for row in rows if row.get("ItemState") == is_locked]

    def _make_unless_there(self, units: Units | None) -> bool:
        try:
            require_own_table(self.name, self._client.describe_table(TableName=self.name)["Table"])
            return False
        except self._client.exceptions.ResourceNotFoundException:
            pass
        try:
            self._client.create_table(**table_definition(self.name, units))
            return True
        except self._client.exceptions.ResourceInUseException:
            return False  # somebody else has just created it


def _has_landed(changes: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Return whether a change whose answer was lost was made. A pilot may have the item by now.

    `there` is what the item has now; it is empty if the item is gone.
    """
    if changes.get("History"):
        history = there.get("History")
        return isinstance(history, list) and changes["History"][-1] in history
    return all(there.get(name) == value for name, value in changes.items())


def _still_lost(update: Update, lost: Item, now: float) -> str:
    """Return the condition that a lost item has the same claim, and its lease has expired."""
    is_same = f"{update.name('lockID')} = {update.value('lost', lost.token)}"
    has_expired = f"{update.name('Lease_Expires')} <= {update.value('now', int(now))}"
    return f"{is_same} AND {has_expired}"


def _key(item_id: str) -> dict[str, Any]:
    return {"itemID": typed(item_id)}

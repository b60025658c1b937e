"""Simulate DynamoDB: its latency, the lag of its index, and its throttling.

`SimulatedClient` has the three operations of a boto3 client that a claim and its end need. The
model makes these assumptions, most of them from pages of the Amazon DynamoDB Developer Guide:

- A request takes single-digit milliseconds ("What is Amazon DynamoDB?"). The log-normal
  distribution is our assumption.
- An index follows its table within a fraction of a second ("Using Global Secondary Indexes"). We
  assume that each change has its own lag, with a log-normal distribution. Changes of the same item
  stay in order.
- A partition takes 1,000 write units and 3,000 read units per second ("DynamoDB burst and adaptive
  capacity"), a new on-demand table 4,000 and 12,000 ("On-demand mode"), so the table has 4
  partitions. Each value of `ItemState` has one partition of the index by default. The model ignores
  that DynamoDB can split a hot partition by `Slot`, and that it saves up unused capacity.
- A write is refused if the index can't take it ("GSI back-pressure"). A change of an index key is
  two writes to the index: one row is deleted, one is added. A failed condition costs as much as a
  write to the table ("Condition expressions").
- A query reads the size of its rows' projected attributes, rounded up to 4 KB, at half the price,
  since an index has only eventually consistent reads. In a batch read, each item is rounded up.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, cycle, islice
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from sortedcontainers import SortedList

from benchmarks.simulated_time import Simulation
from pyanamo.aws import ATTEMPTS
from pyanamo.model import ItemState
from pyanamo.tables.attributes import slot

PARTITION_WRITES, PARTITION_READS = 1000, 3000  # units per second
TABLE_PARTITIONS = 4
SLOTS = 1 << 32
DRAWN = 1 << 17  # random numbers that are drawn once and then reused
LONGEST_BACKOFF = 20.0  # seconds; this and the next are of the SDKs' "standard" retry mode
THROTTLING_SECONDS = 1.0  # the longest first wait; it doubles with each retry

Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Service:
    """The speed of the simulated DynamoDB: medians and sigmas of log-normal times."""

    latency: float = 0.006  # seconds; 99 % take less than 0.02
    latency_sigma: float = 0.5
    lag: float = 0.05  # seconds; 1 change of 1,000 takes more than 1
    lag_sigma: float = 1.0
    index_partitions: int = 1  # per value of `ItemState`
    row_bytes: int = 200  # per item in the index


class Refused(Exception):
    """A partition has no capacity left."""


class Capacity:
    """The units that each partition can still read and write in this second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[tuple[str, str, int], tuple[float, float]] = {}  # units left, and when

    def write(self, *partitions: tuple[str, int]) -> None:
        """Write one unit to each of these partitions. Raises `Refused` if one has none left."""
        self._take(1, PARTITION_WRITES, [("write", *partition) for partition in partitions])

    def read(self, partition: tuple[str, int], units: float) -> None:
        """Read units from a partition. Raises `Refused` if it has fewer left."""
        self._take(units, PARTITION_READS, [("read", *partition)])

    def _take(self, units: float, a_second: float, keys: list[tuple[str, str, int]]) -> None:
        now = self._clock()
        left = []
        for key in keys:
            before, when = self._left.get(key, (a_second, now))
            left.append(min(a_second, before + (now - when) * a_second))
        if min(left) < units:
            raise Refused
        for key, there in zip(keys, left, strict=True):
            self._left[key] = (there - units, now)


class SimulatedTable:
    """The items with their states, and the states that the index shows.

    An item's number is its position in the order of slots. Its id is a different number.
    """

    def __init__(
        self, items: int, service: Service, clock: Callable[[], float], rng: random.Random
    ) -> None:
        self._service = service
        self._clock = clock
        by_slot = sorted((int(slot(str(serial)), 16), serial) for serial in range(items))
        self._slots = array("Q", (place for place, _ in by_slot))
        self._ids = array("Q", (serial for _, serial in by_slot))
        self._numbers = array("Q", bytes(8 * items))  # by id
        for number, serial in enumerate(self._ids):
            self._numbers[serial] = number
        self._states = [ItemState.TODO.value] * items
        self._tokens: dict[int, str] = {}  # of locked items
        self._shown = {state.value: SortedList[int]() for state in ItemState}
        self._shown[ItemState.TODO.value].update(range(items))
        # Changes that the index will show later: a heap ordered by time.
        self._coming: list[tuple[float, int, int, str, str]] = []
        self._order = count()
        self._shown_at = array("d", bytes(8 * items))
        self._lags = log_normal(service.lag, service.lag_sigma, rng)
        self._capacity = Capacity(clock)
        self.waiting = items  # the number of todo items
        self.conflicts = 0  # updates whose condition failed
        self.units: defaultdict[str, float] = defaultdict(float)  # "read", "write"

    def update(self, item_id: str, new: Mapping[str, str], old: Mapping[str, str]) -> Answer:
        """Set attributes to `new` if the item has all of `old`; return its attributes."""
        number = self._numbers[int(item_id)]
        there = self._attributes(number)
        partition = ("table", number % TABLE_PARTITIONS)
        if any(there.get(name) != value for name, value in old.items()):
            self._capacity.write(partition)
            self.units["write"] += 1
            self.conflicts += 1
            raise _error("ConditionalCheckFailedException", "UpdateItem", there)
        before = self._states[number]
        after = new.get("ItemState", before)
        if before == after:
            self._capacity.write(partition)
            self.units["write"] += 1
        else:
            part = self._slots[number] * self._service.index_partitions // SLOTS
            self._capacity.write(partition, (before, part), (after, part))
            self.units["write"] += 3
            self._move(number, before, after, new.get("lockID"))
        return {"Attributes": _row(self._attributes(number))}

    def query(self, state: str, first: str, last: str, limit: int) -> Answer:
        """Return the first rows of a state in a range of slots, as the index shows them now."""
        self._catch_up()
        least, most = int(first, 16), int(last, 16)
        part = least * self._service.index_partitions // SLOTS
        numbers = bisect_left(self._slots, least), bisect_right(self._slots, most) - 1
        found = list(islice(self._shown[state].irange(*numbers), limit))
        units = max(1, math.ceil(len(found) * self._service.row_bytes / 4096)) / 2
        self._capacity.read((state, part), units)
        self.units["read"] += units
        return {"Items": [{"itemID": {"S": str(self._ids[number])}} for number in found]}

    def get(self, item_ids: Sequence[str]) -> list[Answer]:
        """Return items by their ids."""
        self.units["read"] += len(item_ids) / 2
        return [_row(self._attributes(self._numbers[int(item_id)])) for item_id in item_ids]

    def _attributes(self, number: int) -> dict[str, str]:
        attributes = {"itemID": str(self._ids[number]), "ItemState": self._states[number]}
        if number in self._tokens:
            attributes["lockID"] = self._tokens[number]
        return attributes

    def _move(self, number: int, before: str, after: str, token: str | None) -> None:
        self._states[number] = after
        if token is None:
            self._tokens.pop(number, None)
        else:
            self._tokens[number] = token
        self.waiting += (after == ItemState.TODO.value) - (before == ItemState.TODO.value)
        shown_at = max(self._clock() + next(self._lags), self._shown_at[number])
        self._shown_at[number] = shown_at
        heappush(self._coming, (shown_at, next(self._order), number, before, after))

    def _catch_up(self) -> None:
        """Apply the changes that the index shows by now."""
        now = self._clock()
        while self._coming and self._coming[0][0] <= now:
            _, _, number, before, after = heappop(self._coming)
            self._shown[before].remove(number)
            self._shown[after].add(number)


class SimulatedClient:
    """The operations of a boto3 client that a claim and its end need. Workers can share it."""

    def __init__(
        self, table: SimulatedTable, service: Service, simulation: Simulation, rng: random.Random
    ) -> None:
        self._table = table
        self._simulation = simulation
        self._random = rng
        self._latencies = log_normal(service.latency, service.latency_sigma, rng)
        self.requests: Counter[str] = Counter()  # by operation, and "throttled"
        self.by_second: Counter[int] = Counter()
        model = SimpleNamespace(service_name="dynamodb")
        self.meta = SimpleNamespace(
            region_name="simulated", endpoint_url="simulated", service_model=model
        )

    def update_item(self, **arguments: Any) -> Answer:
        """Make a conditional update. Only the simulated attributes are set."""
        names = arguments["ExpressionAttributeNames"]
        values = arguments["ExpressionAttributeValues"]
        old = {}
        for clause in arguments["ConditionExpression"].split(" AND "):
            if clause.startswith("(attribute_not_exists"):
                continue  # that `Attempts` is a number: here it always is
            name, equals, value = clause.split(" ")
            if equals != "=":
                raise NotImplementedError(clause)
            old[names[name]] = values[value]["S"]
        set_to = {name: values.get(f":{name}") for name in ("ItemState", "lockID")}
        new = {name: value["S"] for name, value in set_to.items() if value}
        item_id = arguments["Key"]["itemID"]["S"]
        return self._ask("UpdateItem", lambda: self._table.update(item_id, new, old))

    def finish(self, item_id: str, token: str) -> Answer:
        """End a claim directly, without building the request that a table would send."""
        new, old = {"ItemState": ItemState.DONE.value}, {"lockID": token}
        return self._ask("UpdateItem", lambda: self._table.update(item_id, new, old))

    def query(self, **arguments: Any) -> Answer:
        """Return a page of the index."""
        values = arguments["ExpressionAttributeValues"]
        state, first, last = (values[name]["S"] for name in (":state", ":first", ":last"))
        limit = arguments["Limit"]
        return self._ask("Query", lambda: self._table.query(state, first, last, limit))

    def batch_get_item(self, **arguments: Any) -> Answer:
        """Return items by their keys."""
        ((name, request),) = arguments["RequestItems"].items()
        item_ids = [key["itemID"]["S"] for key in request["Keys"]]
        return self._ask("BatchGetItem", lambda: {"Responses": {name: self._table.get(item_ids)}})

    def _ask(self, operation: str, answer: Callable[[], Answer]) -> Answer:
        """Send a request as the SDK does: retry it after a random wait if it is refused."""
        for attempt in range(ATTEMPTS):
            half = next(self._latencies) / 2
            self._simulation.sleep(half)
            self.requests[operation] += 1
            self.by_second[int(self._simulation.now())] += 1
            try:
                return answer()
            except Refused:
                self.requests["throttled"] += 1
                wait = min(THROTTLING_SECONDS * 2.0**attempt, LONGEST_BACKOFF)
            finally:
                self._simulation.sleep(half)
            self._simulation.sleep(self._random.random() * wait)
        raise _error("ThrottlingException", operation)


def log_normal(median: float, sigma: float, rng: random.Random) -> Iterator[float]:
    """Yield random times endlessly."""
    drawn = []
    for _ in range(DRAWN):
        seconds = median * math.exp(rng.gauss(0, sigma))
        drawn.append(seconds)
        yield seconds
    yield from cycle(drawn)


def _row(attributes: Mapping[str, str]) -> Answer:
    """An item as DynamoDB gives it, with what all of them have; no lease ends here."""
    row = {name: {"S": value} for name, value in attributes.items()}
    lease = {"Lease_Expires": {"N": str(2**53)}} if "lockID" in attributes else {}
    return {"TaskID": {"S": "group"}, "TaskScript": {"S": "true"}, **row, **lease}


def _error(code: str, operation: str, item: Mapping[str, str] | None = None) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": ""}}
    if item:
        answer["Item"] = _row(item)
    return ClientError(answer, operation)

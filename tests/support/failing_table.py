"""A table that fails on purpose, around one of either kind."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TypeVar

from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim, Item, ItemState, ItemSummary, Outcome, Result
from pyanamo.tables import Added, WorkflowTable

T = TypeVar("T")


class When(Enum):
    """When a verb fails."""

    BEFORE = "before the write"  # nothing has changed
    AFTER = "after the write"  # it was made, but its answer is lost


class FailingTable:
    """A `WorkflowTable` whose verbs raise `StoreUnavailable` when `fail` has said so."""

    def __init__(self, table: WorkflowTable) -> None:
        self.name = table.name
        self.settle_seconds = table.settle_seconds
        self.on_damaged = table.on_damaged
        self.locked = None
        self.calls: list[str] = []  # the verbs that were called
        self._table = table
        self._failures: dict[str, deque[When]] = {}

    def fail(self, verb: str, when: When, *, times: int = 1) -> None:
        """Have the next calls of a verb fail, after those that were to fail already."""
        self._failures.setdefault(verb, deque()).extend([when] * times)

    def now(self) -> float:
        return self._table.now()

    def check(self) -> None:
        self._call("check", self._table.check)

    def create(self) -> bool:
        return self._call("create", self._table.create)

    def add(
        self,
        items: Iterable[Item],
        *,
        replace: bool = False,
        stop: object = None,
        on_batch: Callable[[Added], object] = lambda _: None,
    ) -> Added:
        add = partial(self._table.add, items, replace=replace, stop=stop, on_batch=on_batch)
        return self._call("add", add)

    def claim(self, pilot: str, *, lease: float, max_attempts: int) -> Claim | None:
        claim = partial(self._table.claim, pilot, lease=lease, max_attempts=max_attempts)
        return self._call("claim", claim)

    def renew(
        self, claim: Claim, *, lease: float, results: Mapping[str, Result] | None = None
    ) -> bool:
        return self._call("renew", partial(self._table.renew, claim, lease=lease, results=results))

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        return self._call("finish", partial(self._table.finish, claim, outcome))

    def release(self, claim: Claim, outcome: Outcome) -> bool:
        return self._call("release", partial(self._table.release, claim, outcome))

    def lose(self, claim: Claim, reason: str, *, max_attempts: int) -> bool:
        lose = partial(self._table.lose, claim, reason, max_attempts=max_attempts)
        return self._call("lose", lose)

    def get(self, item_id: str) -> Item | None:
        return self._call("get", partial(self._table.get, item_id))

    def summaries(
        self, *states: ItemState, only: Sequence[str] | None = None
    ) -> Iterator[ItemSummary]:
        return self._call("summaries", partial(self._table.summaries, *states, only=only))

    def close(self) -> None:
        self._table.close()

    def _call(self, verb: str, call: Callable[[], T]) -> T:
        self.calls.append(verb)
        failures = self._failures.get(verb)
        when = failures.popleft() if failures else None
        if when is When.BEFORE:
            raise StoreUnavailable(f"{verb} fails on purpose before the write")
        answer = call()
        if when is When.AFTER:
            raise StoreUnavailable(f"{verb} fails on purpose after the write")
        return answer

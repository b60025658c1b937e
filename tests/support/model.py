"""A model of a table in plain Python: tests compare both kinds of table with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyanamo.model import Attempt, Claim, Ending, Item, ItemState, Outcome, Result, TaskStatus
from pyanamo.model import utc_date as date
from pyanamo.tables import Added
from tests.support.backends import Clock

LEASE, MAX_ATTEMPTS = 60, 3
DIED = "the worker died while running it (killed by signal 9)"


@dataclass(kw_only=True)
class Held:
    """A claim that was given out, by either table."""

    number: int  # stands for the token, which differs between the tables
    item_id: str
    holds_until: float
    claims: Mapping[str, Claim]  # by kind of table
    results: dict[str, Result] = field(default_factory=dict)  # of this attempt so far
    ended: bool = False

    @property
    def token(self) -> str:
        return str(self.number)


class Model:
    """What a table must do. The token of a claim is its number here."""

    def __init__(self, clock: Clock) -> None:
        self.items: dict[str, Item] = {}
        self.endings: dict[str, list[Ending]] = {}  # of all an item's attempts
        self._clock = clock

    def add(self, item: Item) -> Added:
        if item.item_id in self.items:
            return Added(already_there=1)
        self.items[item.item_id] = item
        self.endings[item.item_id] = []
        return Added(imported=1)

    def waiting(self) -> set[str]:
        return {name for name, item in self.items.items() if item.state is ItemState.TODO}

    def expired(self) -> set[str]:
        return {
            name
            for name, item in self.items.items()
            if item.lease_expires is not None and item.lease_expires <= self._clock()
        }

    def lose(self, item_id: str, how: str = "") -> None:
        """The item's pilot has died; it is given up if that happened too often."""
        item = self.items[item_id]
        times = item.times_lost + 1
        if times < MAX_ATTEMPTS:
            self._end(item_id, Ending.LOST, how or "the lease expired")
            if how:
                self._change(item_id, reason=how, exit_code=None)
            return
        reason = f"lost {times} times: {how or 'the pilot died while running it'}"
        self._end(item_id, Ending.LOST, how or reason)
        self._change(
            item_id, state=ItemState.FAILED, done_date=self._today, reason=reason, exit_code=None
        )

    def claim(self, item_id: str, pilot: str, token: str) -> None:
        self._change(
            item_id,
            state=ItemState.LOCKED,
            attempts=self.items[item_id].attempts + 1,
            instance=pilot,
            token=token,
            lock_date=self._today,
            lease_expires=int(self._clock()) + LEASE,
        )

    def holds(self, held: Held) -> bool:
        return self.items[held.item_id].token == held.token

    def renew(self, held: Held) -> bool:
        if self.holds(held):
            self._change(held.item_id, lease_expires=int(self._clock()) + LEASE)
            return True
        return False

    def record(self, held: Held, results: Mapping[str, Result]) -> bool:
        if not self.holds(held):
            return False
        item = self.items[held.item_id]
        tasks = item.tasks
        if item.nested:
            tasks = tuple(
                replace(task, status=results[task.name].status) if task.name in results else task
                for task in tasks
            )
        self._change(held.item_id, tasks=tasks, results={**item.results, **results})
        return True

    def end(self, held: Held, outcome: Outcome, *, put_back: bool) -> bool:
        """Finish or release. Who has done so already is told that it is so."""
        item_id = held.item_id
        if not self.holds(held):
            return self._has_ended(held, outcome.ending)
        self.record(held, outcome.results)
        self._end(item_id, outcome.ending, outcome.reason)
        item = self.items[item_id]
        results = item.results.values()
        peaks = [result.peak_mb for result in results if result.peak_mb is not None]
        self._change(
            item_id,
            exit_code=outcome.exit_code,
            reason=outcome.reason,
            run_seconds=sum(result.run_seconds for result in results),
            cpu_seconds=sum(result.cpu_seconds for result in results),
            max_rss_mb=max((result.max_rss_mb for result in results), default=0.0),
            peak_mb=max(peaks, default=None),
        )
        if not put_back:
            state = ItemState.DONE if outcome.ending is Ending.DONE else ItemState.FAILED
            made_with = outcome.made_with
            self._change(item_id, state=state, done_date=self._today, made_with=made_with)
        elif outcome.ending is Ending.INTERRUPTED:
            self._change(item_id, attempts=item.attempts - 1)
        return True

    def worker_died(self, held: Held) -> bool:
        """Its pilot gives the item back; if it has done so already it is told that it is so."""
        if not self.holds(held):
            return self._has_ended(held, Ending.LOST, DIED)
        self.lose(held.item_id, DIED)
        return True

    def _has_ended(self, held: Held, ending: Ending, reason: str | None = None) -> bool:
        return any(
            (past.token, past.ending) == (held.token, ending) and reason in (None, past.reason)
            for past in self.items[held.item_id].history
        )

    def _end(self, item_id: str, ending: Ending, reason: str) -> None:
        item = self.items[item_id]
        past = Attempt(
            attempt=item.attempts,
            instance=item.instance,
            lock_date=item.lock_date,
            end_date=self._today,
            ending=ending,
            reason=reason,
            token=item.token,
            times_lost=item.times_lost + (ending is Ending.LOST),
        )
        history = (*item.history, past)[-10:]
        self._change(item_id, state=ItemState.TODO, token="", lease_expires=None, history=history)
        self.endings[item_id].append(ending)

    def _change(self, item_id: str, **fields: object) -> None:
        item = replace(self.items[item_id], **fields)  # type: ignore[arg-type]
        if not item.nested:  # its task's status follows from how it ended
            status = TaskStatus.FAILED if item.exit_code else TaskStatus.TODO
            status = TaskStatus.DONE if item.state is ItemState.DONE else status
            item = replace(item, tasks=(replace(item.tasks[0], status=status),))
        self.items[item_id] = item

    @property
    def _today(self) -> str:
        return date(self._clock())

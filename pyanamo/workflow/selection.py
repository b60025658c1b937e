"""Which items an operator selects."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pyanamo.model import Item, ItemState, ItemSummary, epoch_seconds_of
from pyanamo.tables import WorkflowTable
from pyanamo.workflow.failures import failed_item, group_id_of

_AGES = ("older_than", "newer_than")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Items that match all conditions that are given.

    A condition is one value or several, of which any must match:

    >>> failed = Selection(states="failed", task_id=["S1", "S2"])
    >>> killed = Selection(reason="out of memory")
    >>> listed = Selection(names=Path("names.txt").read_text().split())
    """

    names: Iterable[str] = ()
    pattern: Iterable[str] = ()  # of names: *, ? and [...] as in a shell
    states: Iterable[ItemState | str] = ()
    task_id: Iterable[str] = ()
    instance: Iterable[str] = ()  # of the pilot that holds it, or held it last; a pattern
    exit_code: int | Iterable[int] = ()
    older_than: float | None = None  # seconds since it ended or, if it hasn't, was claimed
    newer_than: float | None = None
    reason: Iterable[str] = ()  # a part of the reason, which may be a pattern
    group: Iterable[str] = ()  # the id of a group of failures

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in _AGES:
                object.__setattr__(self, field.name, _several(getattr(self, field.name)))
        object.__setattr__(self, "states", tuple(map(ItemState, self.states)))

    @property
    def is_all(self) -> bool:
        """Whether it has no condition, and so selects every item."""
        return self == Selection()

    @property
    def is_by_name(self) -> bool:
        """Whether it has names and no other condition."""
        return bool(self.names) and self == Selection(names=self.names)

    @cached_property
    def searched_states(self) -> tuple[ItemState, ...]:
        """The states that items must have, or none if any will do.

        Reason and group are looked for in failed items, unless states are given.
        """
        given = tuple(map(ItemState, self.states))
        return given or ((ItemState.FAILED,) if self.needs_items else ())

    @property
    def needs_items(self) -> bool:
        """Whether the index doesn't tell which items match: reason and group aren't in it."""
        return bool(self.reason or self.group)

    def rows(self, table: WorkflowTable, now: float) -> Iterator[ItemSummary]:
        """The rows of a table's index that match at `now` (epoch seconds)."""
        if self.needs_items:
            return (summary_of(table.name, item) for item in self.items(table, now))
        rows = table.summaries(*self.searched_states)
        return (row for row in rows if self.matches(row, now))

    def items(self, table: WorkflowTable, now: float) -> Iterator[Item]:
        """A table's items that match. Reads all items in the searched states."""
        items = table.items(*self.searched_states)
        return (item for item in items if self.matches_item(table.name, item, now))

    def matches(self, row: ItemSummary, now: float) -> bool:
        """Whether a row of the index matches, apart from reason and group."""
        matches = (
            (not self.names or row.item_id in self._names)
            and (not self.searched_states or row.state in self.searched_states)
            and _matches_any(row.item_id, self.pattern)
            and (not self.task_id or row.task_id in self._task_ids)
            and _matches_any(row.instance, self.instance)
            and (not self._exit_codes or row.exit_code in self._exit_codes)
            and self._has_age(row, now)
        )
        if matches and self.task_id:
            self._matched_task_ids.add(row.task_id)
        return matches

    @property
    def unmatched_task_ids(self) -> list[str]:
        """The given TaskIDs that no row had which has matched so far."""
        return [name for name in dict.fromkeys(self.task_id) if name not in self._matched_task_ids]

    def matches_item(self, table: str, item: Item, now: float) -> bool:
        """Whether an item matches at `now`."""
        return self.matches(summary_of(table, item), now) and self._matches_failure(item)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)  # there may be many

    @cached_property
    def _task_ids(self) -> frozenset[str]:
        return frozenset(self.task_id)

    @cached_property
    def _matched_task_ids(self) -> set[str]:
        return set()

    @cached_property
    def _exit_codes(self) -> frozenset[int]:
        return frozenset(_several(self.exit_code))

    def _has_age(self, row: ItemSummary, now: float) -> bool:
        if self.older_than is None and self.newer_than is None:
            return True
        moment = epoch_seconds_of(row.done_date or row.lock_date)
        if moment is None:
            return False  # it was never claimed, or its date can't be read
        age = now - moment
        return (self.older_than is None or age >= self.older_than) and (
            self.newer_than is None or age <= self.newer_than
        )

    def _matches_failure(self, item: Item) -> bool:
        has_reason = not self.reason or any(
            part in item.reason or fnmatch.fnmatchcase(item.reason, f"*{part}*")
            for part in self.reason
        )
        return has_reason and (
            not self.group
            or (item.state is ItemState.FAILED and group_id_of(failed_item(item)) in self.group)
        )


def _several(values: Any) -> tuple[Any, ...]:
    """One value or several as a tuple."""
    return (values,) if isinstance(values, (str, int)) else tuple(values)


def _matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Whether a text matches one of the patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def summary_of(table: str, item: Item) -> ItemSummary:
    """An item as a row of the index."""
    return ItemSummary(
        table=table,
        item_id=item.item_id,
        task_id=item.task_id,
        state=item.state,
        instance=item.instance,
        lock_date=item.lock_date,
        done_date=item.done_date,
        nested_tasks=len(item.tasks) if item.nested else None,
        nested_done=item.nested_done if item.nested else None,
        exit_code=item.exit_code,
        run_seconds=item.run_seconds,
    )

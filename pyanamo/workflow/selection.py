"""Which items an operator means."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, fields

from pyanamo.model import Item, ItemState, ItemSummary, epoch_seconds_of
from pyanamo.tables import WorkflowTable
from pyanamo.workflow.failures import failed_item, group_id_of


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Items that are all of what is given; what isn't given doesn't matter."""

    names: tuple[str, ...] = ()
    pattern: str | None = None  # of names: *, ? and [...] as in a shell
    states: tuple[ItemState, ...] = ()
    task_id: str | None = None
    instance: str | None = None  # the pilot that holds it, or held it last; a pattern
    exit_code: int | None = None
    older_than: float | None = None  # seconds since it was done, or else claimed
    newer_than: float | None = None
    reason: str | None = None  # a part of it
    group: str | None = None  # of failures: the id that `failures` shows

    def __str__(self) -> str:
        """What is given, for messages: `states failed, pattern Sample*`."""
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in ((), None):
                values = value if isinstance(value, tuple) else (value,)
                texts = (part.value if isinstance(part, ItemState) else part for part in values)
                parts.append(f"{field.name} {' '.join(map(str, texts))}")
        return ", ".join(parts) or "any"

    @property
    def is_all(self) -> bool:
        """Whether it means every item there is."""
        return self == Selection()

    def rows(self, table: WorkflowTable, now: float) -> Iterator[ItemSummary]:
        """The rows of a table's index that it means; `now` in epoch seconds.

        Reason and group aren't in the index: for them, the items that failed are read themselves.
        """
        if self.reason is not None or self.group is not None:
            rows = self._by_failure(table)
        else:
            rows = table.summaries(*self.states)
        return (row for row in rows if self.matches(row, now))

    def matches(self, row: ItemSummary, now: float) -> bool:
        """Whether a row of the index is meant, as far as the index tells."""
        return (
            (not self.names or row.item_id in self.names)
            and (not self.states or row.state in self.states)
            and (self.pattern is None or fnmatch.fnmatchcase(row.item_id, self.pattern))
            and (self.task_id is None or row.task_id == self.task_id)
            and (self.instance is None or fnmatch.fnmatchcase(row.instance, self.instance))
            and (self.exit_code is None or row.exit_code == self.exit_code)
            and self._has_age(row, now)
        )

    def means(self, table: str, item: Item, now: float) -> bool:
        """Whether an item is meant, as it is now."""
        return self.matches(summary_of(table, item), now) and self._has_failed_so(item)

    def _has_age(self, row: ItemSummary, now: float) -> bool:
        if self.older_than is None and self.newer_than is None:
            return True
        moment = epoch_seconds_of(row.done_date or row.lock_date)
        if moment is None:
            return False  # nothing has happened to it yet, or nobody knows when
        age = now - moment
        return (self.older_than is None or age >= self.older_than) and (
            self.newer_than is None or age <= self.newer_than
        )

    def _by_failure(self, table: WorkflowTable) -> Iterator[ItemSummary]:
        states = self.states or (ItemState.FAILED,)
        for item in table.items(*states):
            if self._has_failed_so(item):
                yield summary_of(table.name, item)

    def _has_failed_so(self, item: Item) -> bool:
        return (self.reason is None or self.reason in item.reason) and (
            self.group is None
            or (item.state is ItemState.FAILED and group_id_of(failed_item(item)) == self.group)
        )


def summary_of(table: str, item: Item) -> ItemSummary:
    """The row that the index has of an item."""
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

"""Which items an operator selects."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from pyanamo.model import Item, ItemState, ItemSummary, epoch_seconds_of
from pyanamo.tables import WorkflowTable
from pyanamo.workflow.failures import failed_item, group_id_of


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Items that match all conditions that are given."""

    names: tuple[str, ...] = ()
    pattern: str | None = None  # of names: *, ? and [...] as in a shell
    states: tuple[ItemState, ...] = ()
    task_id: str | None = None
    instance: str | None = None  # of the pilot that holds it, or held it last; a pattern
    exit_code: int | None = None
    older_than: float | None = None  # seconds since it ended or, if it hasn't, was claimed
    newer_than: float | None = None
    reason: str | None = None  # a part of the reason
    group: str | None = None  # the id of a group of failures

    @property
    def is_all(self) -> bool:
        """Whether it has no condition, and so selects every item."""
        return self == Selection()

    def rows(self, table: WorkflowTable, now: float) -> Iterator[ItemSummary]:
        """The rows of a table's index that match at `now` (epoch seconds).

        Reason and group aren't in the index: to match these, items are read, only those that failed
        unless `states` is given.
        """
        if self.reason is not None or self.group is not None:
            rows = self._by_failure(table)
        else:
            rows = table.summaries(*self.states)
        return (row for row in rows if self.matches(row, now))

    def matches(self, row: ItemSummary, now: float) -> bool:
        """Whether a row of the index matches, apart from reason and group."""
        return (
            (not self.names or row.item_id in self.names)
            and (not self.states or row.state in self.states)
            and (self.pattern is None or fnmatch.fnmatchcase(row.item_id, self.pattern))
            and (self.task_id is None or row.task_id == self.task_id)
            and (self.instance is None or fnmatch.fnmatchcase(row.instance, self.instance))
            and (self.exit_code is None or row.exit_code == self.exit_code)
            and self._has_age(row, now)
        )

    def matches_item(self, table: str, item: Item, now: float) -> bool:
        """Whether an item matches at `now`."""
        return self.matches(summary_of(table, item), now) and self._matches_failure(item)

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

    def _by_failure(self, table: WorkflowTable) -> Iterator[ItemSummary]:
        states = self.states or (ItemState.FAILED,)
        for item in table.items(*states):
            if self._matches_failure(item):
                yield summary_of(table.name, item)

    def _matches_failure(self, item: Item) -> bool:
        return (self.reason is None or self.reason in item.reason) and (
            self.group is None
            or (item.state is ItemState.FAILED and group_id_of(failed_item(item)) == self.group)
        )


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

"""The operator's side in Python: look at the steps of a workflow, and change what must run again.

    from pyanamo import Workflow

    steps = Workflow("Align", "Call", local="pyanamo.db")
    for status in steps.status():
        print(status.table, status.items)

Nothing here prints. What there may be many of comes as an iterator, read as it goes.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from pyanamo.account import Account
from pyanamo.errors import ItemNotFound, UsageError
from pyanamo.identity import job_id_of
from pyanamo.model import Item, ItemState, ItemSummary, Result, Task, TaskStatus
from pyanamo.output.reader import Stream, whole_log
from pyanamo.parallel import several_at_a_time
from pyanamo.tables import Amended, Store, WorkflowTable, transitions
from pyanamo.tables.transitions import Change, Changes
from pyanamo.workflow.failures import FailureGroup, failed_item, group_failures
from pyanamo.workflow.samples import Samples, samples_of
from pyanamo.workflow.selection import Selection, summary_of
from pyanamo.workflow.status import Status, status_of

if TYPE_CHECKING:
    from pyanamo.batch.jobs import JobState

AT_A_TIME = 8  # changes

Found: TypeAlias = Iterable[tuple[str, str]]  # items, each by its table's name and its own


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What became of the items that a command meant."""

    changed: int = 0
    unchanged: int = 0  # there was nothing to change: of the wrong state, or as it should be
    taken: int = 0  # a pilot works on it, or somebody else had changed it at the same time
    missing: int = 0  # somebody has deleted it meanwhile

    def plus(self, amended: Amended) -> Changed:
        """With one more."""
        return Changed(
            changed=self.changed + (amended is Amended.CHANGED),
            unchanged=self.unchanged + (amended is Amended.UNCHANGED),
            taken=self.taken + (amended is Amended.TAKEN),
            missing=self.missing + (amended is Amended.MISSING),
        )


@dataclass(frozen=True, kw_only=True)
class JobItems:
    """What an AWS Batch job holds."""

    instance: str  # the pilot's InstanceID: job id and attempt
    job: JobState
    items: tuple[ItemSummary, ...]


class Workflow:
    """One or more steps of a workflow, each a table; in the order of the steps.

    Methods that change items look at each item again before they change it: one that no longer
    matches the selection stays as it is. They read the index to find the items, unless these are
    given as `found`: by somebody who has read `items` already, to count them for example.
    """

    def __init__(
        self,
        *tables: str,
        local: str | Path | None = None,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """The tables are in the file `local`, or else in DynamoDB as the SDK finds it.

        They need not be there yet. Raises `UsageError` for no table.
        """
        if not tables:
            raise UsageError("a workflow has one table at least: name it")
        self._store = Store(
            local=None if local is None else Path(local),
            account=Account(region=region, profile=profile, endpoint_url=endpoint_url),
        )
        self._clock = clock
        self._tables = [self._store.open(name) for name in tables]

    def __enter__(self) -> Workflow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back files and connections."""
        for table in self._tables:
            table.close()

    def status(self) -> list[Status]:
        """How far each step is; from the index alone."""
        now = self._clock()
        return [status_of(table.name, table.summaries(), now) for table in self._checked]

    def samples(self) -> Samples:
        """The samples (TaskIDs) by the steps; from the index alone."""
        return samples_of({table.name: table.summaries() for table in self._checked})

    def items(self, selection: Selection = Selection()) -> Iterator[ItemSummary]:  # noqa: B008
        """The rows of the index that match. Raises `ItemNotFound` for a name that isn't there."""
        if selection.names:
            yield from self._named(selection)
            return
        for table in self._checked:
            yield from selection.rows(table, self._clock())

    def show(self, item_id: str) -> Item:
        """An item with its tasks, results and attempts. Raises `ItemNotFound`."""
        return next(item for _, item in self._find(item_id))

    def logs(
        self, item_id: str, task: str | None = None, *, stream: Stream = "stdout"
    ) -> Iterator[bytes]:
        """The whole output of an item's task, from where it is kept.

        A nested item's task must be named. Raises `ItemNotFound`, also for a task that has not
        ended yet, and `PyAnamoError` where only the tail was kept; see `show` for that.
        """
        result = self.result(item_id, task)
        return whole_log(result, stream, self._store.account)

    def result(self, item_id: str, task: str | None = None) -> Result:
        """How an item's task ended. Raises `ItemNotFound` where it has not."""
        item = self.show(item_id)
        if task is None and len(item.tasks) > 1:
            names = f"{item.tasks[0].name} to {item.tasks[-1].name}"
            raise ItemNotFound(f"item {item_id!r} has {len(item.tasks)} tasks: name one of {names}")
        name = task or item.tasks[0].name
        if name not in {known.name for known in item.tasks}:
            raise ItemNotFound(f"item {item_id!r} has no {name}")
        if name not in item.results:
            raise ItemNotFound(f"{name} of item {item_id!r} has no output: it has not ended yet")
        return item.results[name]

    def failures(self) -> list[FailureGroup]:
        """The failed items by what they have in common, the most frequent first."""
        return group_failures(
            failed_item(item) for table in self._checked for item in table.items(ItemState.FAILED)
        )

    def jobs(self) -> list[JobItems]:
        """The locked items by the AWS Batch job that holds them; other pilots' are left out."""
        held: dict[str, list[ItemSummary]] = {}
        for table in self._checked:
            for row in table.summaries(ItemState.LOCKED):
                if job_id_of(row.instance) is not None:
                    held.setdefault(row.instance, []).append(row)
        if not held:
            return []
        from pyanamo.batch.jobs import Jobs

        jobs = Jobs(self._store.account)
        try:
            states = jobs.of_instances(held)
        finally:
            jobs.close()
        return [
            JobItems(instance=name, job=states[name], items=tuple(rows))
            for name, rows in held.items()
        ]

    def ended_jobs(self) -> list[JobItems]:
        """Those of the jobs that have ended, or that AWS Batch no longer knows."""
        return [held for held in self.jobs() if held.job.has_ended]

    def export(self) -> Iterator[Item]:
        """All items, whole."""
        for table in self._checked:
            yield from table.items()

    def restart(
        self,
        selection: Selection,
        found: Found | None = None,
        *,
        tasks: Iterable[str] = (),
        all_tasks: bool = False,
    ) -> Changed:
        """Put items back to `todo`. Of nested items, what failed runs again, and what never ran;
        with `tasks` these too, with `all_tasks` all.

        An item that a pilot works on is left alone.
        """
        chosen = frozenset(tasks)
        self._require_tasks(selection, chosen)

        def again(task: Task) -> bool:
            if chosen:
                return task.name in chosen
            return all_tasks or task.status is TaskStatus.FAILED

        def restarted(item: Item) -> Changes | Amended:
            if chosen and not chosen & {task.name for task in item.tasks}:
                return Amended.UNCHANGED
            what = "all tasks" if all_tasks else ", ".join(sorted(chosen)) or "what failed"
            return transitions.restarted(
                item, again, f"restarted: {what}", operator_name(), self._clock()
            )

        return self._amend(selection, found, restarted)

    def hold(self, selection: Selection, found: Found | None = None) -> Changed:
        """Set items aside that are `todo` or `failed`."""
        return self._amend(selection, found, transitions.held)

    def unhold(self, selection: Selection, found: Found | None = None) -> Changed:
        """Put items back to `todo` that were set aside."""
        return self._amend(selection, found, transitions.unheld)

    def release(
        self, selection: Selection, found: Found | None = None, *, force: bool = False
    ) -> Changed:
        """Give up locks whose lease has expired; with `force` all of the items that are meant.

        The attempt counts as lost. A holder that still lives is told so at its next write.
        """

        def freed(item: Item) -> Changes | Amended:
            now = self._clock()
            expired = item.lease_has_expired(now)
            if not expired and not force:
                return Amended.UNCHANGED
            why = "the lease expired" if expired else f"released by {operator_name()}"
            return transitions.freed(item, why, now)

        return self._amend(selection, found, freed, locked=True)

    def release_ended_jobs(self) -> Changed:
        """Give up the locks of AWS Batch jobs that have ended.

        Where Batch no longer knows the job, the lease must have expired as well: it may be a job
        of another region or account.
        """
        total = Changed()
        for held in self.ended_jobs():
            for row in held.items:
                freed = self._freed(row, held.job)
                total = total.plus(self._table(row.table).amend(row.item_id, freed))
        return total

    def delete(self, selection: Selection, found: Found | None = None) -> Changed:
        """Delete items, but none that a pilot works on."""
        return self._amend(selection, found, transitions.deleted)

    def delete_tasks(
        self, selection: Selection, tasks: Iterable[str], found: Found | None = None
    ) -> Changed:
        """Delete nested tasks of items, but not all of an item's."""
        chosen = frozenset(tasks)
        self._require_tasks(selection, chosen)
        return self._amend(
            selection, found, lambda item: transitions.without_tasks(item, chosen, self._clock())
        )

    def create(self) -> list[str]:
        """Make the tables that aren't there; their names."""
        return [table.name for table in self._tables if table.create()]

    def drop(self) -> None:
        """Delete the tables with all their items."""
        for table in self._checked:
            table.drop()

    @cached_property
    def _checked(self) -> list[WorkflowTable]:
        """The tables, which are there and are PyAnamo's."""
        for table in self._tables:
            table.check()
        return self._tables

    def _table(self, name: str) -> WorkflowTable:
        return next(table for table in self._tables if table.name == name)

    def _find(self, item_id: str) -> Iterator[tuple[str, Item]]:
        """The items of that name, with their tables' names: at least one, or `ItemNotFound`."""
        # Bytes that aren't UTF-8, as a command line may have them, are in no name.
        is_text = item_id.isascii() or item_id.encode(errors="ignore").decode() == item_id
        is_there = False
        for table in self._checked:
            if is_text and (item := table.get(item_id)):
                is_there = True
                yield table.name, item
        if not is_there:
            names = ", ".join(table.name for table in self._tables)
            raise ItemNotFound(f"item {item_id!r} is not in {names}")

    def _named(self, selection: Selection) -> list[ItemSummary]:
        """The rows of a selection by names, each of which must be there."""
        now = self._clock()
        return [
            summary_of(table, item)
            for name in dict.fromkeys(selection.names)
            for table, item in self._find(name)
            if selection.means(table, item, now)
        ]

    def _require_tasks(self, selection: Selection, tasks: Iterable[str]) -> None:
        """Items that are named must have the tasks that are named."""
        for name in selection.names if tasks else ():
            known = {task.name for _, item in self._find(name) for task in item.tasks}
            if unknown := sorted(set(tasks) - known):
                raise ItemNotFound(f"item {name!r} has no {', '.join(unknown)}")

    def _amend(
        self, selection: Selection, found: Found | None, change: Change, *, locked: bool = False
    ) -> Changed:
        """Change the selected items, several at a time; locked ones only if `locked`.

        Raises `UsageError` for an empty selection, for it means every item.
        """
        if selection.is_all:
            raise UsageError("an empty selection means every item: if so, say pattern='*'")
        if found is None:
            found = ((row.table, row.item_id) for row in self.items(selection))

        def amend(table_and_item: tuple[str, str]) -> Amended:
            table, item_id = table_and_item

            def change_if_still_selected(item: Item) -> Changes | Amended:
                if item.state is ItemState.LOCKED and not locked:
                    return Amended.TAKEN
                is_selected = selection.means(table, item, self._clock())
                return change(item) if is_selected else Amended.UNCHANGED

            return self._table(table).amend(item_id, change_if_still_selected)

        total = Changed()
        for amended in several_at_a_time(amend, _once(selection, found), AT_A_TIME):
            total = total.plus(amended)
        return total

    def _freed(self, row: ItemSummary, job: JobState) -> Change:
        """What frees an item from the pilot that a row of the index names, but from no other."""
        why = f"AWS Batch job {job.status.value}: {job.reason}".rstrip(": ")

        def freed(item: Item) -> Changes | Amended:
            now = self._clock()
            is_sure = not job.is_gone or item.lease_has_expired(now)
            if item.instance != row.instance or not is_sure:
                return Amended.UNCHANGED
            return transitions.freed(item, why, now)

        return freed


def _once(selection: Selection, found: Found) -> Found:
    """Each item once, also one that is found in two states, for it changed while they were read.

    In one state each item is found once anyway, and no names need to be kept.
    """
    return found if len(selection.states) == 1 else dict.fromkeys(found)


def operator_name() -> str:
    """Who changes things: `name@host`, for the history."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"

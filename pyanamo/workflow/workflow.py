"""The operator's side in Python: look at the steps of a workflow, and change what must run again.

    from pyanamo import Item, Selection, Workflow

    with Workflow("Align", "Call", local="pyanamo.db") as steps:
        for status in steps.status():
            print(status.table, status.items)

The methods' examples go on from there. Nothing here prints. What may be many comes as an iterator,
which reads as it is read.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pyanamo.errors import DamagedItem, ItemNotFound, PyAnamoError, UsageError
from pyanamo.identity import job_id_of
from pyanamo.model import Item, ItemState, ItemSummary, Locked, Result, Task, TaskStatus
from pyanamo.output.reader import Stream, whole_log
from pyanamo.parallel import several_at_a_time
from pyanamo.tables import Amended, WorkflowTable, transitions
from pyanamo.tables.reading import OF_A_RESULT, lease_holds, read_item
from pyanamo.tables.transitions import DELETED, Change, ChangeOfDamaged, Changes
from pyanamo.text import readable_text
from pyanamo.workflow.failures import FailureGroup, failed_item, group_failures
from pyanamo.workflow.finding import FEW, Finder
from pyanamo.workflow.samples import OF_A_SAMPLE, Samples, samples_of
from pyanamo.workflow.selection import Selection
from pyanamo.workflow.status import OF_A_STATUS, Status, status_of
from pyanamo.workflow.steps import Steps

if TYPE_CHECKING:
    from pyanamo.batch.jobs import JobState

AT_A_TIME = 8  # changes, or items to read
NAMED = 10  # failed tasks in a message

T = TypeVar("T")

Found: TypeAlias = Iterable[tuple[str, str]]  # items, each by its table's name and its own


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What became of the selected items: how many of each kind."""

    changed: int = 0
    unchanged: int = 0  # in another state, or already as it should be
    taken: int = 0  # a pilot works on it, or somebody else changed it at the same time
    missing: int = 0  # somebody deleted it in the meantime
    damaged: int = 0  # its row isn't an item
    # Those that were left as they are because their leases hold.
    locked: Locked | None = field(default=None, compare=False)

    def plus(self, amended: Amended) -> Changed:
        """The counts with one more item."""
        return Changed(
            changed=self.changed + (amended is Amended.CHANGED),
            unchanged=self.unchanged + (amended is Amended.UNCHANGED),
            taken=self.taken + (amended is Amended.TAKEN),
            missing=self.missing + (amended is Amended.MISSING),
            damaged=self.damaged + (amended is Amended.DAMAGED),
        )


@dataclass(frozen=True, kw_only=True)
class JobItems:
    """The items that an AWS Batch job holds."""

    instance: str  # the pilot's InstanceID, which is job id and attempt
    job: JobState
    items: tuple[ItemSummary, ...]


class Workflow(Steps):
    """One or more steps of a workflow, in their order. Each step is a table.

    Methods that change items read the index to find them, and look at each item again before they
    change it: one that no longer matches the selection is left as it is. If you have found the
    items already, with `items`, hand them on as `found`, and the index isn't read again. If they
    raise a `PyAnamoError` after some items, its `changed` has the counts until then.
    """

    def status(self) -> list[Status]:
        """How far each step is. Reads only the index.

        >>> for step in steps.status():
        ...     print(step.table, step.tasks_done, "of", step.tasks)
        Align 1 of 5
        Call 0 of 3
        """
        return [
            status_of(table.name, table.summaries(only=OF_A_STATUS), table.now())
            for table in self._checked
        ]

    def samples(self) -> Samples:
        """How far each sample (`TaskID`) is in each step. Reads only the index.

        >>> for sample in steps.samples().rows:
        ...     print(sample.task_id, sample.cell("Align").text)
        S1 done
        S2 failed
        S3 todo
        S4 held
        S5 locked
        """
        return samples_of(
            {table.name: table.summaries(only=OF_A_SAMPLE) for table in self._checked}
        )

    def items(self, selection: Selection = Selection()) -> Iterator[ItemSummary]:  # noqa: B008
        """The rows of the index that match. Raises `ItemNotFound` if no item has a given name.

        >>> [row.item_id for row in steps.items(Selection(states=["todo", "failed"]))]
        ['S2_align', 'S3_align', 'S1_call']
        """
        return self._finder.rows(selection)

    def whole(self, rows: Iterable[ItemSummary]) -> Iterator[tuple[ItemSummary, Item | None]]:
        """Each row with its item, read as it is now; None if it is damaged, or no longer there.

        >>> [item.attempts for _, item in steps.whole(steps.items(Selection(states="failed")))]
        [1]
        """
        return self._finder.whole(rows)

    def show(self, item_id: str) -> Item:
        """An item with its tasks, results and attempts. Raises `ItemNotFound`, `DamagedItem`.

        >>> steps.show("S2_align").reason
        'exit code 3'
        """
        _, item = self._finder.named(item_id)[0]
        if isinstance(item, DamagedItem):
            raise item
        return item

    def logs(
        self, item_id: str, task: str | None = None, *, stream: Stream = "stdout"
    ) -> Iterator[bytes]:
        """The whole output of an item's task, from wherever it is kept.

        >>> b"".join(steps.logs("S1_align")).splitlines()
        [b'aligned S1']

        A nested item's task must be named. Raises `ItemNotFound`, also if the task has not ended
        yet, and `PyAnamoError` if only the end of the output was kept (see `show` for that).
        """
        result = self.result(item_id, task)
        return whole_log(result, stream, self._store.account)

    def result(self, item_id: str, task: str | None = None) -> Result:
        """How an item's task ended. Raises `ItemNotFound` if it has not.

        >>> steps.result("S2_align").exit_code
        3
        """
        try:
            item = self.show(item_id)
        except DamagedItem as damaged:  # perhaps in another part of it
            item = read_item(damaged.row, table=damaged.table, only=OF_A_RESULT)
        if task is None and len(item.tasks) > 1:
            raise ItemNotFound(f"item {item_id!r} has {_tasks_text(item)}")
        name = task or item.tasks[0].name
        if name not in {known.name for known in item.tasks}:
            raise ItemNotFound(f"item {item_id!r} has no {name}")
        if name not in item.results:
            raise ItemNotFound(
                f"{name} of item {item_id!r} has no output yet: it appears when the task has ended"
            )
        return item.results[name]

    def failures(self) -> list[FailureGroup]:
        """The failed items, grouped by what they have in common; the largest group first.

        >>> [(group.count, group.reason) for group in steps.failures()]
        [(1, 'exit code 3')]
        """
        return group_failures(
            failed_item(item) for table in self._checked for item in table.items(ItemState.FAILED)
        )

    def jobs(self) -> list[JobItems]:
        """The locked items, by the AWS Batch job that holds them; without those of other pilots.

        >>> [(held.job.job_id, len(held.items)) for held in steps.jobs()]
        []
        """
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
        """The same for jobs that have ended, or that AWS Batch no longer knows.

        >>> steps.ended_jobs()
        []
        """
        return [held for held in self.jobs() if held.job.has_ended]

    def export(self, selection: Selection = Selection()) -> Iterator[Item]:  # noqa: B008
        """The items that match, whole; by default all. Raises `ItemNotFound` as `items` does.

        >>> [item.tasks[0].script for item in steps.export(Selection(reason="exit code"))]
        ['align S2']
        """
        return self._finder.items(selection)

    def names(self, selection: Selection) -> Iterator[tuple[str, str]]:
        """The items that match, each by its table's name and its own.

        A damaged item matches if nothing but its name is given. Raises `ItemNotFound` as above.

        >>> list(steps.names(Selection(pattern="S1_*")))
        [('Align', 'S1_align'), ('Call', 'S1_call')]
        """
        return ((table, item_id) for table, item_id, _ in self.names_and_rows(selection))

    def names_and_rows(self, selection: Selection) -> Iterator[tuple[str, str, ItemSummary | None]]:
        """The same, each with its row of the index; a damaged one without.

        >>> [row.state.value for *_, row in steps.names_and_rows(Selection(pattern="S1_*")) if row]
        ['done', 'todo']
        """
        return self._finder.names(selection)

    def restart(
        self,
        selection: Selection,
        found: Found | None = None,
        *,
        tasks: Iterable[str] = (),
        all_tasks: bool = False,
    ) -> Changed:
        """Put items back to `todo`, but none that a pilot works on.

        >>> steps.restart(Selection(states="failed")).changed
        1

        In nested items, the tasks that aren't done run again; with `tasks` these too, whether done
        or not; with `all_tasks` all of them.
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
            how = readable_text(f"restarted: {what}")
            return transitions.restarted(item, again, how, operator_name(), self._now())

        return self._amend(selection, found, restarted)

    def hold(self, selection: Selection, found: Found | None = None) -> Changed:
        """Set items aside: from `todo` or `failed` to `held`.

        >>> steps.hold(Selection(task_id=["S2", "S3"])).changed
        2
        """
        return self._amend(selection, found, transitions.held)

    def unhold(self, selection: Selection, found: Found | None = None) -> Changed:
        """Put items back that were set aside: from `held` to `todo`.

        >>> steps.unhold(Selection(states="held")).changed
        1
        """
        return self._amend(selection, found, transitions.unheld)

    def release(
        self, selection: Selection, found: Found | None = None, *, force: bool = False
    ) -> Changed:
        """Put locked items back to `todo` if their lease has expired; with `force`, in any case.

        >>> steps.release(Selection(states="locked")).changed
        1

        The attempt counts as lost. A pilot that still holds the item learns so at its next write.
        """

        def freed(item: Item) -> Changes | Amended:
            now = self._now()
            expired = item.lease_has_expired(now)
            if not expired and not force:
                return Amended.UNCHANGED
            why = "the lease expired" if expired else f"released by {operator_name()}"
            return transitions.freed(item, why, now)

        return self._amend(selection, found, freed, locked=True)

    def release_ended_jobs(self, *, stop: object = None) -> Changed:
        """Put items back to `todo` that are locked by AWS Batch jobs which have ended.

        >>> steps.release_ended_jobs().changed
        0

        If Batch no longer knows the job, the lease must have expired too: the job may belong to
        another region or account. Once `stop` is true, no other item is released.
        """

        def free(held: tuple[ItemSummary, JobState]) -> Amended:
            row, job = held
            return self._table(row.table).amend(row.item_id, self._freed(row, job))

        rows = ((row, held.job) for held in self.ended_jobs() for row in held.items)
        return _changed(free, takewhile(lambda _: not stop, rows))

    def delete(self, selection: Selection, found: Found | None = None) -> Changed:
        """Delete items, but none that a pilot works on. A damaged one must be given by its name.

        >>> steps.delete(Selection(names=["S2_align", "S3_align"])).changed
        2
        """

        def deleted(damaged: DamagedItem) -> Changes | Amended:
            return Amended.TAKEN if lease_holds(damaged.row, self._now()) else DELETED

        if_damaged = deleted if selection.is_by_name else None
        return self._amend(selection, found, transitions.deleted, if_damaged=if_damaged)

    def delete_tasks(
        self, selection: Selection, tasks: Iterable[str], found: Found | None = None
    ) -> Changed:
        """Delete nested tasks of items, but not all tasks of an item.

        >>> steps.delete_tasks(Selection(names="S1_call"), ["Task_1"]).changed
        1
        """
        chosen = frozenset(tasks)
        self._require_tasks(selection, chosen)
        return self._amend(
            selection, found, lambda item: transitions.without_tasks(item, chosen, self._now())
        )

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self._checked, self._on_damaged)

    def _now(self) -> float:
        """The time by the clock of the tables: they are all in one place."""
        return self._checked[0].now()

    def _table(self, name: str) -> WorkflowTable:
        return next(table for table in self._tables if table.name == name)

    def _require_tasks(self, selection: Selection, tasks: Iterable[str]) -> None:
        """Raise `ItemNotFound` unless the items selected by name have these tasks.

        Of many names this isn't checked, as it would read each item once more.
        """
        names = tuple(selection.names)
        for name in names if tasks and len(names) <= FEW else ():
            found = [item for _, item in self._finder.named(name)]
            if any(isinstance(item, DamagedItem) for item in found):
                continue  # it is told of when it is to be changed
            known = {task.name for item in found if isinstance(item, Item) for task in item.tasks}
            if unknown := sorted(set(tasks) - known):
                raise ItemNotFound(f"item {name!r} has no {', '.join(unknown)}")

    def _amend(
        self,
        selection: Selection,
        found: Found | None,
        change: Change,
        *,
        locked: bool = False,
        if_damaged: ChangeOfDamaged | None = None,
    ) -> Changed:
        """Change the selected items, several at a time; locked ones only if `locked`.

        Raises `UsageError` for an empty selection, since that would be every item.
        """
        if selection.is_all:
            raise UsageError("the selection is empty: give pattern='*' to select every item")
        if found is None:
            found = self.names(selection)
        leases: dict[tuple[str, str], tuple[int, str]] = {}  # that hold: their ends, their pilots

        def amend(table_and_item: tuple[str, str]) -> Amended:
            table, item_id = table_and_item

            def change_if_still_selected(item: Item) -> Changes | Amended:
                now = self._now()
                is_selected = selection.matches_item(table, item, now)
                is_taken = item.state is ItemState.LOCKED and not locked
                changes = change(item) if is_selected and not is_taken else Amended.UNCHANGED
                end = item.lease_expires or 0
                if is_selected and isinstance(changes, Amended) and end > now:
                    leases[table_and_item] = end, item.instance
                return Amended.TAKEN if is_taken else changes

            return self._table(table).amend(
                item_id, change_if_still_selected, if_damaged=if_damaged
            )

        changed = _changed(amend, _once(selection, found))
        return replace(changed, locked=_locked(leases, self._now()))

    def _freed(self, row: ItemSummary, job: JobState) -> Change:
        """A change that frees an item from the pilot that the row names, but from no other."""
        why = f"AWS Batch job {job.status.value}: {job.reason}".rstrip(": ")

        def freed(item: Item) -> Changes | Amended:
            now = self._now()
            is_sure = not job.is_gone or item.lease_has_expired(now)
            if item.instance != row.instance or not is_sure:
                return Amended.UNCHANGED
            return transitions.freed(item, why, now)

        return freed


def _changed(change: Callable[[T], Amended], things: Iterable[T]) -> Changed:
    """Change things, several at a time, and count what became of them.

    Begins no more after a `PyAnamoError`; this is raised with the counts as its `changed`.
    """
    errors: list[PyAnamoError] = []

    def until_error() -> Iterator[T]:
        try:
            yield from takewhile(lambda _: not errors, things)
        except PyAnamoError as error:
            errors.append(error)

    def try_to_change(thing: T) -> Amended | None:
        try:
            return change(thing)
        except PyAnamoError as error:
            errors.append(error)
            return None

    total = Changed()
    for amended in several_at_a_time(try_to_change, until_error(), AT_A_TIME):
        total = total if amended is None else total.plus(amended)
    if errors:
        errors[0].changed = total
        raise errors[0]
    return total


def _locked(leases: Mapping[tuple[str, str], tuple[int, str]], now: float) -> Locked | None:
    """What is told of leases that hold, by items; of a single one, who holds it."""
    locked = Locked.of([end for end, _ in leases.values()], now)
    if locked is None or len(leases) > 1:
        return locked
    (((_, item_id), (_, pilot)),) = leases.items()
    return replace(locked, item_id=item_id, pilot=pilot)


def _once(selection: Selection, found: Found) -> Found:
    """Each item once. An item whose state changes while the states are read is found twice.

    With a single state that can't happen, and no names need to be kept.
    """
    return found if len(selection.searched_states) == 1 else dict.fromkeys(found)


def _tasks_text(item: Item) -> str:
    """The names of a nested item's tasks, for a person to choose one."""
    names = f"{item.tasks[0].name} to {item.tasks[-1].name}"
    text = f"{len(item.tasks)} tasks: name one of {names}"
    failed = [task.name for task in item.tasks if task.status is TaskStatus.FAILED]
    if not failed:
        return text
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return f"{text} (failed: {', '.join(failed[:NAMED])}{more})"


def operator_name() -> str:
    """Who makes the change, for the history: `name@host`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        name = str(os.getuid())
    return readable_text(f"{name}@{socket.gethostname()}")

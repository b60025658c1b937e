"""Read rows as items, and check each attribute that is read.

An operator in the AWS console, or another program, can write anything into a table. A row that is
not an item raises `DamagedItem`. Only the attributes that are asked for are read, so damage in
others does no harm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from pyanamo.errors import DamagedItem
from pyanamo.model import (
    SINGLE_TASK,
    Attempt,
    Ending,
    Item,
    ItemState,
    ItemSummary,
    Result,
    Task,
    TaskStatus,
)

Row: TypeAlias = Mapping[str, Any]  # values as both kinds of table give them
Tell: TypeAlias = Callable[[DamagedItem], object]  # is told of each damaged row

LARGEST = 2**53  # every program that reads a table or JSON has whole numbers up to this exactly
OF_A_RESULT = (
    *("itemID", "TaskID", "TaskScript", "ItemState", "Nested_Tasks", "Nested_Status"),
    "Log",
)
OF_A_CLAIM = (
    *OF_A_RESULT,
    *("Attempts", "History", "lockID", "InstanceID", "Lock_Date", "Lease_Expires"),
)
_TASK_NAME = re.compile(r"Task_\d{1,9}")

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


def raise_damaged(damaged: DamagedItem) -> None:
    """Raise the error. This is what a table does by default with a damaged row."""
    raise damaged


def readable(rows: Iterable[Row], read: Callable[[Row], T], tell: Tell) -> Iterator[T]:
    """Yield what can be read of the rows; call `tell` with the error of each of the others."""
    for row in rows:
        try:
            thing = read(row)
        except DamagedItem as damaged:
            tell(damaged)
        else:
            yield thing


def read_item(row: Row, *, table: str = "", only: Iterable[str] = ()) -> Item:
    """Return the item of a row. With `only`, read no other attributes.

    Raises `DamagedItem`; `table` is for its message.
    """
    wanted = {name: row[name] for name in only if name in row} if only else row
    values = _Values(table, row, wanted)
    task_id = values.name("TaskID")
    tasks, nested = _tasks(values)
    return Item(
        item_id=values.name("itemID"),
        task_id=task_id,
        tasks=tasks,
        nested=nested,
        **_claim_fields(values),
        done_date=values.text("Done_Date"),
        exit_code=values.whole("Exit_Code", None),
        reason=values.text("Reason"),
        run_seconds=values.number("Run_Seconds", None),
        cpu_seconds=values.number("CPU_Seconds", None),
        max_rss_mb=values.number("Max_RSS_MB", None),
        peak_mb=values.number("Peak_MB", None),
        made_with=values.texts_by_name("Made_With"),
        results=_results(values, nested=nested),
    )


def read_lost(row: Row, *, table: str = "") -> Item:
    """Return a locked item with what is needed to take it over, without its tasks and results.

    Raises `DamagedItem`, also if it has no lease, because then it never ends.
    """
    values = _Values(table, row, row)
    values.lease()
    item_id = values.name("itemID")
    return Item(item_id=item_id, task_id="", tasks=(), nested=False, **_claim_fields(values))


def read_claimed(item: Item, changes: Row) -> Item:
    """The item after the changes of a claim, which our own transitions made."""
    return replace(
        item,
        state=ItemState.LOCKED,
        attempts=changes["Attempts"],
        instance=changes["InstanceID"],
        token=changes["lockID"],
        lock_date=changes["Lock_Date"],
        lease_expires=changes["Lease_Expires"],
        history=history_of(changes) if "History" in changes else item.history,
    )


def read_lease(row: Row, *, table: str = "") -> int:
    """Return when the lease of a locked item ends, in epoch seconds. Raises `DamagedItem`."""
    return _Values(table, row, row).lease()


def read_summary(table: str, row: Row) -> ItemSummary:
    """Return a row of a table's index. Raises `DamagedItem`."""
    values = _Values(table, row, row)
    return ItemSummary(
        table=table,
        item_id=values.name("itemID"),
        task_id=values.name("TaskID"),
        state=values.one_of("ItemState", ItemState),
        instance=values.text("InstanceID"),
        lock_date=values.text("Lock_Date"),
        done_date=values.text("Done_Date"),
        nested_tasks=values.count("Nested_Tasks", None),
        nested_done=values.count("Nested_Done", None),
        exit_code=values.whole("Exit_Code", None),
        run_seconds=values.number("Run_Seconds", None),
    )


def lease_holds(row: Row, now: float) -> bool:
    """Return whether a row, perhaps a damaged one, is locked with a lease that ends after `now`."""
    try:
        return row.get("ItemState") == ItemState.LOCKED.value and read_lease(row) > now
    except DamagedItem:
        return False


def history_of(row: Row) -> tuple[Attempt, ...]:
    """Return the attempts that ended. Raises `DamagedItem`."""
    return _history(_Values("", row, row))


def _claim_fields(values: _Values) -> dict[str, Any]:
    """Return the fields of an item that say who holds it, or held it last."""
    return {
        "state": values.one_of("ItemState", ItemState),
        "attempts": values.count("Attempts", 0),
        "instance": values.text("InstanceID"),
        "token": values.text("lockID"),
        "lock_date": values.text("Lock_Date"),
        "lease_expires": values.whole("Lease_Expires", None),
        "history": _history(values),
    }


def _tasks(values: _Values) -> tuple[tuple[Task, ...], bool]:
    """Return the tasks, and whether the item is nested."""
    count = values.count("Nested_Tasks", None)
    if count is None and isinstance(values.get("TaskScript"), str):
        script, status = values.name("TaskScript"), _single_status(values)
        return (Task(name=SINGLE_TASK, script=script, status=status),), False
    scripts = values.of_tasks("TaskScript", "a command or a map of commands")
    statuses = values.of_tasks("Nested_Status", "a map of statuses", may_lack=True)
    tasks = [
        Task(
            name=name,
            script=scripts.name(name),
            status=statuses.one_of(name, TaskStatus, TaskStatus.TODO),
        )
        for name in scripts.values
    ]
    if not tasks:
        raise values.damaged("TaskScript", "a command or a map of commands")
    # Sorted by number, since DynamoDB's maps have no order.
    return tuple(sorted(tasks, key=lambda task: (len(task.name), task.name))), True


def _single_status(values: _Values) -> TaskStatus:
    """Return the status of a single item's task, which follows from how the item ended.

    A restart takes the exit code away.
    """
    if values.get("ItemState") == ItemState.DONE.value:
        return TaskStatus.DONE
    return TaskStatus.FAILED if values.get("Exit_Code") else TaskStatus.TODO


def _results(values: _Values, *, nested: bool) -> dict[str, Result]:
    if not values.has("Log"):
        return {}
    if nested:
        logs = values.of_tasks("Log", "a map of results")
        return {name: _result(logs.map(name, "a map")) for name in logs.values}
    log = values.map("Log", "a result")
    return {SINGLE_TASK: _result(log)} if log.values else {}


def _result(values: _Values) -> Result:
    return Result(
        status=values.one_of("Status", TaskStatus),
        exit_code=values.whole("Exit_Code", None),
        reason=values.text("Reason"),
        start_date=values.text("Start_Date"),
        run_seconds=values.number("Run_Seconds", 0.0),
        cpu_seconds=values.number("CPU_Seconds", 0.0),
        max_rss_mb=values.number("Max_RSS_MB", 0.0),
        peak_mb=values.number("Peak_MB", None),
        stdout=values.text("stdout"),
        stderr=values.text("stderr"),
        stdout_bytes=values.count("stdout_bytes", 0),
        stderr_bytes=values.count("stderr_bytes", 0),
        log_uri=values.text("Log_URI"),
        results=tuple(values.texts("Results")),
    )


def _history(values: _Values) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            attempt=past.count("Attempt"),
            instance=past.text("InstanceID"),
            lock_date=past.text("Lock_Date"),
            end_date=past.text("End_Date"),
            ending=past.one_of("Outcome", Ending),
            reason=past.text("Reason"),
            token=past.text("lockID"),
            times_lost=past.count("Times_Lost"),
        )
        for past in values.maps("History")
    )


_MISSING: Any = object()


@dataclass(slots=True)
class _Values:
    """A map in a row. Its methods return checked values, or raise `DamagedItem`.

    For a missing value they return the default; if there is none, the item is damaged.
    """

    table: str
    row: Row  # the whole row that it belongs to
    values: Row
    path: str = ""  # where in the row: `Log.Task_0.`

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def damaged(self, name: str, expected: str) -> DamagedItem:
        is_there = name in self.values
        value = self.values[name] if is_there else None
        what = f"{self.path}{name}"
        return DamagedItem(self.table, self.row, what, value, expected if is_there else "")

    def text(self, name: str) -> str:
        """Text, which is empty if it isn't there."""
        value = self.values.get(name, "")
        if not _is_text(value):
            raise self.damaged(name, "text")
        text: str = value
        return text

    def name(self, name: str) -> str:
        """Text that must be there, and that a task's command or environment can have."""
        value: Any = self.values.get(name)
        if not _is_text(value) or "\0" in value:
            raise self.damaged(name, "text")
        text: str = value
        return text

    def whole(self, name: str, default: Any = _MISSING) -> Any:
        """Return a whole number."""
        value = self.values.get(name, _MISSING)
        if value is _MISSING and default is not _MISSING:
            return default
        if type(value) is not int or abs(value) > LARGEST:  # a bool is an int too
            raise self.damaged(name, "a whole number")
        return value

    def count(self, name: str, default: Any = _MISSING) -> Any:
        """Return a whole number that isn't negative."""
        value = self.whole(name, default)
        if value is not None and value < 0:
            raise self.damaged(name, "a count")
        return value

    def number(self, name: str, default: Any) -> Any:
        """Return a number that isn't infinite."""
        value = self.values.get(name, _MISSING)
        if value is _MISSING:
            return default
        is_number = type(value) in (int, float) and math.isfinite(value)
        if not is_number or abs(value) > LARGEST:
            raise self.damaged(name, "a number")
        return value

    def lease(self) -> int:
        """Return the end of a lease, which must be there."""
        end: int = self.whole("Lease_Expires")
        return end

    def one_of(self, name: str, kind: type[E], default: E | None = None) -> E:
        """Return a member of an enum of texts."""
        value = self.values.get(name, default)
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(str(member.value) for member in kind)
            raise self.damaged(name, f"one of {known}") from None

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, which is empty if it isn't there."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(map(_is_text, value)):
            raise self.damaged(name, "a list of texts")
        return value

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Return a map of texts, which is empty if it isn't there."""
        value = self.values.get(name, {})
        if not isinstance(value, dict) or not all(map(_is_text, (*value, *value.values()))):
            raise self.damaged(name, "a map of texts")
        return value

    def map(self, name: str, expected: str) -> _Values:
        """Return a map."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.damaged(name, expected)
        return _Values(self.table, self.row, value, f"{self.path}{name}.")

    def of_tasks(self, name: str, expected: str, *, may_lack: bool = False) -> _Values:
        """Return a map by names of tasks; an empty one if it `may_lack`."""
        if may_lack and name not in self.values:
            return _Values(self.table, self.row, {})
        of_all = self.map(name, expected)
        for task in of_all.values:
            if not _TASK_NAME.fullmatch(task):
                raise of_all.damaged(task, "a task: these are Task_0, Task_1, ...")
        return of_all

    def maps(self, name: str) -> Iterator[_Values]:
        """Yield the maps of a list, which is empty if it isn't there."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
            raise self.damaged(name, "a list of maps")
        for number, part in enumerate(value):
            yield _Values(self.table, self.row, part, f"{self.path}{name}[{number}].")


def _is_text(value: object) -> bool:
    """Return whether this is text that can be written as UTF-8: SQLite's text may be any bytes."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

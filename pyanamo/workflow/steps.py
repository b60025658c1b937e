"""The steps of a workflow as tables: opened, made, filled, worked through by pilots, dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pyanamo.account import Account
from pyanamo.batch.submission import MOST, Submitted, left_in, pilot_job, require_hosted
from pyanamo.errors import UsageError
from pyanamo.model import Item
from pyanamo.tables import Added, Store, WorkflowTable
from pyanamo.tables.reading import Tell, raise_damaged
from pyanamo.taskfile import checked_items, parse_task_file

if TYPE_CHECKING:
    from pyanamo.tables.dynamodb.capacity import TableCapacity

S = TypeVar("S", bound="Steps")


class Steps:
    """One or more steps of a workflow, in their order. Each step is a table."""

    def __init__(
        self,
        *tables: str,
        local: str | Path | None = None,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        on_damaged: Tell = raise_damaged,
    ) -> None:
        """Open tables in the file `local`; without it, in DynamoDB as the SDK finds it.

        The tables need not exist yet. Raises `UsageError` if no table is given.

        Somebody may have written a row that isn't an item. Methods that read or change several
        items leave it out, and call `on_damaged` with a `DamagedItem`; by default, this is raised.
        """
        if not tables:
            raise UsageError("a workflow has at least one table: name it")
        self._store = _store(local, region, profile, endpoint_url)
        self._on_damaged = on_damaged
        self._tables = [self._store.open(name, on_damaged=on_damaged) for name in tables]

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close files and connections."""
        for table in self._tables:
            table.close()

    def add(
        self,
        items: Iterable[Item] | Iterable[str],
        *,
        table: str | None = None,
        delimiter: str = "|",
        nested_delimiter: str = ",",
        replace: bool = False,
    ) -> Added:
        """Import items, or the lines (or whole text) of a task file; what became of them.

        >>> lines = ["itemID|TaskID|TaskScript", "S8_align|S8|align S8"]
        >>> steps.add(lines, table="Align").imported
        1
        >>> items = [Item.new("S8_call", "S8", ["call chr1", "call chr2"])]
        >>> steps.add(items, table="Call").imported
        1

        The table is created if it isn't there; it must be named if the workflow has several. Items
        that it has already stay as they are; with `replace` they are overwritten, unless a pilot
        works on them. Raises `TaskFileError` for a mistake, and then adds nothing.
        """
        chosen = self._one_of(self._tables, table)
        tasks = _tasks(items, delimiter, nested_delimiter)
        chosen.create()
        return chosen.add(tasks, replace=replace)

    def submit(
        self,
        *,
        queue: str,
        job_definition: str,
        table: str | None = None,
        pilots: int | None = None,
        most: int = MOST,
        **settings: Any,
    ) -> list[Submitted]:
        """Start pilots in AWS Batch; their jobs.

        >>> jobs = steps.submit(queue="Pilots", job_definition="Pilot", items=4, wall_time="2h")
        >>> [job.pilots for job in jobs]
        [1]

        Unless `pilots` says how many, as many are started as find work, but at most `most`. The
        `settings` are those of `pilot_job` (`pyanamo.batch.submission`): name, items, nests,
        wall_time, bucket, archive, sha256, and flags, a list of more flags for the pilots. If AWS
        Batch refuses a job, the `PyAnamoError` names the jobs that were submitted before it.
        """
        chosen = self._one_of(self._checked, table)
        require_hosted(self._store, chosen.name)
        account = self._store.account
        job = pilot_job(
            chosen.name, account, queue=queue, job_definition=job_definition, **settings
        )
        if pilots is None:
            pilots = min(left_in(chosen).pilots(settings.get("items") or 1), most)
        from pyanamo.batch.jobs import submit

        return submit(job, pilots, account)

    def capacity(self, table: str | None = None) -> TableCapacity:
        """The billing and capacity of a DynamoDB table, to be read and changed.

        >>> steps.capacity().describe().billing.value
        'on-demand'
        >>> steps.capacity().set_provisioned(read=50, write=200)
        """
        chosen = self._one_of(self._tables, table)
        if self._store.local is not None:
            raise UsageError("an embedded table has no capacity to show or set")
        from pyanamo.tables.dynamodb.capacity import TableCapacity

        return TableCapacity(chosen.name, self._store.account)

    def create(self) -> list[str]:
        """Create the tables that don't exist; the names of these.

        >>> steps.create()
        []
        """
        return [table.name for table in self._tables if table.create()]

    def drop(self) -> None:
        """Delete the tables with all their items.

        >>> steps.drop()
        """
        for table in self._checked:
            table.drop()

    @staticmethod
    def tables(
        *,
        local: str | Path | None = None,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
    ) -> list[str]:
        """The names of PyAnamo's tables in the file `local` or, without it, in DynamoDB.

        >>> Workflow.tables(local="pyanamo.db")
        ['Align', 'Call']
        """
        return _store(local, region, profile, endpoint_url).names()

    @cached_property
    def _checked(self) -> list[WorkflowTable]:
        """The tables; raises an error unless all of them exist and are PyAnamo's."""
        for table in self._tables:
            self._store.check(table)
        return self._tables

    def _one_of(self, tables: Sequence[WorkflowTable], name: str | None) -> WorkflowTable:
        """The table of that name, or the only one. Raises `UsageError` if it isn't clear which."""
        chosen = [table for table in tables if name in (None, table.name)]
        if len(chosen) != 1:
            names = ", ".join(table.name for table in tables)
            raise UsageError(f"table={name!r}: give one of the workflow's tables: {names}")
        return chosen[0]


def _store(
    local: str | Path | None, region: str | None, profile: str | None, endpoint_url: str | None
) -> Store:
    return Store(
        local=None if local is None else Path(local),
        account=Account(region=region, profile=profile, endpoint_url=endpoint_url),
    )


def _tasks(
    items: Iterable[Item] | Iterable[str], delimiter: str, nested_delimiter: str
) -> Iterable[Item]:
    """New items, checked; from items, or from the lines or the text of a task file."""
    given = [items] if isinstance(items, str) else list(items)
    lines = [line for line in given if isinstance(line, str)]
    if len(lines) < len(given):
        return checked_items(item for item in given if isinstance(item, Item))
    text = "\n".join(line.removesuffix("\n") for line in lines)
    return parse_task_file(
        text.encode(errors="surrogatepass"),
        "task file",
        delimiter=delimiter,
        nested_delimiter=nested_delimiter,
    )

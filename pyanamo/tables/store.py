"""Where tables are, and how to open them."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError, TableNotFound
from pyanamo.tables.reading import Tell, raise_damaged
from pyanamo.tables.table import WorkflowTable
from pyanamo.text import close_names, did_you_mean

if TYPE_CHECKING:
    from boto3.session import Session


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where tables are: in a file on this machine, or else in DynamoDB."""

    local: Path | None = None
    account: Account = Account()

    def open(
        self,
        name: str,
        *,
        worker: int = 0,
        workers: int = 1,
        on_damaged: Tell = raise_damaged,
        stop: object = None,
    ) -> WorkflowTable:
        """Return the table of that name, for this process. It need not be there yet.

        A pilot's workers say which of them they are, from 0 on: each looks for items in its own
        part of the table first. Once `stop` is true, a claim waits for nobody else.
        """
        # Imported only when needed: a local table doesn't need the AWS SDK.
        if self.local is not None:
            from pyanamo.tables.sqlite import SQLiteTable

            return SQLiteTable(name, self.local, on_damaged=on_damaged, stop=stop)
        from pyanamo.tables.dynamodb.candidates import SlotRange
        from pyanamo.tables.dynamodb.table import DynamoDBTable

        return DynamoDBTable(
            name,
            account=self.account,
            session=self._session,
            slots=SlotRange.part(worker, workers),
            on_damaged=on_damaged,
        )

    def check(self, table: WorkflowTable) -> None:
        """Raise an error if the table can't be used; `TableNotFound` names the nearest table."""
        try:
            table.check()
        except TableNotFound as error:
            nearest: list[str] = []
            with suppress(PyAnamoError):  # a pilot may not be allowed to list tables
                nearest = self.names(near=table.name)
            raise TableNotFound(f"{error}{did_you_mean(table.name, nearest)}") from error

    def names(self, *, near: str | None = None) -> list[str]:
        """The names of PyAnamo's tables, sorted; with `near`, only the one whose name is nearest.

        In DynamoDB, tables are described to tell whose they are: with `near`, a few at most.
        """
        if self.local is not None:
            from pyanamo.tables.sqlite import table_names

            names = table_names(self.local)
            return names if near is None else close_names(near, names)[:1]
        from pyanamo.tables.dynamodb.listing import Tables

        with closing(Tables(self.account, self._session)) as tables:
            if near is None:
                return sorted(filter(tables.is_ours, tables.names()))
            others = (name for name in tables.names() if name != near)
            return list(islice(filter(tables.is_ours, close_names(near, others)), 1))

    @cached_property
    def _session(self) -> Session:
        """One session for all tables: forked workers inherit what the pilot's has loaded."""
        from pyanamo.aws import make_session

        return make_session(self.account)

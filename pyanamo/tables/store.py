"""Where tables are, and how to open them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pyanamo.account import Account
from pyanamo.tables.reading import Tell, raise_damaged
from pyanamo.tables.table import WorkflowTable

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

    @cached_property
    def _session(self) -> Session:
        """One session for all tables: forked workers inherit what the pilot's has loaded."""
        from pyanamo.aws import make_session

        return make_session(self.account)

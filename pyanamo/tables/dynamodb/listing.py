"""Which tables of a region are PyAnamo's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyanamo.account import Account
from pyanamo.aws import make_client, translated_errors
from pyanamo.errors import PyAnamoError, StoreUnavailable
from pyanamo.tables.dynamodb.definition import require_own_table

if TYPE_CHECKING:
    from boto3.session import Session


class Tables:
    """The tables of a region."""

    def __init__(self, account: Account, session: Session) -> None:
        self._client = make_client("dynamodb", account, session=session)

    def names(self) -> Iterator[str]:
        """The names of all tables, whosever they are."""
        with translated_errors(self._client, "the list of tables"):
            for page in self._client.get_paginator("list_tables").paginate():
                yield from page["TableNames"]

    def is_ours(self, name: str) -> bool:
        """Whether a table is PyAnamo's. One that may not be looked at is not."""
        try:
            with translated_errors(self._client, f"table {name!r}"):
                require_own_table(name, self._client.describe_table(TableName=name)["Table"])
        except StoreUnavailable:
            raise
        except PyAnamoError:
            return False
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

"""What a user may have meant by the name of an item that isn't there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import islice

from pyanamo.cli import store_of
from pyanamo.errors import PyAnamoError
from pyanamo.tables import Store
from pyanamo.text import did_you_mean

MOST_COMPARED = 10_000  # items: more would take seconds


def hint_at(names: Sequence[str], arguments: argparse.Namespace) -> str:
    """Return what to type instead of names that no item has; empty if that isn't known."""
    with suppress(PyAnamoError):  # what is wrong is told already
        store = store_of(arguments)
        if store.names(near=names[0]) == [names[0]]:
            tables = " ".join(f"-t {table}" for table in (*arguments.table, *names))
            return f" (for several tables: {tables})"
        if (
            len(names) == 1 and store.local is not None
        ):  # in DynamoDB, it would cost as much as the whole index
            return _hint_in_tables(names[0], store, arguments.table)
    return ""


def _hint_in_tables(name: str, store: Store, tables: list[str]) -> str:
    names: list[str] = []
    for table_name in tables:
        with closing(store.open(table_name, on_damaged=lambda damaged: None)) as table:
            rows = list(islice(table.summaries(), MOST_COMPARED))
        if any(row.task_id == name for row in rows):
            return f" (it is a TaskID: --task-id {name})"
        names += [row.item_id for row in rows]
    return did_you_mean(name, names)

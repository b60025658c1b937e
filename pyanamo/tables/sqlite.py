"""The embedded table: workflow steps in a SQLite file, for many processes on one machine.

There is one row per item and one column per attribute. A committed transaction survives the death
of any process. A power cut doesn't damage the file, but the last transactions may be lost
(`synchronous=NORMAL` with a write-ahead log: SQLite documentation, "PRAGMA synchronous"). Results
of tasks that took `LASTING_SECONDS` are not lost: they are flushed to the disk before the write
returns.

The write-ahead log needs shared memory: don't put the file on a network file system.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pyanamo.errors import AccessDenied, StoreUnavailable, TableNotFound
from pyanamo.model import Claim, Item, ItemState, ItemSummary
from pyanamo.tables import transitions
from pyanamo.tables.attributes import (
    INDEX,
    PROJECTED,
    Attributes,
    new_import_id,
    new_item,
    read_item,
    read_summary,
)
from pyanamo.tables.table import Added, HoldersVerbs
from pyanamo.tables.transitions import DELETED, Amended, Change

COLUMNS = {
    "itemID": "TEXT NOT NULL",
    "TaskID": "TEXT",
    "TaskScript": "TEXT",
    "ItemState": "TEXT NOT NULL",
    "Slot": "TEXT NOT NULL",
    "lockID": "TEXT",
    "InstanceID": "TEXT",
    "Lock_Date": "TEXT",
    "Done_Date": "TEXT",
    "Lease_Expires": "INTEGER",
    "Attempts": "INTEGER NOT NULL DEFAULT 0",
    "Nested_Tasks": "INTEGER",
    "Nested_Done": "INTEGER",
    "Exit_Code": "INTEGER",
    "Reason": "TEXT",
    "Run_Seconds": "REAL",
    "Max_RSS_MB": "REAL",
    "Log": "TEXT",
    "History": "TEXT",
    "Import_ID": "TEXT",
}
APPLICATION_ID = 0x5079416E  # "PyAn": marks our files (SQLite, "PRAGMA application_id")
LASTING_SECONDS = 1.0  # tasks that run this long don't notice the milliseconds of a flush

# How long to wait for another process's write. No Python signal handler runs meanwhile, so this
# must be shorter than the time that a pilot's workers have after a stop.
BUSY_SECONDS = 10.0

SWITCH_TRIES, SWITCH_PAUSE = 20, 0.05  # to a write-ahead log; the pause is in seconds
SMALLEST_FILE = 512  # bytes: the smallest page (SQLite, "Database File Format")
BATCH = 500  # rows per transaction
ITEM_BATCH = 50  # the same for whole items, which may be large

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS workflow_tables (name TEXT PRIMARY KEY)",
    f"""CREATE TABLE IF NOT EXISTS items (
        workflow_table TEXT NOT NULL,
        {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())},
        PRIMARY KEY (workflow_table, itemID)
    )""",
    f"CREATE INDEX IF NOT EXISTS {INDEX} ON items (workflow_table, ItemState, Slot)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_THE_ITEM = "workflow_table = ? AND itemID = ?"
_IN_STATE = "workflow_table = ? AND ItemState = ?"


class SQLiteTable(HoldersVerbs):
    """A workflow step in a SQLite file. See `WorkflowTable` for the contract."""

    settle_seconds = 0.0  # everybody sees a transaction as soon as it is committed

    def __init__(self, name: str, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._file = file
        self.now = clock
        self._lock = threading.Lock()  # threads take turns on one connection
        self._connection: sqlite3.Connection | None = None
        self._connected_to: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise an error if the table can't be used."""
        with self._transaction("DEFERRED") as database:
            self._require_table(database)

    def create(self) -> bool:
        """Create the table, and its file if needed. Returns False if the table was there."""
        with self._lock, self._errors():
            if self._connection is None:
                self._connection = self._connect(create=True)
        with self._transaction() as database:
            for statement in _SCHEMA:
                database.execute(statement)
            made = database.execute(
                "INSERT OR IGNORE INTO workflow_tables VALUES (?)", (self.name,)
            )
            return made.rowcount == 1

    def add(
        self,
        items: Iterable[Item],
        *,
        replace: bool = False,
        stop: object = None,
        on_batch: Callable[[Added], object] = lambda _: None,
    ) -> Added:
        """Add new items, one transaction per batch."""
        import_id = new_import_id(self.now())
        total = Added()
        rest = iter(items)
        while not stop and (batch := [new_item(item, import_id) for item in islice(rest, BATCH)]):
            added = Added()
            with self._transaction() as database:
                self._require_table(database)
                for attributes in batch:
                    added += self._add(database, attributes, replace=replace)
            total += added
            on_batch(added)
        return total

    def claim(self, pilot: str, *, lease: float, max_attempts: int) -> Claim | None:
        """Claim an item that is todo, or else one whose lease has expired."""
        token = secrets.token_hex(8)
        with self._transaction() as database:
            now = self.now()
            if attributes := self._waiting(database):
                changes = transitions.claimed(pilot, token, now, lease)
                changes["Attempts"] = attributes["Attempts"] + 1
            elif attributes := self._expired(database, now, max_attempts):
                lost = read_item(attributes)
                changes = transitions.taken_over(lost, pilot, token, now, lease)
            else:
                return None
            self._write(database, attributes["itemID"], changes)
        return Claim(item=read_item({**attributes, **changes}), token=token)

    def get(self, item_id: str) -> Item | None:
        """The item as it is now, or None if it isn't there."""
        with self._transaction("DEFERRED") as database:
            self._require_table(database)
            return self._find(database, item_id)

    def summaries(self, *states: ItemState) -> Iterator[ItemSummary]:
        """The index's rows in these states, or all, ordered by name."""
        columns = ", ".join(("itemID", "ItemState", *PROJECTED))
        for row in self._rows(columns, states, batch=BATCH):
            yield read_summary(self.name, row)

    def items(self, *states: ItemState) -> Iterator[Item]:
        """The items in these states, or all, ordered by name."""
        for row in self._rows("*", states, batch=ITEM_BATCH):
            yield read_item(row)

    def amend(self, item_id: str, change: Change) -> Amended:
        """Read an item and change it, in one transaction."""
        with self._transaction() as database:
            item = self._find(database, item_id)
            changes = Amended.MISSING if item is None else change(item)
            if isinstance(changes, Amended):
                return changes
            if changes == DELETED:
                database.execute(f"DELETE FROM items WHERE {_THE_ITEM}", (self.name, item_id))
            else:
                self._write(database, item_id, changes)
            return Amended.CHANGED

    def drop(self) -> None:
        """Delete the table with all its items; the file stays."""
        with self._transaction() as database:
            self._require_table(database)
            database.execute("DELETE FROM items WHERE workflow_table = ?", (self.name,))
            database.execute("DELETE FROM workflow_tables WHERE name = ?", (self.name,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _rows(
        self, columns: str, states: Sequence[ItemState], *, batch: int
    ) -> Iterator[dict[str, Any]]:
        """Rows ordered by item id. Each batch is a transaction, so that none takes long."""
        wanted = [state.value for state in states or ItemState]
        marks = ", ".join("?" * len(wanted))
        query = f"""SELECT {columns} FROM items
            WHERE workflow_table = ? AND itemID > ? AND ItemState IN ({marks})
            ORDER BY itemID LIMIT {batch}"""
        last = ""
        while True:
            with self._transaction("DEFERRED") as database:
                self._require_table(database)
                rows = database.execute(query, (self.name, last, *wanted)).fetchall()
            for row in rows:
                yield _present(row)
            if len(rows) < batch:
                return
            last = rows[-1]["itemID"]

    def _add(self, database: sqlite3.Connection, attributes: Attributes, *, replace: bool) -> Added:
        there = self._find(database, attributes["itemID"]) if replace else None
        if there is not None and there.state is ItemState.LOCKED:
            return Added(locked=(there.item_id,))
        row = {"workflow_table": self.name, **_stored(attributes)}
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        conflict = "REPLACE" if replace else "IGNORE"
        written = database.execute(
            f"INSERT OR {conflict} INTO items ({names}) VALUES ({marks})", tuple(row.values())
        )
        if written.rowcount == 0:
            return Added(already_there=1)
        return Added(imported=1) if there is None else Added(replaced=1)

    def _waiting(self, database: sqlite3.Connection) -> dict[str, Any] | None:
        """An item that is todo: the first one after a random slot, or else the first of all."""
        key = (self.name, ItemState.TODO.value)
        query = f"SELECT * FROM items WHERE {_IN_STATE} AND Slot >= ? ORDER BY Slot LIMIT 1"
        for start in (f"{random.getrandbits(32):08x}", ""):
            row = database.execute(query, (*key, start)).fetchone()
            if row is not None:
                return _present(row)
        self._require_table(database)
        return None

    def _expired(
        self, database: sqlite3.Connection, now: float, max_attempts: int
    ) -> dict[str, Any] | None:
        """A locked item whose lease has expired. Any that was lost too often becomes failed."""
        query = f"SELECT * FROM items WHERE {_IN_STATE} AND Lease_Expires <= ? LIMIT 1"
        while True:
            row = database.execute(query, (self.name, ItemState.LOCKED.value, now)).fetchone()
            if row is None:
                return None
            attributes = _present(row)
            item = read_item(attributes)
            if not transitions.is_lost_too_often(item, max_attempts):
                return attributes
            self._write(database, item.item_id, transitions.given_up(item, now))

    def _change(self, claim: Claim, changes: Attributes) -> bool:
        """Write the changes if the item has the claim's token; see `HoldersVerbs`."""
        item_id, nothing = claim.item.item_id, {"lockID": claim.token}
        with self._alone() as database, _safe_from_power_cuts(database, changes):
            if self._write(database, item_id, changes or nothing, token=claim.token):
                return True
        # A second transaction is enough: a token that an item has lost never comes back.
        with self._transaction("DEFERRED") as database:
            item = self._find(database, item_id)
            if item is None:
                self._require_table(database)
            return transitions.is_landed(item, claim, changes)

    def _write(
        self,
        database: sqlite3.Connection,
        item_id: str,
        changes: Attributes,
        *,
        token: str | None = None,
    ) -> bool:
        """Change an item; with a token, only if the item has it. Returns whether it was changed."""
        values = _stored(changes)
        assignments = ", ".join(f"{name} = ?" for name in values)
        is_ours = "" if token is None else " AND lockID = ?"
        tokens = () if token is None else (token,)
        written = database.execute(
            f"UPDATE items SET {assignments} WHERE {_THE_ITEM}{is_ours}",
            (*values.values(), self.name, item_id, *tokens),
        )
        return written.rowcount == 1

    def _find(self, database: sqlite3.Connection, item_id: str) -> Item | None:
        row = database.execute(
            f"SELECT * FROM items WHERE {_THE_ITEM}", (self.name, item_id)
        ).fetchone()
        return None if row is None else read_item(_present(row))

    def _require_table(self, database: sqlite3.Connection) -> None:
        known = database.execute("SELECT 1 FROM workflow_tables WHERE name = ?", (self.name,))
        if known.fetchone() is None:
            raise self._not_found()

    def _not_found(self) -> TableNotFound:
        return TableNotFound(
            f"table {self.name!r} is not there in {self._file}: create it with import-items.py"
        )

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction, which an error rolls back.

        `IMMEDIATE` locks out other writers. `DEFERRED` is for blocks that only read: they see the
        database at one point in time, and lock out nobody.
        """
        with self._alone() as database:
            database.execute(f"BEGIN {kind}")
            try:
                yield database
                database.commit()
            except BaseException:
                database.rollback()
                raise

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Keep other threads from the connection. Each statement is a transaction of its own."""
        with self._lock, self._errors():
            if self._connection is None:
                self._connection = self._connect(create=False)
            elif self._identity() != self._connected_to:  # nobody would find what is written now
                raise TableNotFound(f"{self._file} was deleted or replaced while it was in use")
            yield self._connection

    def _connect(self, *, create: bool) -> sqlite3.Connection:
        """Open the file. One that isn't there, or is empty, is only accepted with `create`."""
        if not create and not self._file.exists():
            raise self._not_found()
        if self._file.is_file() and 0 < self._file.stat().st_size < SMALLEST_FILE:
            # SQLite would take it for an empty database and overwrite it.
            raise StoreUnavailable(f"{self._file} is not a database: name another file")
        database = sqlite3.connect(
            f"{self._file.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            database.row_factory = sqlite3.Row
            if not self._has_tables(database) and not create:
                raise self._not_found()
            _use_write_ahead_log(database)
            database.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            database.close()
            raise
        self._connected_to = self._identity()
        return database

    def _identity(self) -> tuple[int, int] | None:
        """The file's device and inode, or None if there is no file."""
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _has_tables(self, database: sqlite3.Connection) -> bool:
        """Whether the file has our tables. Raises an error if it has another program's."""
        # In this order, as another process may be making our tables: the mark comes with them.
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreUnavailable(
                f"{self._file} is a SQLite file of another program: name another file"
            )
        return bool(tables)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # SQLite makes other files beside this one, so the folder must be writable too.
            needed = (path for path in (self._file, self._file.parent) if path.exists())
            if not all(os.access(path, os.W_OK) for path in needed):
                raise AccessDenied(f"{self._file} may not be written to: {error}") from error
            raise StoreUnavailable(f"the embedded table's file {self._file}: {error}") from error


def _use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log, unless it has one.

    SQLite refuses this at once, whatever the timeout, while another process does the same.
    """
    for tries_left in reversed(range(SWITCH_TRIES)):
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if not tries_left:
                raise
            time.sleep(SWITCH_PAUSE)


@contextmanager
def _safe_from_power_cuts(database: sqlite3.Connection, changes: Attributes) -> Iterator[None]:
    """Flush the block's write to the disk if it has results of tasks that took long.

    Short tasks can be run again. What a nested item records while it goes on is always flushed:
    that is once a second at most.
    """
    goes_on = "Log" in changes and "Run_Seconds" not in changes
    if not goes_on and changes.get("Run_Seconds", 0.0) < LASTING_SECONDS:
        yield
        return
    database.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        database.execute("PRAGMA synchronous = NORMAL")


def _stored(attributes: Attributes) -> Attributes:
    """Attributes as SQLite stores them: maps and lists as JSON."""
    return {
        name: _JSON.encode(value) if isinstance(value, (dict, list)) else value
        for name, value in attributes.items()
    }


def _present(row: sqlite3.Row) -> dict[str, Any]:
    """A row's attributes, without those that are NULL."""
    attributes = {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118
    parsed = ("Log", "History", *(("TaskScript",) if "Nested_Tasks" in attributes else ()))
    for name in parsed:
        if name in attributes:
            attributes[name] = json.loads(attributes[name])
    return attributes

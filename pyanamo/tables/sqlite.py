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
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pyanamo.errors import DamagedItem, TableNotFound
from pyanamo.model import Claim, Item, ItemState, ItemSummary, Locked, Result
from pyanamo.tables import transitions
from pyanamo.tables.attributes import (
    INDEX,
    PROJECTED,
    Attributes,
    new_import_id,
    new_item,
)
from pyanamo.tables.reading import (
    LARGEST,
    OF_A_CLAIM,
    Row,
    Tell,
    raise_damaged,
    read_claimed,
    read_item,
    read_lost,
    read_summary,
    readable,
)
from pyanamo.tables.sqlitefile import APPLICATION_ID, SCHEMA_VERSION, SQLiteFile
from pyanamo.tables.table import Added, Count, HoldersVerbs
from pyanamo.tables.transitions import DELETED, Amended, Change, ChangeOfDamaged

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
    "Nested_Status": "TEXT",
    "Nested_Tasks": "INTEGER",
    "Nested_Done": "INTEGER",
    "Exit_Code": "INTEGER",
    "Reason": "TEXT",
    "Run_Seconds": "REAL",
    "CPU_Seconds": "REAL",
    "Max_RSS_MB": "REAL",
    "Peak_MB": "REAL",
    "Log": "TEXT",
    "History": "TEXT",
    "Import_ID": "TEXT",
    "Made_With": "TEXT",
}
LASTING_SECONDS = 1.0  # tasks that run this long don't notice the milliseconds of a flush

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
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_THE_ITEM = "workflow_table = ? AND itemID = ?"
_IN_STATE = "workflow_table = ? AND ItemState = ?"
_READ = f"SELECT rowid, {', '.join(OF_A_CLAIM)} FROM items"  # for a claim

# Columns take values of any type, whatever they are declared as (SQLite, "Flexible Typing").
_HOLDS = f"typeof(Lease_Expires) = 'integer' AND Lease_Expires > ? AND Lease_Expires <= {LARGEST}"


class SQLiteTable(HoldersVerbs):
    """A workflow step in a SQLite file. See `WorkflowTable` for the contract."""

    settle_seconds = 0.0  # everybody sees a transaction as soon as it is committed

    def __init__(
        self,
        name: str,
        file: Path,
        *,
        clock: Callable[[], float] = time.time,
        on_damaged: Tell = raise_damaged,
        stop: object = None,
    ) -> None:
        """Once `stop` is true, a claim doesn't wait any longer for what others write."""
        self.name = name
        self.on_damaged = on_damaged
        self._stop = stop
        self.locked: Locked | None = None
        self._file = SQLiteFile(file, name)
        self.now = clock

    def check(self) -> None:
        """Raise an error if the table can't be used."""
        with self._file.transaction("DEFERRED") as database:
            self._require_table(database)
            database.execute(f"SELECT {', '.join(COLUMNS)} FROM items LIMIT 0")

    def create(self) -> bool:
        """Create the table, and its file if needed. Returns False if the table was there."""
        self._file.create()
        with self._file.transaction() as database:
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
            with self._file.transaction(stop=stop) as database:
                self._require_table(database)
                for attributes in batch:
                    added += self._add(database, attributes, replace=replace)
            total += added
            on_batch(added)
        return total

    def claim(self, pilot: str, *, lease: float, max_attempts: int) -> Claim | None:
        """Claim an item that is todo, or else one whose lease has expired.

        Others may change the item after it was read. As in DynamoDB, the write is conditional, so
        that nobody is locked out for longer than that write.
        """
        token = secrets.token_hex(8)
        damaged: list[DamagedItem] = []
        with self._file.alone(self._stop) as database:
            now = self.now()
            claimed = transitions.claimed(pilot, token, now, lease)
            while (row := self._waiting(database) or self._expired(database, now)) is not None:
                attributes = _present(row)
                try:
                    item = read_item(attributes, table=self.name, only=OF_A_CLAIM)
                    changes = claimed | {"Attempts": item.attempts + 1}
                    if item.state is ItemState.LOCKED:
                        changes = self._lost(attributes, claimed, now, max_attempts)
                except DamagedItem as error:
                    if self._swap(database, row, transitions.set_aside(error)):
                        damaged.append(error)
                    continue
                if self._swap(database, row, changes) and changes["lockID"] == token:
                    break
            else:
                self._require_table(database)
                self.locked = self._held_by_others(database, now, pilot)
        for each in damaged:
            self.on_damaged(each)
        return None if row is None else Claim(item=read_claimed(item, changes), token=token)

    def renewal_units(self, claim: Claim, results: Mapping[str, Result]) -> int:
        """Return how many write units it takes to renew with these results: a file has none."""
        return 0

    def get(self, item_id: str) -> Item | None:
        """Return the item as it is now, or None if it isn't there. Raises `DamagedItem`."""
        with self._file.transaction("DEFERRED") as database:
            self._require_table(database)
            row = self._find(database, item_id)
        return None if row is None else read_item(row, table=self.name)

    def summaries(
        self, *states: ItemState, only: Sequence[str] | None = None
    ) -> Iterator[ItemSummary]:
        """Yield the index's rows in these states, or all, whole and ordered by name."""
        columns = ", ".join(("itemID", "ItemState", *PROJECTED))
        rows = self._rows(columns, states, batch=BATCH)
        yield from readable(rows, partial(read_summary, self.name), self.on_damaged)

    def count(self, state: ItemState) -> Count:
        """Return how many items are in a state."""
        query = f"SELECT count(*) FROM items WHERE {_IN_STATE}"
        with self._file.transaction("DEFERRED") as database:
            (items,) = database.execute(query, (self.name, state.value)).fetchone()
        return Count(items=items)

    def items(self, *states: ItemState) -> Iterator[Item]:
        """Yield the items in these states, or all, ordered by name."""
        rows = self._rows("*", states, batch=ITEM_BATCH)
        yield from readable(rows, partial(read_item, table=self.name), self.on_damaged)

    def amend(
        self, item_id: str, change: Change, *, if_damaged: ChangeOfDamaged | None = None
    ) -> Amended:
        """Read an item and change it, in one transaction."""
        with self._file.transaction() as database:
            row = self._find(database, item_id)
            changes = Amended.MISSING if row is None else self._decided(row, change, if_damaged)
            if isinstance(changes, Amended):
                return changes
            if changes == DELETED:
                database.execute(f"DELETE FROM items WHERE {_THE_ITEM}", (self.name, item_id))
            else:
                self._write(database, item_id, changes)
            return Amended.CHANGED

    def drop(self) -> None:
        """Delete the table with all its items; the file stays."""
        with self._file.transaction() as database:
            self._require_table(database)
            database.execute("DELETE FROM items WHERE workflow_table = ?", (self.name,))
            database.execute("DELETE FROM workflow_tables WHERE name = ?", (self.name,))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rows(
        self, columns: str, states: Sequence[ItemState], *, batch: int
    ) -> Iterator[dict[str, Any]]:
        """Yield rows ordered by item id. Each batch is a transaction, so that none takes long."""
        wanted = [state.value for state in states]
        in_state = f"AND ItemState IN ({', '.join('?' * len(wanted))})" if wanted else ""
        after: tuple[str, tuple[object, ...]] = ("", ())
        while True:
            query = f"""SELECT {columns} FROM items WHERE workflow_table = ? {after[0]} {in_state}
                ORDER BY itemID LIMIT {batch}"""
            with self._file.transaction("DEFERRED") as database:
                self._require_table(database)
                rows = database.execute(query, (self.name, *after[1], *wanted)).fetchall()
            yield from map(_present, rows)
            if len(rows) < batch:
                return
            after = _after(rows[-1]["itemID"])

    def _add(self, database: sqlite3.Connection, attributes: Attributes, *, replace: bool) -> Added:
        there = self._find(database, attributes["itemID"]) if replace else None
        if there is not None and there["ItemState"] == ItemState.LOCKED.value:
            return Added(locked=(attributes["itemID"],))
        row = {"workflow_table": self.name, **_stored(attributes)}
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        conflict = "REPLACE" if replace else "IGNORE"
        written = database.execute(
            f"INSERT OR {conflict} INTO items ({names}) VALUES ({marks})", tuple(row.values())
        )
        if written.rowcount == 0:
            return Added(already_there=1)
        return Added(imported=1) if there is None else Added(replaced=1)

    def _lost(self, row: Row, claimed: Attributes, now: float, max_attempts: int) -> Attributes:
        """Return what changes for an item whose lease has expired: it is claimed, or given up."""
        lost = read_lost(row, table=self.name)
        if transitions.is_lost_too_often(lost, max_attempts):
            return transitions.given_up(lost, now)
        return transitions.taken_over(lost, claimed, now)

    def _waiting(self, database: sqlite3.Connection) -> sqlite3.Row | None:
        """Return an item that is todo: the first after a random slot, or else the first of all."""
        query = f"{_READ} WHERE {_IN_STATE} {{}} ORDER BY Slot LIMIT 1"
        key = (self.name, ItemState.TODO.value)
        start = f"{random.getrandbits(32):08x}"
        row: sqlite3.Row | None = (
            database.execute(query.format("AND Slot >= ?"), (*key, start)).fetchone()
            or database.execute(query.format(""), key).fetchone()
        )
        return row

    def _expired(self, database: sqlite3.Connection, now: float) -> sqlite3.Row | None:
        """Return a locked item whose lease has expired, or that has none."""
        query = f"{_READ} WHERE {_IN_STATE} AND NOT ({_HOLDS}) LIMIT 1"
        values = (self.name, ItemState.LOCKED.value, now)
        row: sqlite3.Row | None = database.execute(query, values).fetchone()
        return row

    def _held_by_others(
        self, database: sqlite3.Connection, now: float, pilot: str
    ) -> Locked | None:
        """How many items other pilots hold, and when the first lease ends."""
        query = f"""SELECT count(*), min(Lease_Expires) FROM items
            WHERE {_IN_STATE} AND {_HOLDS} AND InstanceID IS NOT ?"""
        key = (self.name, ItemState.LOCKED.value, now, pilot)
        count, first_end = database.execute(query, key).fetchone()
        return Locked(items=count, seconds=first_end - now) if count else None

    def _swap(self, database: sqlite3.Connection, row: sqlite3.Row, changes: Attributes) -> bool:
        """Change a row unless others have since it was read for a claim; return whether it was.

        It is found by number, because the name of a damaged item may be damaged too.
        """
        values = _stored(changes)
        assignments = ", ".join(f"{name} = ?" for name in values)
        marks, read = zip(*(_bound(row[name]) for name in OF_A_CLAIM), strict=True)
        is_same = " AND ".join(map("{} IS {}".format, OF_A_CLAIM, marks))
        written = database.execute(
            f"UPDATE items SET {assignments} WHERE rowid = ? AND {is_same}",
            (*values.values(), row["rowid"], *read),
        )
        return written.rowcount == 1

    def _change(self, claim: Claim, changes: Attributes) -> bool:
        """Write the changes if the item has the claim's token; see `HoldersVerbs`."""
        item_id, nothing = claim.item.item_id, {"lockID": claim.token}
        with self._file.alone() as database, _safe_from_power_cuts(database, changes):
            if self._write(database, item_id, changes or nothing, token=claim.token):
                return True
        # A second transaction is enough: a token that an item has lost never comes back.
        with self._file.transaction("DEFERRED") as database:
            row = self._find(database, item_id)
            if row is None:
                self._require_table(database)
            return transitions.is_landed(row, claim, changes)

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

    def _find(self, database: sqlite3.Connection, item_id: str) -> Row | None:
        row = database.execute(
            f"SELECT * FROM items WHERE {_THE_ITEM}", (self.name, item_id)
        ).fetchone()
        return None if row is None else _present(row)

    def _require_table(self, database: sqlite3.Connection) -> None:
        known = database.execute("SELECT 1 FROM workflow_tables WHERE name = ?", (self.name,))
        if known.fetchone() is None:
            raise self._file.not_found()


def table_names(path: Path) -> list[str]:
    """The names of a file's tables, sorted. Raises `TableNotFound` if there is no such file."""
    if not path.exists():
        raise TableNotFound(f"{path} is not there: import items first")
    file = SQLiteFile(path, "")
    try:
        with file.transaction("DEFERRED") as database:
            rows = database.execute("SELECT name FROM workflow_tables ORDER BY name").fetchall()
        return [row["name"] for row in rows]
    except TableNotFound:  # the file is empty
        return []
    finally:
        file.close()


@contextmanager
def _safe_from_power_cuts(database: sqlite3.Connection, changes: Attributes) -> Iterator[None]:
    """Flush the block's write to the disk if it has results of tasks that took long.

    Short tasks can be run again. What is recorded while a nested item runs is always flushed, at
    most once a second.
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
    """Return attributes as SQLite stores them: maps and lists as JSON."""
    return {
        name: _JSON.encode(value) if isinstance(value, (dict, list)) else value
        for name, value in attributes.items()
    }


def _present(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row's attributes without NULLs. Invalid JSON stays text."""
    attributes = {name: row[name] for name in row.keys() if row[name] is not None}  # noqa: SIM118
    attributes.pop("workflow_table", None)
    parsed = ("Nested_Status", "Log", "History", "Made_With")
    for name in (*parsed, "TaskScript") if "Nested_Tasks" in attributes else parsed:
        if isinstance(attributes.get(name), str):
            with suppress(ValueError, RecursionError):
                attributes[name] = json.loads(attributes[name])
    return attributes


def _after(item_id: object) -> tuple[str, tuple[object, ...]]:
    """Return the condition that a row comes after that item, and its values."""
    mark, value = _bound(item_id)
    return f"AND itemID > {mark}", (value,)


def _bound(value: object) -> tuple[str, object]:
    """Return the placeholder for a value that was read, and what to bind to it."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # it isn't UTF-8
            return "CAST(? AS TEXT)", value.encode(errors="surrogateescape")
    return "?", value

"""The embedded table's file: how it is opened, for what, and what its errors mean.

Who may not write to the file, or to its folder, can read it all the same, except while SQLite keeps
a part of it in files beside it that can't be opened without writing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from pyanamo.errors import (
    PyAnamoError,
    StoreUnavailable,
    StoreUnusable,
    TableNotFound,
    in_words,
)

APPLICATION_ID = 0x5079416E  # "PyAn": marks our files (SQLite, "PRAGMA application_id")
SCHEMA_VERSION = 2  # of our tables (SQLite, "PRAGMA user_version"): add one when COLUMNS change

# How long to wait for another process's write: less than a pilot's workers have after a stop.
BUSY_SECONDS = 10.0
PIECE_SECONDS = 1.0  # of that time, in which no Python signal handler runs

# A program may have rights that its real user hasn't.
_BY_EFFECTIVE_IDS = os.access in os.supports_effective_ids

SWITCH_TRIES, SWITCH_PAUSE = 20, 0.05  # to a write-ahead log; the pause is in seconds
MAGIC = b"SQLite format 3\0"  # what a file begins with (SQLite, "Database File Format")
# More than SQLite needs to open a file, with those beside it: files, and bytes on the disk.
FILES_NEEDED, SPACE_NEEDED = 5, 1_000_000
BESIDE = ("-wal", "-shm", "-journal")  # SQLite's files beside a file in use, or after a crash

# Errors that may pass; all others stay until somebody mends the file (SQLite, "Result and Error
# Codes"). Python tells their codes only from 3.11 on.
_PASSING = (
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "locking protocol",
    "out of memory",
    "unable to open database file",  # there may be too many open files
)
_text = partial(str, encoding="utf-8", errors="surrogateescape")  # which `reading` refuses


class _Connection(sqlite3.Connection):
    """A connection that waits for others' writes in pieces, so that signal handlers can run."""

    stop: object = None  # once it is true, a wait ends with the error that the file is locked

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """Execute a statement; wait `BUSY_SECONDS` in all for what others write."""
        give_up_at = time.monotonic() + BUSY_SECONDS
        while True:
            began = time.monotonic()
            try:
                return super().execute(statement, values)
            except sqlite3.OperationalError:
                now = time.monotonic()
                # SQLite waits for nothing but locks, and a statement that met one has done nothing.
                has_waited = now - began > PIECE_SECONDS / 2
                if not has_waited or now >= give_up_at or self.stop:
                    raise


class SQLiteFile:
    """A connection to a file, on which threads take turns. It is opened when it is first used."""

    def __init__(self, path: Path, table: str) -> None:
        """`table` is for messages."""
        self._path = path
        self._table = table
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._is_immutable = False  # it was opened as one that nobody changes

    def create(self) -> None:
        """Open the file; make it if it isn't there."""
        with self._lock, self._errors():
            if self._connection is None:
                self._connect(create=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(
        self, kind: str = "IMMEDIATE", *, stop: object = None
    ) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction, which an error rolls back.

        `IMMEDIATE` locks out other writers. `DEFERRED` is for blocks that only read: they see the
        database at one point in time, and lock out nobody. Once `stop` is true, others' writes are
        not waited for any longer.
        """
        with self.alone(stop) as database:
            database.execute(f"BEGIN {kind}")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.rollback()
                raise

    @contextmanager
    def alone(self, stop: object = None) -> Iterator[sqlite3.Connection]:
        """Keep other threads from the connection. Each statement is a transaction of its own."""
        with self._lock, self._errors():
            if self._connection is not None and self._is_immutable and self._beside():
                self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = self._connect(create=False)
            elif self._found() != self._identity:  # nobody would find what is written now
                raise TableNotFound(f"{self._path} was deleted or replaced while it was in use")
            self._connection.stop = stop
            yield self._connection

    def not_found(self, why: str = "an import makes it") -> TableNotFound:
        """The error that says that the table isn't there."""
        return TableNotFound(f"there is no table {self._table!r} in {self._path}: {why}")

    def _connect(self, *, create: bool) -> _Connection:
        """Open the file. One that isn't there, or is empty, is only accepted with `create`."""
        self._check_path(create=create)
        database = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?{self._mode(create=create)}",
            uri=True,
            timeout=min(PIECE_SECONDS, BUSY_SECONDS),
            factory=_Connection,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            database.row_factory = sqlite3.Row
            database.text_factory = _text
            if not self._has_tables(database) and not create:
                raise self.not_found()
            if self._may_write():
                _use_write_ahead_log(database)
                database.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            database.close()
            raise
        self._identity = self._found()
        self._connection = database
        return database

    def _check_path(self, *, create: bool) -> None:
        """Raise an error for what can't be a file of ours."""
        if not self._path.exists():
            folder = self._path.parent
            if not create:
                missing = "file" if folder.is_dir() else f"folder {folder}"
                raise self.not_found(
                    f"there is no such {missing}; import items into it first, or name another file"
                )
            if not folder.is_dir():
                raise StoreUnusable(f"{self._path} can't be made: {folder} isn't a folder")
        elif not self._path.is_file():
            raise StoreUnusable(f"{self._path} is not a file: name another one")
        else:
            with self._path.open("rb") as file:
                begins = file.read(len(MAGIC))
            if begins not in (b"", MAGIC):  # SQLite would overwrite a short one
                raise StoreUnusable(
                    f"{self._path} is not a database of PyAnamo's: name another file"
                )

    def _mode(self, *, create: bool) -> str:
        """How to open the file, as parameters of its URI.

        To read a file with a write-ahead log, SQLite makes a file beside it, unless it is told that
        nobody changes the file. That is so if nothing is beside it (SQLite, "Write-Ahead Logging",
        "Read-Only Databases").
        """
        self._is_immutable = False
        if self._may_write():
            return "mode=rwc" if create else "mode=rw"
        self._is_immutable = not self._beside()
        return "mode=ro&immutable=1" if self._is_immutable else "mode=ro"

    def _may_write(self) -> bool:
        """Whether we may write to the file and its folder, as far as they are there."""
        needed = (path for path in (self._real, self._real.parent) if path.exists())
        return all(os.access(path, os.W_OK, effective_ids=_BY_EFFECTIVE_IDS) for path in needed)

    def _beside(self) -> list[str]:
        """The names of SQLite's files beside this one."""
        names = (f"{self._real}{suffix}" for suffix in BESIDE)
        return [name for name in names if os.path.exists(name)]

    @property
    def _real(self) -> Path:
        return self._path.resolve()

    def _found(self) -> tuple[int, int] | None:
        """The device and inode of the file that is there now, or None."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _has_tables(self, database: sqlite3.Connection) -> bool:
        """Whether the file has our tables. Raises an error if it has others."""
        # In this order, as another process may be making our tables: the marks come with them.
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreUnusable(
                f"{self._path} is a SQLite file of another program: name another file"
            )
        if tables and version != SCHEMA_VERSION:
            raise StoreUnusable(
                f"{self._path} has tables of version {version}, and this PyAnamo has "
                f"{SCHEMA_VERSION}: use the PyAnamo that made it, or export its items with that "
                "one (export --task-file) and import them into another file"
            )
        return bool(tables)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from error
        except PermissionError as error:
            raise StoreUnusable(f"{self._path} can't be opened: {error.strerror}") from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path} can't be opened: {in_words(error)}") from error

    def _translated(self, error: sqlite3.Error) -> PyAnamoError:
        if not self._may_write():
            if not self._is_immutable and (beside := self._beside()) and self._connection is None:
                return StoreUnusable(
                    f"{self._path} may only be read, and a part of it is in {', '.join(beside)}: "
                    f"you need write permission to open it ({error})"
                )
            return StoreUnusable(f"{self._path} is not writable: {error}")
        if isinstance(error, sqlite3.OperationalError):
            if str(error).startswith(_PASSING):
                why = self._shortage() or str(error)
                return StoreUnavailable(f"the tables' file {self._path} can't be used: {why}")
            return StoreUnusable(
                f"{self._path}: {error}: its tables have been changed; import into another file"
            )
        return StoreUnusable(
            f"{self._path} is damaged ({error}): restore it from a copy, or save what can be read "
            "with SQLite's .recover"
        )

    def _shortage(self) -> str:
        """What keeps anybody from making files beside this one; empty if nothing does."""
        try:
            with ExitStack() as files:
                for _ in range(FILES_NEEDED):
                    file = files.enter_context(TemporaryFile(dir=self._real.parent))
                file.write(bytes(SPACE_NEEDED))
        except OSError as error:
            return in_words(error)
        return ""


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

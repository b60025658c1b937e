"""Files of embedded tables that are damaged, others', of another version, or only to be read."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pyanamo.errors import StoreUnusable, TableNotFound
from pyanamo.tables.sqlite import COLUMNS, SQLiteTable
from pyanamo.tables.sqlitefile import SCHEMA_VERSION
from tests.support.makers import done, ended, single

# What the tables of each version have. If you change the columns, add a version, and leave these.
VERSIONS = {
    1: (
        *("itemID", "TaskID", "TaskScript", "ItemState", "Slot", "lockID", "InstanceID"),
        *("Lock_Date", "Done_Date", "Lease_Expires", "Attempts", "Nested_Tasks", "Nested_Done"),
        *("Exit_Code", "Reason", "Run_Seconds", "Max_RSS_MB", "Log", "History", "Import_ID"),
    ),
    2: (
        *("itemID", "TaskID", "TaskScript", "ItemState", "Slot", "lockID", "InstanceID"),
        *("Lock_Date", "Done_Date", "Lease_Expires", "Attempts"),
        *("Nested_Status", "Nested_Tasks", "Nested_Done"),
        *("Exit_Code", "Reason", "Run_Seconds", "CPU_Seconds", "Max_RSS_MB", "Peak_MB", "Log"),
        *("History", "Import_ID", "Made_With"),
    ),
}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can read: pytest's own are closed to them."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


@pytest.fixture
def file(open_folder: Path) -> Path:
    """A file with a table of many items."""
    path = open_folder / "tables.db"
    with closing(SQLiteTable("Step", path)) as table:
        table.create()
        ended(table, single("first"), done())
        table.add(single(f"item-{number:04}", "true " * 20) for number in range(500))
    return path


def execute(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def garble(file: Path) -> None:
    """Overwrite the middle of the file."""
    content = file.read_bytes()
    third = len(content) // 3
    file.write_bytes(content[:third] + b"\xaa" * third + content[2 * third :])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbled": (garble, "is damaged .*malformed.*restore it from a copy"),
    "not a database": (
        lambda file: file.write_bytes(b"x" * 5000),
        "is not a database of PyAnamo's",
    ),
    "short": (lambda file: file.write_bytes(b"x"), "is not a database"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "is not a file"),
    "no column": (
        lambda file: execute(file, "ALTER TABLE items DROP COLUMN Log"),
        "no such column: Log: its tables have been changed",
    ),
    "no table": (lambda file: execute(file, "DROP TABLE items"), "no such table: items"),
    "the version before": (
        lambda file: execute(file, f"PRAGMA user_version = {SCHEMA_VERSION - 1}"),
        f"has tables of version {SCHEMA_VERSION - 1}, and this PyAnamo has {SCHEMA_VERSION}: use",
    ),
    "another version": (
        lambda file: execute(file, "PRAGMA user_version = 99"),
        f"has tables of version 99, and this PyAnamo has {SCHEMA_VERSION}: use the PyAnamo that",
    ),
}


def use(table: SQLiteTable) -> None:
    table.check()
    list(table.items())
    table.claim("pilot", lease=60, max_attempts=3)


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_waiting_will_not_mend_is_told_as_such(file: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(file)
    with closing(SQLiteTable("Step", file)) as table:
        with pytest.raises(StoreUnusable, match=message) as caught:
            use(table)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_version_has_always_the_same_columns() -> None:
    assert tuple(COLUMNS) == VERSIONS[SCHEMA_VERSION]


# --- As another user ----------------------------------------------------------------------------


def as_nobody(call: Callable[[Path], object], file: Path) -> object:
    """What a function returns or raises in a process without root's permissions."""
    with multiprocessing.get_context("fork").Pool(1, initializer=_become_nobody) as pool:
        return pool.apply(call, (file,))


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setuid(65534)


def read(file: Path) -> int:
    with closing(SQLiteTable("Step", file)) as table:
        table.check()
        assert table.get("first") is not None
        return len(list(table.items())) if len(list(table.summaries())) == 501 else -1


def write(file: Path) -> object:
    with closing(SQLiteTable("Step", file)) as table:
        return table.claim("pilot", lease=60, max_attempts=3)


def protect(file: Path, protected: str) -> None:
    file.chmod(0o666 if protected == "folder" else 0o444)
    file.parent.chmod(0o777 if protected == "file" else 0o555)


@pytest.mark.parametrize("protected", ["file", "folder", "both"])
def test_a_file_that_may_only_be_read_is_read(file: Path, protected: str) -> None:
    before = file.read_bytes()
    protect(file, protected)
    assert as_nobody(read, file) == 501
    with pytest.raises(StoreUnusable, match=f"^{re.escape(str(file))} is not writable: "):
        as_nobody(write, file)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_a_reader_sees_what_a_writer_has_written_since(file: Path) -> None:
    """While a pilot works on it, from its files beside the file."""
    with closing(SQLiteTable("Step", file)) as table:
        table.amend("item-0001", lambda _: {"itemID": None})
        table.amend("first", lambda _: {"Reason": "changed"})
        table.add([single("new")])
        for beside in file.parent.iterdir():
            beside.chmod(0o444)
        protect(file, "both")
        assert as_nobody(read, file) == 501


def begun_before(file: Path) -> tuple[int, int]:
    """How many rows there are before and after another process writes."""
    with closing(SQLiteTable("Step", file)) as table:
        before = len(list(table.summaries()))
        (file.parent / "ready").touch()
        while not (file.parent / "written").exists():
            pass
        return before, len(list(table.summaries()))


def test_a_reader_that_was_there_first_sees_it_too(file: Path) -> None:
    """It had taken the file for one that nobody changes."""
    file.chmod(0o444)
    file.parent.chmod(0o777)
    with multiprocessing.get_context("fork").Pool(1, initializer=_become_nobody) as pool:
        reads = pool.apply_async(begun_before, (file,))
        while not (file.parent / "ready").exists():
            assert not reads.ready(), reads.get()
        with closing(SQLiteTable("Step", file)) as table:
            table.add([single("new")])
            for beside in file.parent.glob("tables.db-*"):
                beside.chmod(0o644)
            (file.parent / "written").touch()
            assert reads.get(30) == (501, 502)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_file_after_a_crash_that_only_a_writer_can_open(file: Path, suffix: str) -> None:
    """Reading it without its other part would show what never was, or no longer is."""
    mode = "WAL" if suffix == "-wal" else "DELETE"
    crashed = file.parent / "crashed.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE items SET Reason = 'half done' || hex(randomblob(500))")
        if suffix == "-wal":
            database.execute("COMMIT")
        shutil.copyfile(file, crashed)
        shutil.copyfile(f"{file}{suffix}", f"{crashed}{suffix}")
    protect(crashed, "both")
    with pytest.raises(StoreUnusable, match=r"may only be read, .*you need write"):
        as_nobody(read, crashed)
    protect(crashed, "none")
    crashed.chmod(0o666)
    crashed.parent.chmod(0o777)
    assert read(crashed) == 501  # who may write opens it, and puts that right
    with closing(SQLiteTable("Step", crashed)) as table:
        item = table.get("first")
    assert item is not None
    assert item.reason.startswith("half done") is (suffix == "-wal")


def test_a_file_that_may_not_be_read(file: Path) -> None:
    file.chmod(0)
    with pytest.raises(StoreUnusable, match=str(file)):
        as_nobody(read, file)
    file.parent.chmod(0)
    with pytest.raises(StoreUnusable, match=str(file)):
        as_nobody(read, file)
    file.parent.chmod(0o755)


def test_a_missing_file_is_still_a_missing_table(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with pytest.raises(TableNotFound):
        as_nobody(read, open_folder / "none.db")

"""The contract of a workflow table: the table itself, there or missing."""

import errno
import multiprocessing
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from tempfile import TemporaryDirectory

import pytest

import pyanamo.tables.sqlitefile
from pyanamo.errors import PyAnamoError, StoreUnavailable, StoreUnusable, TableNotFound
from pyanamo.model import Claim, ItemState
from pyanamo.tables import WorkflowTable
from pyanamo.tables.sqlite import SQLiteTable
from pyanamo.tables.sqlitefile import PIECE_SECONDS
from tests.support.backends import Backend, DynamoDBBackend, SQLiteBackend
from tests.support.importing import locked_file
from tests.support.makers import done, interrupted, single, well
from tests.support.step import DIED, LEASE, Step, make_step


def test_create_makes_the_table_once_and_keeps_its_items(backend: Backend, table_name: str) -> None:
    table = backend.open(table_name)
    assert table.create() is True
    table.check()
    table.add([single("a")])
    assert table.create() is False
    assert backend.open(table_name).create() is False
    item = table.get("a")
    assert item is not None
    assert item.item_id == "a"


A_CLAIM = Claim(item=single("a"), token="0123456789abcdef")
VERBS: dict[str, Callable[[WorkflowTable], object]] = {
    "check": lambda table: table.check(),
    "add": lambda table: table.add([single("a")]),
    "replace": lambda table: table.add([single("a")], replace=True),
    "claim": lambda table: table.claim("pilot-1", lease=LEASE, max_attempts=3),
    "renew": lambda table: table.renew(A_CLAIM, lease=LEASE),
    "renew with results": lambda table: table.renew(
        A_CLAIM, lease=LEASE, results={"Task_0": well()}
    ),
    "finish": lambda table: table.finish(A_CLAIM, done()),
    "release": lambda table: table.release(A_CLAIM, interrupted()),
    "lose": lambda table: table.lose(A_CLAIM, DIED, max_attempts=3),
    "get": lambda table: table.get("a"),
    "summaries": lambda table: list(table.summaries()),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_table_is_named_with_what_to_do(
    backend: Backend, table_name: str, verb: str
) -> None:
    backend.open(table_name).create()  # another table is there
    table = backend.open(table_name + "-missing")
    with pytest.raises(TableNotFound, match=re.escape(f"{table_name}-missing")) as raised:
        VERBS[verb](table)
    message = str(raised.value)
    assert message.startswith("there is no table ")
    assert "an import makes it" in message
    assert "\n" not in message
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_file_is_a_missing_table_and_stays_missing(
    sqlite: SQLiteBackend, verb: str
) -> None:
    with pytest.raises(TableNotFound, match=re.escape(str(sqlite.file))):
        VERBS[verb](sqlite.open("Step"))
    assert not sqlite.file.exists()


@pytest.mark.parametrize("verb", VERBS)
def test_an_empty_file_is_a_missing_table(sqlite: SQLiteBackend, verb: str) -> None:
    sqlite.file.touch()
    table = sqlite.open("Step")
    with pytest.raises(TableNotFound, match=re.escape(str(sqlite.file))):
        VERBS[verb](table)
    assert table.create() is True
    VERBS[verb](table)


def test_a_file_that_is_locked_for_too_long_is_unavailable(
    sqlite: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.open("Step").create()
    monkeypatch.setattr(pyanamo.tables.sqlitefile, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(sqlite.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            sqlite.open("Step").add([single("a")])


@contextmanager
def few_files(spare: int) -> Iterator[None]:
    """This process can open so many more files."""
    limits = getrlimit(RLIMIT_NOFILE)
    taken: list[int] = []
    setrlimit(RLIMIT_NOFILE, (300, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for number in taken[:spare]:
            os.close(number)
        yield
    finally:
        setrlimit(RLIMIT_NOFILE, limits)
        for number in taken[spare:]:
            os.close(number)


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_too_few_open_files_are_named(sqlite: SQLiteBackend, spare: int) -> None:
    with closing(sqlite.open("Step")) as table:
        table.create()
    with (
        few_files(spare),
        closing(sqlite.open("Step")) as table,
        pytest.raises(StoreUnavailable) as raised,
    ):
        table.claim("pilot", lease=LEASE, max_attempts=3)
    assert str(sqlite.file) in str(raised.value)
    message = "Too many open files (ulimit -n is 300): raise the limit"
    assert str(raised.value).endswith(message)


def test_a_full_disk_is_named(sqlite: SQLiteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls it a disk I/O error, or says that a file can't be opened."""
    with closing(sqlite.open("Step")) as table:
        table.create()
    Path(f"{sqlite.file}-wal").mkdir()  # what SQLite can't open, either

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pyanamo.tables.sqlitefile, "TemporaryFile", full)
    with closing(sqlite.open("Step")) as table, pytest.raises(StoreUnavailable) as raised:
        table.check()
    why = "No space left on device: make room on its disk"
    assert str(raised.value) == f"the tables' file {sqlite.file} can't be used: {why}"


def test_a_file_that_is_free_again_is_waited_for(sqlite: SQLiteBackend) -> None:
    """For longer than SQLite is told to wait at a time."""
    table = sqlite.open("Step")
    table.create()
    with locked_file(sqlite.file):
        thread = threading.Thread(target=table.add, args=([single("a")],))
        thread.start()
        thread.join(1.5 * PIECE_SECONDS)
        assert thread.is_alive()
    thread.join(PIECE_SECONDS)
    assert not thread.is_alive()
    assert table.get("a") is not None


@pytest.mark.parametrize("protected", ["file", "folder"])
def test_a_file_that_may_not_be_written_to(protected: str) -> None:
    with TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder, file = Path(name), Path(name) / "tables.db"
        with closing(SQLiteTable("Step", file)) as table:
            table.create()
        folder.chmod(0o555 if protected == "folder" else 0o755)
        file.chmod(0o444 if protected == "file" else 0o666)
        with (
            multiprocessing.get_context("fork").Pool(1, initializer=become_nobody) as pool,
            pytest.raises(StoreUnusable, match=f"^{re.escape(str(file))} is not writable: "),
        ):
            pool.apply(add_an_item, (file,))
        folder.chmod(0o755)


def become_nobody() -> None:
    """Give up root's permission to write to all files."""
    if os.geteuid() == 0:
        os.setuid(65534)


def add_an_item(file: Path) -> None:
    with closing(SQLiteTable("Step", file)) as table:
        table.add([single("a")])


def test_another_programs_file_is_left_alone(sqlite: SQLiteBackend) -> None:
    sqlite.execute("CREATE TABLE theirs (x)")
    before = sqlite.file.read_bytes()
    for action in (lambda table: table.create(), *VERBS.values()):
        with pytest.raises(StoreUnusable, match="another program: name another file"):
            action(sqlite.open("Step"))
    assert sqlite.file.read_bytes() == before


def test_another_programs_table_is_not_filled(dynamo: DynamoDBBackend, table_name: str) -> None:
    dynamo.client.create_table(
        TableName=table_name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "theirs", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "theirs", "KeyType": "HASH"}],
    )
    with pytest.raises(PyAnamoError, match=r"its key is theirs.*name another table"):
        dynamo.open(table_name).create()
    with pytest.raises(TableNotFound, match=table_name):
        dynamo.open(table_name).check()


def test_names_that_need_care(backend: Backend, table_name: str) -> None:
    """Several tables in one backend, each with its own items."""
    unique = table_name[-12:]
    names = [
        f"{unique}." + "x" * (255 - len(unique) - 1),
        f"..{unique}..",
        f"007-{unique}_1.0",
    ]
    if isinstance(backend, SQLiteBackend):
        names += ["sqlite_sequence", "items", "workflow_tables", "ItemStateIndex"]
        # DynamoDB too has such names, but DynamoDB Local, which keeps tables in SQLite, can't.
        names += [f"sqlite_{unique}", f"Case-{unique}", f"case-{unique}"]
    steps = [make_step(backend, name) for name in names]
    for place_in_list, step in enumerate(steps):
        step.add(single("same", script=step.name), single(f"own-{place_in_list}"))
    for place_in_list, step in enumerate(steps):
        assert step.get("same").tasks[0].script == step.name
        own = {summary.item_id for summary in step.table.summaries()}
        assert own == {"same", f"own-{place_in_list}"}
    claims = [steps[0].claim(), steps[0].claim()]
    assert {claim.item.item_id for claim in claims} == {"same", "own-0"}
    assert steps[0].claim_if_any() is None
    assert all(step.get("same").state is ItemState.TODO for step in steps[1:])


def test_a_closed_table_can_be_used_again(step: Step) -> None:
    table = step.backend.store.open(step.name)  # with a client of its own
    table.add([single("a")])
    table.close()
    assert table.get("a") is not None
    table.close()

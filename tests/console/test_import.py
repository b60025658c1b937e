"""import-items.py, run as a user runs it, on both kinds of table."""

import json
import os
import pty
import random
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from pyanamo.errors import TableNotFound
from pyanamo.model import Ending, ItemState, Outcome, Result, TaskStatus
from pyanamo.tables import Store, WorkflowTable
from tests.support.cli import SECONDS, Finished, Place, finish, wait_until
from tests.support.faulty_proxy import Action, Decide, Fault, FaultyProxy, Hang, StatementErrors

HEADER = "itemID|TaskID|TaskScript"
FIVE = f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\nC|Mario|seq 10\nD|Mario|echo ä\nE|Mario|true\n"
NESTED = "itemID|TaskID|TaskScript|TaskArgs\nA|Luigi|seq|1,2,3\nB|Luigi|seq 8|\nC|Luigi|echo|a b\n"
DONE = Outcome(
    ending=Ending.DONE,
    results={"Task_0": Result(status=TaskStatus.DONE, exit_code=0, stdout="1\n2\n")},
    exit_code=0,
)


@pytest.fixture(params=["local", "dynamodb"])
def place(request: pytest.FixtureRequest) -> Place:
    """A table of either kind, which isn't there yet."""
    chosen: Place = request.getfixturevalue(f"{request.param}_place")
    return chosen


@pytest.fixture
def local_place(tmp_path: Path, table_name: str) -> Place:
    return local(table_name, tmp_path / "tables.db")


@pytest.fixture
def dynamodb_place(dynamodb: str, table_name: str) -> Place:
    return at(dynamodb, table_name)


def local(table: str, file: Path) -> Place:
    """A table in a file."""
    return Place(table=table, store=Store(local=file), flags=("--local", str(file)))


def at(endpoint: str, table: str) -> Place:
    """A table in the DynamoDB at an endpoint."""
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    return Place(table=table, store=Store(endpoint_url=endpoint), environment=environment)


@pytest.fixture
def five(tmp_path: Path) -> Path:
    return written(tmp_path / "five.txt", FIVE)


def written(file: Path, content: str | bytes) -> Path:
    """The file, with that content."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def names(rows: int) -> list[str]:
    return [f"Item_{number:05}" for number in range(rows)]


def large(tmp_path: Path, rows: int) -> Path:
    """A file of so many single items."""
    lines = [HEADER, *(f"{name}|Group|echo {name}" for name in names(rows))]
    return written(tmp_path / f"{rows}.txt", "\n".join(lines))


def told(finished: Finished) -> tuple[int, int]:
    """How many items an import says it imported, and were already there."""
    match = re.fullmatch(r"imported (\d+), already there (\d+)", finished.last_line)
    assert match, finished
    return int(match[1]), int(match[2])


def assert_refused(finished: Finished, message: str, code: int = 1) -> None:
    """It said in one line what is wrong, and nothing else."""
    assert re.search(message, finished.stderr), finished
    assert finished.stderr.count("\n") == 1, finished
    assert (finished.code, finished.stdout) == (code, "")


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# --- What an import does ------------------------------------------------------------------------


def test_it_creates_the_table_and_adds_what_is_not_there(place: Place, tmp_path: Path) -> None:
    two = written(tmp_path / "two.txt", f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\n")
    first = place.import_items("-i", two)
    assert (first.code, first.stdout) == (0, "imported 2, already there 0\n")
    assert first.stderr == f"created table {place.table}\n"

    five = written(tmp_path / "five.txt", FIVE)
    second = place.import_items("-i", five)
    assert (second.code, second.stdout, second.stderr) == (0, "imported 3, already there 2\n", "")
    third = place.import_items("-i", five)
    assert (third.code, third.last_line) == (0, "imported 0, already there 5")

    assert place.names(ItemState.TODO) == ["A", "B", "C", "D", "E"]
    item = place.get("D")
    assert (item.task_id, item.nested, item.attempts) == ("Mario", False, 0)
    assert [task.script for task in item.tasks] == ["echo ä"]


def test_nested_items(place: Place, tmp_path: Path) -> None:
    file = written(tmp_path / "nested.txt", NESTED)
    assert place.import_items("-i", file, "-n", ",").last_line == "imported 3, already there 0"
    item = place.get("A")
    assert item.nested
    assert [(task.name, task.script, task.status) for task in item.tasks] == [
        (f"Task_{number}", f"seq {number + 1}", TaskStatus.TODO) for number in range(3)
    ]
    assert not place.get("B").nested
    assert [task.script for task in place.get("C").tasks] == ["echo a b"]


def test_items_that_were_worked_on_are_left_alone(place: Place, five: Path) -> None:
    place.import_items("-i", five)
    with place.opened() as table:
        finish_one(table)
        claim = table.claim("pilot", lease=900, max_attempts=3)
        assert claim
    before = [place.get(name) for name in "ABCDE"]

    again = place.import_items("-i", five)
    assert (again.code, again.last_line) == (0, "imported 0, already there 5")
    assert [place.get(name) for name in "ABCDE"] == before
    with place.opened() as table:
        assert table.finish(claim, DONE), "the claim no longer holds"


def finish_one(table: WorkflowTable) -> str:
    """Claim an item, finish it, and return its name."""
    claim = table.claim("pilot", lease=900, max_attempts=3)
    assert claim
    assert table.finish(claim, DONE)
    return claim.item.item_id


def test_replace_spares_what_is_being_worked_on(place: Place, five: Path, tmp_path: Path) -> None:
    place.import_items("-i", five)
    with place.opened() as table:
        done = finish_one(table)
        claim = table.claim("pilot", lease=900, max_attempts=3)
        assert claim
    locked = claim.item.item_id
    lines = [HEADER, *(f"{name}|Peach|seq 99" for name in "ABCDEF")]
    other = written(tmp_path / "new.txt", "\n".join(lines))

    replaced = place.import_items("-i", other, "--replace")
    assert replaced.stderr == f"not replaced, a pilot is working on it: {locked}\n"
    assert (replaced.code, replaced.stdout) == (1, "imported 1, replaced 4\n")
    assert place.get(locked).tasks == claim.item.tasks
    for name in sorted(set("ABCDEF") - {locked}):
        item = place.get(name)
        assert (item.task_id, item.tasks[0].script) == ("Peach", "seq 99")
        assert (item.state, item.attempts, item.results) == (ItemState.TODO, 0, {})
    assert done in place.names(ItemState.TODO)

    with place.opened() as table:
        assert table.finish(claim, DONE), "the claim no longer holds"
    again = place.import_items("-i", other, "--replace")
    assert (again.code, again.last_line) == (0, "imported 0, replaced 6")


def test_stdin(place: Place) -> None:
    finished = place.import_items("-i", "-", stdin=FIVE.encode())
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert place.names() == ["A", "B", "C", "D", "E"]


def test_delimiters(local_place: Place, tmp_path: Path) -> None:
    content = NESTED.replace(",", ";").replace("|", "\t")
    file = written(tmp_path / "tabs.txt", content)
    finished = local_place.import_items("-i", file, "-d", r"\t", "-n", ";")
    assert (finished.code, finished.last_line) == (0, "imported 3, already there 0")
    assert len(local_place.get("A").tasks) == 3


def test_a_nested_delimiter_without_arguments(local_place: Place, five: Path) -> None:
    finished = local_place.import_items("-i", five, "-n", ",")
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert f"{five} has no TaskArgs column: -n isn't used, all items are single\n" in (
        finished.stderr
    )


def test_two_tables_of_one_file_have_nothing_in_common(local_place: Place, five: Path) -> None:
    local_place.import_items("-i", five)
    other = Place(table="Other", store=local_place.store, flags=local_place.flags)
    assert other.import_items("-i", five).last_line == "imported 5, already there 0"


def test_the_local_file_of_the_environment(
    tmp_path: Path, five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "of the environment?.db"
    monkeypatch.setenv("PYANAMO_LOCAL", str(file))
    place = Place(table="Example", store=Store(local=file))
    assert place.import_items("-i", five).last_line == "imported 5, already there 0"
    assert place.names() == ["A", "B", "C", "D", "E"]


# --- Showing what it would do -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "dynamodb"])
def test_a_dry_run_asks_nobody(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    database = tmp_path / "tables.db"
    nowhere = at(f"http://127.0.0.1:{closed_port()}", "Example")
    place = local("Example", database) if kind == "local" else nowhere
    file = written(tmp_path / "tasks.txt", NESTED + "D|Ä|true|\n")

    finished = place.import_items("-i", file, "--dry-run")
    assert (finished.code, finished.stderr) == (0, "")
    *shown, last = finished.stdout.split("...\n")
    assert last == "would import 4: 2 single, 2 nested with 4 tasks\n"
    first, rest = json.JSONDecoder().raw_decode("".join(shown))
    assert rest
    assert first["TaskScript"]["Task_1"] == {"Script": "seq 2", "Status": "todo"}
    assert not database.exists()


def test_a_dry_run_on_a_terminal_that_knows_few_characters(
    local_place: Place, five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    content = f"{HEADER}\nÄ|x|true\n".encode()
    finished = local_place.import_items("-i", "-", "--dry-run", stdin=content)
    assert (finished.code, finished.stderr) == (0, "")
    assert finished.last_line == "would import 1: 1 single, 0 nested with 0 tasks"


def test_a_dry_run_finds_mistakes(local_place: Place) -> None:
    finished = local_place.import_items("-i", "-", "--dry-run", stdin=b"A|B|C\n")
    assert_refused(finished, "^stdin:1: 'A|B|C' is no header: ")


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: our end of it, and a program's."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def shown_on(descriptor: int) -> str:
    """All that is printed on a terminal, until nobody has it open any more."""
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # what Linux says at the end of it
            chunk = b""
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)


def test_a_bar_on_a_terminal(
    local_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal() as (ours, theirs):
        process = local_place.start_import("-i", large(tmp_path, 1000), stderr=theirs)
        os.close(theirs)
        shown = shown_on(ours)
        finished = finish(process)
    assert "importing" in shown
    assert "━" in shown
    assert "1000/1000" in shown
    assert (finished.code, finished.stdout) == (0, "imported 1000, already there 0\n")


def test_no_bar_for_a_few_items(local_place: Place, five: Path) -> None:
    with terminal() as (ours, theirs):
        process = local_place.start_import("-i", five, stderr=theirs)
        os.close(theirs)
        shown = shown_on(ours)
        finish(process)
    assert shown == f"created table {local_place.table}\r\n"


def test_no_bar_in_a_file(local_place: Place, tmp_path: Path) -> None:
    finished = local_place.import_items("-i", large(tmp_path, 1000))
    assert finished.stderr == f"created table {local_place.table}\n"
    assert finished.stdout == "imported 1000, already there 0\n"


# --- What is refused ----------------------------------------------------------------------------

TEN_MISTAKES = [
    b"A|x|true|1",
    b"B|x|true",  # 3: too few fields
    b"C|x|true|1|2",  # 4: too many
    b"|x|true|1",  # 5: no itemID
    b"D|x||1",  # 6: no TaskScript
    b"A|x|true|1",  # 7: itemID twice
    b"E|x|echo 'a|1",  # 8: single quote
    b'F|x|echo|a,"b',  # 9: double quote
    b"G|x|echo|a,,b",  # 10: nothing as argument
    b"H|\xff|true|",  # 11: not UTF-8
    b"I|x|echo|" + b"y" * 410_000,  # 12: too large
    b"J|x|true|",
]


def test_a_file_with_mistakes_imports_nothing(place: Place, five: Path, tmp_path: Path) -> None:
    header = b"itemID|TaskID|TaskScript|TaskArgs"
    file = written(tmp_path / "bad.txt", b"\r\n".join([header, *TEN_MISTAKES]))
    finished = place.import_items("-i", file)
    assert (finished.code, finished.stdout) == (1, "")
    lines = finished.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{file}:{n}" for n in range(3, 13)]
    assert all("expected" in line for line in lines)
    with place.opened() as table, pytest.raises(TableNotFound):
        table.check()

    place.import_items("-i", five)
    assert place.import_items("-i", file, "--replace").code == 1
    assert place.names(ItemState.TODO) == ["A", "B", "C", "D", "E"]
    assert [task.script for task in place.get("A").tasks] == ["seq 8"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", r"^\S*missing.txt can't be read: No such file or directory$"),
        (".", r"^\S* can't be read: Is a directory$"),
    ],
)
def test_a_file_that_cannot_be_read(
    local_place: Place, tmp_path: Path, name: str, message: str
) -> None:
    assert_refused(local_place.import_items("-i", tmp_path / name), message)
    assert not (tmp_path / "tables.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-i", "-", "-d", ""],
        ["-i", "-", "-n", ""],
        ["-i", "-", "-d", ","],
        ["-i", "-", "-d", r"\t", "-n", "\t"],
        ["-i", "-", "-d", "\n"],
        ["-i", "-", "-t", "ab"],
        ["-i", "-", "-t", "a b c"],
        ["-i", "-", "-t", "x" * 256],
        ["-i", "-", "-t", "Exämple"],
    ],
    ids=str,
)
def test_what_cannot_be_is_wrong_usage(local_place: Place, arguments: list[str]) -> None:
    assert_refused(local_place.import_items(*arguments, stdin=FIVE.encode()), ".", code=2)


@pytest.mark.parametrize(
    "arguments", [[], ["-i"], ["-i", "-", "--nope"], ["-i", "-", "more"]], ids=str
)
def test_wrong_flags_are_wrong_usage(local_place: Place, arguments: list[str]) -> None:
    finished = local_place.import_items(*arguments)
    assert (finished.code, finished.stdout) == (2, "")
    assert finished.stderr.startswith("usage: import-items.py")
    assert "import-items.py: error: " in finished.stderr


def test_a_missing_table_flag_is_wrong_usage(local_place: Place) -> None:
    command = local_place.import_command("-i", "-")
    without = [part for part in command if part not in ("-t", local_place.table)]
    finished = subprocess.run(without, capture_output=True, text=True)
    assert finished.returncode == 2
    assert "the following arguments are required: -t/--table" in finished.stderr


def test_no_credentials(dynamodb_place: Place, five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    finished = dynamodb_place.import_items("-i", five)
    assert_refused(finished, "credentials.*AWS_ACCESS_KEY_ID.*--local")


def test_no_region(dynamodb_place: Place, five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert_refused(dynamodb_place.import_items("-i", five), "no AWS region: give -r", code=2)
    assert dynamodb_place.import_items("-i", five, "-r", "eu-central-1").code == 0


def test_an_unknown_profile(dynamodb_place: Place, five: Path) -> None:
    finished = dynamodb_place.import_items("-i", five, "--profile", "nobody")
    assert_refused(finished, "profile.*nobody", code=2)


def test_an_endpoint_that_cannot_be_reached(five: Path, table_name: str) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}"
    finished = at(endpoint, table_name).import_items("-i", five, impatient=True)
    assert_refused(finished, f"^DynamoDB can't be reached at {endpoint}: .*us-east-1")


def test_an_endpoint_that_is_no_url(table_name: str, five: Path) -> None:
    place = Place(table=table_name, store=Store(), flags=("--endpoint-url", "nowhere"))
    assert_refused(place.import_items("-i", five), "nowhere", code=2)


def test_another_programs_dynamodb_table(dynamodb_place: Place, dynamodb: str, five: Path) -> None:
    with closing(boto3.client("dynamodb", endpoint_url=dynamodb)) as client:
        client.create_table(
            TableName=dynamodb_place.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        finished = dynamodb_place.import_items("-i", five)
        assert_refused(finished, "is not PyAnamo's: its key is id")
        assert client.scan(TableName=dynamodb_place.table)["Count"] == 0


def test_a_local_file_in_a_folder_that_is_not_there(tmp_path: Path, five: Path) -> None:
    file = tmp_path / "missing" / "tables.db"
    finished = local("Example", file).import_items("-i", five)
    assert_refused(finished, f"{file}: unable to open database file")


def test_a_local_file_that_is_a_folder(tmp_path: Path, five: Path) -> None:
    finished = local("Example", tmp_path).import_items("-i", five)
    assert_refused(finished, f"{tmp_path}: unable to open database file")


def test_a_local_file_that_cannot_grow(local_place: Place, tmp_path: Path) -> None:
    """As on a full disk: what was written before stays, and is told of."""
    bytes_allowed = 400_000
    process = subprocess.Popen(
        local_place.import_command("-i", large(tmp_path, 5000)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed)
        ),
    )
    finished = finish(process)
    assert (finished.code, finished.stdout) == (1, "")
    match = re.search(r"^imported (\d+), already there 0, then came", finished.stderr, re.M)
    assert match, finished
    assert "Traceback" not in finished.stderr
    assert len(local_place.names()) == int(match[1]) > 0


@pytest.mark.parametrize("content", [b"not a database, " * 100, b"x\n"], ids=["long", "short"])
def test_a_local_file_that_is_no_database(tmp_path: Path, five: Path, content: bytes) -> None:
    file = written(tmp_path / "notes.txt", content)
    assert_refused(local("Example", file).import_items("-i", five), f"{file}.*not a database")
    assert file.read_bytes() == content


def test_a_local_file_of_another_program(tmp_path: Path, five: Path) -> None:
    file = tmp_path / "bookmarks.db"
    database = sqlite3.connect(file)
    with database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    content = file.read_bytes()
    finished = local("Example", file).import_items("-i", five)
    assert_refused(finished, f"^{file} is a SQLite file of another program")
    assert file.read_bytes() == content


# --- Many items, many imports -------------------------------------------------------------------


def test_imports_of_the_same_file_at_once_share_it(place: Place, tmp_path: Path) -> None:
    """Each row counts as imported for one of them, and as already there for the others."""
    rows = 5000
    file = large(tmp_path, rows)
    place.create()  # so that none has a start
    processes = [place.start_import("-i", file) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [rows, 3 * rows]
    assert place.names() == names(rows)

    again = place.import_items("-i", file)
    assert (again.code, again.stdout) == (0, "imported 0, already there 5000\n")


def test_one_of_many_that_start_at_once_creates_the_table(place: Place, five: Path) -> None:
    processes = [place.start_import("-i", five) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert sum(end.stderr == f"created table {place.table}\n" for end in ends) == 1
    assert sum(end.stderr == "" for end in ends) == 3
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [5, 15]


# --- Being stopped ------------------------------------------------------------------------------

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_to_a_file(
    local_place: Place, tmp_path: Path, number: signal.Signals
) -> None:
    rows = 40_000  # enough for the lock to come in between
    file = large(tmp_path, rows)
    local_place.create()
    process = local_place.start_import("-i", file)
    wait_until(local_place.names)
    with locked_file(tmp_path / "tables.db"):  # it can't go on until the signal has come
        process.send_signal(number)
    stopped = finish(process)
    assert_stopped(local_place, stopped, number, file, rows)


@contextmanager
def locked_file(file: Path) -> Iterator[None]:
    """Nobody else writes to the file."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as database:
        while not database.in_transaction:  # SQLite itself would look too seldom
            with suppress(sqlite3.OperationalError):
                database.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_to_dynamodb(
    dynamodb: str, table_name: str, tmp_path: Path, number: signal.Signals
) -> None:
    rows = 1500

    def decide(operation: str, body: Any, count: int) -> Action:
        return Hang(0.5) if operation == "BatchExecuteStatement" and count > 8 else Fault.NONE

    file = large(tmp_path, rows)
    at(dynamodb, table_name).create()
    with FaultyProxy(dynamodb, decide) as proxy:
        process = at(proxy.url, table_name).start_import("-i", file)
        wait_until(lambda: proxy.count("BatchExecuteStatement") > 8)
        process.send_signal(number)
        stopped = finish(process)
    assert_stopped(at(dynamodb, table_name), stopped, number, file, rows)


def assert_stopped(
    place: Place, stopped: Finished, number: signal.Signals, file: Path, rows: int
) -> None:
    """It said what it wrote, and running it again does the rest."""
    assert stopped.code == CODES[number]
    assert stopped.stderr == f"stopped by {number.name}: run it again to import the rest\n"
    imported, already_there = told(stopped)
    assert (len(place.names()), already_there) == (imported, 0)
    assert 0 < imported < rows

    again = place.import_items("-i", file)
    assert again.last_line == f"imported {rows - imported}, already there {imported}"
    assert place.names() == names(rows)


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 30, 50, 80, 150])
def test_stopping_an_import_that_has_hardly_begun(local_place: Place, milliseconds: int) -> None:
    """Whether Python, the script or its wait for stdin is what the signal meets."""
    process = local_place.start_import("-i", "-")
    time.sleep(milliseconds / 1000)
    process.terminate()
    process.wait(SECONDS)  # stdin stays open: it is the signal that ends it
    assert finish(process) == Finished(code=143, stdout="", stderr="")


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_that_waits_for_its_file(
    local_place: Place, tmp_path: Path, number: signal.Signals
) -> None:
    """By then it is the script that ends itself, as it must where it is process 1."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = local_place.start_import("-i", fifo)
    with fifo.open("wb"):  # returns once the script has opened it to read
        process.send_signal(number)
        process.wait(SECONDS)
    assert process.returncode == CODES[number]
    assert finish(process).stderr == ""


# --- When DynamoDB has its troubles -------------------------------------------------------------

ROWS = 1000
BATCHES = ROWS // 25
FAULTLESS_REQUESTS = BATCHES + 3  # look for the table, create it, and see that it is there


def throttle_requests(share: float) -> Decide:
    """Refuse so many of all requests."""
    chance = random.Random(1)
    return lambda *_: Fault.THROTTLE if chance.random() < share else Fault.NONE


def refuse_statements(share: float, code: str, *, written: bool = False) -> Decide:
    """Answer so many of the statements of batches with an error."""
    chance = random.Random(2)

    def decide(operation: str, body: Any, count: int) -> Action:
        if operation != "BatchExecuteStatement":
            return Fault.NONE
        places = [n for n in range(len(body["Statements"])) if chance.random() < share]
        return StatementErrors(dict.fromkeys(places, code), written=written)

    return decide


def every_fourth_batch(fault: Fault) -> Decide:
    return lambda operation, body, count: (
        fault if operation == "BatchExecuteStatement" and count % 4 == 1 else Fault.NONE
    )


REQUEST_FAULTS = {
    "none": lambda: throttle_requests(0),
    "30 % throttled": lambda: throttle_requests(0.3),
    "requests lost": lambda: every_fourth_batch(Fault.DROP_BEFORE),
    "replies lost": lambda: every_fourth_batch(Fault.DROP_AFTER),
    "errors before": lambda: every_fourth_batch(Fault.ERROR_BEFORE),
    "errors after": lambda: every_fourth_batch(Fault.ERROR_AFTER),
}
STATEMENT_FAULTS = {
    "30 % throttled": lambda: refuse_statements(0.3, "ThrottlingError"),
    "errors after": lambda: refuse_statements(0.3, "InternalServerError", written=True),
}


@pytest.mark.parametrize("fault", REQUEST_FAULTS)
def test_requests_that_go_wrong(fault: str, dynamodb: str, table_name: str, tmp_path: Path) -> None:
    with FaultyProxy(dynamodb, REQUEST_FAULTS[fault]()) as proxy:
        place = at(proxy.url, table_name)
        finished = place.import_items("-i", large(tmp_path, ROWS), impatient=True)
    assert (finished.code, finished.last_line) == (0, f"imported {ROWS}, already there 0")
    assert at(dynamodb, table_name).names() == names(ROWS)
    assert FAULTLESS_REQUESTS <= len(proxy.operations) <= 2 * FAULTLESS_REQUESTS
    assert (len(proxy.operations) > FAULTLESS_REQUESTS) == (fault != "none")


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
def test_statements_that_go_wrong(
    fault: str, dynamodb: str, table_name: str, tmp_path: Path
) -> None:
    """An answer that is well as a whole has some that are not: only these are tried again."""
    decide = STATEMENT_FAULTS[fault]()
    statements = 0

    def counting(operation: str, body: Any, count: int) -> Action:
        nonlocal statements
        statements += len(body.get("Statements", ()))
        return decide(operation, body, count)

    with FaultyProxy(dynamodb, counting) as proxy:
        place = at(proxy.url, table_name)
        finished = place.import_items("-i", large(tmp_path, ROWS), impatient=True)
    assert (finished.code, finished.last_line) == (0, f"imported {ROWS}, already there 0")
    assert at(dynamodb, table_name).names() == names(ROWS)
    assert ROWS < statements <= 2 * ROWS
    assert len(proxy.operations) <= 2 * FAULTLESS_REQUESTS


def test_lost_replies_do_not_make_others_items_ours(
    dynamodb: str, table_name: str, tmp_path: Path
) -> None:
    at(dynamodb, table_name).import_items("-i", large(tmp_path, 500))
    with FaultyProxy(dynamodb, every_fourth_batch(Fault.DROP_AFTER)) as proxy:
        place = at(proxy.url, table_name)
        finished = place.import_items("-i", large(tmp_path, ROWS), impatient=True)
    assert (finished.code, finished.last_line) == (0, "imported 500, already there 500")
    assert at(dynamodb, table_name).names() == names(ROWS)


def test_statements_that_are_refused_for_good(dynamodb: str, table_name: str, five: Path) -> None:
    with FaultyProxy(dynamodb, refuse_statements(1, "ThrottlingError")) as proxy:
        finished = at(proxy.url, table_name).import_items("-i", five, impatient=True)
    assert (finished.code, finished.stdout) == (1, "")
    assert re.search(r"5 items, 'A' among them, were refused \d+ times in a row", finished.stderr)
    assert "Traceback" not in finished.stderr
    assert at(dynamodb, table_name).names() == []


def test_dynamodb_goes_away(dynamodb: str, table_name: str, tmp_path: Path) -> None:
    """It says what it is sure of having written; running it again completes."""
    file = large(tmp_path, ROWS)

    def decide(operation: str, body: Any, count: int) -> Action:
        return Fault.DROP_BEFORE if count > 12 else Fault.NONE

    with FaultyProxy(dynamodb, decide) as proxy:
        finished = at(proxy.url, table_name).import_items("-i", file, impatient=True)
    assert (finished.code, finished.stdout) == (1, "")
    assert "Traceback" not in finished.stderr
    error, count = finished.stderr.splitlines()[-2:]
    assert "DynamoDB" in error
    match = re.fullmatch(r"imported (\d+), already there 0, then came that error", count)
    assert match, finished
    place = at(dynamodb, table_name)
    there = len(place.names())
    assert 0 < int(match[1]) <= there < ROWS
    assert told(place.import_items("-i", file)) == (ROWS - there, there)


def test_a_replacement_that_is_tried_again_spares_what_was_done_meanwhile(
    dynamodb: str, table_name: str, tmp_path: Path
) -> None:
    """The reply to the first try is lost; before the second, a pilot has done the item."""
    place = at(dynamodb, table_name)

    def decide(operation: str, body: Any, count: int) -> Action:
        if operation != "PutItem":
            return Fault.NONE
        if count == 1:
            return Fault.DROP_AFTER
        with place.opened() as table:
            finish_one(table)
        return Fault.NONE

    one = written(tmp_path / "one.txt", f"{HEADER}\nA|x|true\n")
    with FaultyProxy(dynamodb, decide) as proxy:
        finished = at(proxy.url, table_name).import_items("-i", one, "--replace")
    assert finished.code == 0
    assert proxy.count("PutItem") == 2
    assert place.names(ItemState.DONE) == ["A"]

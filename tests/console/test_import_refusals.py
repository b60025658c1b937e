"""What import-items.py refuses, and how it says it."""

import re
import resource
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from pyanamo import importer
from pyanamo.errors import TableNotFound
from pyanamo.model import ItemState
from pyanamo.tables import Store
from tests.support.importing import FIVE, assert_refused, closed_port, large, written
from tests.support.operator import Operator
from tests.support.programs import finish, run_main

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


def test_a_file_with_mistakes_imports_nothing(either: Operator, five: Path, tmp_path: Path) -> None:
    header = b"itemID|TaskID|TaskScript|TaskArgs"
    file = written(tmp_path / "bad.txt", b"\r\n".join([header, *TEN_MISTAKES]))
    finished = either.imports("-i", file)
    assert (finished.code, finished.stdout) == (1, "")
    lines = finished.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{file}:{n}" for n in range(3, 13)]
    assert all("expected" in line for line in lines)
    with either.opened() as table, pytest.raises(TableNotFound):
        table.check()

    either.imports("-i", five)
    assert either.imports("-i", file, "--replace").code == 1
    assert either.names(ItemState.TODO) == ["A", "B", "C", "D", "E"]
    assert [task.script for task in either.item("A").tasks] == ["seq 8"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", r"^\S*missing.txt can't be read: No such file or directory$"),
        (".", r"^\S* can't be read: Is a directory$"),
    ],
)
def test_a_file_that_cannot_be_read(
    embedded: Operator, tmp_path: Path, name: str, message: str
) -> None:
    assert_refused(embedded.imports("-i", tmp_path / name), message)
    assert not (tmp_path / "table.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-i", ""],
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
def test_what_cannot_be_is_wrong_usage(embedded: Operator, arguments: list[str]) -> None:
    assert_refused(embedded.imports(*arguments, stdin=FIVE.encode()), ".", code=2)


@pytest.mark.parametrize(
    "arguments",
    [[], ["-i"], ["-i", "-", "--nope"], ["-i", "-", "more"], ["-i", "-", "-i", "other"]],
    ids=str,
)
def test_wrong_flags_are_wrong_usage(embedded: Operator, arguments: list[str]) -> None:
    finished = embedded.imports(*arguments)
    assert (finished.code, finished.stdout) == (2, "")
    assert finished.stderr.endswith(" (see import-items.py --help)\n")
    assert finished.stderr.count("\n") == 1


def test_a_closed_stdin(embedded: Operator) -> None:
    command = ["bash", "-c", 'exec "$0" "$@" <&-', *embedded.import_command("-i", "-")]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert_refused(finish(started), "^stdin is closed: name a file instead of -$")


def test_a_missing_table_flag_is_wrong_usage(embedded: Operator) -> None:
    finished = run_main(importer.main, ["-i", "-"], environment=embedded.environment)
    assert_refused(finished, "^which table\\? Give -t, or set PYANAMO_TABLE$", code=2)


def test_no_credentials(hosted: Operator, five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    finished = hosted.imports("-i", five)
    assert_refused(finished, "credentials.*AWS_ACCESS_KEY_ID.*--local")


def test_no_region(hosted: Operator, five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert_refused(hosted.imports("-i", five), "no AWS region: give -r", code=2)
    assert hosted.imports("-i", five, "-r", "eu-central-1").code == 0


def test_an_unknown_profile(hosted: Operator, five: Path) -> None:
    finished = hosted.imports("-i", five, "--profile", "nobody")
    assert_refused(finished, "profile.*nobody", code=2)


def test_an_endpoint_that_cannot_be_reached(tmp_path: Path, five: Path) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}"
    finished = Operator.at(endpoint, tmp_path, "Example").imports("-i", five, hasty=True)
    assert_refused(finished, f"^DynamoDB can't be reached at {endpoint}: .*us-east-1")


def test_an_endpoint_that_is_no_url(hosted: Operator, five: Path) -> None:
    finished = hosted.imports("-i", five, "--endpoint-url", "nowhere")
    assert_refused(finished, "nowhere", code=2)


def test_another_programs_dynamodb_table(hosted: Operator, dynamodb: str, five: Path) -> None:
    with closing(boto3.client("dynamodb", endpoint_url=dynamodb)) as client:
        client.create_table(
            TableName=hosted.table_name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        finished = hosted.imports("-i", five)
        assert_refused(finished, "is not a PyAnamo table: its key is id")
        assert client.scan(TableName=hosted.table_name)["Count"] == 0


def in_file(file: Path) -> Operator:
    """An operator whose table is in that file, whatever it is."""
    return Operator(file.parent, Store(local=file), "Example")


def test_a_local_file_in_a_folder_that_is_not_there(tmp_path: Path, five: Path) -> None:
    file = tmp_path / "missing" / "tables.db"
    finished = in_file(file).imports("-i", five)
    assert_refused(finished, f"{file} can't be made: {file.parent} isn't a folder")


def test_a_local_file_that_is_a_folder(tmp_path: Path, five: Path) -> None:
    finished = in_file(tmp_path).imports("-i", five)
    assert_refused(finished, f"{tmp_path} is not a file: name another one")


def test_a_local_file_that_cannot_grow(embedded: Operator, tmp_path: Path) -> None:
    """As on a full disk: what was written before stays, and is told of."""
    bytes_allowed = 400_000
    process = subprocess.Popen(
        embedded.import_command("-i", large(tmp_path, 5000)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed)
        ),
    )
    finished = finish(process)
    assert (finished.code, finished.stdout) == (1, "")
    match = re.search(r"^imported (\d+), already there 0 before the error$", finished.stderr, re.M)
    assert match, finished
    assert "Traceback" not in finished.stderr
    assert len(embedded.names()) == int(match[1]) > 0


@pytest.mark.parametrize("content", [b"not a database, " * 100, b"x\n"], ids=["long", "short"])
def test_a_local_file_that_is_no_database(tmp_path: Path, five: Path, content: bytes) -> None:
    file = written(tmp_path / "notes.txt", content)
    assert_refused(in_file(file).imports("-i", five), f"{file}.*not a database")
    assert file.read_bytes() == content


def test_a_local_file_of_another_program(tmp_path: Path, five: Path) -> None:
    file = tmp_path / "bookmarks.db"
    database = sqlite3.connect(file)
    with database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    content = file.read_bytes()
    finished = in_file(file).imports("-i", five)
    assert_refused(finished, f"^{file} is a SQLite file of another program")
    assert file.read_bytes() == content

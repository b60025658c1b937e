"""The commands for whole tables: tables, create, drop, capacity, export."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyanamo import importer
from pyanamo.console import command_line
from pyanamo.console.screen import print_json_list
from pyanamo.errors import StoreUnavailable, TableNotFound
from pyanamo.tables.attributes import attribute_names
from pyanamo.tables.reading import read_item
from pyanamo.taskfile import parse_task_file
from pyanamo.workflow import Workflow
from tests.support.backends import shared_client
from tests.support.makers import add, nested, single
from tests.support.operator import NO_TABLES, Operator
from tests.support.programs import run_main

# --- Tables -------------------------------------------------------------------------------------


def test_create_and_drop(either: Operator) -> None:
    assert either.sees("create") == f"created {either.table_name}\n"
    assert either.sees("create") == f"{either.table_name} exists already\n"
    assert either.json("create") == {"created": []}
    refused = either.types("drop")
    assert (refused.code, refused.stdout) == (2, "")
    assert either.rows("status")[0][0] == either.table_name
    assert either.json("drop", "--yes") == {"dropped": [either.table_name]}
    assert either.types("drop", "--yes").code == 1
    assert either.sees("create") == f"created {either.table_name}\n"


def test_the_tables_that_are_there(shelf: Operator) -> None:
    shelf.sees("create", tables=("Call",))
    listed = shelf.sees("tables", tables=NO_TABLES)
    assert listed.splitlines() == [
        "Table\ttodo\tlocked\tdone\tfailed\theld\tItems",
        "Align\t1\t2\t1\t4\t1\t9",
        "Call\t0\t0\t0\t0\t0\t0",
    ]
    (align, call) = shelf.json("tables", tables=NO_TABLES)["tables"]
    counts = {"todo": 1, "locked": 2, "done": 1, "failed": 4, "held": 1}
    assert align == {"table": "Align", "items": counts, "total": 9}
    assert (call["table"], call["total"]) == ("Call", 0)


def test_tables_of_a_region(hosted: Operator, dynamodb: str) -> None:
    """Those of other programs aren't listed."""
    hosted.sees("create")
    other = f"{hosted.table_name[:240]}-other"
    shared_client(dynamodb).create_table(
        TableName=other,
        AttributeDefinitions=[{"AttributeName": "itemID", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "itemID", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    names = Workflow.tables(endpoint_url=dynamodb)
    assert hosted.table_name in names
    assert other not in names
    assert names == sorted(names)
    steps = Workflow(f"{other}s", endpoint_url=dynamodb)
    with steps, pytest.raises(TableNotFound) as error:
        steps.status()
    assert not str(error.value).endswith(f"did you mean {other!r}?")


def test_a_file_without_tables(embedded: Operator) -> None:
    missing = embedded.types("tables", tables=NO_TABLES)
    assert (missing.code, missing.stdout) == (1, "")
    assert missing.stderr == f"{embedded.store.local} is not there: import items first\n"
    embedded.sees("create")
    embedded.sees("drop", "--yes")
    none = f"no table in {embedded.store.local} is PyAnamo's: import items first\n"
    assert embedded.sees("tables", tables=NO_TABLES, told=re.escape(none)).count("\n") == 1


def test_the_table_from_the_environment(shelf: Operator, tmp_path: Path) -> None:
    shelf.environment["PYANAMO_TABLE"] = "Align"
    assert shelf.rows("status", tables=NO_TABLES)[0][0] == "Align"
    assert shelf.rows("items", "fine", "--columns", "itemID", tables=NO_TABLES) == [["fine"]]
    assert shelf.types("status", tables=("Call",)).code == 1  # what is given comes first
    file = tmp_path / "one.txt"
    file.write_text("itemID|TaskID|TaskScript\nnew|S1|true\n")
    flags = ["-i", str(file)]
    imported = run_main(importer.main, flags, environment=shelf.environment)
    assert imported.stdout == "imported 1, already there 0\n"
    assert "new" in shelf.states()


@pytest.mark.parametrize("name", [None, ""])
def test_no_table(shelf: Operator, name: str | None) -> None:
    if name is not None:
        shelf.environment["PYANAMO_TABLE"] = name
    refused = shelf.types("status", tables=NO_TABLES)
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == "which table? Give -t, or set PYANAMO_TABLE\n"


def test_a_mistyped_table(stocked: Operator) -> None:
    mistyped = stocked.table_name.replace("i", "ii", 1)
    for command in (["status"], ["hold", "fine"], ["failures"]):
        refused = stocked.types(*command, tables=(mistyped,))
        assert (refused.code, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"there is no table {mistyped!r} in ")
        assert refused.stderr.endswith(f"; did you mean {stocked.table_name!r}?\n")


def test_a_mistyped_command() -> None:
    for typed, told in (("statsu", "; did you mean 'status'?"), ("what", ": use status, samples")):
        refused = run_main(command_line.main, [typed], environment={})
        assert (refused.code, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"{typed!r} is not a command{told}")
        assert refused.stderr.count("\n") == 1


def test_no_job_holds_items_of_an_embedded_table(shelf: Operator) -> None:
    told = "these tables are in a file on this machine: no AWS Batch job holds items of them\n"
    assert shelf.sees("jobs", told=told) == "Job\tStatus\tItems\tReason\n"


# --- Errors with --json -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["items", "nobody"], 4, "item 'nobody' is not in Align"),
        (["items", "--name", "nobody*"], 4, "no item matches --name 'nobody*'"),
        (["show", "nobody"], 4, "item 'nobody' is not in Align"),
        (["status", "--watch", "0"], 2, "--watch 0: give a longer time"),
        (["restart"], 2, "which items? Give names, or --state, --task-id, --name '*' ..."),
        (["items", "--state"], 2, "argument --state: expected one argument"),
        (["status", "--local", "/nonexistent/x"], 1, "there is no table 'Align' in /nonexistent"),
    ],
    ids=str,
)
def test_an_error_is_an_answer_too(
    shelf: Operator, words: list[str], code: int, message: str
) -> None:
    ended = shelf.types(*words, "--json")
    answer = json.loads(ended.stdout)
    assert ended.code == code
    assert set(answer) == {"version", "error"}
    assert answer["version"] == 1
    assert answer["error"].startswith(message)
    assert ended.stderr == f"{answer['error']}\n"


def test_an_error_ends_a_list_that_has_begun(shelf: Operator) -> None:
    """What is printed is one JSON document all the same."""

    def breaks() -> Iterator[object]:
        yield {"item_id": "fine"}
        raise StoreUnavailable("the network is gone")

    def main(_: Sequence[str]) -> int:
        print_json_list("items", "items", breaks())
        return 0

    ended = run_main(main, [], environment={})
    assert ended.code == 1
    assert json.loads(ended.stdout) == {
        "version": 1,
        "command": "items",
        "items": [{"item_id": "fine"}],
        "error": "the network is gone",
    }


def test_capacity(hosted: Operator) -> None:
    hosted.sees("create", "--read", "5", "--write", "7")
    assert hosted.rows("capacity") == [
        [hosted.table_name, "provisioned", part, "5", "7", "", ""] for part in ("table", "index")
    ]
    found = hosted.json("capacity", "--on-demand")["tables"][hosted.table_name]
    assert found["billing"] == "on-demand"
    assert hosted.types("capacity", "--read", "5").code == 2
    assert hosted.types("capacity", "--autoscale", "5", "x", "70").code == 2
    assert hosted.types("capacity", "--on-demand", "--autoscale", "5", "50", "70").code == 2


def test_autoscaling(hosted: Operator, moto: str) -> None:
    hosted.environment["AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"] = moto
    hosted.sees("create")
    scaled = ["5 to 50 at 70%"] * 2
    assert hosted.rows("capacity", "--autoscale", "5", "50", "70") == [
        [hosted.table_name, "provisioned", part, "5", "5", *scaled] for part in ("table", "index")
    ]


def test_an_embedded_table_has_no_capacity(embedded: Operator) -> None:
    for command in (["capacity"], ["create", "--read", "5", "--write", "5"]):
        assert embedded.types(*command).code == 2


# --- Export -------------------------------------------------------------------------------------


def test_export(stocked: Operator) -> None:
    exported = [json.loads(line) for line in stocked.sees("export").splitlines()]
    items = {item.item_id: item for item in map(read_item, exported)}
    assert items == {name: stocked.item(name) for name in stocked.states()}
    lean = [json.loads(line) for line in stocked.sees("export", "--no-logs").splitlines()]
    assert len(lean) == len(exported)
    assert all("Log" not in item and "History" not in item for item in lean)


def test_logs_and_export_as_json(stocked: Operator) -> None:
    (name,) = (row[0] for row in stocked.rows("items", "--columns", "itemID", "parts"))
    task = stocked.item(name).results
    first = next(iter(task))
    answer = stocked.json("logs", name, first)
    assert answer == {
        "item_id": name,
        "stream": "stdout",
        "text": task[first].stdout,
        "size": task[first].stdout_bytes,
    }
    exported = stocked.json("export", "--no-logs")["items"]
    assert {item["itemID"] for item in exported} == set(stocked.states())
    assert not any("Log" in item for item in exported)


def test_export_as_a_task_file(shelf: Operator, tmp_path: Path) -> None:
    """What an import makes of it is the same items, to be done from the beginning."""
    text = shelf.sees("export", "--task-file")
    items = {item.item_id: item for item in parse_task_file(text.encode(), "export")}
    exported = [read_item(json.loads(line)) for line in shelf.sees("export").splitlines()]
    assert {item.item_id for item in exported} == set(items)
    for item in exported:
        again = items[item.item_id]
        assert [task.script for task in again.tasks] == [task.script for task in item.tasks]
        assert (again.task_id, again.nested) == (item.task_id, item.nested)


def test_an_export_names_the_items_that_no_line_can_hold(embedded: Operator) -> None:
    with embedded.opened() as table:
        table.create()
        add(table, single("fine", "seq 8"), single("pipe", "echo |"), nested("list", ["echo a,"]))
    ended = embedded.types("export", "--task-file", "-d", "||", "-n", ",,")
    assert ended.code == 1
    assert ended.stdout.splitlines() == [
        "itemID||TaskID||TaskScript||TaskArgs",
        "fine||group||seq 8||",
        "list||group||echo||a,",
    ]
    first, last = ended.stderr.splitlines()
    assert first.startswith("item 'pipe' is left out: with -d '||'")
    assert last == r"1 item left out: try -d '\t' -n ,"


def test_an_export_names_20_items_that_no_line_can_hold(embedded: Operator) -> None:
    embedded.fill({f"pipe-{number}": "echo '|'" for number in range(25)})
    ended = embedded.types("export", "--task-file")
    *named, last = ended.stderr.splitlines()
    assert (ended.code, len(named), last) == (1, 20, r"25 items left out: try -d '\t' -n ,")
    again = embedded.types("export", "--task-file", "-d", r"\t")
    assert (again.code, again.stderr, again.stdout.count("\n")) == (0, "", 26)


@pytest.mark.parametrize("flags", [["-d", ","], ["-d", "T"], ["-d", "\n"], ["-n", ""]], ids=str)
def test_an_export_refuses_what_no_import_could_read(shelf: Operator, flags: list[str]) -> None:
    ended = shelf.types("export", "--task-file", *flags)
    assert (ended.code, ended.stdout) == (2, "")


def test_export_as_csv(shelf: Operator) -> None:
    header, *rows = csv.reader(io.StringIO(shelf.sees("export", "--csv")))
    by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    exported = {item["itemID"]: item for item in shelf.json("export")["items"]}
    assert header == attribute_names()
    assert set(header) >= set().union(*exported.values())
    for name, cells in by_name.items():
        for attribute, cell in cells.items():
            value = exported[name].get(attribute, "")
            assert cell == value or json.loads(cell) == value
    lean = shelf.sees("export", "--csv", "--no-logs", "bad1").splitlines()
    assert lean[0].split(",") == [name for name in header if name not in ("Log", "History")]
    assert lean[1].startswith("bad1,S1,align bad1,,failed,")

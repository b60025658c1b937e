"""The commands for whole tables: create, drop, capacity, export."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pyanamo.tables.reading import read_item
from pyanamo.taskfile import parse_task_file
from tests.support.makers import add, nested, single
from tests.support.operator import Operator

# --- Tables -------------------------------------------------------------------------------------


def test_create_and_drop(either: Operator) -> None:
    assert either.sees("create") == f"created {either.table_name}\n"
    assert either.sees("create") == f"{either.table_name} is there already\n"
    assert either.json("create") == {"created": []}
    refused = either.types("drop")
    assert (refused.code, refused.stdout) == (2, "")
    assert either.rows("status")[0][0] == either.table_name
    assert either.json("drop", "--yes") == {"dropped": [either.table_name]}
    assert either.types("drop", "--yes").code == 1
    assert either.sees("create") == f"created {either.table_name}\n"


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
    assert ended.stderr.startswith("item 'pipe' can't be a line of a task file: with -d '||'")


@pytest.mark.parametrize("flags", [["-d", ","], ["-d", "T"], ["-d", "\n"], ["-n", ""]], ids=str)
def test_an_export_refuses_what_no_import_could_read(shelf: Operator, flags: list[str]) -> None:
    ended = shelf.types("export", "--task-file", *flags)
    assert (ended.code, ended.stdout) == (2, "")


def test_export_as_csv(shelf: Operator) -> None:
    header, *rows = csv.reader(io.StringIO(shelf.sees("export", "--csv")))
    assert header == ["itemID", "TaskID", "TaskScript", "ItemState"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["bad1"] == ["S1", "align bad1", "failed"]
    assert json.loads(by_name["parts"][1])["Task_1"] == {"Script": "seq 1", "Status": "failed"}

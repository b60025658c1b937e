"""Commands on tables in which somebody else has written rows that aren't items."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pyanamo.model import ItemState
from tests.support.backends import shared_client
from tests.support.damage import Damage, inflict, insert_raw
from tests.support.damaged_rows import damage, states, typed_damage
from tests.support.fuzz import examples
from tests.support.importing import written
from tests.support.makers import claimed, done, ended, failed, nested, single
from tests.support.operator import Operator
from tests.support.programs import Finished

ATTEMPTS = Damage("Attempts", {"S": "none"}, "none")
LOG = Damage("Log", {"S": "none"}, "none")
IN_THE_INDEX = Damage("TaskID", {"N": "7"}, b"7")

TOLD = r"table '[^']+': item .+ is damaged: .+; repair the row, or delete the item"
LOCKED = (
    r"(\d+ items are locked, the first|item '.+' is locked by .+, its) lease ends in \d+ (s|min); "
    "a pilot renews its leases while it works"
)


def stock(operator: Operator, damage: Damage) -> None:
    """A failed item that is damaged, and good ones."""
    operator.table.create()
    ended(operator.table, single("bad"), failed())
    ended(operator.table, single("fails"), failed())
    claimed(operator.table, single("busy"))
    ended(operator.table, nested("fine", 1), done())
    operator.table.add([single("waits")])
    inflict(operator.store, operator.table_name, "bad", damage)


def assert_told(finished: Finished, attribute: str, count: int = 1) -> None:
    """The damaged item is named, in a line of its own, and the exit code says that it was."""
    lines = [line for line in finished.stderr.splitlines() if not re.fullmatch(LOCKED, line)]
    assert [re.fullmatch(TOLD, line) is not None for line in lines] == [True] * count
    assert f"item 'bad' is damaged: {attribute} is " in lines[0]
    assert finished.code == 1


def test_commands_that_read_items_show_the_others(either: Operator) -> None:
    stock(either, ATTEMPTS)
    for words in (
        ("export",),
        ("export", "--json"),
        ("export", "--csv"),
        ("export", "--task-file"),
    ):
        shown = either.types(*words)
        assert_told(shown, "Attempts")
        assert "waits" in shown.stdout
        assert "fine" in shown.stdout
    shown = either.types("failures", "--json")
    assert_told(shown, "Attempts")
    assert [group["count"] for group in json.loads(shown.stdout)["groups"]] == [1]


def test_commands_that_read_the_index_do_not_mind_the_rest_of_the_item(either: Operator) -> None:
    stock(either, ATTEMPTS)
    assert either.json("status")["tables"][0]["items"]["failed"] == 2
    assert len(either.rows("items", "--state", "failed")) == 2
    assert len(either.rows("samples")) == 1


def test_commands_that_read_the_index_show_the_others(either: Operator) -> None:
    stock(either, IN_THE_INDEX)
    status = either.types("status", "--json")
    assert_told(status, "TaskID")
    assert json.loads(status.stdout)["tables"][0]["items"]["failed"] == 1
    for words in (("samples",), ("items",), ("items", "--state", "failed")):
        assert_told(either.types(*words), "TaskID")
    assert "fails" in either.types("items", "--state", "failed").stdout


def test_a_damaged_item_is_shown_as_it_is(either: Operator) -> None:
    stock(either, ATTEMPTS)
    shown = either.types("show", "bad")
    assert_told(shown, "Attempts")
    assert "Attempts\tnone\n" in shown.stdout
    assert "ItemState\tfailed\n" in shown.stdout
    shown = either.types("show", "bad", "--json")
    assert_told(shown, "Attempts")
    assert json.loads(shown.stdout)["row"]["Attempts"] == "none"
    assert_told(either.types("items", "bad"), "Attempts")


def test_logs_need_only_the_log(either: Operator) -> None:
    stock(either, ATTEMPTS)
    assert either.sees("logs", "bad") == ""
    inflict(either.store, either.table_name, "bad", LOG)
    assert_told(either.types("logs", "bad"), "Log")


@pytest.mark.parametrize("by", [("bad", "fails"), ("--state", "failed")], ids=["name", "state"])
def test_changes_leave_a_damaged_item_as_it_is(either: Operator, by: tuple[str, ...]) -> None:
    stock(either, LOG)
    hold = either.types("hold", *by)
    assert_told(hold, "Log")
    assert hold.stdout == "held 1, damaged 1\n"
    restart = either.types("restart", "bad", "fails")
    assert_told(restart, "Log")
    assert restart.stdout == "restarted 1, damaged 1\n"
    for words in (("unhold", "bad"), ("restart", "bad", "--task", "Task_0")):
        assert_told(either.types(*words), "Log")
    release = either.types("release", "bad")
    assert_told(release, "Log")


def test_a_damaged_item_is_deleted_by_name(either: Operator) -> None:
    stock(either, ATTEMPTS)
    by_state = either.types("delete", "--state", "failed", "--yes")
    assert_told(by_state, "Attempts")
    assert by_state.stdout == "deleted 1, damaged 1\n"
    assert either.sees("delete", "bad", "--yes") == "deleted 1\n"
    assert set(either.states()) == {"busy", "fine", "waits"}


def test_a_damaged_item_is_not_deleted_from_under_its_pilot(either: Operator) -> None:
    stock(either, ATTEMPTS)
    inflict(either.store, either.table_name, "busy", ATTEMPTS)
    ended = either.types("delete", "busy", "--yes")
    assert (ended.code, ended.stdout) == (1, "deleted 0, in use by others 1\n")


def test_a_damaged_item_is_replaced(either: Operator, tmp_path: Path) -> None:
    stock(either, ATTEMPTS)
    file = written(tmp_path / "bad.txt", "itemID|TaskID|TaskScript\nbad|S1|true\n")
    assert either.imports("-i", file).last_line == "imported 0, already there 1"
    assert either.imports("-i", file, "--replace").last_line == "imported 0, replaced 1"
    assert either.item("bad").state is ItemState.TODO


def test_many_damaged_items_are_not_all_named(embedded: Operator) -> None:
    embedded.table.create()
    for number in range(30):
        embedded.table.add([single(f"bad{number:02}")])
        inflict(embedded.store, embedded.table_name, f"bad{number:02}", ATTEMPTS)
    lines = embedded.types("export").stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "more items are damaged: these are not named"


# --- Rows of any shape --------------------------------------------------------------------------

COMMANDS = (
    *(("status",), ("samples",), ("items",), ("items", "bad"), ("show", "bad"), ("logs", "bad")),
    *(("failures",), ("jobs",), ("export",), ("export", "--csv"), ("export", "--task-file")),
    *(("items", "--older-than", "1s"), ("restart", "bad", "--dry-run"), ("status", "--json")),
    *(("hold", "bad"), ("unhold", "bad"), ("release", "bad"), ("restart", "bad"), ("release",)),
)
EXPECTED = re.compile(
    rf"{TOLD}|{LOCKED}|\d+ items? left out: .+|no item matches .+|"
    r"(Task_\d+ of )?item 'bad\d*' (has|is left).+|"
    r"item 'bad\d*'[:,]? .+|only the .+|the last .+|.*TaskScript.*|"
    r"only [a-z ]+ items can be [a-z ]+|Items that are already todo are left alone.+|"
    "(these tables are in a file on this machine: )?no AWS Batch job holds (an item|items of them)"
)


@given(state=states, row=damage, is_nested=st.booleans())
@settings(
    max_examples=examples(10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rows_of_any_shape(
    tmp_path: Path, state: str, row: dict[str, Any], is_nested: bool
) -> None:
    """Each command does its job on the others, and says nothing but what is wrong with this one."""
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    operator = Operator.in_file(folder, "Align")
    operator.table.create()
    ended(operator.table, single("fine"), done())
    script = {"Task_0": "true"} if is_nested else "true"
    nested_tasks = {"Nested_Tasks": 1, "Nested_Done": 0} if is_nested else {}
    whole = {"itemID": "bad", "TaskID": "S1", "TaskScript": script, "ItemState": state, "Slot": "0"}
    insert_raw(operator.store, "Align", {**whole, **nested_tasks, "Lock_Date": "", **row})
    assert_served(operator)


@given(rows=st.lists(st.tuples(states, typed_damage), min_size=8, max_size=12))
@settings(
    max_examples=2,
    phases=[Phase.reuse, Phase.generate],  # each example is a table with many requests
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rows_of_any_shape_in_dynamodb(
    tmp_path: Path, dynamodb: str, rows: list[tuple[str, dict[str, Any]]]
) -> None:
    operator = Operator.at(dynamodb, tmp_path, f"any-shape-{uuid.uuid4().hex}")
    operator.table.create()
    ended(operator.table, single("fine"), done())
    client = shared_client(dynamodb)
    for number, (state, row) in enumerate(rows):
        texts = {"itemID": f"bad{number or ''}", "TaskID": "S1", "TaskScript": "true"}
        texts |= {"ItemState": state, "Slot": f"{number:08x}"}
        whole = {name: {"S": value} for name, value in texts.items()}
        client.put_item(TableName=operator.table_name, Item={**whole, **row})
    assert_served(operator, len(rows))
    client.delete_table(TableName=operator.table_name)


def assert_served(operator: Operator, others: int = 1) -> None:
    """All commands and claims do their job, beside the item `fine`, and the other is deleted."""
    for words in COMMANDS:
        finished = operator.types(*words)
        assert finished.code in (0, 1, 4), (words, finished)
        for line in finished.stderr.splitlines():
            assert EXPECTED.fullmatch(line), (words, line)
        if words in (("items",), ("export",)):
            assert "fine" in finished.stdout
        if finished.code == 0 and words[-1] == "--json":
            json.loads(finished.stdout)
    with operator.opened() as table:
        table.on_damaged = lambda _: None
        for _ in range(others + 2):
            claim = table.claim("pilot", lease=60, max_attempts=3)
        assert claim is None, "an item is claimed again and again"
    deleted = operator.types("delete", "bad", "--yes")
    assert deleted.code == ("in use by others" in deleted.stdout), deleted  # as it is locked
    operator.table.close()

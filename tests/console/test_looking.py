"""The commands that look at tables: status, samples, items, show, failures."""

from __future__ import annotations

import csv
import json
import re
from contextlib import closing
from dataclasses import replace

from pyanamo.console.items import ITEM_COLUMNS
from pyanamo.console.selecting import add_selection_flags, selection_of
from pyanamo.model import ItemState, ItemSummary
from pyanamo.parser import Parser
from pyanamo.workflow.selection import Selection
from tests.support.makers import badly, done, ended, failed, nested, single, well
from tests.support.operator import Operator, add_failed


def test_status(stocked: Operator) -> None:
    (row,) = stocked.rows("status")
    assert row[:8] == [stocked.table_name, "1", "2", "1", "4", "1", "11", "3"]
    (status,) = stocked.json("status")["tables"]
    assert status["items"] == {"todo": 1, "locked": 2, "done": 1, "failed": 4, "held": 1}
    assert (status["tasks"], status["tasks_done"], status["tasks_left"]) == (11, 3, 3)
    assert status["per_hour"] > 0
    assert status["remaining"]["low"] <= status["remaining"]["high"]


def test_samples(stocked: Operator) -> None:
    steps = (stocked.table_name, f"{stocked.table_name}-2")
    with closing(stocked.store.open(steps[1])) as merge:
        merge.create()
        ended(merge, single("merged", task_id="S3"), done())
    assert stocked.rows("samples", tables=steps) == [
        ["S1", "3/5 failed", ""],
        ["S2", "0/3 failed", ""],
        ["S3", "failed", "done"],
        ["S10", "0/2 todo", ""],
    ]
    where = f"{steps[1]}=done"
    found = stocked.json("samples", "--where", where, tables=steps)
    assert found["steps"] == list(steps)
    (sample,) = found["samples"]
    assert sample["task_id"] == "S3"
    assert sample["cells"][steps[0]] == {
        **{"items": 1, "tasks": 1, "tasks_done": 0, "nested": False},
        **{"state": "failed", "goes_on": False},
    }


def test_samples_in_other_forms(shelf: Operator) -> None:
    assert shelf.sees("samples", "--csv", "--where", "Align=todo") == "TaskID,Align\nS10,0/2 todo\n"
    assert shelf.json("samples", "--summary")["summary"] == {
        **{"samples": 4, "finished": 0, "not_begun": 1},
        **{"in_step": {"Align": 1}, "stuck": {"Align": 2}},
    }


FILTERS: list[tuple[list[str], str]] = [
    (["--state", "failed"], "bad1 bad2 bad3 parts"),
    (["--state", "done", "--state", "held"], "aside fine"),
    (["--task-id", "S1"], "bad1 fine parts"),
    (["--name", "bad[12]"], "bad1 bad2"),
    (["--exit-code", "4"], "bad3"),
    (["--instance", "pilot-[34]"], "busy lost"),
    (["--newer-than", "1h", "--state", "done"], "fine"),
    (["--reason", "code 4"], "bad3"),
    (["--state", "failed", "--task-id", "S2"], "bad2"),
    (["--task-id", "S3", "--task-id", "S10"], "aside bad3 waits"),
    (["--name", "bad1", "--name", "w*"], "bad1 waits"),
    (["--exit-code", "4", "--exit-code", "0"], "bad3 fine"),
    (["--instance", "pilot-3", "--instance", "*-4"], "busy lost"),
    (["--reason", "*code [3]*"], "bad1 bad2 parts"),
    (["--reason", "code 4", "--reason", "no such", "--name", "bad*"], "bad3"),
    (["waits", "--item", "bad1"], "bad1 waits"),
    (["fine", "bad3", "--reason", "code"], "bad3"),
    (["waits", "bad1"], "bad1 waits"),
    (["waits", "bad1", "--state", "todo"], "waits"),
]


def test_items_by_every_filter(stocked: Operator) -> None:
    for flags, expected in FILTERS:
        parser = Parser()
        add_selection_flags(parser)
        selection = selection_of(parser.parse_args(flags))
        with stocked.workflow() as workflow:
            names = [row.item_id for row in workflow.items(selection)]
        assert sorted(names) == expected.split(), flags


def test_items_by_their_age() -> None:
    old = Selection(older_than=60)
    row = ItemSummary(
        item_id="x", task_id="x", state=ItemState.DONE, done_date="2027-01-15T08:00:00Z"
    )
    assert [old.matches(row, 1_800_000_000 + age) for age in (59, 60)] == [False, True]
    young = Selection(newer_than=60)
    assert [young.matches(row, 1_800_000_000 + age) for age in (60, 61)] == [True, False]
    for no_date in ("", "yesterday", "2027-01-15"):  # an operator may have written it by hand
        assert not young.matches(replace(row, done_date=no_date), 1_800_000_000)


def test_items_of_a_table_in_chosen_columns(stocked: Operator) -> None:
    printed = stocked.sees("items", "--name", "*a*", "--columns", "itemID,ItemState,Nested")
    header, *rows = printed.splitlines()
    assert header == "itemID\tItemState\tNested"
    assert sorted(rows) == [
        *("aside\theld\t", "bad1\tfailed\t", "bad2\tfailed\t", "bad3\tfailed\t"),
        *("parts\tfailed\t2/3", "waits\ttodo\t"),
    ]


def test_columns_that_the_index_lacks(stocked: Operator) -> None:
    rows = stocked.rows("items", "bad1", "waits", "--columns", "itemID,Attempts,Reason,Last_Line")
    assert rows == [
        ["bad1", "1", "exit code 3", "cannot read bad1.bam, line 7"],
        ["waits", "0", "", ""],
    ]
    header, row = stocked.sees("items", "fine", "--columns", "all").splitlines()
    assert header.split("\t") == [*list(ITEM_COLUMNS)[1:]]
    assert row.split("\t")[:2] == ["fine", "S1"]
    refused = stocked.types("items", "--columns", "itemID,Colour")
    assert (refused.code, refused.stdout) == (2, "")
    assert "'Colour' is not a column: expected all, or some of Table,itemID," in refused.stderr


def test_items_of_several_tables(shelf: Operator) -> None:
    add_failed(shelf, 1, "Call")
    rows = shelf.rows("items", "--state", "failed", "--exit-code", "3", tables=("Align", "Call"))
    names = [row[:2] for row in rows]
    assert names == [
        *(["Align", name] for name in ("bad1", "bad2", "parts")),
        ["Call", "item-0000"],
    ]
    found = shelf.json("items", "item-0000", tables=("Align", "Call"))["items"]
    assert [(item["table"], item["item_id"], item["exit_code"]) for item in found] == [
        ("Call", "item-0000", 3)
    ]
    assert set(found[0]) == {
        *("table", "item_id", "task_id", "state", "instance", "lock_date", "done_date"),
        *("nested_tasks", "nested_done", "exit_code", "run_seconds"),
    }


def test_several_tables(shelf: Operator) -> None:
    """`-t A -t B`, or `-t A B` where B can't be an item."""
    add_failed(shelf, 1, "Call")
    both = [row[0] for row in shelf.rows("status", tables=("Align", "Call"))]
    assert both == [row[0] for row in shelf.rows("status", "Call")] == ["Align", "Call"]
    assert [row[0] for row in shelf.rows("items", "bad1")] == ["bad1"]


def test_an_item_whose_name_begins_like_a_flag(embedded: Operator) -> None:
    embedded.table.create()
    embedded.table.add([single("-x"), single("y")])
    for words in (["--", "-x"], ["--name=-*"]):
        assert [row[0] for row in embedded.rows("items", *words)] == ["-x"]
        assert embedded.sees("hold", *words) == "held 1\n"
        assert embedded.sees("unhold", *words) == "put back 1\n"
    assert "-x" in embedded.sees("show", "--", "-x")


def test_items_of_an_empty_table_are_none(embedded: Operator) -> None:
    with embedded.workflow() as workflow:
        workflow.create()
    assert embedded.rows("items") == []
    assert embedded.json("items")["items"] == []
    assert embedded.sees("export") == ""


def test_show(stocked: Operator) -> None:
    printed = stocked.sees("show", "parts")
    assert "ItemState\tfailed\n" in printed
    assert "Task_1\tfailed\t3\t1.0\t0\t\texit code 3\tseq 1\n" in printed
    assert "stderr" not in printed
    assert "\nTask\tstderr\nTask_0\tcannot read bad1.bam, line 7\n" in stocked.sees("show", "bad1")
    assert re.search(r"^1\tfailed\t.*\tpilot-1\texit code 3$", printed, re.MULTILINE)
    item = stocked.json("show", "parts")["item"]
    assert [task["status"] for task in item["tasks"]] == ["done", "failed", "done"]
    assert item["results"]["Task_1"]["exit_code"] == 3
    assert [past["ending"] for past in item["history"]] == ["failed"]


def test_what_an_item_used_and_was_made_with(either: Operator) -> None:
    either.table.create()
    made_with = {"PyAnamo": "1.2", "Image_ID": "sha256:ab", "Instance_Type": "m5.large"}
    used = {"cpu_seconds": 2.25, "max_rss_mb": 224.1, "peak_mb": 448.2}
    ended(either.table, single("used"), failed({"Task_0": badly(**used)}, made_with=made_with))
    ended(either.table, single("unknown"), failed())

    printed = either.sees("show", "used")
    for line in ("CPU_Seconds\t2.25", "Max_RSS_MB\t224.1", "Peak_MB\t448.2"):
        assert f"{line}\n" in printed
    for name, value in made_with.items():
        assert f"Made_With.{name}\t{value}\n" in printed
    assert "Task_0\tfailed\t3\t1.0\t224\t448\texit code 3\ttrue\n" in printed
    assert "Made_With" not in either.sees("show", "unknown")

    item = either.json("show", "used")["item"]
    assert item["made_with"] == made_with
    assert {name: item[name] for name in used} == used
    assert item["results"]["Task_0"]["peak_mb"] == 448.2
    columns = "itemID,cpu_seconds,Peak_MB"
    assert sorted(either.rows("items", "--columns", columns)) == [
        ["unknown", "0.0", ""],
        ["used", "2.2", "448"],
    ]
    (row,) = either.json("export", "used")["items"]
    assert (row["CPU_Seconds"], row["Peak_MB"], row["Made_With"]) == (2.25, 448.2, made_with)
    header, row = csv.reader(either.sees("export", "used", "--csv").splitlines())
    assert json.loads(dict(zip(header, row, strict=True))["Made_With"]) == made_with


def test_show_has_result_lines_and_where_logs_are(embedded: Operator) -> None:
    embedded.table.create()
    results = {
        "Task_0": well(results=("n=3", "k=4"), log_uri="s3://logs/x.stdout.gz"),
        "Task_1": well(),
    }
    ended(embedded.table, nested("item", 2), done(results))
    printed = embedded.sees("show", "item")
    assert "\nTask\tResult\nTask_0\tn=3\nTask_0\tk=4\n" in printed
    assert "\nTask\tLog_URI\nTask_0\ts3://logs/x.stdout.gz\n" in printed


def test_the_task_of_a_single_item_has_the_status_of_its_end(shelf: Operator) -> None:
    def seen(name: str) -> tuple[str, str]:
        with shelf.workflow() as workflow:
            item = workflow.show(name)
        (task,) = shelf.json("show", name)["item"]["tasks"]
        assert task["status"] == item.tasks[0].status.value
        return item.state.value, task["status"]

    assert [seen(name) for name in ("fine", "bad1", "waits", "busy")] == [
        *(("done", "done"), ("failed", "failed"), ("todo", "todo"), ("locked", "todo")),
    ]
    shelf.sees("hold", "bad2")
    assert seen("bad2") == ("held", "failed")
    shelf.sees("restart", "bad1", "fine")
    assert [seen(name) for name in ("bad1", "fine")] == [("todo", "todo")] * 2


def test_failures_and_the_commands_that_restart_them(stocked: Operator) -> None:
    flags = [] if stocked.store.local else ["-r", "us-east-1"]
    groups = stocked.rows("failures", *flags)
    assert groups[0][1:5] == ["2", "exit code 3", "cannot read *, line *", "bad1"]
    assert groups[0][6] == "cannot read bad1.bam, line 7"
    found = stocked.json("failures", *flags)
    assert [group["count"] for group in found["groups"]] == [2, 1, 1]
    assert found["groups"][0]["examples"] == ["bad1", "bad2"]
    (*_, option, group_id) = found["restart"][groups[0][0]].split()
    where = "" if stocked.store.local else " --region us-east-1"
    assert (
        groups[0][5]
        == f"python -m pyanamo restart -t {stocked.table_name}{where} --group {group_id}"
    )
    assert stocked.sees("restart", option, group_id) == "restarted 2\n"
    states = stocked.states()
    assert {name for name in states if states[name] == "failed"} == {"bad3", "parts"}

"""The operator's commands, as processes, on both kinds of table."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from pyanamo.console.arguments import add_selection_flags, selection_of
from pyanamo.errors import ItemNotFound, TableNotFound, UsageError
from pyanamo.model import Claim, Ending, ItemState, ItemSummary, TaskStatus
from pyanamo.tables import Store
from pyanamo.tables.attributes import read_item
from pyanamo.taskfile import parse_task_file
from pyanamo.workflow import Changed, Workflow
from pyanamo.workflow.selection import Selection
from tests.support.cli import ROOT, Finished, finish
from tests.support.moto_server import batch_queue, submit_job
from tests.support.operator import Operator, add, claimed, ended, stock
from tests.support.tables import done, failed, nested, single, well
from tests.support.terminal import COLUMNS, CTRL_C, Terminal, on_terminal

KINDS = ["embedded", "dynamodb"]
COMMANDS = (
    *("create", "drop", "capacity", "status", "samples", "items", "show", "logs", "failures"),
    *("restart", "hold", "unhold", "release", "jobs", "delete", "export", "submit"),
)
GONE_JOB = "0a1b2c3d-1111-2222-3333-444455556666"


def new_operator(kind: str, folder: Path, table: str, request: pytest.FixtureRequest) -> Operator:
    """An operator whose table isn't there yet."""
    if kind == "embedded":
        file = folder / "pyanamo.db"
        environment = {"PYANAMO_LOCAL": str(file)}
        return Operator(store=Store(local=file), table=table, environment=environment)
    endpoint: str = request.getfixturevalue("dynamodb")
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    return Operator(store=Store(endpoint_url=endpoint), table=table, environment=environment)


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest, tmp_path: Path, table_name: str) -> Operator:
    """An operator with either kind of table, which isn't there yet."""
    return new_operator(request.param, tmp_path, table_name, request)


@pytest.fixture
def embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Operator:
    """An operator with an embedded table, which isn't there yet."""
    return new_operator("embedded", tmp_path, "Align", request)


@pytest.fixture
def stocked(either: Operator) -> Operator:
    """The same with items in every state."""
    fill(either)
    return either


@pytest.fixture
def shelf(embedded: Operator) -> Operator:
    """The same for what needs one kind only."""
    fill(embedded)
    return embedded


def fill(operator: Operator) -> Claim:
    """Put items of every state into the table; the claim of `busy`."""
    table = operator.opened()
    claim = stock(table)
    table.close()
    return claim


def add_failed(operator: Operator, count: int, table_name: str | None = None) -> None:
    """Add items that failed."""
    table = operator.opened(table_name)
    table.create()
    for number in range(count):
        ended(table, single(f"item-{number:04}", "align"), failed())
    table.close()


# --- Looking ------------------------------------------------------------------------------------


def test_status(stocked: Operator) -> None:
    (row,) = stocked.rows("status")
    assert row[:8] == [stocked.table, "1", "2", "1", "4", "1", "11", "3"]
    (status,) = stocked.json("status")["tables"]
    assert status["items"] == {"todo": 1, "locked": 2, "done": 1, "failed": 4, "held": 1}
    assert (status["tasks"], status["tasks_done"], status["tasks_left"]) == (11, 3, 3)
    assert status["per_hour"] > 0
    assert status["remaining"]["low"] <= status["remaining"]["high"]


def test_samples(stocked: Operator) -> None:
    table = stocked.opened("Merge" if stocked.store.local else f"{stocked.table}-2")
    table.create()
    ended(table, single("merged", task_id="S3"), done())
    table.close()
    steps = (stocked.table, table.name)
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
    (["waits", "bad1"], "bad1 waits"),
    (["waits", "bad1", "--state", "todo"], "waits"),
]


def test_items_by_every_filter(stocked: Operator) -> None:
    for flags, expected in FILTERS:
        parser = argparse.ArgumentParser()
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


def test_items_of_an_empty_table_are_none(embedded: Operator) -> None:
    with embedded.workflow() as workflow:
        workflow.create()
    assert embedded.rows("items") == []
    assert embedded.json("items")["items"] == []
    assert embedded.sees("export") == ""


def test_show(stocked: Operator) -> None:
    printed = stocked.sees("show", "parts")
    assert "ItemState\tfailed\n" in printed
    assert "Task_1\tfailed\t3\t1.0\t0\texit code 3\tseq 1\n" in printed
    assert re.search(r"^1\tfailed\t.*\tpilot-1\texit code 3$", printed, re.MULTILINE)
    item = stocked.json("show", "parts")["item"]
    assert [task["status"] for task in item["tasks"]] == ["done", "failed", "done"]
    assert item["results"]["Task_1"]["exit_code"] == 3
    assert [past["ending"] for past in item["history"]] == ["failed"]


def test_failures_and_the_commands_that_restart_them(stocked: Operator) -> None:
    flags = [] if stocked.store.local else ["-r", "us-east-1"]
    groups = stocked.rows("failures", *flags)
    assert groups[0][1:5] == ["2", "exit code 3", "cannot read *, line *", "bad1"]
    found = stocked.json("failures", *flags)
    assert [group["count"] for group in found["groups"]] == [2, 1, 1]
    (*_, option, group_id) = found["restart"][groups[0][0]].split()
    where = "" if stocked.store.local else " --region us-east-1"
    assert groups[0][5] == f"python -m pyanamo restart -t {stocked.table}{where} --group {group_id}"
    assert stocked.sees("restart", option, group_id) == "restarted 2\n"
    states = stocked.states()
    assert {name for name in states if states[name] == "failed"} == {"bad3", "parts"}


# --- Logs ---------------------------------------------------------------------------------------

LONG = "".join(f"{number}\n" for number in range(1, 20_001))
NOISY = "bash -c 'seq 20000; seq 20000 >&2'"


def run_pilot(operator: Operator, *flags: str) -> None:
    """Let a pilot work on all there is, in the folder of the table."""
    command = [sys.executable, str(ROOT / "pyanamo.py"), "-t", operator.table, "-n", "2", *flags]
    process = subprocess.Popen(
        command,
        cwd=operator.store.local.parent if operator.store.local else None,
        env={**os.environ, **operator.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert finish(process).code == 0


def add_noisy(operator: Operator) -> None:
    """Add an item with a task that prints much, and one that prints nothing."""
    table = operator.opened()
    table.create()
    item = nested("noisy", 2)
    scripts = (NOISY, "true")
    tasks = tuple(
        replace(task, script=text) for task, text in zip(item.tasks, scripts, strict=True)
    )
    add(table, replace(item, tasks=tasks))
    table.close()


def test_logs_in_a_folder(embedded: Operator, tmp_path: Path) -> None:
    add_noisy(embedded)
    run_pilot(embedded, "--log-dir", str(tmp_path / "logs"))
    tail = embedded.types("logs", "noisy", "Task_0")
    assert LONG.endswith(tail.stdout)
    assert 100 < len(tail.stdout) < 2000
    size = len(LONG)
    note = f"the last {len(tail.stdout)} of {size} bytes; all of them with --whole\n"
    assert (tail.code, tail.stderr) == (0, note)
    assert embedded.sees("logs", "noisy", "Task_0", "--whole") == LONG
    assert embedded.sees("logs", "noisy", "Task_0", "--whole", "--stderr") == LONG
    assert embedded.sees("logs", "noisy", "Task_1", "--whole") == ""
    (file,) = (tmp_path / "logs").rglob("*.stdout.gz")
    packed = file.read_bytes()
    spoilt = packed[:20] + bytes([packed[20] ^ 255]) + packed[21:]
    for content, why in ((packed[:-9], "it is cut off"), (b"", "it is cut off"), (spoilt, "Error")):
        file.write_bytes(content)
        damaged = embedded.types("logs", "noisy", "Task_0", "--whole")
        assert damaged.code == 1
        (line,) = damaged.stderr.splitlines()
        assert line.startswith(f"the log {file.as_uri()} is damaged: ")
        assert why in line
    file.unlink()
    gone = embedded.types("logs", "noisy", "Task_0", "--whole")
    assert gone.code == 1
    assert "can't be read: No such file or directory" in gone.stderr


def test_logs_in_a_bucket(embedded: Operator, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    boto3.client("s3").create_bucket(Bucket="operator-logs")
    add_noisy(embedded)
    run_pilot(embedded, "-b", "operator-logs")
    assert embedded.sees("logs", "noisy", "Task_0", "--whole", "--stderr") == LONG
    with embedded.workflow() as workflow:
        assert b"".join(workflow.logs("noisy", "Task_0")).decode() == LONG


def test_logs_of_which_only_the_tail_was_kept(embedded: Operator) -> None:
    add_noisy(embedded)
    run_pilot(embedded)
    assert embedded.sees("logs", "noisy", "Task_1") == ""
    refused = embedded.types("logs", "noisy", "Task_0", "--whole")
    assert (refused.code, refused.stdout) == (1, "")
    assert re.match(r"of this stdout only the tail was kept, \d+ of 108894 bytes", refused.stderr)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parts"], "item 'parts' has 3 tasks: name one of Task_0 to Task_2"),
        (["parts", "Task_9"], "item 'parts' has no Task_9"),
        (["waits"], "Task_0 of item 'waits' has no output: it has not ended yet"),
        (["nobody"], "item 'nobody' is not in Align"),
    ],
)
def test_logs_that_are_not_there(shelf: Operator, words: list[str], message: str) -> None:
    with shelf.workflow() as workflow, pytest.raises(ItemNotFound, match=re.escape(message)):
        workflow.result(*words)
    assert shelf.types("logs", *words) == Finished(code=1, stdout="", stderr=f"{message}\n")


# --- Restart ------------------------------------------------------------------------------------


def test_restart_of_what_failed(stocked: Operator) -> None:
    before = stocked.item("parts")
    assert stocked.sees("restart", "--failed") == "restarted 4\n"
    item = stocked.item("parts")
    assert (item.state, item.attempts, item.exit_code, item.reason) == (ItemState.TODO, 0, None, "")
    assert [task.status.value for task in item.tasks] == ["done", "todo", "done"]
    assert item.results == before.results
    *old, order = item.history
    assert tuple(old) == before.history
    assert order.ending is Ending.RESTARTED
    assert order.reason == "restarted: what failed"
    assert "@" in order.instance
    assert stocked.states() == {
        **dict.fromkeys(("bad1", "bad2", "bad3", "parts", "waits"), "todo"),
        **{"fine": "done", "aside": "held", "busy": "locked", "lost": "locked"},
    }


def test_restart_by_other_filters(stocked: Operator) -> None:
    with stocked.workflow() as workflow:
        assert workflow.restart(Selection(names=("fine",))) == Changed(changed=1)
        assert workflow.restart(Selection(names=("fine",))) == Changed(unchanged=1)
        assert workflow.restart(Selection(task_id="S2")) == Changed(changed=1, taken=2)
        assert workflow.restart(Selection(reason="code 4")) == Changed(changed=1)
        assert workflow.restart(Selection(states=(ItemState.HELD,))) == Changed(changed=1)
    states = stocked.states()
    assert {name for name in states if states[name] != "todo"} == {"bad1", "parts", "busy", "lost"}


def test_restart_of_chosen_tasks(stocked: Operator) -> None:
    assert stocked.sees("restart", "parts", "--task", "Task_2") == "restarted 1\n"
    item = stocked.item("parts")
    assert [task.status for task in item.tasks] == [
        *(TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.TODO),
    ]
    assert item.history[-1].reason == "restarted: Task_2"
    with stocked.workflow() as workflow:
        # What has no such task isn't meant.
        selection = Selection(states=(ItemState.FAILED,))
        assert workflow.restart(selection, tasks=["Task_2"]) == Changed(unchanged=3)
        with pytest.raises(ItemNotFound, match="item 'parts' has no Task_7"):
            workflow.restart(Selection(names=("parts",)), tasks=["Task_7"])
        assert workflow.restart(Selection(names=("parts",)), all_tasks=True) == Changed(changed=1)
    assert {task.status for task in stocked.item("parts").tasks} == {TaskStatus.TODO}
    assert stocked.item("parts").nested_done == 0


def test_a_restarted_item_runs_again(stocked: Operator) -> None:
    """Of a nested one what failed only, and its history goes on."""
    stocked.sees("restart", "parts")
    stocked.sees("hold", "waits")
    table = stocked.opened()
    claim = table.claim("pilot-9", lease=60, max_attempts=3)
    assert claim is not None
    assert claim.item.item_id == "parts"
    todo = [task.name for task in claim.item.tasks if task.status is not TaskStatus.DONE]
    assert todo == ["Task_1"]
    assert table.finish(claim, done({"Task_1": well()}))
    table.close()
    item = stocked.item("parts")
    assert (item.state, item.nested_done, item.attempts) == (ItemState.DONE, 3, 1)
    assert [past.ending.value for past in item.history] == ["failed", "restarted", "done"]


def test_what_a_pilot_works_on_is_left_to_it(stocked: Operator) -> None:
    before = stocked.item("busy")
    assert stocked.sees("restart", "busy", "bad1") == "restarted 1, in use by others 1\n"
    assert stocked.json("hold", "busy", "waits") == {
        "changed": {"changed": 1, "unchanged": 0, "taken": 1, "missing": 0}
    }
    assert stocked.sees("delete", "busy", "--yes") == "deleted 0, in use by others 1\n"
    assert stocked.item("busy") == before


def test_a_dry_run_changes_nothing(shelf: Operator) -> None:
    before = shelf.sees("export")
    for command in ("restart", "hold", "unhold", "release", "delete"):
        found = shelf.json(command, "--name", "b*", "--dry-run")
        expected = ["busy"] if command == "release" else ["bad1", "bad2", "bad3", "busy"]
        assert found == {"dry_run": True, "items": expected}
    add_failed(shelf, 12, "Call")
    printed = shelf.sees("restart", "--failed", "--dry-run", tables=("Call",))
    assert printed.splitlines() == [
        *(f"item-{number:04}" for number in range(10)),
        "...",
        "12 items are meant; what a pilot works on would not be restarted",
    ]
    assert shelf.sees("export") == before


def test_from_a_hundred_items_on_it_asks(embedded: Operator) -> None:
    add_failed(embedded, 100)
    refused = embedded.types("restart", "--failed")
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == "100 items would be restarted: say --yes to go on\n"
    question = "100 items would be restarted. Go on? [y/N] "
    for answer, code, said in (("n", 1, "nothing was changed"), ("y", 0, "restarted 100")):
        with at_terminal(embedded, "restart", "--failed") as terminal:
            terminal.wait_for(question)
            terminal.type(f"{answer}\n")
            assert (terminal.end(), terminal.text.split("\n")[1]) == (code, said)
        assert set(embedded.states().values()) == {"failed" if answer == "n" else "todo"}
    assert embedded.sees("hold", "--state", "todo", "--yes") == "held 100\n"
    assert embedded.sees("unhold", "--name", "item-000?") == "put back 10\n"


# --- Hold, release, delete ----------------------------------------------------------------------


def test_hold_and_unhold(stocked: Operator) -> None:
    assert stocked.sees("hold", "waits", "bad1", "fine") == "held 2, left as they are 1\n"
    table = stocked.opened()
    claim = table.claim("pilot-9", lease=60, max_attempts=3)
    assert claim is not None  # for want of anything else
    assert claim.item.item_id == "lost"
    assert table.claim("pilot-9", lease=60, max_attempts=3) is None
    table.close()
    assert stocked.sees("unhold", "--state", "held") == "put back 3\n"
    states = stocked.states()
    assert {name for name in states if states[name] == "todo"} == {"waits", "bad1", "aside"}


def test_release_of_what_has_expired(stocked: Operator) -> None:
    assert stocked.sees("release") == "released 1, left as they are 1\n"
    item = stocked.item("lost")
    assert (item.state, item.reason, item.token) == (ItemState.TODO, "the lease expired", "")
    assert [past.ending for past in item.history] == [Ending.LOST]
    assert item.times_lost == 1
    assert stocked.item("busy").state is ItemState.LOCKED


def test_release_by_force(either: Operator) -> None:
    claim = fill(either)
    refused = either.types("release", "--force", "--state", "locked")
    assert (refused.code, refused.stdout) == (2, "")
    assert either.sees("release", "busy") == "released 0, left as they are 1\n"
    assert either.sees("release", "busy", "--force") == "released 1\n"
    table = either.opened()
    assert not table.renew(claim, lease=60)
    assert not table.finish(claim, done())
    table.close()
    item = either.item("busy")
    assert item.state is ItemState.TODO
    assert item.history[-1].reason.startswith("released by ")


@pytest.fixture
def job(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A job of AWS Batch that has ended."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", moto)
    with batch_queue(moto) as queue:
        yield submit_job(moto, queue)


def test_release_of_what_ended_jobs_hold(either: Operator, job: str) -> None:
    table = either.opened()
    table.create()
    held = {"ended": (f"{job}#1", 60.0), "gone": (f"{GONE_JOB}#1", 60.0), "other": ("vm-17", 60.0)}
    for name, (pilot, lease) in held.items():
        claimed(table, single(name), pilot=pilot, lease=lease)
    # Last, for the next claim would take it over.
    claimed(table, single("long-gone"), pilot=f"{GONE_JOB}#2", lease=-60)
    table.close()
    jobs = {row[0]: row[1:3] for row in either.rows("jobs")}
    assert jobs == {
        f"{job}#1": ["SUCCEEDED", "1"],
        f"{GONE_JOB}#1": ["gone", "1"],
        f"{GONE_JOB}#2": ["gone", "1"],
    }
    (entry,) = (entry for entry in either.json("jobs")["jobs"] if entry["instance"] == f"{job}#1")
    assert (entry["job"]["job_id"], entry["job"]["status"]) == (job, "SUCCEEDED")
    assert [item["item_id"] for item in entry["items"]] == ["ended"]
    dry = either.json("release", "--ended-jobs", "--dry-run")["items"]
    assert sorted(dry) == ["ended", "gone", "long-gone"]
    assert set(either.states().values()) == {"locked"}
    assert either.sees("release", "--ended-jobs") == "released 2, left as they are 1\n"
    assert either.states() == {
        **{"ended": "todo", "long-gone": "todo"},
        **{"gone": "locked", "other": "locked"},  # of another account, perhaps; of no job
    }
    assert either.item("ended").reason.startswith("AWS Batch job SUCCEEDED")


def test_delete(stocked: Operator) -> None:
    refused = stocked.types("delete", "bad1")
    assert (refused.code, refused.stderr) == (
        2,
        "1 item would be deleted: say --yes to go on\n",
    )
    assert stocked.sees("delete", "--name", "b*", "--yes") == "deleted 3, in use by others 1\n"
    assert set(stocked.states()) == {"fine", "parts", "busy", "lost", "waits", "aside"}


def test_delete_of_nested_tasks(stocked: Operator) -> None:
    assert stocked.sees("delete", "parts", "--task", "Task_0", "--yes") == "changed 1\n"
    item = stocked.item("parts")
    assert [task.name for task in item.tasks] == ["Task_1", "Task_2"]
    assert set(item.results) == {"Task_1", "Task_2"}
    assert (item.state, item.nested_done) == (ItemState.FAILED, 1)
    with stocked.workflow() as workflow:
        parts = Selection(names=("parts",))
        assert workflow.delete_tasks(parts, ["Task_1", "Task_2"]) == Changed(unchanged=1)
        assert workflow.delete_tasks(parts, ["Task_1"]) == Changed(changed=1)
        with pytest.raises(ItemNotFound, match="has no Task_1"):
            workflow.delete_tasks(parts, ["Task_1"])
    assert stocked.item("parts").state is ItemState.DONE  # all that is left is


# --- Tables -------------------------------------------------------------------------------------


def test_create_and_drop(either: Operator) -> None:
    assert either.sees("create") == f"created {either.table}\n"
    assert either.sees("create") == f"{either.table} is there already\n"
    assert either.json("create") == {"created": []}
    refused = either.types("drop")
    assert (refused.code, refused.stdout) == (2, "")
    assert either.rows("status")[0][0] == either.table
    assert either.json("drop", "--yes") == {"dropped": [either.table]}
    assert either.types("drop", "--yes").code == 1
    assert either.sees("create") == f"created {either.table}\n"


def test_capacity(request: pytest.FixtureRequest, tmp_path: Path, table_name: str) -> None:
    operator = new_operator("dynamodb", tmp_path, table_name, request)
    operator.sees("create", "--read", "5", "--write", "7")
    assert operator.rows("capacity") == [
        [table_name, "provisioned", part, "5", "7", "", ""] for part in ("table", "index")
    ]
    found = operator.json("capacity", "--on-demand")["tables"][table_name]
    assert found["billing"] == "on-demand"
    assert operator.types("capacity", "--read", "5").code == 2
    assert operator.types("capacity", "--autoscale", "5", "x", "70").code == 2


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
    items = {item.item_id: item for item in parse_task_file(text.encode(), "export").items}
    exported = [read_item(json.loads(line)) for line in shelf.sees("export").splitlines()]
    assert {item.item_id for item in exported} == set(items)
    for item in exported:
        again = items[item.item_id]
        assert [task.script for task in again.tasks] == [task.script for task in item.tasks]
        assert (again.task_id, again.nested) == (item.task_id, item.nested)


def test_export_as_csv(shelf: Operator) -> None:
    header, *rows = csv.reader(io.StringIO(shelf.sees("export", "--csv")))
    assert header == ["itemID", "TaskID", "TaskScript", "ItemState"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["bad1"] == ["S1", "align bad1", "failed"]
    assert json.loads(by_name["parts"][1])["Task_1"] == {"Script": "seq 1", "Status": "failed"}


# --- Bad input ----------------------------------------------------------------------------------


def test_an_unknown_table_in_python(shelf: Operator) -> None:
    anything = Selection(names=("x",))
    acts: dict[str, Callable[[Workflow], object]] = {
        "status": Workflow.status,
        "samples": Workflow.samples,
        "items": lambda workflow: list(workflow.items()),
        "show": lambda workflow: workflow.show("x"),
        "logs": lambda workflow: workflow.logs("x"),
        "failures": Workflow.failures,
        "jobs": Workflow.jobs,
        "export": lambda workflow: list(workflow.export()),
        "restart": lambda workflow: workflow.restart(anything),
        "hold": lambda workflow: workflow.hold(anything),
        "unhold": lambda workflow: workflow.unhold(anything),
        "release": lambda workflow: workflow.release(anything),
        "delete": lambda workflow: workflow.delete(anything),
        "drop": Workflow.drop,
    }
    assert {*acts, "create", "capacity", "submit"} == set(COMMANDS)
    with Workflow("Exmaple", local=shelf.store.local) as workflow:
        for act in acts.values():
            with pytest.raises(TableNotFound, match="table 'Exmaple' is not there"):
                act(workflow)


BAD_INPUT: list[tuple[list[str], int, str]] = [
    (["items", "nobody"], 1, "item 'nobody' is not in "),
    (["items", "--name", "nobody*"], 1, "no item is meant by: pattern nobody*"),
    (["restart", "--group", "abcdef"], 1, "no item is meant by: group abcdef"),
    (["restart"], 2, "which items?"),
    (["restart", "parts", "--task", "Task_7"], 1, "item 'parts' has no Task_7"),
    (["show", "nobody"], 1, "item 'nobody' is not in "),
    (["items", "--state", "finished"], 2, "invalid choice: 'finished'"),
    (["items", "--columns", "itemID,Sample"], 2, "'Sample' is no column: expected Table,itemID,"),
    (["items", "--older-than", "soon"], 2, "'soon' is no time"),
    (["samples", "--where", "Align"], 2, "'Align' is no filter: expected STEP=STATE"),
    (["samples", "--where", "Align=finished"], 2, "'finished' in 'Align=finished' is no state"),
    (["samples", "--where", "Call=done"], 2, "'Call' in 'Call=done' is no step: expected Align"),
    (["samples", "--where", "Align=held", "--where", "Align="], 1, "no sample has Align=held and "),
    (["release", "--ended-jobs", "busy"], 2, "--ended-jobs is for all items of the tables"),
]


@pytest.mark.parametrize(("words", "code", "message"), BAD_INPUT)
def test_bad_input(shelf: Operator, words: list[str], code: int, message: str) -> None:
    ended_so = shelf.types(*words)
    assert (ended_so.code, ended_so.stdout) == (code, "")
    assert message in ended_so.stderr
    assert "Traceback" not in ended_so.stderr


def test_a_bad_name_for_a_table(embedded: Operator) -> None:
    unknown = embedded.types("status")
    assert (unknown.code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("table 'Align' is not there in ")
    assert unknown.stderr.count("\n") == 1
    assert embedded.types("create", tables=("Al ign",)).code == 2


def test_an_unknown_table_of_dynamodb(
    request: pytest.FixtureRequest, tmp_path: Path, table_name: str
) -> None:
    operator = new_operator("dynamodb", tmp_path, table_name, request)
    unknown = operator.types("failures")
    assert (unknown.code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith(f"table {table_name!r} is not there in us-east-1")
    with pytest.raises(UsageError, match="one table at least"):
        Workflow()


@pytest.mark.parametrize("command", ["items", "export", "samples --csv"])
def test_a_reader_that_has_enough(embedded: Operator, command: str) -> None:
    table = embedded.opened()
    table.create()
    add(table, *(single(f"{'x' * 100}-{n:05}", task_id=f"{'y' * 100}-{n}") for n in range(1500)))
    table.close()
    name, *words = command.split()
    typed = " ".join(embedded.command(name, *words))
    ended_so = subprocess.run(
        ["bash", "-c", f"{typed} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env={**os.environ, **embedded.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended_so.stderr == ""
    assert ended_so.stdout.count("\n") == 1
    assert ended_so.returncode == 1


def test_help_has_an_example_of_every_command(embedded: Operator) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pyanamo", name, "--help"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "COLUMNS": "100"},
        )
        for name in COMMANDS
    ]
    for name, process in zip(COMMANDS, started, strict=True):
        told = finish(process)
        assert (told.code, told.stderr) == (0, "")
        assert f"Example: python -m pyanamo {name} -t " in told.stdout


# --- Screens ------------------------------------------------------------------------------------


@contextmanager
def at_terminal(
    operator: Operator, name: str, *words: str, **environment: str | None
) -> Iterator[Terminal]:
    """A command on a terminal."""
    here = {**operator.environment, "PYTHONPATH": str(ROOT), **environment}
    with on_terminal(operator.command(name, *words), here) as terminal:
        yield terminal


def test_status_on_a_terminal(shelf: Operator) -> None:
    with at_terminal(shelf, "status", NO_COLOR=None) as terminal:
        assert terminal.end() == 0
    assert "━" in terminal.shown  # a bar
    assert "\x1b[31m" in terminal.shown  # red
    assert "3/11" in terminal.text
    assert max(map(len, terminal.text.split("\n"))) <= COLUMNS


def test_states_have_colours(shelf: Operator) -> None:
    with at_terminal(shelf, "samples", NO_COLOR=None) as terminal:
        assert terminal.end() == 0
    assert "\x1b[31m3/5 failed\x1b[0m" in terminal.shown


def test_failures_on_a_terminal_end_with_a_command_to_copy(shelf: Operator) -> None:
    with at_terminal(shelf, "failures") as terminal:
        assert terminal.end() == 0
    (group_id,) = re.findall(r"│ (\w{6}) │ 2 ", terminal.text)
    command = f"python -m pyanamo restart -t Align --group {group_id}"
    assert f"\nRun a group again: {command}\n" in terminal.text


@pytest.mark.parametrize("command", ["status", "samples", "failures"])
def test_no_colours_where_none_are_wanted(shelf: Operator, command: str) -> None:
    with at_terminal(shelf, command, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", terminal.shown)
    assert "failed" in terminal.shown or "exit code" in terminal.shown


def test_a_dumb_terminal_gets_no_control_sequences(shelf: Operator) -> None:
    with at_terminal(shelf, "status", "--watch", "0.05", TERM="dumb") as terminal:
        terminal.wait_for("Align", times=2)  # one below the other
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert "\x1b" not in terminal.shown
    assert "Traceback" not in terminal.shown


def test_nothing_of_a_bar_in_a_pipe(shelf: Operator) -> None:
    for command in ("status", "samples", "items", "failures"):
        assert re.fullmatch(r"[\t\n -~]*", shelf.sees(command))


def test_ctrl_c_leaves_the_terminal_as_it_was(shelf: Operator) -> None:
    with at_terminal(shelf, "status", "--watch", "0.05") as terminal:
        terminal.wait_for("3/11")
        assert "\x1b[?25l" in terminal.shown  # the cursor is hidden
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.shown


def test_watching_into_a_pipe(shelf: Operator) -> None:
    process = shelf.start("status", "--watch", "0.05")
    assert process.stdout is not None
    lines = [process.stdout.readline().decode() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    watched = finish(process)
    assert [line.split("\t")[0] for line in lines] == ["Table", "Align"] * 2
    assert (watched.code, watched.stderr) == (130, "")


def test_an_empty_selection_changes_nothing(stocked: Operator) -> None:
    """In Python, where nobody asks: who means every item says so."""
    before = stocked.sees("export")
    with stocked.workflow() as workflow:
        for change in (workflow.delete, workflow.restart, workflow.hold):
            with pytest.raises(UsageError, match="pattern"):
                change(Selection())
    assert stocked.sees("export") == before

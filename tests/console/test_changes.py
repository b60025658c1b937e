"""The commands that change items: restart, hold, unhold, release, delete."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pyanamo.errors import ItemNotFound, UsageError
from pyanamo.model import Ending, ItemState, TaskStatus
from pyanamo.workflow import Changed
from pyanamo.workflow.selection import Selection
from tests.support.faulty_proxy import FaultyProxy
from tests.support.makers import claimed, done, single, well
from tests.support.moto_server import make_queue, submit_job
from tests.support.operator import Operator, add_failed, stock
from tests.support.terminal import CTRL_C

RENEWS = "; a pilot renews its leases while it works\n"
# What is told of the item `busy`.
BUSY = rf"item 'busy' is locked by pilot-3, its lease ends in \d+ (s|min){RENEWS}"
GONE_JOB = "0a1b2c3d-1111-2222-3333-444455556666"


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
    assert order.lock_date == ""  # it is no claim
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
    with stocked.opened() as table:
        claim = table.claim("pilot-9", lease=60, max_attempts=3)
        assert claim is not None
        assert claim.item.item_id == "parts"
        todo = [task.name for task in claim.item.tasks if task.status is not TaskStatus.DONE]
        assert todo == ["Task_1"]
        assert table.finish(claim, done({"Task_1": well()}))
    item = stocked.item("parts")
    assert (item.state, item.nested_done, item.attempts) == (ItemState.DONE, 3, 1)
    assert [past.ending.value for past in item.history] == ["failed", "restarted", "done"]


def test_what_a_pilot_works_on_is_left_to_it(stocked: Operator) -> None:
    before = stocked.item("busy")

    def refused(*words: str) -> str:
        """What is printed; the exit code says that a named item isn't changed."""
        ended = stocked.types(*words)
        assert ended.code == 1
        assert re.fullmatch(BUSY, ended.stderr), ended.stderr
        return ended.stdout

    assert refused("restart", "busy", "bad1") == "restarted 1, in use by others 1\n"
    changed = json.loads(refused("hold", "busy", "waits", "--json"))["changed"]
    locked = changed.pop("locked")
    assert changed == {"changed": 1, "unchanged": 0, "taken": 1, "missing": 0, "damaged": 0}
    assert (locked["items"], locked["is_all"]) == (1, True)
    assert refused("delete", "busy", "--yes") == "deleted 0, in use by others 1\n"
    assert refused("release", "busy") == "released 0, left as they are 1\n"
    assert stocked.item("busy") == before
    told = stocked.sees("hold", "--task-id", "S2", told=rf"2 items? .*{RENEWS}|{BUSY}")
    assert told == "held 1, in use by others 2\n"  # none is meant by its name


def test_an_unknown_name_changes_nothing(stocked: Operator, tmp_path: Path) -> None:
    before = stocked.states()
    table = stocked.table_name
    listed = tmp_path / "names.txt"
    listed.write_text("bad1\nnope\nnor-this\n")
    for words, unknown in (
        (("bad1", "nope"), "item 'nope' is"),
        (("--items", str(listed)), "items 'nope', 'nor-this' are"),
    ):
        ended = stocked.types("restart", *words)
        assert (ended.code, ended.stdout) == (4, "")
        assert ended.stderr.startswith(f"nothing was changed: {unknown} not in {table}")
    listed.write_text("\n".join(["bad1", *(f"nope-{number:02}" for number in range(25))]))
    ended = stocked.types("hold", "--items", str(listed))
    assert ended.stderr.count("'nope-") == 20
    assert ended.stderr.endswith(f" and 5 more are not in {table}\n")
    assert stocked.states() == before


def test_a_dry_run_changes_nothing(shelf: Operator) -> None:
    before = shelf.sees("export")
    for command in ("restart", "hold", "unhold", "release", "delete"):
        found = shelf.json(command, "--name", "b*", "--dry-run")
        expected = ["busy"] if command == "release" else ["bad1", "bad2", "bad3", "busy"]
        count = {"restart": 3, "hold": 3, "unhold": 0, "release": 1, "delete": 3}[command]
        assert found == {"dry_run": True, "items": expected, "would_change": count}
    add_failed(shelf, 12, "Call")
    printed = shelf.sees("restart", "--failed", "--dry-run", tables=("Call",))
    assert printed.splitlines() == [
        *(f"item-{number:04}" for number in range(10)),
        "...",
        "12 items would be restarted",
    ]
    assert shelf.sees("hold", "--name", "*", "--dry-run") == (
        "bad1\nbad2\nbad3\nparts\nwaits\n"
        "5 of 9 items would be held; 2 are locked, 1 is done, 1 is held\n"
    )
    released = shelf.sees("release", "--dry-run")
    assert released.endswith("2 items would be released if their lease has expired\n")
    tasks = shelf.sees("delete", "parts", "fine", "--task", "Task_1", "--dry-run")
    assert tasks == "parts\nTask_1 of 1 item would be deleted; 1 is done\n"
    assert shelf.sees("export") == before


def test_from_a_hundred_items_on_it_asks(embedded: Operator) -> None:
    add_failed(embedded, 100)
    refused = embedded.types("restart", "--failed")
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == "100 items would be restarted: give --yes to continue\n"
    question = "100 items would be restarted. Go on? [y/N] "
    for answer, code, said in (("n", 1, "nothing was changed"), ("y", 0, "restarted 100")):
        with embedded.at_terminal("restart", "--failed") as terminal:
            terminal.wait_for(question)
            terminal.type(f"{answer}\n")
            assert (terminal.end(), terminal.text.split("\n")[1]) == (code, said)
        assert set(embedded.states().values()) == {"failed" if answer == "n" else "todo"}
    assert embedded.sees("hold", "--state", "todo", "--yes") == "held 100\n"
    # What would stay as it is isn't asked about.
    why = "only todo and failed items can be held\n"
    assert embedded.sees("hold", "--name", "*", told=why) == "held 0, left as they are 100\n"
    assert embedded.sees("unhold", "--name", "item-000?") == "put back 10\n"


def test_ctrl_c_is_an_answer_too(shelf: Operator) -> None:
    with shelf.at_terminal("delete", "fine") as terminal:
        terminal.wait_for("Go on? [y/N] ")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert terminal.text.replace("\r", "").endswith("\nnothing was changed\n")
    assert "fine" in shelf.states()


def test_the_index_is_read_once(hosted: Operator, dynamodb: str) -> None:
    """Besides a query to see that the table is there; each item is read and written once."""
    add_failed(hosted, 3)
    with FaultyProxy(dynamodb) as proxy:
        hosted.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url

        def requests() -> dict[str, int]:
            counts = Counter(proxy.operations)
            proxy.operations.clear()
            return counts

        hosted.sees("restart", "--failed")
        assert requests() == {"Query": 1 + 1, "GetItem": 3, "UpdateItem": 3}
        hosted.sees("hold", "--name", "item-*", "--yes")
        assert requests() == {"Query": 1 + 5, "GetItem": 3, "UpdateItem": 3}  # 5 states
        hosted.sees("unhold", "item-0000", "item-0001")  # found without the index
        assert requests() == {"Query": 1, "GetItem": 2 + 2, "UpdateItem": 2}
        with hosted.at_terminal("delete", "--state", "todo") as terminal:
            terminal.wait_for("2 items would be deleted. Go on? [y/N] ")
            terminal.type("y\n")
            assert terminal.end() == 0
        assert requests() == {"Query": 1 + 1, "GetItem": 2, "DeleteItem": 2}


# --- Hold, release, delete ----------------------------------------------------------------------


def test_hold_and_unhold(stocked: Operator) -> None:
    why = "only todo and failed items can be held\n"
    told = stocked.sees("hold", "waits", "bad1", "fine", told=why)
    assert told == "held 2, left as they are 1\n"
    with stocked.opened() as table:
        claim = table.claim("pilot-9", lease=60, max_attempts=3)
        assert claim is not None  # for want of anything else
        assert claim.item.item_id == "lost"
        assert table.claim("pilot-9", lease=60, max_attempts=3) is None
    assert stocked.sees("unhold", "--state", "held") == "put back 3\n"
    states = stocked.states()
    assert {name for name in states if states[name] == "todo"} == {"waits", "bad1", "aside"}


def test_release_of_what_has_expired(stocked: Operator) -> None:
    assert stocked.sees("release", told=BUSY) == "released 1, left as they are 1\n"
    item = stocked.item("lost")
    assert (item.state, item.reason, item.token) == (ItemState.TODO, "the lease expired", "")
    assert [past.ending for past in item.history] == [Ending.LOST]
    assert item.times_lost == 1
    assert stocked.item("busy").state is ItemState.LOCKED


def test_release_by_force(either: Operator) -> None:
    claim = stock(either.table)
    refused = either.types("release", "--force", "--state", "locked")
    assert (refused.code, refused.stdout) == (2, "")
    assert either.sees("release", "busy", "--force") == "released 1\n"
    with either.opened() as table:
        assert not table.renew(claim, lease=60)
        assert not table.finish(claim, done())
    item = either.item("busy")
    assert item.state is ItemState.TODO
    assert item.history[-1].reason.startswith("released by ")


@pytest.fixture
def job(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of AWS Batch that has ended."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", moto)
    return submit_job(moto, make_queue(moto))


def test_release_of_what_ended_jobs_hold(either: Operator, job: str) -> None:
    with either.opened() as table:
        table.create()
        held = {
            "ended": (f"{job}#1", 60.0),
            "gone": (f"{GONE_JOB}#1", 60.0),
            "other": ("vm-17", 60.0),
        }
        for name, (pilot, lease) in held.items():
            claimed(table, single(name), pilot=pilot, lease=lease)
        # Last, for the next claim would take it over.
        claimed(table, single("long-gone"), pilot=f"{GONE_JOB}#2", lease=-60)
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
        "1 item would be deleted: give --yes to continue\n",
    )
    told = stocked.sees("delete", "--name", "b*", "--yes", told=BUSY)
    assert told == "deleted 3, in use by others 1\n"
    assert set(stocked.states()) == {"fine", "parts", "busy", "lost", "waits", "aside"}


def test_delete_of_nested_tasks(stocked: Operator) -> None:
    told = stocked.sees("delete", "parts", "--task", "Task_0", "--yes")
    assert told == "deleted Task_0 of 1 item\n"
    left = ("delete", "parts", "--task", "Task_1", "--task", "Task_2", "--yes")
    why = "an item keeps at least one task: to delete all of them, delete the item\n"
    told = stocked.sees(*left, told=why)
    assert told == "deleted Task_1, Task_2 of 0 items, left as they are 1\n"
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


def test_an_empty_selection_changes_nothing(stocked: Operator) -> None:
    """In Python, where nobody asks: who means every item says so."""
    before = stocked.sees("export")
    with stocked.workflow() as workflow:
        for change in (workflow.delete, workflow.restart, workflow.hold):
            with pytest.raises(UsageError, match="pattern"):
                change(Selection())
    assert stocked.sees("export") == before

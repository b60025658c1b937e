"""A pilot as a user runs it: what it runs, what it records, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyanamo.model import Ending, ItemState, TaskStatus
from pyanamo.tables import Store
from tests.support import pilots
from tests.support.pilots import (
    LOG_LINE,
    Place,
    endings,
    is_alive,
    result,
    wait_until,
)

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)

place, local = pilots.place, pilots.local


# --- What it says, and its exit code ------------------------------------------------------------


def test_summary_on_stdout_log_on_stderr_and_0_though_items_failed(place: Place) -> None:
    place.fill({**{f"good{n}": "true" for n in range(5)}, "bad": "false"})

    ended = place.run()

    assert ended.code == 0
    assert re.fullmatch(r"done 5, failed 1, released 0 in \d+\.\d s\n", ended.stdout)
    lines = ended.stderr.splitlines()
    assert all(LOG_LINE.fullmatch(line) for line in lines)
    assert len([line for line in lines if " claimed, attempt 1" in line]) == 6
    (failure,) = (line for line in lines if " WARNING " in line)
    assert re.search(r" itemID=bad TaskID=bad-group failed in \d+\.\d s: exit code 1$", failure)
    states = {item_id: item.state for item_id, item in place.items().items()}
    assert states == {**{f"good{n}": DONE for n in range(5)}, "bad": FAILED}


def test_how_much_it_says(local: Place) -> None:
    local.fill({"bad": "false", "nested": ["true", "seq 3"]})
    quiet = local.run("-q")
    assert [line.split()[1:3] for line in quiet.stderr.splitlines()] == [["WARNING", "itemID=bad"]]
    local.fill({"more": ["true", "seq 3"]})
    assert "task=Task_1 done in " in local.run("-v").stderr


def test_fail_on_item_failure(local: Place) -> None:
    local.fill({"good": "true"})
    assert local.run("--fail-on-item-failure").code == 0
    local.fill({"bad": "false"})
    assert local.run("--fail-on-item-failure").code == 3


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--lease", "5"], "--lease 5"),
        (["--lease", "9.9s"], "--lease 9.9"),
        (["--kill-after", "10"], "-w"),
        (["--task-timeout", "0"], "--task-timeout 0"),
        (["-i", "0"], "'0'"),
        (["-i", "9" * 5000], "no whole number"),
        (["--lease", "9" * 400], "too long a time"),
        (["--max-log", "9" * 400], "too large a size"),
        (["-n", "two"], "'two'"),
        (["-w", "soon"], "'soon'"),
        (["-w", "-5"], "-w"),
        (["--retries", "-1"], "--retries"),
        (["--max-attempts", "0"], "'0'"),
        (["--no-such-flag"], "--no-such-flag"),
        (["-t", "a b"], "'a b'"),
        (["-t", ""], "''"),
    ],
)
def test_wrong_flags(local: Place, flags: list[str], complaint: str) -> None:
    local.fill({"item": "true"})
    ended = local.run(*flags)
    assert ended.code == 2
    assert complaint in ended.stderr
    assert ended.stdout == ""
    assert local.item("item").state is TODO


def test_without_a_table(local: Place) -> None:
    ended = local.run(table=[])
    assert ended.code == 2
    assert "-t/--table" in ended.stderr


def test_a_table_that_is_not_there(place: Place) -> None:
    place.fill({"item": "true"})
    where = [*place.flags, "-t", "No_Such_Table"]
    ended = place.run(table=where)
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "'No_Such_Table'" in line
    assert "import-items.py" in line


def test_a_file_that_is_not_there(local: Place) -> None:
    ended = local.run(table=["-t", "Table", "--local", "nowhere/no.db"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "nowhere/no.db" in line


def test_a_file_of_another_program(local: Place) -> None:
    (local.folder / "other.db").write_text("no database at all, " * 100)
    ended = local.run(table=["-t", "Table", "--local", "other.db"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "other.db" in line


def test_no_credentials(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ended = local.run(table=["-t", "Table"])
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "AWS_ACCESS_KEY_ID" in line


def test_access_denied(local: Place) -> None:
    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = (
                b'{"__type": "com.amazon.coral.service#AccessDeniedException",'
                b' "Message": "you may not query that"}'
            )
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ended = local.run(table=["-t", "Table", "--endpoint-url", url])
        server.shutdown()
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "denied" in line
    assert "you may not query that" in line


def test_an_endpoint_where_nobody_is(local: Place) -> None:
    url = "http://127.0.0.1:9"
    ended = local.run(table=["-t", "Table", "--endpoint-url", url], seconds=110)
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert url in line


def test_where_the_table_is_from_the_environment(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.fill({"item": "true"})
    monkeypatch.setenv("PYANAMO_LOCAL", "table.db")
    assert local.run(table=["-t", local.table_name]).counts["done"] == 1


# --- What it runs -------------------------------------------------------------------------------


def test_eight_pilots_run_every_item_once(place: Place) -> None:
    names = [f"item{n:03}" for n in range(300)]
    place.script("note.sh", "echo $PYANAMO_ITEM_ID >> ran")
    place.fill(dict.fromkeys(names, "./note.sh"))

    pilots = [place.start("-i", "2", "-q") for _ in range(8)]
    ended = [pilot.wait(90) for pilot in pilots]

    assert [pilot.code for pilot in ended] == [0] * 8
    assert sum(pilot.counts["done"] for pilot in ended) == 300
    assert place.lines("ran") == names
    assert {summary.state for summary in place.table.summaries()} == {DONE}


NOT_UTF_8 = "caf\N{REPLACEMENT CHARACTER}"
AWKWARD = {  # the command; the exit code, the reason, what stdout ends with, its bytes
    'bash -c "echo hello world"': (0, "", "hello world\n", 12),
    "seq 3": (0, "", "1\n2\n3\n", 6),
    "false": (1, "exit code 1", "", 0),
    "no-such-command --flag": (127, "command not found: no-such-command", "", 0),
    "./not-executable": (126, "not executable: ./not-executable", "", 0),
    "./no-interpreter": (126, "its interpreter is not there: ./no-interpreter", "", 0),
    "./no-program": (126, "can't be started: ./no-program: Exec format error", "", 0),
    r"printf 'caf\351'": (0, "", NOT_UTF_8, 4),
    "./large": (0, "", "x" * 100, 500_000),
    "bash -c 'echo so far; kill -KILL $$'": (137, "killed by signal 9", "so far\n", 7),
    "bash -c 'kill -SEGV $$'": (139, "killed by signal 11", "", 0),
    "cat": (0, "", "", 0),
    "echo $HOME": (0, "", "/home/of the/tests\n", 19),
    "echo '$HOME'": (0, "", "$HOME\n", 6),
    'echo "${HOME}" $NOT_SET_AT_ALL': (0, "", "/home/of the/tests $NOT_SET_AT_ALL\n", 35),
    r"printf 'a\0b\n'": (0, "", "a\N{REPLACEMENT CHARACTER}b\n", 4),
    "bash -c 'exit 3'": (3, "exit code 3", "", 0),
    "bash -c no-such-command": (
        127,
        "exit code 127: bash: line 1: no-such-command: command not found",
        "",
        0,
    ),
}


@pytest.fixture
def awkward(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """What the awkward commands need."""
    monkeypatch.setenv("HOME", "/home/of the/tests")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    place.touch("not-executable")
    place.script("no-interpreter", "#!/no/such/interpreter\n")
    (place.folder / "no-program").write_text("this says nothing of an interpreter\n")
    (place.folder / "no-program").chmod(0o755)
    place.script("large", "head -c 500000 /dev/zero | tr '\\0' x")
    return place


def test_awkward_commands_as_single_items(awkward: Place) -> None:
    names = {f"item{n:02}": command for n, command in enumerate(AWKWARD)}
    awkward.fill(names)

    ended = awkward.run("-i", "2", "--max-failures-in-a-row", "0")

    assert ended.code == 0
    well = [code for code, *_ in AWKWARD.values()].count(0)
    assert (ended.counts["done"], ended.counts["failed"]) == (well, len(AWKWARD) - well)
    for name, item in awkward.items().items():
        exit_code, reason, stdout, stdout_bytes = AWKWARD[names[name]]
        command = names[name]
        assert item.state is (FAILED if exit_code else DONE), command
        assert (item.exit_code, item.reason) == (exit_code, reason), command
        found = result(item)
        assert (found.exit_code, found.reason) == (exit_code, reason), command
        assert found.stdout == (stdout * 10 if stdout_bytes == 500_000 else stdout), command
        assert found.stdout_bytes == stdout_bytes, command
        assert (item.attempts, endings(item)) == (1, [Ending(item.state.value)]), command


def test_awkward_commands_as_one_nested_item(awkward: Place) -> None:
    awkward.fill({"nested": list(AWKWARD)})

    ended = awkward.run("-n", "3")

    assert (ended.code, ended.counts["failed"]) == (0, 1)
    item = awkward.item("nested")
    assert (item.state, item.exit_code, item.reason) == (FAILED, 1, "exit code 1")
    for number, (command, expected) in enumerate(AWKWARD.items()):
        exit_code, reason, stdout, stdout_bytes = expected
        status = TaskStatus.FAILED if exit_code else TaskStatus.DONE
        found = result(item, f"Task_{number}")
        assert (found.status, item.tasks[number].status) == (status, status), command
        assert (found.exit_code, found.reason) == (exit_code, reason), command
        assert found.stdout.endswith(stdout), command
        assert found.stdout_bytes == stdout_bytes, command
    (summary,) = awkward.table.summaries()
    done = [code for code, *_ in AWKWARD.values()].count(0)
    assert (summary.nested_tasks, summary.nested_done) == (len(AWKWARD), done)


def test_what_a_task_gets(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables, its folder, a process group of its own, and nothing on stdin."""
    tools = local.folder / "tools"
    tools.mkdir()
    local.script("tools/ls", "echo the pipeline\\'s own ls")
    monkeypatch.setenv("PIPELINE", str(tools))
    local.script("show.sh", "env | grep ^PYANAMO_ | sort; pwd; cut -d ' ' -f 5 /proc/$$/stat; ls")
    local.fill({"single": "./show.sh", "nested": ["true", "bash -c ./show.sh $PYANAMO_TASK"]})

    pilot = local.start()

    assert pilot.wait().code == 0
    for item_id, task in (("single", "Task_0"), ("nested", "Task_1")):
        shown = result(local.item(item_id), task).stdout.splitlines()
        variables = dict(line.split("=", 1) for line in shown[:-3])
        variables.pop("PYANAMO_WORKER")  # a private matter
        assert variables == {
            "PYANAMO_TABLE": local.table_name,
            "PYANAMO_ITEM_ID": item_id,
            "PYANAMO_TASK_ID": f"{item_id}-group",
            "PYANAMO_TASK": task,
            "PYANAMO_ATTEMPT": "1",
        }
        folder, group, listing = shown[-3:]
        assert folder == str(local.folder)
        assert int(group) not in (pilot.pid, os.getpgrp())
        assert listing == "the pipeline's own ls"


MEET = """
touch running.$id
ls running.* | wc -l >> counts
touch met.$id
they_met() { [ $(ls met.* | wc -l) -ge $1 ]; }
until_ they_met $1
rm running.$id
"""


@pytest.mark.parametrize(
    ("flags", "at_once", "items"),
    [
        (["-i", "3"], 3, {f"item{n}": "./meet.sh 3" for n in range(7)}),
        (["-n", "4"], 4, {"nested": ["./meet.sh 4"] * 9}),
        (["-i", "2", "-n", "2"], 4, {f"item{n}": ["./meet.sh 4"] * 3 for n in range(2)}),
    ],
)
def test_so_many_at_once_and_no_more(
    local: Place, flags: list[str], at_once: int, items: dict[str, str]
) -> None:
    """Each task waits until so many have come."""
    local.script("meet.sh", MEET)
    local.fill(items)
    assert local.run(*flags).counts["done"] == len(items)
    assert max(int(count) for count in local.lines("counts")) == at_once


BURN = """
import time
memory = b"x" * 60_000_000
while time.process_time() < 0.5:
    pass
"""


def test_what_it_measures(local: Place) -> None:
    local.script("burn.py", f"#!{sys.executable}\n{BURN}")
    local.fill({"item": "./burn.py", "nested": ["./burn.py", "sleep 0.2"]})

    assert local.run().code == 0

    single = result(local.item("item"))
    assert 0.5 <= single.cpu_seconds <= single.run_seconds + 0.1
    assert 60 < single.max_rss_mb < 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", single.start_date)
    nested = local.item("nested")
    seconds = [result(nested, name).run_seconds for name in ("Task_0", "Task_1")]
    assert seconds[1] >= 0.2
    assert nested.run_seconds == pytest.approx(sum(seconds), abs=0.01)
    assert nested.max_rss_mb == result(nested, "Task_0").max_rss_mb


# --- How long it works --------------------------------------------------------------------------


def test_nothing_is_started_once_the_wall_time_is_used_up(local: Place) -> None:
    """What runs goes on to its end."""
    local.script("once.sh", "echo $id >> ran; sleep 2.5")
    local.fill({"one": "./once.sh", "two": "./once.sh", "three": ["./once.sh"]})

    ended = local.run("-w", "2")

    assert ended.code == 0
    assert ended.counts["done"] == 1
    assert 2.5 < ended.seconds < 10
    assert len(local.lines("ran")) == 1
    waiting = [item for item in local.items().values() if item.state is TODO]
    assert [(item.attempts, item.history) for item in waiting] == [(0, ())] * 2


def test_a_task_that_will_not_fit_is_not_started(local: Place) -> None:
    """By the mean of those before, it would take longer than what is left."""
    local.script("once.sh", "echo $id >> ran; sleep 2")
    local.fill({"one": "./once.sh", "two": "./once.sh"})

    ended = local.run("-w", "3.5")

    assert ended.counts == {"done": 1, "failed": 0, "released": 0, "lost": 0}
    assert len(local.lines("ran")) == 1


def test_a_nested_item_that_does_not_fit_is_given_back_with_what_it_has(local: Place) -> None:
    local.script("step.sh", "echo $1 >> ran; test -e quick || sleep 2.5")
    local.fill({"nested": [f"./step.sh {n}" for n in range(4)]})

    first = local.run("-w", "4.5", "-n", "2")

    assert first.code == 0
    assert first.counts["released"] == 1
    item = local.item("nested")
    assert (item.state, item.attempts, item.token) == (TODO, 0, "")
    assert [task.status.value for task in item.tasks] == ["done", "done", "todo", "todo"]
    assert [(past.ending, past.reason) for past in item.history] == [
        (Ending.INTERRUPTED, "the wall time is used up")
    ]
    local.touch("quick")
    assert local.run().counts["done"] == 1
    assert local.lines("ran") == ["0", "1", "2", "3"]
    item = local.item("nested")
    assert (item.state, item.attempts, item.exit_code) == (DONE, 1, 0)
    assert endings(item) == [Ending.INTERRUPTED, Ending.DONE]
    assert len(item.results) == 4


def test_kill_after(local: Place) -> None:
    """Running tasks are stopped then, and given back unspent."""
    local.fill({"single": "bash -c 'sleep 300 & sleep 300'", "nested": ["true", "sleep 300"]})

    ended = local.run("-i", "2", "-w", "3", "--kill-after", "1")

    assert ended.code == 0
    assert ended.counts["released"] == 2
    assert 4 <= ended.seconds < 12
    for item in local.items().values():
        assert (item.state, item.attempts) == (TODO, 0)
        assert [past.reason for past in item.history] == ["the wall time is used up"]
    assert local.item("nested").tasks[0].status is TaskStatus.DONE


def test_task_timeout(local: Place) -> None:
    """The whole group is ended, and who hid from it too."""
    group = "bash -c 'sleep 300 & setsid sleep 300 & sleep 300'"
    local.fill({"single": group, "nested": ["echo quick", group]})

    pilot = local.start("-i", "2", "--task-timeout", "1", "--idle", "60")
    local.wait_for_state("single", FAILED)
    local.wait_for_state("nested", FAILED)

    assert local.task("single") == local.task("nested", "Task_1") == []
    assert pilot.is_running
    pilot.signal(signal.SIGTERM)
    assert pilot.wait().counts["failed"] == 2
    for item in local.items().values():
        assert (item.state, item.exit_code, item.reason) == (FAILED, 124, "timed out after 1 s")
    assert result(local.item("single")).run_seconds >= 1
    quick, late = (result(local.item("nested"), name) for name in ("Task_0", "Task_1"))
    assert (quick.status, quick.stdout) == (TaskStatus.DONE, "quick\n")
    assert (late.exit_code, late.reason) == (124, "timed out after 1 s")


def test_what_a_task_leaves_in_its_group_ends_with_it(local: Place) -> None:
    local.fill({"item": "bash -c 'sleep 300 & echo $! > child'", "next": "true"})
    pilot = local.start()
    local.wait_for_state("item", DONE)
    assert not is_alive(int(local.lines("child")[0]))
    assert pilot.wait().counts["done"] == 2


def test_what_hides_from_its_group_holds_nobody_up(local: Place) -> None:
    """Though it writes to the task's output without end. It is gone with the pilot."""
    local.script("hide.sh", "setsid --fork cat /dev/zero; setsid --fork sleep 300; echo done")
    local.fill({"item": "./hide.sh", "nested": ["./hide.sh", "true"]})
    ended = local.run()
    assert ended.counts["done"] == 2
    assert ended.seconds < 10
    assert not local.processes()


def test_max_items(local: Place) -> None:
    local.fill({f"item{n}": "true" for n in range(10)})
    ended = local.run("-i", "3", "--max-items", "4")
    assert (ended.code, ended.counts["done"]) == (0, 4)
    assert [item.state for item in local.items().values()].count(TODO) == 6
    assert local.run("-i", "3", "--max-items", "1").counts["done"] == 1


def test_idle_picks_up_what_is_imported_later(place: Place) -> None:
    place.fill({"first": "true"})
    pilot = place.start("--idle", "60")
    place.wait_for_state("first", DONE)
    assert place.run().counts["done"] == 0  # as long as this one, the other has found nothing too

    place.fill({"later": "true"})
    place.wait_for_state("later", DONE)

    pilot.signal(signal.SIGTERM)
    assert pilot.wait(5).code == 143


def test_idle_ends(local: Place) -> None:
    local.fill({})
    ended = local.run("--idle", "2")
    assert ended.code == 0
    assert 2 <= ended.seconds < 10


# --- What fails ---------------------------------------------------------------------------------

FLAKY = "echo $id $PYANAMO_ATTEMPT >> ran; [ $PYANAMO_ATTEMPT -ge $1 ]"


def test_retries(place: Place) -> None:
    """Of a nested item, only the tasks that failed run again."""
    place.script("flaky.sh", FLAKY)
    place.fill({"single": "./flaky.sh 3", "nested": ["./flaky.sh 1", "./flaky.sh 2"]})

    ended = place.run("--retries", "2")

    assert ended.code == 0
    assert ended.counts == {"done": 2, "failed": 0, "released": 3, "lost": 0}
    single, nested = place.item("single"), place.item("nested")
    assert (single.state, single.attempts, single.exit_code) == (DONE, 3, 0)
    assert endings(single) == [Ending.FAILED, Ending.FAILED, Ending.DONE]
    assert (nested.state, nested.attempts) == (DONE, 2)
    assert endings(nested) == [Ending.FAILED, Ending.DONE]
    assert place.lines("ran") == [
        "nested.Task_0 1",
        "nested.Task_1 1",
        "nested.Task_1 2",
        "single.Task_0 1",
        "single.Task_0 2",
        "single.Task_0 3",
    ]


def test_retries_are_used_up(local: Place) -> None:
    local.fill({"item": "false"})
    ended = local.run("--retries", "1")
    assert ended.counts == {"done": 0, "failed": 1, "released": 1, "lost": 0}
    assert (local.item("item").state, local.item("item").attempts) == (FAILED, 2)
    assert local.run("--retries", "5").counts["failed"] == 0  # failed is failed


def test_too_many_failures_in_a_row(local: Place) -> None:
    local.fill({f"item{n}": "no-such-command" for n in range(8)})
    ended = local.run("--max-failures-in-a-row", "3")
    assert ended.code == 1
    assert ended.counts["failed"] == 3
    (line,) = ended.error_lines
    assert "command not found: no-such-command (3 times)" in line
    assert "--max-failures-in-a-row" in line
    assert [item.state for item in local.items().values()].count(TODO) == 5


def test_failures_in_a_row_are_ten_at_the_most_unless_turned_off(local: Place) -> None:
    local.fill({f"item{n}": "false" for n in range(12)})
    assert (local.run().code, local.run("--max-failures-in-a-row", "0").code) == (1, 0)
    assert {item.state for item in local.items().values()} == {FAILED}


def test_failures_with_a_success_between_them_are_not_in_a_row(local: Place) -> None:
    local.script("every-third.sh", "mkdir 1 2>&- && exit 1; mkdir 2 2>&- && exit 1; rmdir 1 2")
    local.fill({f"item{n}": "./every-third.sh" for n in range(9)})
    ended = local.run("--max-failures-in-a-row", "3")
    assert ended.code == 0
    assert (ended.counts["done"], ended.counts["failed"]) == (3, 6)


def test_nested_results_are_recorded_while_other_tasks_run(place: Place) -> None:
    place.script("wait.sh", "wait_for go")
    place.fill({"nested": ["echo early", "./wait.sh", "false", "./wait.sh"]})
    pilot = place.start("-n", "2")

    wait_until(lambda: len(place.item("nested").results) == 2, "two results are recorded", 5)

    item = place.item("nested")
    assert item.state is LOCKED
    assert [task.status.value for task in item.tasks] == ["done", "todo", "failed", "todo"]
    assert result(item, "Task_0").stdout == "early\n"
    (summary,) = place.table.summaries(LOCKED)
    assert (summary.nested_tasks, summary.nested_done) == (4, 1)
    place.touch("go")
    assert pilot.wait().counts["failed"] == 1


# --- When a worker dies -------------------------------------------------------------------------

HANG_ONCE = """
echo $id $PYANAMO_ATTEMPT >> ran
mkdir hung 2>&- || exit 0
sleep 300 &
setsid sleep 300 &
echo $PYANAMO_ITEM_ID > hung/item
touch ready
sleep 300
"""


def test_a_worker_that_is_killed_is_replaced_and_its_item_run_again(place: Place) -> None:
    """At once, though its lease would have lasted for 15 minutes."""
    place.script("hang-once.sh", HANG_ONCE)
    place.fill({"one": "./hang-once.sh", "two": "./hang-once.sh"})

    pilot = place.start()
    place.wait_for("ready")
    (hung,) = place.lines("hung/item")
    (other,) = {"one", "two"} - {hung}
    worker, tasks = place.worker_of(hung), place.task(hung)
    os.kill(worker, signal.SIGKILL)
    pilot.wait_for_log(f"(pid {worker}) was killed by signal 9: replaced")
    assert len(tasks) == 4
    assert not any(is_alive(pid) for pid in tasks)
    ended = pilot.wait()

    assert ended.code == 0
    assert ended.counts == {"done": 2, "failed": 0, "released": 0, "lost": 1}
    assert f"itemID={hung} TaskID={hung}-group lost: {DIED}" in ended.stderr
    item = place.item(hung)
    assert (item.state, item.attempts, item.reason) == (DONE, 2, "")
    assert endings(item) == [Ending.LOST, Ending.DONE]
    assert (item.history[0].reason, item.history[0].times_lost) == (DIED, 1)
    assert endings(place.item(other)) == [Ending.DONE]
    assert place.lines("ran") == sorted(
        [f"{hung}.Task_0 1", f"{hung}.Task_0 2", f"{other}.Task_0 1"]
    )


DIED = "the worker died while running it (killed by signal 9)"
MURDER = "echo $id >> ran; kill -KILL $PPID; sleep 300"  # of its worker


def test_what_a_nested_item_has_done_stays_done_when_its_worker_dies(place: Place) -> None:
    place.script("murder-once.sh", f"mkdir once || exit 0; wait_for recorded; {MURDER}")
    place.fill({"nested": ["./note.sh", "./murder-once.sh"]})
    place.script("note.sh", "echo $id >> ran")
    pilot = place.start("-n", "2")
    wait_until(lambda: place.item("nested").results, "the first task is recorded")
    place.touch("recorded")
    ended = pilot.wait()
    assert ended.counts == {"done": 1, "failed": 0, "released": 0, "lost": 1}
    assert place.lines("ran") == ["nested.Task_0", "nested.Task_1"]
    item = place.item("nested")
    assert (item.state, item.nested_done, item.attempts) == (DONE, 2, 2)
    assert [past.reason for past in item.history] == [DIED, ""]


def test_an_item_that_kills_its_workers_fails_and_others_go_on(place: Place) -> None:
    place.script("murder.sh", MURDER)
    place.fill({"murder": "./murder.sh", "good": "true"})
    ended = place.run("--max-attempts", "3", "--fail-on-item-failure")
    assert ended.code == 3
    assert ended.counts == {"done": 1, "failed": 1, "released": 0, "lost": 3}
    assert "so that it is failed" in ended.stderr
    item = place.item("murder")
    assert (item.state, item.reason) == (FAILED, f"lost 3 times: {DIED}")
    assert [past.reason for past in item.history] == [DIED] * 3
    assert place.lines("ran") == ["murder.Task_0"] * 3


def test_a_frozen_worker_is_not_dead(local: Place) -> None:
    """Its item stays its own, whatever becomes of another worker."""
    local.script("wait.sh", "touch ready.$PYANAMO_ITEM_ID; wait_for go")
    local.fill({"frozen": "./wait.sh", "killed": "./wait.sh"})
    pilot = local.start("-i", "2")
    local.wait_for("ready.frozen", "ready.killed")
    frozen, token = local.worker_of("frozen"), local.item("frozen").token
    os.kill(frozen, signal.SIGSTOP)
    os.kill(local.worker_of("killed"), signal.SIGKILL)
    wait_until(lambda: local.item("killed").attempts == 2, "the other item is run again")
    assert (local.item("frozen").state, local.item("frozen").token) == (LOCKED, token)
    local.touch("go")
    os.kill(frozen, signal.SIGCONT)
    assert pilot.wait().counts == {"done": 2, "failed": 0, "released": 0, "lost": 1}
    assert (local.item("frozen").attempts, local.item("killed").attempts) == (1, 2)


def test_a_worker_that_dies_while_its_pilot_stops_leaves_no_lock(local: Place) -> None:
    local.script(
        "murder.sh", "trap 'kill -KILL $PPID' TERM; touch ready; while :; do sleep 1; done"
    )
    local.fill({"item": "./murder.sh"})
    pilot = local.start()
    local.wait_for("ready")
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    assert time.monotonic() - signalled < 20
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    item = local.item("item")
    assert (item.state, item.token, item.reason) == (TODO, "", DIED)
    assert (endings(item), item.attempts) == ([Ending.LOST], 1)


def test_without_its_table_an_item_keeps_its_lease_when_its_worker_dies(local: Place) -> None:
    local.script("murder.sh", "wait_for gone; kill -KILL $PPID; sleep 300")
    local.fill({"item": "./murder.sh"})
    pilot = local.start("-v")
    local.wait_for_state("item", LOCKED)
    local.table.close()
    (local.folder / "table.db").rename(local.folder / "elsewhere.db")
    local.touch("gone")
    ended = pilot.wait()
    (local.folder / "elsewhere.db").rename(local.folder / "table.db")
    assert (ended.code, ended.counts["lost"]) == (1, 1)
    (line,) = [line for line in ended.stderr.splitlines() if "not given back" in line]
    assert "WARNING itemID=item TaskID=item-group" in line
    assert "is not there in" in line
    item = local.item("item")
    assert (item.state, item.attempts, endings(item)) == (LOCKED, 1, [])


def test_a_stop_does_not_wait_for_an_item_to_be_given_back(local: Place) -> None:
    """Another program holds the table's file, for longer than anybody has."""
    local.script("murder.sh", "wait_for locked; kill -KILL $PPID; sleep 300")
    local.fill({"item": "./murder.sh"})
    pilot = local.start()
    local.wait_for_state("item", LOCKED)
    database = sqlite3.connect(local.folder / "table.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    local.touch("locked")
    pilot.wait_for_log("replaced")
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    database.execute("ROLLBACK")
    database.close()
    assert time.monotonic() - signalled < 20
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    assert local.item("item").state is LOCKED


@pytest.mark.parametrize("replaced", [False, True])
def test_a_table_whose_file_is_deleted_ends_the_pilot(local: Place, replaced: bool) -> None:
    """SQLite would go on in a file without a name: no result could be found again."""
    local.script("waits.sh", "wait_for gone; echo said")
    local.fill({"item": "./waits.sh"})
    pilot = local.start()
    local.wait_for_state("item", LOCKED)
    local.table.close()
    for file in local.folder.glob("table.db*"):
        file.unlink()
    if replaced:
        local.table.create()
        local.table.close()
    local.touch("gone")
    ended = pilot.wait()
    assert ended.code == 1
    assert "was deleted or replaced while it was in use" in ended.stderr
    (file,) = local.folder.glob("pyanamo-unrecorded-*.json")
    assert str(file) in ended.stderr
    assert json.loads(file.read_text())["Log"]["stdout"] == "said\n"


def test_what_a_stop_could_not_give_back_is_named(local: Place) -> None:
    """Another program holds the table's file while the item's end is to be written."""
    local.script("waits.sh", "touch ready; wait_for locked; echo said")
    local.fill({"item": "./waits.sh"})
    pilot = local.start()
    local.wait_for("ready")
    database = sqlite3.connect(local.folder / "table.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    local.touch("locked")
    wait_until(lambda: not local.task("item"), "the end of the task")
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    database.execute("ROLLBACK")
    database.close()
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    (line,) = [line for line in ended.stderr.splitlines() if "not given back in time" in line]
    assert "ERROR itemID=item TaskID=item-group" in line
    (file,) = local.folder.glob("pyanamo-unrecorded-*.json")
    assert line.endswith(f"the results are in {file}")
    assert json.loads(file.read_text())["Log"]["stdout"] == "said\n"
    assert local.item("item").state is LOCKED


def test_an_item_lost_too_often_is_failed(local: Place) -> None:
    """By two workers that are never heard of again."""
    local.fill({"item": "true"})
    for _ in range(2):
        wait_until(lambda: local.table.claim("lost", lease=1, max_attempts=9), "a claim")

    ended = local.run("--max-attempts", "2", "--idle", "4")

    assert ended.code == 0
    assert ended.counts["done"] == 0
    item = local.item("item")
    assert (item.state, item.reason) == (FAILED, "lost 2 times: the pilot died while running it")
    assert endings(item) == [Ending.LOST, Ending.LOST]


def test_workers_that_keep_dying_end_the_pilot(local: Place) -> None:
    local.script("murder.sh", "kill -KILL $PPID; sleep 300")
    local.fill({f"item{n}": "./murder.sh" for n in range(9)})
    ended = local.run("--lease", "10s")
    assert ended.code == 1
    (line,) = ended.error_lines
    assert "5 workers in a row died" in line
    assert "signal 9" in line
    items = local.items().values()
    assert LOCKED not in {item.state for item in items}  # nor what the last one had
    assert sum(item.times_lost for item in items) == ended.counts["lost"] == 5


def test_an_item_keeps_its_lease_however_long_it_runs(local: Place) -> None:
    """Another pilot finds nothing to take, though the item runs longer than a lease."""
    local.script("long.sh", "echo $id >> ran; wait_for go")
    local.fill({"item": "./long.sh"})
    pilot = local.start("--lease", "10s")
    wait_until(lambda: local.lines("ran"), "the task runs")

    other = local.run("--lease", "10s", "--idle", "12")

    local.touch("go")
    assert (other.code, other.counts["done"]) == (0, 0)
    assert pilot.wait().counts["done"] == 1
    assert len(local.lines("ran")) == 1


def test_a_guardian_that_is_killed_is_replaced(local: Place) -> None:
    """So that nothing is left of a pilot that is killed outright later."""
    local.fill({"item": "bash -c 'touch ready; sleep 300'"})
    pilot = local.start()
    local.wait_for("ready")

    def guardians() -> list[int]:
        return [
            child.pid
            for child in pilot.children
            if child.group != pilot.pid and not child.is_zombie
        ]

    (guardian,) = guardians()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: guardians() and guardians() != [guardian], "another guardian")
    pilot.signal_all(signal.SIGKILL)
    pilot.wait()
    local.wait_for_no_process()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_harm_no_task(local: Place, closed: str) -> None:
    """No file of the pilot takes the place of one, neither for its tasks nor for its guardian."""
    local.fill({"prints": "seq 3", "lasts": "bash -c 'echo x; sleep 1; echo y'"})
    pilot = local.start(prefix=["bash", "-c", f'exec "$0" "$@" {closed}'])
    assert pilot.wait().code == 0
    assert result(local.item("prints")).stdout == "1\n2\n3\n"
    assert result(local.item("lasts")).stdout == "x\ny\n"


def test_a_locale_without_utf8_harms_no_command(local: Place) -> None:
    local.environment.update(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    local.fill({"Probe ä": "bash -c 'echo \"$PYANAMO_ITEM_ID\" é'"})
    assert local.run().counts["done"] == 1
    assert result(local.item("Probe ä")).stdout == "Probe ä é\n"


def test_a_copy_of_the_file_has_all_that_a_pilot_did(local: Place) -> None:
    """Nothing of it is left in the files that SQLite keeps beside it."""
    local.fill({f"item{number}": "true" for number in range(5)})
    local.table.close()
    assert local.run("-i", "2").counts["done"] == 5
    copy = local.folder / "copy.db"
    copy.write_bytes((local.folder / "table.db").read_bytes())
    rows = Store(local=copy).open(local.table_name).summaries()
    assert {row.state for row in rows} == {DONE}

"""What a pilot runs: awkward commands, what a task gets, and how many run at once."""

from __future__ import annotations

import os
import re
import sys

import pytest

from pyanamo.model import Ending, ItemState, TaskStatus
from tests.support.pilots import endings
from tests.support.place import Place

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)


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
    "./no-interpreter": (126, "its interpreter is missing: ./no-interpreter", "", 0),
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
        found = item.results["Task_0"]
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
        found = item.results[f"Task_{number}"]
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
        shown = local.result(item_id, task).stdout.splitlines()
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

    single = local.result("item")
    assert 0.5 <= single.cpu_seconds <= single.run_seconds + 0.1
    assert 60 < single.max_rss_mb < 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", single.start_date)
    nested = local.item("nested")
    seconds = [nested.results[name].run_seconds for name in ("Task_0", "Task_1")]
    assert seconds[1] >= 0.2
    assert nested.run_seconds == pytest.approx(sum(seconds), abs=0.01)
    assert nested.max_rss_mb == nested.results["Task_0"].max_rss_mb


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_harm_no_task(local: Place, closed: str) -> None:
    """No file of the pilot takes the place of one, neither for its tasks nor for its guardian."""
    local.fill({"prints": "seq 3", "lasts": "bash -c 'echo x; sleep 1; echo y'"})
    pilot = local.start(prefix=["bash", "-c", f'exec "$0" "$@" {closed}'])
    assert pilot.wait().code == 0
    assert local.result("prints").stdout == "1\n2\n3\n"
    assert local.result("lasts").stdout == "x\ny\n"

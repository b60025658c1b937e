"""Items that fail: retries, failures in a row, and nested results that are recorded on the way."""

from __future__ import annotations

from pyanamo.model import Ending, ItemState
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)

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
    assert item.results["Task_0"].stdout == "early\n"
    (summary,) = place.table.summaries(LOCKED)
    assert (summary.nested_tasks, summary.nested_done) == (4, 1)
    place.touch("go")
    assert pilot.wait().counts["failed"] == 1

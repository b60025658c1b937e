"""The contract of a workflow table: the end of a claim, and results on the way to it."""

import pytest

from pyanamo.model import TaskStatus
from tests.support.makers import badly, done, failed, interrupted, nested, single, well
from tests.support.step import KEPT_RESULT, LATER, LEASE, RESULT, STARTED, Step

# --- The end of a claim -------------------------------------------------------------------------


def test_finish_done_writes_every_attribute(step: Step) -> None:
    step.add(single("a"))
    before = step.raw("a")
    claim = step.claim()
    step.clock.advance(10)
    assert step.table.finish(claim, done({"Task_0": RESULT})) is True
    assert step.raw("a") == before | {
        "ItemState": "done",
        "InstanceID": "pilot-1",
        "Lock_Date": STARTED,
        "Done_Date": LATER,
        "Attempts": 1,
        "Exit_Code": 0,
        "Run_Seconds": 1.5,
        "CPU_Seconds": 0.25,
        "Max_RSS_MB": 12.5,
        "Peak_MB": 14.5,
        "Log": KEPT_RESULT,
        "History": [
            {
                "Attempt": 1,
                "InstanceID": "pilot-1",
                "Lock_Date": STARTED,
                "End_Date": LATER,
                "Outcome": "done",
                "Reason": "",
                "lockID": claim.token,
                "Times_Lost": 0,
            }
        ],
    }
    assert step.get("a").results == {"Task_0": RESULT}
    assert step.claim_if_any() is None


def test_finish_failed_writes_every_attribute(step: Step) -> None:
    step.add(single("a"))
    before = step.raw("a")
    claim = step.claim()
    step.clock.advance(10)
    result = badly(137, 2.5, max_rss_mb=512.25)
    assert step.table.finish(claim, failed({"Task_0": result})) is True
    assert step.raw("a") == before | {
        "ItemState": "failed",
        "InstanceID": "pilot-1",
        "Lock_Date": STARTED,
        "Done_Date": LATER,
        "Attempts": 1,
        "Exit_Code": 137,
        "Reason": "exit code 137",
        "Run_Seconds": 2.5,
        "CPU_Seconds": 0,
        "Max_RSS_MB": 512.25,
        "Log": {
            "Status": "failed",
            "Exit_Code": 137,
            "Reason": "exit code 137",
            "Run_Seconds": 2.5,
            "CPU_Seconds": 0,
            "Max_RSS_MB": 512.25,
            "stdout_bytes": 0,
            "stderr_bytes": 0,
        },
        "History": [
            {
                "Attempt": 1,
                "InstanceID": "pilot-1",
                "Lock_Date": STARTED,
                "End_Date": LATER,
                "Outcome": "failed",
                "Reason": "exit code 137",
                "lockID": claim.token,
                "Times_Lost": 0,
            }
        ],
    }
    assert step.claim_if_any() is None


def test_finish_sums_up_a_nested_item(step: Step) -> None:
    step.add(nested("a", 3))
    results = {
        "Task_0": well(1.5, cpu_seconds=0.25, max_rss_mb=10.5),
        "Task_1": badly(4, 2.25, cpu_seconds=0.5, max_rss_mb=99.5, peak_mb=100.5),
        "Task_2": badly(5, 4.0, cpu_seconds=3.0, max_rss_mb=20.0, peak_mb=120.5),
    }
    assert step.table.finish(step.claim(), failed(results)) is True
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert (raw["Exit_Code"], raw["Reason"]) == (4, "exit code 4")
    assert (raw["Run_Seconds"], raw["CPU_Seconds"]) == (7.75, 3.75)
    assert (raw["Max_RSS_MB"], raw["Peak_MB"]) == (99.5, 120.5)
    assert (raw["Nested_Tasks"], raw["Nested_Done"]) == (3, 1)
    assert raw["TaskScript"] == {"Task_0": "seq 0", "Task_1": "seq 1", "Task_2": "seq 2"}
    assert raw["Nested_Status"] == {"Task_0": "done", "Task_1": "failed", "Task_2": "failed"}
    assert {name: result["Exit_Code"] for name, result in raw["Log"].items()} == {
        "Task_0": 0,
        "Task_1": 4,
        "Task_2": 5,
    }


def test_release_of_an_interrupted_attempt_does_not_count(step: Step) -> None:
    step.add(single("a"))
    before = step.raw("a")
    claim = step.claim()
    step.clock.advance(10)
    assert step.table.release(claim, interrupted()) is True
    raw = step.raw("a")
    assert (raw["ItemState"], raw["Attempts"]) == ("todo", 0)
    assert raw["Reason"] == "the wall time is used up"
    assert [(past["Attempt"], past["Outcome"]) for past in raw["History"]] == [(1, "interrupted")]
    assert before.keys() <= raw.keys()
    assert not raw.keys() & {"lockID", "Lease_Expires", "Done_Date", "Exit_Code"}

    again = step.claim("pilot-2")
    assert again.item.attempts == 1
    assert again.failures == 0
    assert again.token != claim.token


def test_what_is_done_stays_done_when_an_attempt_is_released(step: Step) -> None:
    step.add(nested("a", 3))
    step.table.release(step.claim(), interrupted({"Task_1": well(2.0, max_rss_mb=50.0)}))
    raw = step.raw("a")
    assert (raw["Nested_Done"], raw["Run_Seconds"], raw["Max_RSS_MB"]) == (1, 2, 50)
    claim = step.claim()
    assert [task.status.value for task in claim.item.tasks] == ["todo", "done", "todo"]

    step.table.finish(claim, done({"Task_0": well(0.5), "Task_2": well(0.25)}))
    raw = step.raw("a")
    assert (raw["ItemState"], raw["Nested_Done"], raw["Attempts"]) == ("done", 3, 1)
    assert (raw["Run_Seconds"], raw["Max_RSS_MB"]) == (2.75, 50)
    assert {name: result["Run_Seconds"] for name, result in raw["Log"].items()} == {
        "Task_0": 0.5,
        "Task_1": 2,
        "Task_2": 0.25,
    }
    assert "Reason" not in raw


def test_release_of_a_failed_attempt_counts(step: Step) -> None:
    step.add(single("a"))
    for attempt in (1, 2, 3):
        claim = step.claim()
        assert (claim.item.attempts, claim.failures) == (attempt, attempt - 1)
        assert step.table.release(claim, failed()) is True
        raw = step.raw("a")
        assert (raw["ItemState"], raw["Attempts"]) == ("todo", attempt)
        assert (raw["Exit_Code"], raw["Reason"]) == (3, "exit code 3")
    assert [past["Outcome"] for past in step.raw("a")["History"]] == ["failed"] * 3


def test_history_keeps_the_last_ten_attempts(step: Step) -> None:
    step.add(single("a"))
    step.claim()
    step.clock.advance(LEASE)  # the first of all is lost
    for _ in range(12):
        step.table.release(step.claim(), failed())
        step.clock.advance(1)
    history = step.raw("a")["History"]
    assert [past["Attempt"] for past in history] == list(range(4, 14))
    assert len({past["lockID"] for past in history}) == 10
    claim = step.claim()
    assert (claim.item.times_lost, claim.failures) == (1, 12)  # counts outlive their entries


# --- Nested results as they come ----------------------------------------------------------------


def test_a_renewal_keeps_nested_results(step: Step) -> None:
    step.add(nested("a", 3))
    claim = step.claim()
    held = step.raw("a")
    first = {"Task_1": RESULT}
    step.clock.advance(1)
    assert step.table.renew(claim, lease=LEASE, results=first) is True
    assert step.raw("a") == held | {
        "Lease_Expires": held["Lease_Expires"] + 1,
        "Nested_Done": 1,
        "Log": {"Task_1": KEPT_RESULT},
        "Nested_Status": {"Task_0": "todo", "Task_1": "done", "Task_2": "todo"},
    }

    assert step.table.renew(claim, lease=LEASE, results=first | {"Task_0": badly()}) is True
    raw = step.raw("a")
    assert raw["Nested_Done"] == 1
    assert raw["Nested_Status"] == {"Task_0": "failed", "Task_1": "done", "Task_2": "todo"}
    assert set(raw["Log"]) == {"Task_0", "Task_1"}


def test_a_renewal_without_results_changes_the_lease_only(step: Step) -> None:
    step.add(nested("a", 2))
    claim = step.claim()
    before = step.raw("a")
    step.clock.advance(1)
    assert step.table.renew(claim, lease=LEASE, results={}) is True
    assert step.raw("a") == before | {"Lease_Expires": before["Lease_Expires"] + 1}
    step.table.finish(claim, done({"Task_0": well(), "Task_1": well()}))
    assert step.table.renew(claim, lease=LEASE, results={}) is False


@pytest.mark.parametrize("ending", ["lost", "interrupted", "failed"])
def test_only_what_is_not_done_is_todo_at_the_next_claim(step: Step, ending: str) -> None:
    step.add(nested("a", 4))
    claim = step.claim()
    results = {"Task_0": well(), "Task_2": badly()}
    step.table.renew(claim, lease=LEASE, results=results)
    if ending == "interrupted":
        step.table.release(claim, interrupted(results))
    elif ending == "failed":
        results |= {"Task_1": well(), "Task_3": well()}
        step.table.release(claim, failed(results))
    step.clock.advance(LEASE)
    claim = step.claim("pilot-2")
    not_done = [task.name for task in claim.item.tasks if task.status is not TaskStatus.DONE]
    assert not_done == (["Task_2"] if ending == "failed" else ["Task_1", "Task_2", "Task_3"])
    assert set(claim.item.results) == set(results)

    step.table.finish(claim, done({name: well() for name in not_done}))
    assert step.raw("a")["Nested_Done"] == 4
    assert all(result["Status"] == "done" for result in step.raw("a")["Log"].values())

"""The contract of a workflow table: the same tests for both kinds."""

import json
import multiprocessing
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from pyanamo.aws import make_client
from pyanamo.errors import PyAnamoError, StoreUnavailable, TableNotFound
from pyanamo.model import Claim, Item, ItemState, ItemSummary, TaskStatus
from pyanamo.pilot.shared import ClaimNotes
from pyanamo.tables import Added, Store, WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.tables.size import MAX_KEY_BYTES, item_size
from tests.support import tables
from tests.support.tables import (
    START,
    Clock,
    DynamoDBPlace,
    Place,
    SQLitePlace,
    badly,
    done,
    failed,
    interrupted,
    nested,
    single,
    well,
)

LEASE = 60
STARTED = "2027-01-15T08:00:00Z"  # START
LATER = "2027-01-15T08:00:10Z"  # 10 seconds later
EXPIRED = "2027-01-15T08:01:00Z"  # a lease later

clock, place, sqlite, dynamo = tables.clock, tables.place, tables.sqlite, tables.dynamo


@dataclass(frozen=True)
class Step:
    """A workflow step for a test, as several pilots see it."""

    place: Place
    name: str
    table: WorkflowTable  # of one pilot

    @property
    def clock(self) -> Clock:
        return self.place.clock

    def add(self, *items: Item, replace: bool = False) -> Added:
        return sum(self.table.add(items, replace=replace), Added())

    def claim_if_any(self, pilot: str = "pilot-1", *, max_attempts: int = 3) -> Claim | None:
        """Claim as a pilot that comes new: it has seen nothing of the table yet."""
        table = self.place.open(self.name)
        return table.claim(pilot, lease=LEASE, max_attempts=max_attempts)

    def claim(self, pilot: str = "pilot-1", *, max_attempts: int = 3) -> Claim:
        claim = self.claim_if_any(pilot, max_attempts=max_attempts)
        assert claim is not None, "there is nothing to claim"
        return claim

    def get(self, item_id: str) -> Item:
        item = self.table.get(item_id)
        assert item is not None, f"{item_id} is not there"
        return item

    def raw(self, item_id: str) -> dict[str, Any]:
        return self.place.raw(self.name, item_id)


def make_step(place: Place, name: str) -> Step:
    table = place.open(name)
    table.create()
    return Step(place, name, table)


@pytest.fixture
def step(place: Place, table_name: str) -> Step:
    """A new, empty table."""
    return make_step(place, table_name)


# --- The table itself ---------------------------------------------------------------------------


def test_create_makes_the_table_once_and_keeps_its_items(place: Place, table_name: str) -> None:
    table = place.open(table_name)
    assert table.create() is True
    table.check()
    list(table.add([single("a")]))
    assert table.create() is False
    assert place.open(table_name).create() is False
    item = table.get("a")
    assert item is not None
    assert item.item_id == "a"


DIED = "the worker died while running it (killed by signal 9)"
A_CLAIM = Claim(item=single("a"), token="0123456789abcdef")
VERBS: dict[str, Callable[[WorkflowTable], object]] = {
    "check": lambda table: table.check(),
    "add": lambda table: list(table.add([single("a")])),
    "replace": lambda table: list(table.add([single("a")], replace=True)),
    "claim": lambda table: table.claim("pilot-1", lease=LEASE, max_attempts=3),
    "renew": lambda table: table.renew(A_CLAIM, lease=LEASE),
    "record": lambda table: table.record(A_CLAIM, {"Task_0": well()}),
    "finish": lambda table: table.finish(A_CLAIM, done()),
    "release": lambda table: table.release(A_CLAIM, interrupted()),
    "lose": lambda table: table.lose(A_CLAIM, DIED, max_attempts=3),
    "get": lambda table: table.get("a"),
    "summaries": lambda table: list(table.summaries()),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_table_is_named_with_what_to_do(place: Place, table_name: str, verb: str) -> None:
    place.open(table_name).create()  # another table is there
    table = place.open(table_name + "-missing")
    with pytest.raises(TableNotFound, match=re.escape(f"{table_name}-missing")) as raised:
        VERBS[verb](table)
    message = str(raised.value)
    assert "is not there in " in message
    assert "create it with import-items.py" in message
    assert "\n" not in message
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_file_is_a_missing_table_and_stays_missing(
    sqlite: SQLitePlace, verb: str
) -> None:
    with pytest.raises(TableNotFound, match=re.escape(str(sqlite.file))):
        VERBS[verb](sqlite.open("Step"))
    assert not sqlite.file.exists()


def test_another_programs_file_is_left_alone(sqlite: SQLitePlace) -> None:
    sqlite.execute("CREATE TABLE theirs (x)")
    before = sqlite.file.read_bytes()
    for action in (lambda table: table.create(), *VERBS.values()):
        with pytest.raises(StoreUnavailable, match="another program: name another file"):
            action(sqlite.open("Step"))
    assert sqlite.file.read_bytes() == before


def test_another_programs_table_is_not_filled(dynamo: DynamoDBPlace, table_name: str) -> None:
    dynamo.client.create_table(
        TableName=table_name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "theirs", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "theirs", "KeyType": "HASH"}],
    )
    with pytest.raises(PyAnamoError, match=r"its key is theirs.*name another table"):
        dynamo.open(table_name).create()
    with pytest.raises(TableNotFound, match=table_name):
        dynamo.open(table_name).check()


def test_names_that_need_care(place: Place, table_name: str) -> None:
    """Several tables in one place, each with its own items."""
    unique = table_name[-12:]
    names = [
        f"{unique}." + "x" * (255 - len(unique) - 1),
        f"..{unique}..",
        f"007-{unique}_1.0",
    ]
    if isinstance(place, SQLitePlace):
        names += ["sqlite_sequence", "items", "workflow_tables", "ItemStateIndex"]
        # DynamoDB too has such names, but DynamoDB Local, which keeps tables in SQLite, can't.
        names += [f"sqlite_{unique}", f"Case-{unique}", f"case-{unique}"]
    steps = [make_step(place, name) for name in names]
    for place_in_list, step in enumerate(steps):
        step.add(single("same", script=step.name), single(f"own-{place_in_list}"))
    for place_in_list, step in enumerate(steps):
        assert step.get("same").tasks[0].script == step.name
        own = {summary.item_id for summary in step.table.summaries()}
        assert own == {"same", f"own-{place_in_list}"}
    claims = [steps[0].claim(), steps[0].claim()]
    assert {claim.item.item_id for claim in claims} == {"same", "own-0"}
    assert steps[0].claim_if_any() is None
    assert all(step.get("same").state is ItemState.TODO for step in steps[1:])


def test_a_closed_table_can_be_used_again(step: Step) -> None:
    table = step.place.store.open(step.name)  # with a client of its own
    list(table.add([single("a")]))
    table.close()
    assert table.get("a") is not None
    table.close()


# --- Adding items -------------------------------------------------------------------------------


def test_new_items_wait_to_be_claimed(step: Step) -> None:
    assert step.add(single("a", "seq 8", task_id="sample-1"), nested("b", 2)) == Added(imported=2)
    assert step.get("a") == single("a", "seq 8", task_id="sample-1")
    assert step.get("b") == nested("b", 2)
    assert step.get("b").state is ItemState.TODO
    assert step.table.get("c") is None


def test_items_are_told_of_once_however_many_there_are(step: Step) -> None:
    told = list(step.table.add(single(f"item-{n}") for n in range(60)))
    assert sum(told, Added()) == Added(imported=60)
    assert {summary.item_id for summary in step.table.summaries()} == {
        f"item-{n}" for n in range(60)
    }


def test_items_that_are_there_are_left_alone(step: Step) -> None:
    step.add(single("done"))
    step.table.finish(step.claim(), done())
    step.add(single("failed"))
    step.table.finish(step.claim(), failed())
    step.add(single("locked"))
    step.claim()
    step.add(single("todo"))
    before = {item_id: step.raw(item_id) for item_id in ("done", "failed", "locked", "todo")}
    assert {item_id: raw["ItemState"] for item_id, raw in before.items()} == {
        item_id: item_id for item_id in before
    }

    again = [single(item_id, "another command", task_id="another") for item_id in before]
    assert step.add(*again, single("new")) == Added(imported=1, already_there=4)
    assert {item_id: step.raw(item_id) for item_id in before} == before


def test_replace_overwrites_all_of_an_item(step: Step) -> None:
    step.add(nested("a", 2))
    step.table.finish(step.claim(), failed({"Task_0": well(), "Task_1": badly()}))
    assert step.add(single("a", "seq 9"), single("b"), replace=True) == Added(
        imported=1, replaced=1
    )
    assert step.get("a") == single("a", "seq 9")
    fresh, other = step.raw("a"), step.raw("b")
    assert fresh.keys() == other.keys()  # nothing of its old life is left


def test_replace_leaves_a_locked_item_to_its_pilot(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    before = step.raw("a")
    assert step.add(single("a", "seq 9"), replace=True) == Added(locked=("a",))
    assert step.raw("a") == before
    assert step.table.finish(claim, done()) is True


def test_imports_at_the_same_time_import_each_item_once(step: Step) -> None:
    def run_import(script: str) -> Added:
        table = step.place.open(step.name)
        return sum(table.add([single(f"item-{n}", script) for n in range(100)]), Added())

    with ThreadPoolExecutor(2) as pool:
        added = list(pool.map(run_import, ("seq 1", "seq 2")))
    scripts = [step.get(f"item-{n}").tasks[0].script for n in range(100)]
    assert [told.imported for told in added] == [scripts.count("seq 1"), scripts.count("seq 2")]
    assert sum(added, Added()) == Added(imported=100, already_there=100)


ODD_NAMES = [
    "with spaces",
    " blank at both ends ",
    "a/b\\c",
    "..",
    "'single' \"double\" `back`",
    "100 %; DROP TABLE items; --",
    "$HOME ${HOME} #x :y",
    "tab\tand\nnewline",
    "Größe-試料-🧬",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "007",
    "7",
    "Case",
    "case",
    "é" * (MAX_KEY_BYTES // 2),
    "x" * MAX_KEY_BYTES,
]


def test_items_with_odd_names_live_as_others_do(step: Step) -> None:
    step.add(*(single(name, script=f"echo {name}", task_id=name) for name in ODD_NAMES))
    assert {summary.item_id for summary in step.table.summaries()} == set(ODD_NAMES)
    claims = {}
    while claim := step.claim_if_any("host:1"):
        claims[claim.item.item_id] = claim
    assert set(claims) == set(ODD_NAMES)
    for name, claim in claims.items():
        assert claim.item.task_id == name
        assert claim.item.tasks[0].script == f"echo {name}"
        assert step.table.renew(claim, lease=LEASE) is True
        assert step.table.finish(claim, done({"Task_0": well(stdout=name)})) is True
        assert step.raw(name)["Log"]["stdout"] == name
    assert {summary.item_id for summary in step.table.summaries(ItemState.DONE)} == set(ODD_NAMES)


# --- Claiming -----------------------------------------------------------------------------------


def test_a_claim_sets_every_attribute(step: Step) -> None:
    step.add(single("a", "seq 8"))
    before = step.raw("a")
    claim = step.claim("batch-job:7#2")
    assert step.raw("a") == before | {
        "ItemState": "locked",
        "lockID": claim.token,
        "InstanceID": "batch-job:7#2",
        "Lock_Date": STARTED,
        "Lease_Expires": START + LEASE,
        "Attempts": 1,
    }
    assert re.fullmatch("[0-9a-f]{16}", claim.token)
    assert claim.item == step.get("a")
    assert claim.item.token == claim.token


def test_a_lease_ends_on_a_whole_second_and_never_early(step: Step) -> None:
    step.add(single("a"))
    step.clock.advance(0.25)
    claim = step.claim()
    assert claim.item.lease_expires == START + LEASE + 1
    assert claim.item.lock_date == STARTED


def test_each_item_is_claimed_once_until_there_is_none(step: Step) -> None:
    step.add(*(single(f"item-{n}") for n in range(30)))
    claims = [step.table.claim("pilot-1", lease=LEASE, max_attempts=3) for _ in range(31)]
    assert claims[30] is None
    taken = [claim for claim in claims if claim is not None]
    assert {claim.item.item_id for claim in taken} == {f"item-{n}" for n in range(30)}
    assert len({claim.token for claim in taken}) == 30
    assert step.claim_if_any("pilot-2") is None


def test_nothing_is_claimed_of_an_empty_table(step: Step) -> None:
    assert step.claim_if_any() is None


def test_a_held_item_is_not_claimed(step: Step) -> None:
    step.add(single("a"))
    step.place.set_raw(step.name, "a", "ItemState", "held")
    before = step.raw("a")
    assert step.claim_if_any() is None
    assert step.raw("a") == before
    step.place.set_raw(step.name, "a", "ItemState", "todo")
    assert step.claim().item.item_id == "a"


def test_nested_tasks_come_in_the_order_of_their_numbers(step: Step) -> None:
    step.add(nested("a", 12))
    assert [task.name for task in step.claim().item.tasks] == [f"Task_{n}" for n in range(12)]


def test_waiting_items_go_before_lost_ones(step: Step) -> None:
    step.add(single("lost"))
    step.claim()
    step.clock.advance(LEASE)
    step.add(*(single(f"new-{n}") for n in range(5)))
    claims = [step.claim("pilot-2").item.item_id for _ in range(6)]
    assert claims[5] == "lost"


# --- The end of a claim -------------------------------------------------------------------------

RESULT = well(
    1.5,
    start_date="2027-01-15T08:00:01Z",
    cpu_seconds=0.25,
    max_rss_mb=12.5,
    stdout="out",
    stderr="err",
    stdout_bytes=3000,
    stderr_bytes=3,
    log_uri="s3://bucket/a.log",
    results=("reads: 8", "Größe: 9"),
)
KEPT_RESULT = {
    "Status": "done",
    "Exit_Code": 0,
    "Start_Date": "2027-01-15T08:00:01Z",
    "Run_Seconds": 1.5,
    "CPU_Seconds": 0.25,
    "Max_RSS_MB": 12.5,
    "stdout": "out",
    "stderr": "err",
    "stdout_bytes": 3000,
    "stderr_bytes": 3,
    "Log_URI": "s3://bucket/a.log",
    "Results": ["reads: 8", "Größe: 9"],
}


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
        "Max_RSS_MB": 12.5,
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
        "Task_0": well(1.5, max_rss_mb=10.5),
        "Task_1": badly(4, 2.25, max_rss_mb=99.5),
        "Task_2": badly(5, 4.0, max_rss_mb=20.0),
    }
    assert step.table.finish(step.claim(), failed(results)) is True
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert (raw["Exit_Code"], raw["Reason"]) == (4, "exit code 4")
    assert (raw["Run_Seconds"], raw["Max_RSS_MB"]) == (7.75, 99.5)
    assert (raw["Nested_Tasks"], raw["Nested_Done"]) == (3, 1)
    assert raw["TaskScript"] == {
        "Task_0": {"Script": "seq 0", "Status": "done"},
        "Task_1": {"Script": "seq 1", "Status": "failed"},
        "Task_2": {"Script": "seq 2", "Status": "failed"},
    }
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


def test_record_keeps_nested_results(step: Step) -> None:
    step.add(nested("a", 3))
    claim = step.claim()
    held = step.raw("a")
    first = {"Task_1": RESULT}
    assert step.table.record(claim, first) is True
    assert step.raw("a") == held | {
        "Nested_Done": 1,
        "Log": {"Task_1": KEPT_RESULT},
        "TaskScript": {
            "Task_0": {"Script": "seq 0", "Status": "todo"},
            "Task_1": {"Script": "seq 1", "Status": "done"},
            "Task_2": {"Script": "seq 2", "Status": "todo"},
        },
    }

    assert step.table.record(claim, first | {"Task_0": badly()}) is True
    raw = step.raw("a")
    assert raw["Nested_Done"] == 1
    assert [raw["TaskScript"][f"Task_{n}"]["Status"] for n in range(3)] == [
        "failed",
        "done",
        "todo",
    ]
    assert set(raw["Log"]) == {"Task_0", "Task_1"}


def test_record_of_nothing_changes_nothing(step: Step) -> None:
    step.add(nested("a", 2))
    claim = step.claim()
    before = step.raw("a")
    assert step.table.record(claim, {}) is True
    assert step.raw("a") == before
    step.table.finish(claim, done({"Task_0": well(), "Task_1": well()}))
    assert step.table.record(claim, {}) is False


@pytest.mark.parametrize("ending", ["lost", "interrupted", "failed"])
def test_only_what_is_not_done_is_todo_at_the_next_claim(step: Step, ending: str) -> None:
    step.add(nested("a", 4))
    claim = step.claim()
    results = {"Task_0": well(), "Task_2": badly()}
    step.table.record(claim, results)
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


# --- Leases -------------------------------------------------------------------------------------


def test_a_lease_expires_at_the_exact_second(step: Step) -> None:
    step.add(single("a"))
    lost = step.claim("pilot-1")
    step.clock.advance(LEASE - 1)
    before = step.raw("a")
    assert step.claim_if_any("pilot-2") is None
    step.clock.advance(0.999)
    assert step.claim_if_any("pilot-2") is None
    assert step.raw("a") == before

    step.clock.now = START + LEASE
    claim = step.claim("pilot-2")
    assert claim.token != lost.token
    assert step.raw("a") == before | {
        "lockID": claim.token,
        "InstanceID": "pilot-2",
        "Lock_Date": EXPIRED,
        "Lease_Expires": START + 2 * LEASE,
        "Attempts": 2,
        "History": [
            {
                "Attempt": 1,
                "InstanceID": "pilot-1",
                "Lock_Date": STARTED,
                "End_Date": EXPIRED,
                "Outcome": "lost",
                "Reason": "the lease expired",
                "lockID": lost.token,
                "Times_Lost": 1,
            }
        ],
    }
    assert claim.failures == 0
    assert step.claim_if_any("pilot-3") is None


def test_renew_extends_the_lease(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    before = step.raw("a")
    step.clock.advance(LEASE / 3)
    assert step.table.renew(claim, lease=LEASE) is True
    assert step.raw("a") == before | {"Lease_Expires": START + LEASE // 3 + LEASE}

    step.clock.now = START + LEASE // 3 + LEASE - 1
    assert step.claim_if_any("pilot-2") is None
    step.clock.advance(1)
    assert step.claim("pilot-2").item.item_id == "a"


def test_a_late_renewal_holds_while_nobody_took_the_item(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    step.clock.advance(10 * LEASE)
    assert step.table.renew(claim, lease=LEASE) is True
    assert step.claim_if_any("pilot-2") is None
    assert step.table.finish(claim, done()) is True


def test_a_lost_item_is_found_among_living_ones(step: Step) -> None:
    """Wherever in the index it is."""
    step.add(*(single(f"item-{n}") for n in range(8)))
    claims = [step.claim() for _ in range(8)]
    for lost in claims:
        step.clock.advance(LEASE)
        for claim in claims:
            if claim is not lost:
                assert step.table.renew(claim, lease=LEASE)
        found = step.claim(max_attempts=99)
        assert found.item.item_id == lost.item.item_id
        step.table.finish(found, done())
        claims = [claim for claim in claims if claim is not lost]


def test_an_item_lost_too_often_fails(step: Step) -> None:
    step.add(nested("a", 2))
    tokens = []
    for attempt in (1, 2, 3):
        claim = step.claim(f"pilot-{attempt}", max_attempts=3)
        tokens.append(claim.token)
        step.table.record(claim, {"Task_0": well()})
        step.clock.advance(LEASE)
    assert step.claim_if_any("pilot-4", max_attempts=3) is None
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert raw["Reason"] == "lost 3 times: the pilot died while running it"
    assert raw["Done_Date"] == "2027-01-15T08:03:00Z"
    assert (raw["Attempts"], raw["InstanceID"], raw["Nested_Done"]) == (3, "pilot-3", 1)
    assert not raw.keys() & {"lockID", "Lease_Expires", "Exit_Code"}
    assert [
        (past["Attempt"], past["Outcome"], past["Times_Lost"], past["lockID"])
        for past in raw["History"]
    ] == [(n, "lost", n, tokens[n - 1]) for n in (1, 2, 3)]
    assert step.claim_if_any("pilot-5", max_attempts=99) is None


def test_one_attempt_may_be_all(step: Step) -> None:
    step.add(single("a"))
    step.claim(max_attempts=1)
    step.clock.advance(LEASE)
    assert step.claim_if_any(max_attempts=1) is None
    assert step.get("a").reason == "lost once: the pilot died while running it"


def test_giving_up_one_item_does_not_hide_another(step: Step) -> None:
    step.add(single("doomed"))
    step.claim()
    step.clock.advance(LEASE)
    step.claim()
    step.add(single("fresh"))
    step.claim()
    step.clock.advance(LEASE)
    assert step.claim(max_attempts=2).item.item_id == "fresh"
    assert step.claim_if_any(max_attempts=2) is None
    assert step.get("doomed").state is ItemState.FAILED


def test_only_lost_attempts_count_as_lost(step: Step) -> None:
    step.add(single("a"))
    for outcome in (failed(), interrupted(), failed(), interrupted(), failed()):
        step.table.release(step.claim(max_attempts=2), outcome)
    step.claim(max_attempts=2)
    step.clock.advance(LEASE)
    claim = step.claim(max_attempts=2)
    assert (claim.item.attempts, claim.item.times_lost, claim.failures) == (5, 1, 3)


# --- A worker that died -------------------------------------------------------------------------


def test_lose_writes_every_attribute(step: Step) -> None:
    """Also by somebody who knows no more of the item than its claim."""
    step.add(single("a"))
    step.table.release(step.claim(), failed())
    claim = step.claim("host:1")
    before = step.raw("a")
    step.clock.advance(10)
    assert step.place.open(step.name).lose(as_noted(claim), DIED, max_attempts=2) is True
    (failure,) = before["History"]
    expected = before | {
        "ItemState": "todo",
        "Reason": DIED,
        "History": [
            failure,
            {
                "Attempt": 2,
                "InstanceID": "host:1",
                "Lock_Date": STARTED,
                "End_Date": LATER,
                "Outcome": "lost",
                "Reason": DIED,
                "lockID": claim.token,
                "Times_Lost": 1,
            },
        ],
    }
    for gone in ("lockID", "Lease_Expires", "Exit_Code"):
        del expected[gone]
    assert step.raw("a") == expected

    again = step.claim("pilot-2")
    assert (again.item.attempts, again.item.times_lost, again.failures) == (3, 1, 1)
    assert step.table.finish(again, done()) is True


def as_noted(claim: Claim) -> Claim:
    """A claim as a worker's note has it."""
    notes = ClaimNotes(1)
    notes.write(0, claim)
    noted = notes.take(0)
    assert noted is not None
    return noted


def test_what_was_recorded_stays_when_a_worker_dies(step: Step) -> None:
    step.add(nested("a", 3))
    claim = step.claim()
    step.table.record(claim, {"Task_1": well(stdout="kept"), "Task_2": badly()})
    assert step.table.lose(as_noted(claim), DIED, max_attempts=3) is True
    raw = step.raw("a")
    assert (raw["ItemState"], raw["Nested_Tasks"], raw["Nested_Done"]) == ("todo", 3, 1)
    again = step.claim()
    assert [task.status.value for task in again.item.tasks] == ["todo", "done", "failed"]
    assert again.item.results["Task_1"].stdout == "kept"


def test_an_item_whose_workers_die_too_often_fails(step: Step) -> None:
    """However they were lost: here its lease expires once, too."""
    step.add(single("a"))
    step.claim()
    step.clock.advance(LEASE)
    assert step.table.lose(step.claim(), DIED, max_attempts=3) is True
    last = step.claim("pilot-3")
    step.clock.advance(10)
    assert step.table.lose(as_noted(last), DIED, max_attempts=3) is True
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert raw["Reason"] == f"lost 3 times: {DIED}"
    assert (raw["Attempts"], raw["InstanceID"]) == (3, "pilot-3")
    assert raw["Done_Date"] == "2027-01-15T08:01:10Z"
    assert not raw.keys() & {"lockID", "Lease_Expires", "Exit_Code"}
    assert [(past["Outcome"], past["Times_Lost"], past["Reason"]) for past in raw["History"]] == [
        ("lost", 1, "the lease expired"),
        ("lost", 2, DIED),
        ("lost", 3, DIED),
    ]
    assert step.claim_if_any(max_attempts=99) is None


# --- Who lost a claim ---------------------------------------------------------------------------

WRITES: dict[str, Callable[[WorkflowTable, Claim], bool]] = {
    "renew": lambda table, claim: table.renew(claim, lease=LEASE),
    "record": lambda table, claim: table.record(claim, {"Task_0": well(stdout="stale")}),
    "finish done": lambda table, claim: table.finish(claim, done({"Task_0": well()})),
    "finish failed": lambda table, claim: table.finish(claim, failed({"Task_0": badly()})),
    "release interrupted": lambda table, claim: table.release(claim, interrupted()),
    "release failed": lambda table, claim: table.release(claim, failed({"Task_0": badly()})),
    "lose": lambda table, claim: table.lose(claim, DIED, max_attempts=3),
    "lose for good": lambda table, claim: table.lose(claim, DIED, max_attempts=1),
}


LOSSES = {"lose", "lose for good"}


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_holder_changes_nothing(step: Step, write: str) -> None:
    """Whatever has become of the item since."""
    step.add(nested("a", 1))
    stale = step.claim("pilot-1")
    step.clock.advance(LEASE)
    successor = step.claim("pilot-2")
    fates: list[Callable[[], object]] = [
        lambda: None,  # the successor works on it
        lambda: step.table.release(successor, interrupted()),
        lambda: step.table.finish(step.claim("pilot-3"), done({"Task_0": well()})),
    ]
    for fate in fates:
        fate()
        before = step.raw("a")
        assert WRITES[write](step.place.open(step.name), stale) is False
        assert step.raw("a") == before


@pytest.mark.parametrize("write", WRITES)
def test_who_is_given_up_changes_nothing(step: Step, write: str) -> None:
    step.add(nested("a", 1))
    stale = step.claim()
    step.clock.advance(LEASE)
    assert step.claim_if_any(max_attempts=1) is None
    before = step.raw("a")
    assert before["ItemState"] == "failed"
    assert WRITES[write](step.table, stale) is False
    assert step.raw("a") == before


@pytest.mark.parametrize("write", WRITES)
def test_an_item_that_is_gone_is_not_made_again(step: Step, write: str) -> None:
    step.add(nested("a", 1))
    claim = step.claim()
    step.place.delete_raw(step.name, "a")
    assert WRITES[write](step.table, claim) is False
    assert step.table.get("a") is None


@pytest.mark.parametrize("end", ["finish done", "finish failed", "release interrupted", "lose"])
def test_a_claim_ends_once(step: Step, end: str) -> None:
    """The same end again is well, since it has happened; nothing else is."""
    step.add(nested("a", 1))
    claim = step.claim()
    assert WRITES[end](step.table, claim) is True
    before = step.raw("a")
    step.clock.advance(10)
    for write, call in WRITES.items():
        same_ending = write.split()[-1] == end.split()[-1] or {write, end} <= LOSSES
        assert call(step.table, claim) is same_ending, write
        assert step.raw("a") == before


@pytest.mark.parametrize("max_attempts", [1, 3], ids=["give up", "take over"])
def test_a_renewal_between_look_and_write_wins(
    dynamo: DynamoDBPlace, table_name: str, max_attempts: int
) -> None:
    step = make_step(dynamo, table_name)
    step.add(single("a"))
    claim = step.claim()
    step.clock.advance(LEASE)
    client = make_client("dynamodb", region=None, profile=None, endpoint_url=dynamo.endpoint)
    client.meta.events.register(
        "before-call.dynamodb.UpdateItem",
        lambda **_: step.table.renew(claim, lease=LEASE) and None,
    )
    late = DynamoDBTable(table_name, client=client, clock=step.clock)
    assert late.claim("pilot-2", lease=LEASE, max_attempts=max_attempts) is None
    assert step.get("a").token == claim.token
    assert step.get("a").state is ItemState.LOCKED
    assert step.table.finish(claim, done()) is True


# --- Many at once -------------------------------------------------------------------------------

RACERS, RACED_ITEMS = 16, 200


def race(store: Store, name: str, pilot: str, start: Any, results: Any) -> None:
    """Claim for as long as there is something to claim; what was claimed goes to `results`."""
    table = store.open(name)
    table.check()
    start.wait(60)
    claims: list[tuple[str, str]] = []
    while claim := table.claim(pilot, lease=3600, max_attempts=3):
        claims.append((claim.item.item_id, claim.token))
    table.close()
    results.put((pilot, claims))


def test_of_many_processes_that_race_for_an_item_one_wins(step: Step) -> None:
    items = {f"item-{n}" for n in range(RACED_ITEMS)}
    step.add(*map(single, items))
    # Processes of a server that has the libraries loaded, so that they don't take turns loading.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["boto3", "pyanamo.tables.dynamodb", "pyanamo.tables.sqlite"])
    start, results = processes.Barrier(RACERS), processes.Queue()
    racers = [
        processes.Process(
            target=race, args=(step.place.store, step.name, f"pilot-{n}", start, results)
        )
        for n in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    won = dict(results.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * RACERS

    winners = [
        (item_id, token, pilot) for pilot, claims in won.items() for item_id, token in claims
    ]
    assert len(winners) == RACED_ITEMS
    assert {item_id for item_id, _, _ in winners} == items
    for item_id, token, pilot in winners:
        item = step.get(item_id)
        assert (item.token, item.instance, item.attempts) == (token, pilot, 1)


def test_threads_share_a_table(step: Step) -> None:
    """A worker's lease is renewed by another thread than that which runs the item."""
    step.add(*(nested(f"item-{n}", 1) for n in range(4)))
    claims = [step.claim() for _ in range(4)]
    together = threading.Barrier(4)

    def work(claim: Claim) -> list[bool]:
        together.wait(60)
        answers = []
        for n in range(10):
            answers.append(step.table.renew(claim, lease=LEASE))
            answers.append(step.table.record(claim, {"Task_0": well(float(n))}))
        answers.append(step.table.finish(claim, done({"Task_0": well(10.0)})))
        return answers

    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(work, claims):
            assert answers == [True] * 21
    assert [summary.run_seconds for summary in step.table.summaries(ItemState.DONE)] == [10] * 4


# --- What an overview shows ---------------------------------------------------------------------


def by_name(summaries: Iterable[ItemSummary]) -> list[ItemSummary]:
    return sorted(summaries, key=lambda summary: summary.item_id)


def test_summaries_show_an_item_a_row(step: Step) -> None:
    step.add(single("a"))
    step.table.finish(step.claim(), failed({"Task_0": badly(3, 1.5)}))
    step.clock.advance(10)
    step.add(nested("b", 3))
    step.table.record(step.claim("pilot-2"), {"Task_0": well(), "Task_1": badly()})
    step.add(single("c", task_id="sample-3"))

    ended = ItemSummary(
        item_id="a",
        task_id="group",
        state=ItemState.FAILED,
        instance="pilot-1",
        lock_date=STARTED,
        done_date=STARTED,
        exit_code=3,
        run_seconds=1.5,
    )
    locked = ItemSummary(
        item_id="b",
        task_id="group",
        state=ItemState.LOCKED,
        instance="pilot-2",
        lock_date=LATER,
        nested_tasks=3,
        nested_done=1,
    )
    waiting = ItemSummary(item_id="c", task_id="sample-3", state=ItemState.TODO)
    ended, locked, waiting = (
        replace(row, table=step.table.name) for row in (ended, locked, waiting)
    )
    assert by_name(step.table.summaries()) == [ended, locked, waiting]
    assert list(step.table.summaries(ItemState.LOCKED)) == [locked]
    assert by_name(step.table.summaries(ItemState.TODO, ItemState.FAILED)) == [ended, waiting]
    assert list(step.table.summaries(ItemState.DONE)) == []


def test_summaries_show_held_items(step: Step) -> None:
    step.add(single("a"))
    step.place.set_raw(step.name, "a", "ItemState", "held")
    assert [summary.item_id for summary in step.table.summaries(ItemState.HELD)] == ["a"]


def test_summaries_show_all_of_many(step: Step) -> None:
    """More than a page: of an embedded table 500 rows, of DynamoDB 1 MB."""
    items = {f"{n:04}-" + "x" * 1500 for n in range(1001)}
    step.add(*map(single, items))
    shown = [summary.item_id for summary in step.table.summaries(ItemState.TODO)]
    assert len(shown) == 1001
    assert set(shown) == items


# --- What is kept, for whoever reads the table around the program -------------------------------


def live_a_full_life(step: Step) -> tuple[Claim, Claim]:
    """An item that is locked and one that has failed: together they have every attribute."""
    step.add(single("ended", "seq 8"))
    ended = step.claim()
    step.table.finish(
        ended, failed({"Task_0": badly(3, 1.25, cpu_seconds=0.5, max_rss_mb=2.5, stdout="out")})
    )
    step.add(nested("held", 2))
    held = step.claim()
    step.table.record(held, {"Task_0": well(0.5, cpu_seconds=0.25, max_rss_mb=1.5)})
    return ended, held


def test_both_kinds_keep_the_same_slot(step: Step) -> None:
    """It spreads items over the index: other programs may read an index by it."""
    step.add(single("a"), single("Größe"), single("sample-1"))
    slots = {item_id: step.raw(item_id)["Slot"] for item_id in ("a", "Größe", "sample-1")}
    assert slots == {"a": "ca234c55", "Größe": "b7256ba6", "sample-1": "eb48b58f"}


def test_an_item_as_dynamodb_has_it(dynamo: DynamoDBPlace, table_name: str) -> None:
    step = make_step(dynamo, table_name)
    ended, held = live_a_full_life(step)
    import_ids = [step.raw(item_id)["Import_ID"] for item_id in ("ended", "held")]
    past = {
        "Attempt": {"N": "1"},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "End_Date": {"S": STARTED},
        "Outcome": {"S": "failed"},
        "Reason": {"S": "exit code 3"},
        "lockID": {"S": ended.token},
        "Times_Lost": {"N": "0"},
    }
    assert dynamo.typed(table_name, "ended") == {
        "itemID": {"S": "ended"},
        "TaskID": {"S": "group"},
        "TaskScript": {"S": "seq 8"},
        "ItemState": {"S": "failed"},
        "Slot": {"S": "e1b197c4"},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "Done_Date": {"S": STARTED},
        "Attempts": {"N": "1"},
        "Exit_Code": {"N": "3"},
        "Reason": {"S": "exit code 3"},
        "Run_Seconds": {"N": "1.25"},
        "Max_RSS_MB": {"N": "2.5"},
        "Log": {
            "M": {
                "Status": {"S": "failed"},
                "Exit_Code": {"N": "3"},
                "Reason": {"S": "exit code 3"},
                "Run_Seconds": {"N": "1.25"},
                "CPU_Seconds": {"N": "0.5"},
                "Max_RSS_MB": {"N": "2.5"},
                "stdout": {"S": "out"},
                "stdout_bytes": {"N": "0"},
                "stderr_bytes": {"N": "0"},
            }
        },
        "History": {"L": [{"M": past}]},
        "Import_ID": {"S": import_ids[0]},
    }
    assert dynamo.typed(table_name, "held") == {
        "itemID": {"S": "held"},
        "TaskID": {"S": "group"},
        "TaskScript": {
            "M": {
                "Task_0": {"M": {"Script": {"S": "seq 0"}, "Status": {"S": "done"}}},
                "Task_1": {"M": {"Script": {"S": "seq 1"}, "Status": {"S": "todo"}}},
            }
        },
        "ItemState": {"S": "locked"},
        "Slot": {"S": "e22d07a8"},
        "lockID": {"S": held.token},
        "InstanceID": {"S": "pilot-1"},
        "Lock_Date": {"S": STARTED},
        "Lease_Expires": {"N": str(START + LEASE)},
        "Attempts": {"N": "1"},
        "Nested_Tasks": {"N": "2"},
        "Nested_Done": {"N": "1"},
        "Log": {
            "M": {
                "Task_0": {
                    "M": {
                        "Status": {"S": "done"},
                        "Exit_Code": {"N": "0"},
                        "Run_Seconds": {"N": "0.5"},
                        "CPU_Seconds": {"N": "0.25"},
                        "Max_RSS_MB": {"N": "1.5"},
                        "stdout_bytes": {"N": "0"},
                        "stderr_bytes": {"N": "0"},
                    }
                }
            }
        },
        "Import_ID": {"S": import_ids[1]},
    }


def test_an_item_as_sqlite_has_it(sqlite: SQLitePlace) -> None:
    step = make_step(sqlite, "Step")
    ended, held = live_a_full_life(step)
    columns = sqlite.execute("SELECT name, type FROM pragma_table_info('items')")
    assert {column["name"]: column["type"] for column in columns} == {
        "workflow_table": "TEXT",
        "itemID": "TEXT",
        "TaskID": "TEXT",
        "TaskScript": "TEXT",
        "ItemState": "TEXT",
        "Slot": "TEXT",
        "lockID": "TEXT",
        "InstanceID": "TEXT",
        "Lock_Date": "TEXT",
        "Done_Date": "TEXT",
        "Lease_Expires": "INTEGER",
        "Attempts": "INTEGER",
        "Nested_Tasks": "INTEGER",
        "Nested_Done": "INTEGER",
        "Exit_Code": "INTEGER",
        "Reason": "TEXT",
        "Run_Seconds": "REAL",
        "Max_RSS_MB": "REAL",
        "Log": "TEXT",
        "History": "TEXT",
        "Import_ID": "TEXT",
    }
    assert sqlite.execute("SELECT name FROM workflow_tables") == [{"name": "Step"}]

    first, second = sqlite.execute("SELECT * FROM items ORDER BY itemID")
    (past,) = json.loads(first.pop("History"))
    assert past["lockID"] == ended.token
    assert json.loads(first.pop("Log"))["stdout"] == "out"
    assert first.pop("Import_ID").startswith(STARTED)
    assert first == {
        "workflow_table": "Step",
        "itemID": "ended",
        "TaskID": "group",
        "TaskScript": "seq 8",
        "ItemState": "failed",
        "Slot": "e1b197c4",
        "lockID": None,
        "InstanceID": "pilot-1",
        "Lock_Date": STARTED,
        "Done_Date": STARTED,
        "Lease_Expires": None,
        "Attempts": 1,
        "Nested_Tasks": None,
        "Nested_Done": None,
        "Exit_Code": 3,
        "Reason": "exit code 3",
        "Run_Seconds": 1.25,
        "Max_RSS_MB": 2.5,
    }
    assert json.loads(second["TaskScript"]) == {
        "Task_0": {"Script": "seq 0", "Status": "done"},
        "Task_1": {"Script": "seq 1", "Status": "todo"},
    }
    assert (second["lockID"], second["Lease_Expires"]) == (held.token, START + LEASE)
    assert (second["Nested_Tasks"], second["Nested_Done"], second["History"]) == (2, 1, None)


def test_the_dynamodb_table_as_it_is_made(dynamo: DynamoDBPlace, table_name: str) -> None:
    make_step(dynamo, table_name)
    table = dynamo.client.describe_table(TableName=table_name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [{"AttributeName": "itemID", "KeyType": "HASH"}]
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    assert types == {"itemID": "S", "ItemState": "S", "Slot": "S"}
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "ItemStateIndex"
    assert index["KeySchema"] == [
        {"AttributeName": "ItemState", "KeyType": "HASH"},
        {"AttributeName": "Slot", "KeyType": "RANGE"},
    ]
    assert index["Projection"]["ProjectionType"] == "INCLUDE"
    assert set(index["Projection"]["NonKeyAttributes"]) == {
        "TaskID",
        "InstanceID",
        "Lock_Date",
        "Done_Date",
        "Nested_Tasks",
        "Nested_Done",
        "Exit_Code",
        "Run_Seconds",
    }


# --- What it costs in DynamoDB ------------------------------------------------------------------


@dataclass(frozen=True)
class Metered:
    """A table whose requests are counted, with the units that they consume."""

    table: WorkflowTable
    requests: list[tuple[str, float]]  # the operation, and its units

    def units(self, call: Callable[[], object]) -> Sequence[tuple[str, float]]:
        """The requests of one call."""
        self.requests.clear()
        assert call()
        return tuple(self.requests)


@pytest.fixture
def metered(dynamo: DynamoDBPlace, table_name: str) -> Metered:
    requests: list[tuple[str, float]] = []

    def ask(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"
        return params

    def note(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = cast(dict[str, float], parsed.get("ConsumedCapacity") or {})
        requests.append((model.name, consumed.get("CapacityUnits", 0.0)))

    client = make_client("dynamodb", region=None, profile=None, endpoint_url=dynamo.endpoint)
    client.meta.events.register("provide-client-params.dynamodb.*", ask)
    client.meta.events.register("after-call.dynamodb.*", note)
    table = DynamoDBTable(table_name, client=client, clock=dynamo.clock)
    table.create()
    return Metered(table, requests)


def test_what_the_writes_of_an_item_cost(
    metered: Metered, dynamo: DynamoDBPlace, table_name: str
) -> None:
    table = metered.table
    list(table.add([single("a", "x" * 420)]))
    list(table.summaries())
    claims: list[Claim] = []

    def claim() -> bool:
        claimed = table.claim("pilot-1", lease=LEASE, max_attempts=3)
        claims.extend([claimed] if claimed else [])
        return claimed is not None

    assert [cost for cost in metered.units(claim) if cost[0] != "Query"] == [("UpdateItem", 3)]
    dynamo.clock.advance(LEASE / 3)
    assert metered.units(lambda: table.renew(claims[0], lease=LEASE)) == (("UpdateItem", 1),)
    assert metered.units(lambda: table.finish(claims[0], done({"Task_0": RESULT}))) == (
        ("UpdateItem", 3),
    )
    assert 900 < item_size(dynamo.raw(table_name, "a")) <= 1024  # what the figures are for


def test_to_lose_an_item_costs_one_write(metered: Metered) -> None:
    list(metered.table.add([single("a", "x" * 420)]))
    claim = metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
    assert claim is not None
    assert metered.units(lambda: metered.table.lose(claim, DIED, max_attempts=3)) == (
        ("UpdateItem", 3),
    )


def test_a_query_serves_ten_claims(metered: Metered) -> None:
    list(metered.table.add(single(f"item-{n}") for n in range(300)))
    metered.requests.clear()
    for _ in range(100):
        assert metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
    operations = [operation for operation, _ in metered.requests]
    assert operations.count("UpdateItem") == 100
    assert operations.count("Query") <= 10
    assert set(operations) == {"UpdateItem", "Query"}


def test_an_empty_table_costs_few_requests(metered: Metered) -> None:
    """Whether it never had items, or they are all done."""
    for _ in range(2):
        metered.requests.clear()
        assert metered.table.claim("pilot-1", lease=LEASE, max_attempts=3) is None
        assert len(metered.requests) <= 4
        assert {operation for operation, _ in metered.requests} == {"Query"}
        list(metered.table.add([single("a")]))
        claim = metered.table.claim("pilot-1", lease=LEASE, max_attempts=3)
        if claim is not None:
            metered.table.finish(claim, done())

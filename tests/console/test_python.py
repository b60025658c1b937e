"""A workflow in Python, as in a notebook: the docstrings' examples, and what it adds and starts."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pyanamo
from pyanamo import Item, ItemState, Selection, TaskFileError, UsageError, Workflow
from pyanamo.batch.submission import Submitted
from pyanamo.errors import PyAnamoError
from pyanamo.tables import Added, transitions
from pyanamo.workflow.steps import Steps
from tests.support.fake_batch import FakeBatch
from tests.support.makers import add, badly, claimed, done, ended, failed, nested, single, well
from tests.support.operator import Operator
from tests.support.submitter import Submitter, fill

# --- Examples -----------------------------------------------------------------------------------

FINDER = doctest.DocTestFinder(recurse=True)
EXAMPLES = {
    test.name: test
    for documented in (Steps, Workflow, Selection, Item)
    for test in FINDER.find(documented)
    if test.examples
}
OF_DYNAMODB = {"Steps.submit", "Steps.capacity"}


def run(test: doctest.DocTest, **names: object) -> None:
    """Run an example, which has these names besides those of `pyanamo`."""
    test.globs = {name: getattr(pyanamo, name) for name in pyanamo.__all__} | names
    test.globs["Path"] = Path
    told: list[str] = []
    results = doctest.DocTestRunner().run(test, out=told.append)
    assert results.attempted
    assert not results.failed, "".join(told)


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workflow]:
    """Two steps in the folder's pyanamo.db, with items in every state."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("S1_align\nS2_align\n")
    with Workflow("Align", "Call", local="pyanamo.db") as steps:
        steps.create()
        align, call = steps._tables
        well_done = well(stdout="aligned S1\n", stdout_bytes=11)
        ended(align, single("S1_align", "align S1", task_id="S1"), done({"Task_0": well_done}))
        ended(align, single("S2_align", "align S2", task_id="S2"), failed({"Task_0": badly()}))
        claimed(align, single("S5_align", task_id="S5"), lease=-60)
        add(align, single("S4_align", task_id="S4"), single("S3_align", task_id="S3"))
        align.amend("S4_align", transitions.held)
        add(call, nested("S1_call", 3, task_id="S1"))
        yield steps


@pytest.mark.parametrize("name", sorted({*EXAMPLES} - OF_DYNAMODB))
def test_an_example(steps: Workflow, name: str) -> None:
    run(EXAMPLES[name], steps=steps)


@pytest.mark.parametrize("name", sorted(OF_DYNAMODB))
def test_an_example_that_needs_aws(
    submitter: Submitter, batch: FakeBatch, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable, value in submitter.operator.environment.items():
        monkeypatch.setenv(variable, value)
    fill(submitter, todo=3)
    with Workflow(submitter.table) as steps:
        run(EXAMPLES[name], steps=steps)


def test_every_method_has_an_example() -> None:
    methods = {
        method.__qualname__
        for kind in (Steps, Workflow)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert methods - {*EXAMPLES} == {"Steps.close"}


# --- Items --------------------------------------------------------------------------------------


def test_adding_items(either: Operator) -> None:
    with either.workflow() as steps:
        first = [Item.new("a", "S1", "seq 3"), Item.new("b", "S1", ["seq 1", "date +%s"])]
        assert steps.add(first) == Added(imported=2)
        assert steps.add(iter(first)) == Added(already_there=2)
        text = "TaskID|itemID|TaskScript|TaskArgs\nS2|c|seq|1,2\nS2|d|echo x|\n"
        assert steps.add(text) == Added(imported=2)
        assert steps.add(text.splitlines(keepends=True), replace=True) == Added(replaced=2)
        assert steps.add(
            ["itemID;TaskID;TaskScript;TaskArgs", "e;S3;seq;1+2"],
            delimiter=";",
            nested_delimiter="+",
        ) == Added(imported=1)
        scripts = {item.item_id: [task.script for task in item.tasks] for item in steps.export()}
    assert scripts == {
        "a": ["seq 3"],
        "b": ["seq 1", "date +%s"],
        "c": ["seq 1", "seq 2"],
        "d": ["echo x"],
        "e": ["seq 1", "seq 2"],
    }


def test_items_of_another_table_are_new_ones(shelf: Operator) -> None:
    with shelf.workflow() as steps, Workflow("Again", local=shelf.store.local) as again:
        assert again.add(steps.export()).imported == 9
        assert {row.state for row in again.items()} == {ItemState.TODO}
        assert again.show("parts").nested_done == 0


NOT_TO_BE_ADDED: dict[str, tuple[list[Item], str]] = {
    "no name": ([Item.new("", "S1", "true")], "items:1: an empty itemID: expected a unique name"),
    "blanks": ([Item.new(" a", "S1", "true")], "items:1: itemID ' a' has blanks around it, or"),
    "a control": ([Item.new("a", "S\x07", "true")], "items:1: TaskID 'S\\x07' has blanks"),
    "twice": ([Item.new("a", "S", "true")] * 2, "items:2: itemID 'a' is there twice: expected"),
    "a long name": ([Item.new("x" * 2049, "S", "true")], "has 2049 bytes: expected at most 2048"),
    "no command": ([Item.new("a", "S", " ")], "items:1: ' ' can't be run: it is empty"),
    "no tasks": ([Item.new("a", "S", [])], "items:1: item 'a' has 0 tasks: expected 1, or a nest"),
    "an open quote": ([Item.new("a", "S", ["true", "'"])], "can't be run: "),
    "bytes": ([Item.new("a", "S", "true \udcff")], "'true \\udcff' can't be written as UTF-8"),
    "large": ([Item.new("a", "S", ["true"] * 2000)], "expected at most 409,600, DynamoDB's limit"),
}


@pytest.mark.parametrize("kind", NOT_TO_BE_ADDED)
def test_a_mistake_adds_nothing(embedded: Operator, kind: str) -> None:
    items, message = NOT_TO_BE_ADDED[kind]
    with embedded.workflow() as steps:
        with pytest.raises(TaskFileError) as refused:
            steps.add([Item.new("fine", "S", "true"), *items][::-1])
        assert message in str(refused.value)
        steps.create()
        assert list(steps.items()) == []


def test_a_mistake_in_lines(embedded: Operator) -> None:
    with embedded.workflow() as steps, pytest.raises(TaskFileError) as refused:
        steps.add(["itemID|TaskID|TaskScript", "a|S1"])
    assert str(refused.value).startswith("task file:2: 'a|S1' has 2 fields: expected 3")


def test_which_table(embedded: Operator) -> None:
    with Workflow("Align", "Call", local=embedded.store.local) as steps:
        for table in (None, "Merge"):
            with pytest.raises(UsageError, match="give one of the workflow's tables: Align, Call"):
                steps.add([], table=table)
        assert steps.add([Item.new("a", "S1", "true")], table="Call").imported == 1
        assert Workflow.tables(local=embedded.store.local) == ["Call"]


# --- Pilots -------------------------------------------------------------------------------------


def test_submitting_as_many_as_find_work(submitter: Submitter, batch: FakeBatch) -> None:
    fill(submitter, todo=5, lost=2, busy=3)
    jobs = submitted(submitter, items=2, wall_time=7200, flags=["--retries", "1"])
    assert [job.pilots for job in jobs] == batch.sizes == [4]
    (request,) = batch.jobs.values()
    assert [job.job_id for job in jobs] == [*batch.jobs]
    overrides = request["containerOverrides"]
    assert overrides["command"] == ["-", "--spot-notice", "--retries", "1"]
    told = {entry["name"]: entry["value"] for entry in overrides["environment"]}
    assert (told["PYANAMO_ITEMS"], told["PYANAMO_WALL_TIME"]) == ("2", "7200")
    assert [job.pilots for job in submitted(submitter, most=3)] == [3]
    assert [job.pilots for job in submitted(submitter, pilots=20_001)] == [6667] * 3


def test_jobs_before_one_that_is_refused_are_named(submitter: Submitter, batch: FakeBatch) -> None:
    batch.refuse = lambda count: "too many jobs" if count == 2 else ""
    with pytest.raises(PyAnamoError) as refused:
        submitted(submitter, pilots=20_000)
    (job_id,) = batch.jobs
    assert str(refused.value).endswith(f"too many jobs; submitted before: {job_id}")


def test_no_pilots_for_a_table_in_a_file(shelf: Operator) -> None:
    with shelf.workflow() as steps:
        with pytest.raises(UsageError, match="which pilots in AWS Batch can't read"):
            steps.submit(queue="Q", job_definition="D")
        with pytest.raises(UsageError, match="an embedded table has no capacity"):
            steps.capacity()


def submitted(submitter: Submitter, **settings: object) -> list[Submitted]:
    """Submit pilots."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in submitter.operator.environment.items():
            patch.setenv(variable, value)
        with Workflow(submitter.table) as steps:
            submit: Callable[..., list[Submitted]] = steps.submit
            return submit(queue="Q", job_definition="D", **settings)

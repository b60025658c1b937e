"""Which sample is in which step, computed from rows of the index."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyanamo.errors import UsageError
from pyanamo.model import ItemState, ItemSummary
from pyanamo.workflow.samples import (
    NO_ITEMS,
    Filter,
    Place,
    Sample,
    Samples,
    Stage,
    cell_of,
    natural_key,
    place_of,
    samples_of,
    summary_of_samples,
)
from pyanamo.workflow.status import status_of
from tests.support.rows import DONE, FAILED, HELD, LOCKED, NOW, TODO, any_rows, row

# --- Cells --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([row(LOCKED)], "locked"),
        ([row(DONE)], "done"),
        ([row(LOCKED, nested=(22, 18))], "18/22 locked"),
        ([row(DONE, nested=(1, 1))], "1/1 done"),
        ([row(DONE), row(DONE)], "2/2 done"),
        ([row(DONE), row(HELD)], "1/2 held"),
        ([row(HELD), row(TODO)], "0/2 todo"),
        ([row(TODO), row(LOCKED)], "0/2 locked"),
        ([row(LOCKED), row(FAILED, nested=(3, 2)), row(DONE)], "3/5 failed"),
    ],
)
def test_text_of_a_cell(rows: list[ItemSummary], text: str) -> None:
    assert sum(map(cell_of, rows), NO_ITEMS).text == text


@given(any_rows(), any_rows(), any_rows())
def test_cells_add_up(a: ItemSummary, b: ItemSummary, c: ItemSummary) -> None:
    one, two, three = map(cell_of, (a, b, c))
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + NO_ITEMS == one == NO_ITEMS + one


# --- Samples ------------------------------------------------------------------------------------


def matrix(**columns: list[ItemSummary]) -> Samples:
    return samples_of({step: iter(rows) for step, rows in columns.items()})


def test_the_matrix() -> None:
    samples = matrix(
        Map=[row(DONE, task_id="S10"), row(DONE, task_id="S2"), row(FAILED, task_id="S1")],
        Call=[row(LOCKED, task_id="S2", nested=(22, 18)), row(TODO, task_id="S10")],
    )
    assert samples.steps == ("Map", "Call")
    shown = {
        sample.task_id: [sample.cell(step).text for step in samples.steps]
        for sample in samples.rows
    }
    assert shown == {"S1": ["failed", ""], "S2": ["done", "18/22 locked"], "S10": ["done", "todo"]}
    assert [sample.task_id for sample in samples.rows] == ["S1", "S2", "S10"]


def test_names_sort_naturally() -> None:
    names = ["", "1", "02", "2", "10", "S", "S1", "S1a", "S2", "S10", "S10_2", "S10_10", "T"]
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == names
    assert natural_key("S" + "9" * 10_000) < natural_key("S1" + "0" * 10_000)


@given(st.lists(st.text("aB1029_ é", max_size=6), unique=True))
def test_different_names_have_an_order(names: list[str]) -> None:
    assert len(set(map(natural_key, names))) == len(names)
    assert sorted(map(natural_key, names)) == [
        natural_key(n) for n in sorted(names, key=natural_key)
    ]


@given(st.lists(any_rows()), st.lists(any_rows()))
def test_no_item_is_lost_in_the_matrix(one: list[ItemSummary], other: list[ItemSummary]) -> None:
    samples = matrix(One=one, Other=other)
    for step, rows in (("One", one), ("Other", other)):
        status = status_of(step, rows, NOW)
        cells = [sample.cell(step) for sample in samples.rows]
        assert sum(cell.items for cell in cells) == len(rows)
        assert sum(cell.tasks for cell in cells) == status.tasks
        assert sum(cell.tasks_done for cell in cells) == status.tasks_done
    summary = summary_of_samples(samples)
    groups = (summary.in_step, summary.stuck)
    placed = sum(sum(group.values()) for group in groups)
    assert summary.finished + summary.not_begun + placed == summary.samples == len(samples.rows)
    for state in (*ItemState, None):
        for step in samples.steps:
            wanted = Filter(step=step, state=state)
            assert all(sample.cell(step).state is state for sample in samples.where([wanted]).rows)
    for step, stuck in summary.stuck.items():
        assert len(samples.where([Filter(step=step, stuck=True)]).rows) == stuck


def test_filters() -> None:
    samples = matrix(
        Map=[row(DONE, task_id="S1"), row(DONE, task_id="S2"), row(FAILED, task_id="S3")],
        Call=[row(FAILED, task_id="S1"), row(TODO, task_id="S1")],
    )

    def found(*texts: str) -> list[str]:
        filters = [Filter.parse(text, samples.steps) for text in texts]
        return [sample.task_id for sample in samples.where(filters).rows]

    assert found() == ["S1", "S2", "S3"]
    assert found("Map=done") == ["S1", "S2"]
    assert found("Map=done", "Call=failed") == ["S1"]
    assert found("Call=todo") == []
    assert found("Call=") == ["S2", "S3"]
    assert found("Map=done", "Map=failed") == []
    assert found("Map=stuck") == ["S3"]
    assert found("Call=stuck") == []  # an item of S1 goes on


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failed", "'failed' is not a filter: expected STEP=STATE, for example Map=failed"),
        ("Cal=failed", "'Cal' in 'Cal=failed' is not a step: expected Map, Call"),
        ("Map=bad", "expected todo, locked, done, failed, held, stuck, or nothing"),
    ],
)
def test_a_filter_that_means_nothing(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        Filter.parse(text, ("Map", "Call"))
    assert says in str(raised.value)


# --- Summary ------------------------------------------------------------------------------------

IN_CALL = Place(stage=Stage.IN_STEP, step="Call")
NOT_BEGUN = Place(stage=Stage.NOT_BEGUN, step="Map")
FINISHED = Place(stage=Stage.FINISHED, step=None)


def stuck(step: str) -> Place:
    return Place(stage=Stage.STUCK, step=step)


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ({"Map": [TODO]}, NOT_BEGUN),
        ({"Map": [TODO], "Call": [TODO]}, NOT_BEGUN),
        ({"Map": [LOCKED]}, Place(stage=Stage.IN_STEP, step="Map")),
        ({"Map": [DONE, TODO]}, Place(stage=Stage.IN_STEP, step="Map")),
        ({"Map": [DONE], "Call": [TODO]}, IN_CALL),
        ({"Map": [DONE]}, IN_CALL),  # it waits for being imported there
        ({"Map": [DONE], "Call": [FAILED, LOCKED]}, IN_CALL),
        ({"Map": [DONE], "Call": [FAILED, DONE]}, stuck("Call")),
        ({"Map": [HELD]}, stuck("Map")),
        ({"Map": [FAILED], "Call": [DONE], "Join": [LOCKED]}, stuck("Map")),
        ({"Map": [DONE], "Call": [DONE], "Join": [DONE]}, FINISHED),
        ({"Map": [DONE], "Join": [DONE]}, FINISHED),  # it skips Call
        ({"Join": [DONE]}, FINISHED),
        ({"Call": [TODO]}, Place(stage=Stage.NOT_BEGUN, step="Call")),
    ],
)
def test_place_of_a_sample(cells: dict[str, list[ItemState]], place: Place) -> None:
    summed: dict[str, Any] = {
        step: sum((cell_of(row(state)) for state in states), NO_ITEMS)
        for step, states in cells.items()
    }
    assert place_of(Sample(task_id="S", cells=summed), ("Map", "Call", "Join")) == place


def test_a_nested_item_that_was_given_back_is_begun() -> None:
    samples = matrix(Map=[row(TODO, nested=(9, 4))])
    assert summary_of_samples(samples).in_step == {"Map": 1}


def test_summary_counts_samples() -> None:
    samples = matrix(
        Map=[row(state, task_id=f"S{n}") for n, state in enumerate([DONE, DONE, FAILED, TODO])],
        Call=[row(DONE, task_id="S0"), row(LOCKED, task_id="S1")],
    )
    summary = summary_of_samples(samples)
    assert (summary.samples, summary.finished, summary.not_begun) == (4, 1, 1)
    assert summary.in_step == {"Map": 0, "Call": 1}
    assert summary.stuck == {"Map": 1, "Call": 0}

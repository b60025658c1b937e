"""How far a workflow is, computed from rows of the index."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyanamo.errors import UsageError
from pyanamo.model import ItemState, ItemSummary, utc_date
from pyanamo.progress import (
    NO_ITEMS,
    Filter,
    Place,
    Remaining,
    Sample,
    Samples,
    Stage,
    cell_of,
    natural_key,
    place_of,
    samples_of,
    status_of,
    summary_of_samples,
)

NOW = 1_800_000_000.0
MINUTE, HOUR = 60.0, 3600.0
TODO, LOCKED, DONE, FAILED, HELD = ItemState

ids = iter(range(10**9))


def ago(seconds: float | None) -> str:
    return "" if seconds is None else utc_date(NOW - seconds)


def row(
    state: ItemState,
    *,
    task_id: str = "Sample1",
    locked: float | None = None,
    ended: float | None = None,
    nested: tuple[int, int] | None = None,
    run_seconds: float | None = None,
) -> ItemSummary:
    """A row of the index; `locked` and `ended` are seconds ago, `nested` is tasks and done."""
    return ItemSummary(
        item_id=f"item{next(ids)}",
        task_id=task_id,
        state=state,
        lock_date=ago(locked),
        done_date=ago(ended),
        nested_tasks=nested[0] if nested else None,
        nested_done=nested[1] if nested else None,
        run_seconds=run_seconds,
    )


def remaining_of(*rows: ItemSummary) -> Remaining | None:
    return status_of("Table", iter(rows), NOW).remaining


def per_hour_of(*rows: ItemSummary) -> float | None:
    return status_of("Table", iter(rows), NOW).per_hour


@st.composite
def any_rows(draw: st.DrawFn) -> ItemSummary:
    state = draw(st.sampled_from(ItemState))
    tasks = draw(st.integers(1, 30))
    age = st.none() | st.floats(-100, 10 * 24 * HOUR)
    return row(
        state,
        task_id=draw(st.sampled_from(["", "Sample2", "Sample10", "sample2"])),
        locked=draw(age),
        ended=draw(age),
        nested=draw(st.none() | st.integers(0, tasks).map(lambda done: (tasks, done))),
        run_seconds=draw(st.none() | st.floats(0, 1000)),
    )


# --- Status -------------------------------------------------------------------------------------


def test_items_and_tasks_are_counted() -> None:
    rows = [
        row(TODO),
        row(TODO, nested=(10, 4)),
        row(LOCKED, nested=(10, 5)),
        row(DONE),
        row(DONE, nested=(10, 10)),
        row(FAILED),
        row(FAILED, nested=(10, 7)),
        row(HELD, nested=(10, 1)),
    ]
    status = status_of("Table", iter(rows), NOW)
    assert status.table == "Table"
    assert status.items == {TODO: 2, LOCKED: 1, DONE: 2, FAILED: 2, HELD: 1}
    assert (status.total, status.tasks, status.tasks_done) == (8, 53, 28)
    assert status.tasks_left == 1 + 6 + 5


def test_an_empty_table_is_finished() -> None:
    status = status_of("Table", [], NOW)
    assert (status.total, status.tasks, status.per_hour) == (0, 0, None)
    assert status.remaining == Remaining(low=0, high=0)


@given(st.lists(any_rows()))
def test_status_makes_sense_of_any_rows(rows: list[ItemSummary]) -> None:
    status = status_of("Table", iter(rows), NOW)
    assert status.items == {state: Counter(r.state for r in rows)[state] for state in ItemState}
    assert 0 <= status.tasks_done <= status.tasks
    assert 0 <= status.tasks_left <= status.tasks - status.tasks_done
    assert status.per_hour is None or 0 < status.per_hour < math.inf
    if status.remaining is not None:
        assert 0 <= status.remaining.low <= status.remaining.high < math.inf
        assert (status.remaining.high == 0) == (status.tasks_left == 0)


@given(st.lists(any_rows()), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[ItemSummary], rng: random.Random) -> None:
    one = status_of("Table", rows, NOW)
    rng.shuffle(rows)
    other = status_of("Table", rows, NOW)
    assert other.per_hour == pytest.approx(one.per_hour)
    assert (other.remaining is None) == (one.remaining is None)
    assert other.items == one.items


def steady_run(
    pilots: int, seconds: float, done: int, todo: int, *, stopped: float = 0.0
) -> Iterator[ItemSummary]:
    """Single items that take so long each, worked through without a pause."""
    for number in range(done):
        end = stopped + (number / pilots) * seconds
        yield row(DONE, locked=end + seconds, ended=end)
    for number in range(pilots):
        yield row(LOCKED, locked=stopped + number / pilots * seconds)
    for _ in range(todo):
        yield row(TODO)


@pytest.mark.parametrize(
    ("pilots", "seconds", "done"),
    [(1, 2, 1000), (4, 30, 500), (100, 300, 2000), (10, HOUR, 100), (10, 3 * HOUR, 40)],
)
def test_a_steady_run_ends_within_the_range(pilots: int, seconds: float, done: int) -> None:
    todo = 5 * pilots
    rows = list(steady_run(pilots, seconds, done, todo))
    pace = per_hour_of(*rows)
    assert pace == pytest.approx(pilots * HOUR / seconds, rel=0.35)
    remaining = remaining_of(*rows)
    assert remaining is not None
    truth = todo / pilots * seconds + seconds / 2  # those that are locked are half way through
    assert remaining.low <= truth <= remaining.high
    assert remaining.high <= 6 * truth


@settings(derandomize=True)  # chance may be against us, but not today rather than yesterday
@given(st.integers(1, 20), st.integers(0, 300), st.integers(0, 2**32))
def test_a_random_run_ends_within_the_range(pilots: int, todo: int, seed: int) -> None:
    """A run with random lengths, simulated; looked at after 300 items."""
    rng = random.Random(seed)
    free = [0.0] * pilots
    spans = []
    for _ in range(300 + pilots + todo):
        start = min(free)
        end = start + rng.uniform(10, 90)
        free[free.index(start)] = end
        spans.append((start, end))
    seen = sorted(end for _, end in spans)[299]
    rows = [
        row(DONE, locked=seen - start, ended=seen - end)
        if end <= seen
        else row(LOCKED, locked=seen - start)
        if start <= seen
        else row(TODO)
        for start, end in spans
    ]
    remaining = remaining_of(*rows)
    assert remaining is not None
    truth = max(free) - seen
    assert remaining.low <= truth <= remaining.high


def test_the_pace_is_that_of_the_last_while() -> None:
    slow = [row(DONE, locked=MINUTE * (n + 20), ended=MINUTE * (n + 15)) for n in range(40)]
    fast = [row(DONE, locked=n + 11, ended=n + 1) for n in range(500)]
    assert per_hour_of(*slow, *fast, row(LOCKED, locked=5)) == pytest.approx(3600, rel=0.05)


def test_a_change_of_pace_widens_the_range() -> None:
    todo = [row(TODO) for _ in range(1000)]
    steady = [row(DONE, locked=n + 10, ended=n) for n in range(3600)]
    slower = [*steady[:600:10], *steady[600:]]
    narrow = remaining_of(row(LOCKED, locked=5), *todo, *steady)
    wide = remaining_of(row(LOCKED, locked=5), *todo, *slower)
    assert narrow is not None
    assert wide is not None
    assert narrow.high / narrow.low < 1.3
    assert wide.high / wide.low > 5


def test_a_night_without_pilots_does_not_count() -> None:
    yesterday = [row(DONE, locked=20 * HOUR + n, ended=20 * HOUR - n) for n in range(100)]
    today = [row(DONE, locked=121 - n, ended=120 - n) for n in range(120)]
    assert per_hour_of(*yesterday, *today, row(LOCKED, locked=1)) == pytest.approx(3600, rel=0.05)


def test_tasks_of_nested_items_count_evenly_over_their_attempt() -> None:
    ended = row(DONE, locked=HOUR + 5 * MINUTE, ended=5 * MINUTE, nested=(60, 60))
    # 5 of its tasks ended within the last 10 minutes.
    assert per_hour_of(ended) == pytest.approx(30)
    going_on = row(LOCKED, locked=HOUR, nested=(120, 60))
    remaining = remaining_of(going_on)
    assert remaining is not None
    assert remaining.low < HOUR < remaining.high
    assert per_hour_of(going_on) == pytest.approx(60)


def test_tasks_of_an_earlier_attempt_are_no_pace() -> None:
    going_on = row(LOCKED, locked=MINUTE, nested=(120, 60), run_seconds=1000)
    assert per_hour_of(going_on) is None
    assert remaining_of(going_on) is None


def ended_rows(count: int, *, last: float = 1.0) -> list[ItemSummary]:
    return [row(DONE, locked=last + n + 10, ended=last + n) for n in range(count)]


def test_unknown_when_too_few_ended() -> None:
    rows = [row(TODO), row(LOCKED, locked=5)]
    assert remaining_of(*rows, *ended_rows(4)) is None
    assert per_hour_of(*rows, *ended_rows(4)) is None
    assert remaining_of(*rows, *ended_rows(5)) is not None


def test_unknown_when_nobody_works() -> None:
    assert remaining_of(row(TODO), *ended_rows(50)) is None
    assert remaining_of(row(HELD), *ended_rows(50)) == Remaining(low=0, high=0)


def test_unknown_after_a_long_silence() -> None:
    rows = [row(TODO), row(LOCKED, locked=300)]
    assert remaining_of(*rows, *ended_rows(50, last=300)) is None
    assert per_hour_of(*rows, *ended_rows(50, last=300)) is None
    # Where items take an hour, five minutes are no silence; nor if one has just been claimed.
    slow = [row(DONE, locked=HOUR + 300 + n, ended=300 + n) for n in range(50)]
    assert remaining_of(*rows, *slow) is not None
    assert remaining_of(*rows, row(LOCKED, locked=5), *ended_rows(50, last=300)) is not None


def test_unknown_a_day_later() -> None:
    rows = [row(TODO), row(LOCKED, locked=5)]
    assert remaining_of(*rows, *ended_rows(50, last=25 * HOUR)) is None


def test_held_items_are_not_waited_for() -> None:
    rows = [row(TODO), row(LOCKED, locked=5), *ended_rows(50)]
    assert remaining_of(*rows, *(row(HELD, nested=(900, 0)) for _ in range(9))) == remaining_of(
        *rows
    )


def test_failed_items_end_too() -> None:
    failed = [row(FAILED, locked=n + 10, ended=n) for n in range(50)]
    assert remaining_of(row(TODO), row(LOCKED, locked=5), *failed) is not None


def test_the_last_item_may_take_the_longest() -> None:
    long = row(DONE, locked=HOUR, ended=10)
    remaining = remaining_of(row(LOCKED, locked=5), long, *ended_rows(500))
    assert remaining is not None
    assert remaining.high > HOUR - 10


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failed", "'failed' is no filter: expected STEP=STATE, Map=failed, say"),
        ("Cal=failed", "'Cal' in 'Cal=failed' is no step: expected Map, Call"),
        ("Map=bad", "expected todo, locked, done, failed, held, or nothing"),
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

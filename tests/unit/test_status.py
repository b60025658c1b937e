"""A table's status, how fast it goes and what remains, computed from rows of the index."""

import math
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyanamo.model import ItemState, ItemSummary
from pyanamo.workflow.pace import Remaining
from pyanamo.workflow.status import progress_of, status_of
from tests.support.rows import DONE, FAILED, HELD, HOUR, LOCKED, MINUTE, NOW, TODO, any_rows, row


def remaining_of(*rows: ItemSummary) -> Remaining | None:
    return status_of("Table", iter(rows), NOW).remaining


def per_hour_of(*rows: ItemSummary) -> float | None:
    return status_of("Table", iter(rows), NOW).per_hour


# --- Counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "tasks", "progress"),
    [
        (0, 1, "0"),
        (0, 1000, "0"),
        (1, 1000, "1-25"),
        (25, 100, "1-25"),
        (1, 4, "1-25"),
        (251, 1000, "26-75"),
        (3, 4, "26-75"),
        (751, 1000, "76-99"),
        (999, 1000, "76-99"),
        (1000, 1000, "100"),
        (1, 1, "100"),
        (2, 1, "100"),  # somebody else wrote the counts
    ],
)
def test_how_far_an_item_is(done: int, tasks: int, progress: str) -> None:
    assert progress_of(done, tasks) == progress


def test_items_are_counted_by_how_far_they_are() -> None:
    rows = [row(TODO), row(LOCKED, nested=(8, 1)), row(DONE, nested=(8, 8)), row(FAILED)]
    progress = status_of("Table", iter(rows), NOW).progress
    assert progress == {"0": 2, "1-25": 1, "26-75": 0, "76-99": 0, "100": 1}


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
def test_a_random_run_ends_near_the_range(pilots: int, todo: int, seed: int) -> None:
    """A run with random lengths, simulated; looked at after 300 items.

    Off by a half and by the longest item at most: two rates tell no more about chance.
    """
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
    assert remaining.low / 1.5 - 90 <= truth <= 1.5 * remaining.high + 90


def test_the_rate_is_that_of_the_last_minutes() -> None:
    slow = [row(DONE, locked=MINUTE * (n + 20), ended=MINUTE * (n + 15)) for n in range(40)]
    fast = [row(DONE, locked=n + 11, ended=n + 1) for n in range(500)]
    assert per_hour_of(*slow, *fast, row(LOCKED, locked=5)) == pytest.approx(3600, rel=0.05)


def test_a_change_of_the_rate_widens_the_range() -> None:
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
    assert remaining.low < HOUR == pytest.approx(remaining.high)
    assert per_hour_of(going_on) == pytest.approx(60)


def test_tasks_of_an_earlier_attempt_do_not_count() -> None:
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
    # Five minutes are not long if items take an hour, or if one has just been claimed.
    slow = [row(DONE, locked=HOUR + 300 + n, ended=300 + n) for n in range(50)]
    assert remaining_of(*rows, *slow) is not None
    assert remaining_of(*rows, row(LOCKED, locked=5), *ended_rows(50, last=300)) is not None
    moments = [row(DONE, locked=300, ended=300) for _ in range(50)]  # less than a second each
    assert remaining_of(*rows, *moments) is None


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

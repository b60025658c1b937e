"""How many pilots are wanted, how they make arrays, and what their job is called."""

from __future__ import annotations

import pytest

from pyanamo.batch.submission import Left, array_sizes, job_name_of


@pytest.mark.parametrize(
    ("pilots", "sizes"),
    [
        (0, []),
        (1, [1]),
        (2, [2]),
        (10_000, [10_000]),
        (10_001, [5_001, 5_000]),
        (10_002, [5_001, 5_001]),
        (20_001, [6_667, 6_667, 6_667]),
        (25_000, [8_334, 8_333, 8_333]),
        (1_000_000, [10_000] * 100),
    ],
)
def test_arrays(pilots: int, sizes: list[int]) -> None:
    assert array_sizes(pilots) == sizes


def test_every_split_is_one_that_batch_takes() -> None:
    for pilots in (*range(2, 200), *range(9_990, 10_010), *range(19_990, 20_010), 999_999):
        sizes = array_sizes(pilots)
        assert sum(sizes) == pilots
        assert all(2 <= size <= 10_000 for size in sizes)
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("items", "pilots"), [(1, 9), (4, 3), (9, 1), (10, 1)])
def test_pilots_for_what_waits_and_what_is_lost(items: int, pilots: int) -> None:
    assert Left(todo=7, lost=2, busy=100).pilots(items) == pilots
    assert Left(todo=0, lost=0, busy=100).pilots(items) == 0


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("Align", "Align"),
        ("My_Step-2", "My_Step-2"),
        ("cohort.2026.call", "cohort-2026-call"),
        ("__call", "call"),
        (".-_", "pilots"),
        ("a" * 255, "a" * 128),
    ],
)
def test_a_jobs_name_comes_from_the_tables(table: str, name: str) -> None:
    assert job_name_of(table) == name

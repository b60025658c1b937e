"""Several things at a time."""

import threading
from collections.abc import Iterator

import pytest

from pyanamo.parallel import in_turns
from tests.support.waiting import wait_until


def test_streams_of_any_length_take_turns() -> None:
    streams = map(iter, (["a1", "a2", "a3"], [], ["b1"], ["c1", "c2"]))
    assert list(in_turns(streams, 4)) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert list(in_turns([], 1)) == []


def test_a_stream_is_one_result_ahead() -> None:
    taken = []

    def stream() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_turns([stream()], 1)
    assert [next(results), next(results)] == [0, 1]
    wait_until(lambda: taken == [0, 1, 2], "the next one is read ahead")
    results.close()  # type: ignore[attr-defined]
    assert taken == [0, 1, 2]


def test_streams_are_read_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def stream() -> Iterator[int]:
        yield together.wait(30)

    assert sorted(in_turns([stream(), stream(), stream()], 3)) == [0, 1, 2]


def test_an_error_comes_where_the_result_would() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    results = in_turns([broken(), iter([2])], 2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(results)

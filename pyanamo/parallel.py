"""Call a function for many things, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def several_at_a_time(act: Callable[[T], R], things: Iterable[T], count: int) -> Iterator[R]:
    """Call `act` for each thing, in `count` threads; yield the results in the order of the things.

    At most `2 * count` things are taken before their results are, so memory is bounded. If the
    caller stops taking results, calls that have not begun are dropped.
    """
    with ThreadPoolExecutor(count) as pool:
        running: deque[Future[R]] = deque()
        try:
            for thing in things:
                running.append(pool.submit(act, thing))
                if len(running) >= 2 * count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

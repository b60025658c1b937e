"""Do the same for many things, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def several_at_a_time(act: Callable[[T], R], things: Iterable[T], count: int) -> Iterator[R]:
    """Act on things in `count` threads; the results, in the order of the things.

    Only a few things are taken ahead of the results, so that memory is bounded. When the results
    are no longer wanted, what hasn't begun is not done.
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

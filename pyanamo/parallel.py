"""Do several things at a time, with bounded memory."""

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


def in_turns(streams: Iterable[Iterator[R]], count: int) -> Iterator[R]:
    """Yield the first result of each of `count` streams, then the second of each, and so on.

    Each stream has its thread, which is at most one result ahead, so memory is bounded. If the
    caller stops taking results, the streams are read no further.
    """
    with ThreadPoolExecutor(count) as pool:
        running = deque((stream, pool.submit(_next, stream)) for stream in streams)
        try:
            while running:
                stream, future = running.popleft()
                for result in future.result():
                    running.append((stream, pool.submit(_next, stream)))
                    yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _next(stream: Iterator[R]) -> tuple[R, ...]:
    """Return the next result, or nothing at the end."""
    for result in stream:
        return (result,)
    return ()

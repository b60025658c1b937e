"""Wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

SECONDS = 30.0
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """Wait until the condition is true, and return its value. `what` describes the condition.

    Fails after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{seconds:g} s later still not: {what}")
        time.sleep(0.01)
    return value

"""A halt for what waits for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyanamo.signals import Halt


@pytest.fixture
def halt() -> Iterator[Halt]:
    """A reason to stop that isn't there yet."""
    halt = Halt()
    yield halt
    halt.close()

"""Fixtures for unit tests: a halt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyanamo.signals import Halt


@pytest.fixture
def halt() -> Iterator[Halt]:
    """A halt that isn't set."""
    halt = Halt()
    yield halt
    halt.close()

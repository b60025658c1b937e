"""Fixtures for rounds of chaos: what makes a place for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.place import Place


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.services)])
def new_place(
    request: pytest.FixtureRequest, tmp_path: Path, table_name: str
) -> Callable[[int], Place]:
    """Makes a place for a round, with either kind of table: the test runs once for each."""
    endpoint = request.getfixturevalue("dynamodb") if request.param == "remote" else None

    def make(number: int) -> Place:
        folder = tmp_path / str(number)
        folder.mkdir()
        if endpoint is None:
            return Place.in_file(folder)
        return Place.at(endpoint, folder, f"{table_name}-{number}"[-255:])

    return make

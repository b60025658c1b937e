"""Both kinds of table, with a clock that the test turns."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.step import Step, make_step
from tests.support.tables import KINDS, Clock, DynamoDBPlace, Place, SQLitePlace, make_place


@pytest.fixture
def clock() -> Clock:
    """Of all tables of the test."""
    return Clock()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Place]:
    """Where the tables are: the test runs once for each kind."""
    made = make_place(request, clock, request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def sqlite(clock: Clock, tmp_path: Path) -> Iterator[SQLitePlace]:
    """A place of this kind, for what only it has."""
    made = SQLitePlace(clock, tmp_path / "tables.db")
    yield made
    made.close()


@pytest.fixture
def dynamo(clock: Clock, dynamodb: str) -> Iterator[DynamoDBPlace]:
    """A place of this kind, for what only it has."""
    made = DynamoDBPlace(clock, dynamodb)
    yield made
    made.close()


@pytest.fixture
def step(place: Place, table_name: str) -> Step:
    """A new, empty table."""
    return make_step(place, table_name)

"""Fixtures for tests of tables: both backends, with a clock that the test sets."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import botocore.endpoint
import pytest

from pyanamo import aws
from tests.support.backends import Backend, Clock, DynamoDBBackend, SQLiteBackend
from tests.support.lossy import READ_SECONDS
from tests.support.step import Step, make_step


@pytest.fixture
def clock() -> Clock:
    """The clock of all tables of the test."""
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.services)])
def backend(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Backend]:
    """Either backend: the test runs once for each."""
    made: Backend
    if request.param == "sqlite":
        made = SQLiteBackend(clock, tmp_path / "tables.db")
    else:
        made = DynamoDBBackend(clock, request.getfixturevalue("dynamodb"))
    yield made
    made.close()


@pytest.fixture
def sqlite(clock: Clock, tmp_path: Path) -> Iterator[SQLiteBackend]:
    """SQLite, for tests of what DynamoDB doesn't have."""
    made = SQLiteBackend(clock, tmp_path / "tables.db")
    yield made
    made.close()


@pytest.fixture
def dynamo(clock: Clock, dynamodb: str) -> Iterator[DynamoDBBackend]:
    """DynamoDB, for tests of what SQLite doesn't have."""
    made = DynamoDBBackend(clock, dynamodb)
    yield made
    made.close()


@pytest.fixture
def step(backend: Backend, table_name: str) -> Step:
    """A new, empty table."""
    return make_step(backend, table_name)


@pytest.fixture
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits seconds before it tries again: here a hundredth of that."""
    patient = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr(botocore.endpoint, "time", patient)


@pytest.fixture
def _short_read_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "READ_SECONDS", READ_SECONDS)


@pytest.fixture
def _sdk_that_gives_up(monkeypatch: pytest.MonkeyPatch, _impatient_sdk: None) -> None:
    """The SDK tries twice, instead of ten times."""
    monkeypatch.setattr(aws, "ATTEMPTS", 2)

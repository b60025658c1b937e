"""Operators, with a table that isn't there yet, or with one that has items in every state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyanamo.account import Account
from pyanamo.tables import Store
from tests.support.cli import Place
from tests.support.fake_batch import FakeBatch
from tests.support.importing import FIVE, at, local, written
from tests.support.moto_server import batch_queue
from tests.support.operator import Operator, fill, new_operator
from tests.support.submitter import Submitter

KINDS = ["embedded", "dynamodb"]


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest, tmp_path: Path, table_name: str) -> Operator:
    """An operator with either kind of table, which isn't there yet."""
    return new_operator(request.param, tmp_path, table_name, request)


@pytest.fixture
def embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Operator:
    """An operator with an embedded table, which isn't there yet."""
    return new_operator("embedded", tmp_path, "Align", request)


@pytest.fixture
def stocked(either: Operator) -> Operator:
    """The same with items in every state."""
    fill(either)
    return either


@pytest.fixture
def shelf(embedded: Operator) -> Operator:
    """The same for what needs one kind only."""
    fill(embedded)
    return embedded


@pytest.fixture(params=["local", "dynamodb"])
def place(request: pytest.FixtureRequest) -> Place:
    """A table of either kind, which isn't there yet."""
    chosen: Place = request.getfixturevalue(f"{request.param}_place")
    return chosen


@pytest.fixture
def local_place(tmp_path: Path, table_name: str) -> Place:
    return local(table_name, tmp_path / "tables.db")


@pytest.fixture
def dynamodb_place(dynamodb: str, table_name: str) -> Place:
    return at(dynamodb, table_name)


@pytest.fixture
def five(tmp_path: Path) -> Path:
    return written(tmp_path / "five.txt", FIVE)


@pytest.fixture(scope="module")
def queue(moto: str) -> Iterator[str]:
    """A queue, and the job definition of its name."""
    with batch_queue(moto) as name:
        yield name


@pytest.fixture
def batch(submitter: Submitter) -> Iterator[FakeBatch]:
    """A Batch of the submitter's own."""
    with FakeBatch() as batch:
        submitter.tells("AWS_ENDPOINT_URL_BATCH", batch.url)
        yield batch


@pytest.fixture
def submitter(table_name: str, dynamodb: str, moto: str, queue: str) -> Submitter:
    """Somebody with an empty table."""
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb, "AWS_ENDPOINT_URL_BATCH": moto}
    store = Store(account=Account(endpoint_url=dynamodb))
    operator = Operator(store=store, table=table_name, environment=environment)
    table = operator.opened()
    table.create()
    table.close()
    return Submitter(operator, queue, moto)

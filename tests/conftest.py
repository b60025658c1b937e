"""What every test gets: an environment of its own.

For those that ask: DynamoDB Local, and moto for the rest of AWS, each started once; and places.
"""

import functools
import os
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.dynamodb_fetch import DynamoDBLocalError
from tests.support.dynamodb_local import DynamoDBLocal
from tests.support.faulty_proxy import FaultyProxy
from tests.support.moto_server import running_moto
from tests.support.place import Place, cleaned_up

# How long an example takes says more about the machine's other work than about the code.
hypothesis.settings.register_profile("pyanamo", deadline=None)
hypothesis.settings.load_profile("pyanamo")

# A shell has its background jobs ignore it, and all that they start: a pilot too, until it has a
# handler of its own.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# --- The environment ----------------------------------------------------------------------------

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws/credentials",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


def _isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own AWS and PyAnamo settings reaches the tests."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PYANAMO_")) or name == "PIPELINE":
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _isolated_session() -> Iterator[None]:
    """For the fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _isolate(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _isolated_environment(_isolated_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each test, whatever the test before it left behind."""
    _isolate(monkeypatch)


# --- DynamoDB Local -----------------------------------------------------------------------------
#
# One server serves the whole run. Without pytest-xdist, the first test that needs it starts it.
# With it, the controller does before it starts the workers, and tells each of them the endpoint.

_server = DynamoDBLocal()


@functools.cache
def _start_server() -> dict[str, str]:
    """The server's endpoint, or why there is none."""
    try:
        _server.start()
    except DynamoDBLocalError as error:
        return {"error": str(error)}
    return {"endpoint": _server.endpoint}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["dynamodb"] = _start_server()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server of any kind, for those who have none."""
    for item in items:
        if {"dynamodb", "moto"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


def pytest_unconfigure() -> None:
    _server.stop()


@pytest.fixture(scope="session")
def dynamodb(pytestconfig: pytest.Config) -> str:
    """The endpoint URL of a running DynamoDB Local, which all tests share."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    server: dict[str, str] = workerinput["dynamodb"] if workerinput else _start_server()
    if "error" in server:
        pytest.fail(server["error"], pytrace=False)
    return server["endpoint"]


@pytest.fixture
def proxy(dynamodb: str) -> Iterator[FaultyProxy]:
    """A proxy in front of it, for tests that count requests or have some go wrong."""
    with FaultyProxy(dynamodb) as running:
        yield running


@pytest.fixture
def table_name(request: pytest.FixtureRequest) -> str:
    """A valid name for a DynamoDB table that no other test uses, in this run or another."""
    test = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)
    return f"{test[:200]}-{uuid.uuid4().hex[:12]}"


# --- Places with a table ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a place, in one for what a test has beside it."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def local(folder: Path) -> Iterator[Place]:
    """A place with an embedded table, for what has nothing to do with the table's kind."""
    with cleaned_up(Place.in_file(folder)) as place:
        yield place


@pytest.fixture
def remote(folder: Path, table_name: str, dynamodb: str) -> Iterator[Place]:
    """A place with a table of DynamoDB."""
    with cleaned_up(Place.at(dynamodb, folder, table_name)) as place:
        yield place


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest) -> Place:
    """A place with each kind of table: the test runs once for each."""
    chosen: Place = request.getfixturevalue(request.param)
    return chosen


# --- Moto: AWS as far as tests need it ---------------------------------------------------------


@pytest.fixture(scope="session")
def moto(_isolated_session: None) -> Iterator[str]:
    """The URL of a server that plays AWS, which the tests of this process share."""
    with running_moto() as endpoint:
        yield endpoint

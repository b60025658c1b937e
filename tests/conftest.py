"""Fixtures for all tests: an isolated environment, the servers, and places with a table."""

import functools
import os
import re
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import tools
from tests.support.dynamodb_fetch import DynamoDBLocalError
from tests.support.dynamodb_local import DynamoDBLocal
from tests.support.faulty_proxy import FaultyProxy
from tests.support.locales import make_latin_1
from tests.support.moto_server import running_moto
from tests.support.place import Place, cleaned_up
from tests.support.service_models import keep_service_models

# The time that an example takes depends on what else the machine does.
hypothesis.settings.register_profile("pyanamo", deadline=None)
hypothesis.settings.load_profile("pyanamo")

# A background job of a shell ignores SIGINT, and one of nohup SIGHUP. So does every process that it
# starts, but pilots in tests must get these signals.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The tests start thousands of processes: Python mustn't compile PyAnamo for each of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The tests make thousands of clients too.
keep_service_models()

# As make has it: tools that this machine lacks were installed there.
os.environ["PATH"] = os.pathsep.join((str(tools.BIN), os.environ["PATH"]))

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
    """Replace the developer's own settings of AWS and PyAnamo, and have output buffered."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PYANAMO_")) or name in ("PIPELINE", "PYTHONUNBUFFERED"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _isolated_session() -> Iterator[None]:
    """Isolate the fixtures that live longer than a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _isolate(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _isolated_environment(_isolated_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate each test, also from the tests before it."""
    _isolate(monkeypatch)


# --- DynamoDB Local -----------------------------------------------------------------------------
#
# One server serves the whole run. Without pytest-xdist, the first test that needs the server starts
# it. With pytest-xdist, the controller starts it before the workers, and gives them the endpoint.

WITHOUT_SERVICES = "not services"  # pytest's -m in `make check`

_server = DynamoDBLocal()


@functools.cache
def _start_server() -> dict[str, str]:
    """Start the server once; return its endpoint, or the error."""
    try:
        _server.start()
    except DynamoDBLocalError as error:
        return {"error": str(error)}
    return {"endpoint": _server.endpoint}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    if node.config.option.markexpr != WITHOUT_SERVICES:
        node.workerinput["dynamodb"] = _start_server()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need DynamoDB Local or moto, so that `make check` can leave them out.

    The folders with the longest tests come first, so that no long test is the last one to run.
    """
    items.sort(key=lambda item: item.path.parent.name not in ("slow", "use_cases"))
    for item in items:
        if {"dynamodb", "moto"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


def pytest_unconfigure() -> None:
    _server.stop()


@pytest.fixture(scope="session")
def dynamodb(pytestconfig: pytest.Config) -> str:
    """The endpoint URL of DynamoDB Local. All tests share it."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    server: dict[str, str] = workerinput["dynamodb"] if workerinput else _start_server()
    if "error" in server:
        pytest.fail(server["error"], pytrace=False)
    return server["endpoint"]


@pytest.fixture
def proxy(dynamodb: str) -> Iterator[FaultyProxy]:
    """A proxy for DynamoDB Local that counts requests, and can make them fail."""
    with FaultyProxy(dynamodb) as running:
        yield running


@pytest.fixture
def table_name(request: pytest.FixtureRequest) -> str:
    """A name for a DynamoDB table that no other test uses, in this run or another."""
    test = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)
    return f"{test[:200]}-{uuid.uuid4().hex[:12]}"


# --- Places with a table ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a place, inside `tmp_path`: tests can put files next to it."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def local(folder: Path) -> Iterator[Place]:
    """A place with an embedded table, for tests of what doesn't depend on the kind of table."""
    with cleaned_up(Place.in_file(folder)) as place:
        yield place


@pytest.fixture
def remote(folder: Path, table_name: str, dynamodb: str) -> Iterator[Place]:
    """A place with a table in DynamoDB."""
    with cleaned_up(Place.at(dynamodb, folder, table_name)) as place:
        yield place


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest) -> Place:
    """A place with either kind of table: the test runs once for each."""
    chosen: Place = request.getfixturevalue(request.param)
    return chosen


# --- Locales ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a program whose locale has ISO 8859-1 instead of UTF-8."""
    return make_latin_1(tmp_path_factory.mktemp("locales"))


# --- Moto, which plays the rest of AWS ----------------------------------------------------------


@pytest.fixture(scope="session")
def moto(_isolated_session: None) -> Iterator[str]:
    """The URL of a moto server. The tests of this process share it."""
    with running_moto() as endpoint:
        yield endpoint

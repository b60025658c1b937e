"""What answers at the address of DynamoDB is something else: one line says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pyanamo.account import Account
from pyanamo.errors import StoreUnavailable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from tests.support.commands import COMMANDS
from tests.support.faulty_proxy import FaultyProxy, Instead
from tests.support.http_server import Answer, LocalServer, Request
from tests.support.makers import claimed, done, interrupted, single
from tests.support.operator import Operator
from tests.support.place import cleaned_up
from tests.support.programs import Finished

LOGIN = b"<html>\n<head><title>Log in to the guest network</title></head>\n</html>"
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/x-amz-json-1.0"}

ANSWERS = {
    "a login page": Answer(200, LOGIN, HTML),
    "an empty object": Answer(200, b"{}", JSON),
    "nothing": Answer(200, b""),
    "no content": Answer(204),
    "cut short": Answer(200, b'{"Items": [{"itemID": {"S"', JSON),
    "a list": Answer(200, b"[1, 2]", JSON),
    "null": Answer(200, b"null", JSON),
    "text": Answer(200, b'"Items"', JSON),
    "no text": Answer(200, b"\xff\xfe\x00", JSON),
    "a list for an object": Answer(200, b'{"Items": 1, "Table": [], "Responses": 7}', JSON),
    "a redirect": Answer(302, b"", {"Location": "https://login.example/"}),
    "a page for an error": Answer(403, LOGIN, HTML),
    "a list for an error": Answer(400, b"[]", JSON),
    "a proxy's error": Answer(407, b"", {"Proxy-Authenticate": "Basic"}),
    "a server's error": Answer(500, LOGIN, HTML),
    "no gateway": Answer(502, b""),
}


class Stranger(LocalServer):
    """A server that answers all with the same."""

    def __init__(self) -> None:
        super().__init__()
        self.same = Answer(200)

    def answer(self, request: Request) -> Answer:
        """Answer."""
        return self.same


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        yield server


@pytest.fixture
def misled(stranger: Stranger, tmp_path: Path) -> Iterator[Operator]:
    """An operator who is led there."""
    with cleaned_up(Operator.at(stranger.url, tmp_path, "Step")) as operator:
        yield operator


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyanamo.aws.ATTEMPTS", 1)


def assert_told(told: Finished, stranger: Stranger) -> None:
    assert (told.code, told.stdout) == (1, "")
    assert "Traceback" not in told.stderr
    assert told.stderr.startswith(f"the answer from {stranger.url} is not DynamoDB's (")
    assert "check the address" in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("name", ["status", "show", "export", "capacity", "create"])
def test_a_command_says_what_answers(
    misled: Operator, stranger: Stranger, name: str, what: str
) -> None:
    stranger.same = ANSWERS[what]
    assert_told(misled.types(name, *COMMANDS.get(name, ())), stranger)


@pytest.mark.parametrize("what", ANSWERS)
def test_an_import_says_what_answers(
    misled: Operator, stranger: Stranger, five: Path, what: str
) -> None:
    stranger.same = ANSWERS[what]
    assert_told(misled.imports("-i", five), stranger)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_meets_a_login_page(misled: Operator, stranger: Stranger, name: str) -> None:
    stranger.same = ANSWERS["a login page"]
    assert_told(misled.types(name, *COMMANDS[name]), stranger)


@pytest.mark.parametrize("what", ["a login page", "an empty object", "nothing"])
def test_a_pilot_says_what_answers(misled: Operator, stranger: Stranger, what: str) -> None:
    stranger.same = ANSWERS[what]
    ended = misled.run("-i", "2")
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"the answer from {stranger.url} is not DynamoDB's (status 200: ")


@pytest.mark.parametrize("what", ANSWERS)
def test_no_verb_believes_what_answers(proxy: FaultyProxy, table_name: str, what: str) -> None:
    """An empty answer would mean that a write was made."""
    with closing(DynamoDBTable(table_name, account=Account(endpoint_url=proxy.url))) as table:
        table.create()
        claim = claimed(table, single("a"))
        table.add([single("b")])
        proxy.decide = lambda *_: Instead(ANSWERS[what])
        for verb in (
            lambda: table.claim("pilot-2", lease=60, max_attempts=3),
            lambda: table.renew(claim, lease=60),
            lambda: table.renew(claim, lease=60, results={}),
            lambda: table.finish(claim, done()),
            lambda: table.release(claim, interrupted()),
            lambda: table.lose(claim, "it died", max_attempts=3),
            lambda: table.add([single("c")]),
            lambda: table.add([single("c")], replace=True),
            lambda: table.get("a"),
            lambda: list(table.items()),
            lambda: list(table.summaries()),
            table.check,
            table.create,
            table.drop,
        ):
            with pytest.raises(StoreUnavailable, match="is not DynamoDB"):
                verb()

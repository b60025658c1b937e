"""Credentials that fail for some seconds in the middle of a run: an outage like any other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyanamo.model import Ending, ItemState
from tests.support.credentials import TROUBLES, CredentialProcess
from tests.support.faulty_proxy import Action, Fault, FaultyProxy, Instead, error_answer
from tests.support.http_server import Answer
from tests.support.pilots import Ended, PilotProcess, endings
from tests.support.place import Place
from tests.support.waiting import wait_until


@pytest.fixture
def credentials(
    remote: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CredentialProcess:
    """Credentials of the pilots, but not of the test."""
    made = CredentialProcess.in_folder(tmp_path)
    remote.environment |= {**made.environment, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    return made


SHORT = 12  # items


def start(place: Place) -> PilotProcess:
    """A pilot that works on items that end in an outage, and on one that outlives it."""
    place.script("note.sh", "echo $id >> ran; sleep 0.3")
    place.script("long.sh", "echo $id >> ran; wait_for others-ran")
    place.fill({"long": "./long.sh"})
    pilot = place.start("-i", "3", "--lease", "10s", "--idle", "2s")
    wait_until(lambda: len(place.lines("ran")) == 1, "the long one runs")
    place.fill({f"item{n:02}": "./note.sh" for n in range(SHORT)})
    wait_until(lambda: len(place.lines("ran")) >= 3, "others have run")
    return pilot


def wait_for_outage(pilot: PilotProcess) -> None:
    """Wait until the long item wasn't renewed, and the others weren't claimed or recorded."""
    wait_until(
        lambda: re.search("WARNING itemID=long .*lease not renewed: ", pilot.stderr),
        "the long item's lease was due",
    )
    wait_until(
        lambda: re.search("no item claimed, trying again: |not recorded yet: ", pilot.stderr),
        "the other workers met the outage",
    )


def finish(place: Place, pilot: PilotProcess) -> Ended:
    """Wait for the pilot's end, and check that it has done everything."""
    wait_until(lambda: len(place.lines("ran")) == SHORT + 1, "all have run")
    place.touch("others-ran")
    ended = pilot.wait()
    assert_all_went_well(place, ended)
    return ended


def assert_all_went_well(place: Place, ended: Ended) -> None:
    assert ended.code == 0, ended.stderr
    assert ended.counts["lost"] == 0, ended.stderr
    assert ended.counts == {"done": SHORT + 1, "failed": 0, "released": 0, "lost": 0}
    assert "Traceback" not in ended.stderr
    assert ended.error_lines == []
    assert len(place.lines("ran")) == SHORT + 1
    for item in place.items().values():
        assert (item.state, item.attempts, endings(item)) == (ItemState.DONE, 1, [Ending.DONE])
    assert list(place.folder.glob("pyanamo-unrecorded-*")) == []


@pytest.mark.parametrize("trouble", [*TROUBLES, "missing"])
def test_a_process_that_gives_none_for_a_while(
    remote: Place, credentials: CredentialProcess, trouble: str
) -> None:
    pilot = start(remote)
    with credentials.broken(trouble):
        wait_for_outage(pilot)
    ended = finish(remote, pilot)
    assert "lease not renewed: no AWS credentials: " in ended.stderr
    assert "no item claimed, trying again: no AWS credentials: " in ended.stderr or (
        "not recorded yet: no AWS credentials: " in ended.stderr
    )


@pytest.mark.parametrize("trouble", [*TROUBLES, "missing"])
def test_a_process_that_gives_none_at_the_start(
    remote: Place, credentials: CredentialProcess, trouble: str
) -> None:
    remote.fill({"item": "true"})
    with credentials.broken(trouble):
        ended = remote.run()
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("no AWS credentials: ")


REFUSALS = [
    error_answer(400, "UnrecognizedClientException"),
    error_answer(400, "ExpiredTokenException"),
    error_answer(400, "AccessDeniedException"),
    error_answer(400, "InvalidSignatureException"),
    Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}),
    Answer(200, b"{}"),
    Answer(200, b""),
    Answer(200, b'{"Attributes": {"itemID'),
    Answer(302, b"", {"Location": "https://login.example/"}),
    Answer(403, b"<html>no</html>"),
]
Decide = Callable[[str, Any, int], Action]


def always(action: Action) -> Decide:
    return lambda *_: action


@pytest.mark.parametrize("answer", REFUSALS, ids=str)
def test_a_refusal_in_the_middle_of_a_run_is_an_outage(
    remote: Place, proxy: FaultyProxy, answer: Answer
) -> None:
    """So is an answer that isn't DynamoDB's."""
    remote.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
    pilot = start(remote)
    proxy.decide = always(Instead(answer))
    wait_for_outage(pilot)
    proxy.decide = always(Fault.NONE)
    ended = finish(remote, pilot)
    assert re.search(r"WARNING itemID=long .*lease not renewed: ", ended.stderr)


@pytest.mark.parametrize("answer", REFUSALS[:4], ids=str)
@pytest.mark.parametrize("operation", ["Query", "UpdateItem"])
def test_a_refusal_at_the_start_ends_the_pilot(
    remote: Place, proxy: FaultyProxy, operation: str, answer: Answer
) -> None:
    """Also one of the first claim: a pilot that may not write needn't wait for a lease."""
    remote.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
    remote.fill({"item": "true"})
    proxy.decide = lambda asked, *_: Instead(answer) if asked == operation else Fault.NONE
    ended = remote.run("-i", "2")
    assert ended.code == 1
    assert ended.seconds < 20
    (line,) = ended.error_lines
    assert f"access denied to {operation}" in line


def test_a_worker_that_gives_up_is_told_at_once(remote: Place, proxy: FaultyProxy) -> None:
    """Once its lease is over, the refusal is final: the pilot ends, and says why."""
    remote.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
    remote.fill({"first": "true", "second": "true"})
    refusal = Instead(error_answer(400, "UnrecognizedClientException"))

    def decide(operation: str, body: Any, count: int) -> Action:
        return refusal if operation == "UpdateItem" and count > 2 else Fault.NONE

    proxy.decide = decide
    ended = remote.run("--lease", "10s")
    assert ended.code == 1
    assert ended.counts["done"] == 1
    (line,) = ended.error_lines
    assert "(UnrecognizedClientException)" in line
    assert f"worker 0 can't continue: {line}" in ended.stderr
    assert 10 <= ended.seconds < 40

"""A machine that is to be taken away."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyanamo.model import ItemState
from pyanamo.pilot.spot import SpotNotice
from tests.support.hanging import assert_given_back
from tests.support.place import Place
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED


class InstanceMetadata(ThreadingHTTPServer):
    """The instance metadata service, as far as a Spot machine's notice goes (IMDSv2)."""

    notice: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AnswerMetadata)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked = threading.Event()  # with a token, for the notice


class _AnswerMetadata(BaseHTTPRequestHandler):
    server: InstanceMetadata

    def do_PUT(self) -> None:
        has_ttl = "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self._answer(200 if self.path == "/latest/api/token" and has_ttl else 400, "the-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "the-token":
            self._answer(401, "")
        elif self.path != "/latest/meta-data/spot/instance-action" or not self.server.notice:
            self.server.asked.set()
            self._answer(404, "")
        else:
            self._answer(200, self.server.notice)

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def instance_metadata() -> Iterator[InstanceMetadata]:
    with InstanceMetadata() as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


def test_a_spot_notice(local: Place) -> None:
    """Nothing more is claimed; 30 s before the machine goes, what runs is given back."""
    local.script("long.sh", "echo $PYANAMO_ITEM_ID >> ran; wait_for go-$PYANAMO_ITEM_ID")
    local.fill({"one": "./long.sh", "two": "./long.sh", "three": "./long.sh"})
    with instance_metadata() as service:
        local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service.url
        pilot = local.start("-i", "2", "--spot-notice")
        wait_until(lambda: len(local.lines("ran")) == 2, "two items run")
        wait_until(service.asked.is_set, "it has asked in vain")
        goes_at = time.time() + 37
        date = datetime.fromtimestamp(goes_at, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        service.notice = json.dumps({"action": "terminate", "time": date})
        pilot.wait_for_log("will be taken away")
        first, second = local.lines("ran")
        local.touch(f"go-{first}")
        local.wait_for_state(first, DONE)
        ended = pilot.wait(30)

    assert goes_at - 32 < time.time() < goes_at - 25
    assert ended.code == 0
    assert ended.counts == {"done": 1, "failed": 0, "released": 1, "lost": 0}
    assert_given_back(local, second, reason="this machine will be taken away")
    (third,) = {"one", "two", "three"} - {first, second}
    assert (local.item(third).state, local.item(third).history) == (TODO, ())


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_spot_notice_in_aws_batch(local: Place, is_taken: bool) -> None:
    """Batch must see the machine go: a pilot that ended before would be a job that has ended."""
    local.script("long.sh", "touch started; wait_for never")
    local.fill({"item": "./long.sh"})
    with instance_metadata() as service:
        local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service.url
        local.environment["AWS_BATCH_JOB_ID"] = "0a1b2c3d-1111-2222-3333-444455556666:7"
        pilot = local.start("--spot-notice")
        local.wait_for("started")
        goes_at = datetime.fromtimestamp(time.time() + (20 if is_taken else -620), tz=timezone.utc)
        date = goes_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        service.notice = json.dumps({"action": "terminate", "time": date})
        pilot.wait_for_log("waiting until this machine is taken away")
        assert_given_back(local, "item", reason="this machine will be taken away")
        if is_taken:
            assert pilot.is_running
            pilot.signal(signal.SIGTERM)  # the last that a container hears
        ended = pilot.wait(10)
    assert ended.code == (143 if is_taken else 0)
    assert ended.counts == {"done": 0, "failed": 0, "released": 1, "lost": 0}


def test_a_machine_without_metadata(local: Place) -> None:
    """It is asked in vain, which is said once, and harms nobody."""
    local.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"
    local.fill({"item": "sleep 1.5"})
    ended = local.run("--spot-notice")
    assert (ended.code, ended.counts["done"]) == (0, 1)
    (warning,) = (line for line in ended.stderr.splitlines() if "metadata" in line)
    assert "http://127.0.0.1:9 can't be read ([Errno 111] Connection refused)" in warning


def test_a_service_that_does_not_answer_takes_little_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the pilot's loop; one look a minute, and one warning, until it answers."""
    now = [1000.0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        notice = SpotNotice(clock=lambda: now[0])
        began = time.monotonic()
        asked = [now[0] for now[0] in range(1000, 1180) if asks(notice, silent)]
        assert asked == [1000, 1060, 1120]
        assert time.monotonic() - began < 3 * 0.9
    assert len(caplog.records) == 1
    assert "timed out" in caplog.text


def asks(notice: SpotNotice, service: socket.socket) -> bool:
    """Whether it asks a service, which doesn't answer."""
    assert notice.taken_away_at() is None
    service.setblocking(False)
    try:
        service.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_service_that_can_be_reached_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    with instance_metadata() as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
        notice = SpotNotice(clock=lambda: now[0])
        assert notice.taken_away_at() is None
        notice._service = service.url
        for now[0] in (1059.0, 1060.0, 1064.0):
            assert notice.taken_away_at() is None
        service.notice = json.dumps({"action": "terminate", "time": "2027-01-15T08:00:00Z"})
        now[0] = 1065.0
        assert notice.taken_away_at() == datetime(2027, 1, 15, 8, tzinfo=timezone.utc).timestamp()
    assert len(caplog.records) == 1

"""What an item tells of the pilot that finished it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyanamo import __version__
from pyanamo.model import ItemState
from tests.support.place import Place

JOB = "0a1b2c3d-1111-2222-3333-444455556666"
ARCHIVE = "ab" * 32
IMAGE = "sha256:" + "cd" * 32
CONTAINER, TYPE = "/v4/0123-45", "/latest/meta-data/instance-type"
ANSWERS = {CONTAINER: f'{{"Image": "pyanamo:1", "ImageID": "{IMAGE}"}}', TYPE: "m5.large"}


class Metadata(ThreadingHTTPServer):
    """The services that tell of the container (ECS) and of the machine (EC2, IMDSv2)."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers = answers
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()


class _Answer(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        has_ttl = "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self._answer("the-token" if self.path == "/latest/api/token" and has_ttl else None)

    def do_GET(self) -> None:
        is_allowed = self.path == CONTAINER or "the-token" in self.headers.values()
        self._answer(self.server.answers.get(self.path) if is_allowed else None)

    def _answer(self, text: str | None) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.may_answer.wait()
        self.send_response(404 if text is None else 200)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def metadata(answers: Mapping[str, str] = ANSWERS) -> Iterator[Metadata]:
    with Metadata(answers) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.may_answer.set()
        service.shutdown()


def in_batch(service: Metadata) -> dict[str, str]:
    """The environment of a pilot in AWS Batch."""
    return {
        "AWS_BATCH_JOB_ID": JOB,
        "PYANAMO_ARCHIVE_SHA256": ARCHIVE,
        "ECS_CONTAINER_METADATA_URI_V4": f"{service.url}{CONTAINER}",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url,
        "AWS_EC2_METADATA_DISABLED": "false",
        "http_proxy": "http://127.0.0.1:9",
    }


KNOWN = {"PyAnamo": __version__, "Archive_SHA256": ARCHIVE}


def test_a_pilot_in_aws_batch(place: Place) -> None:
    """The services are asked once, however many workers and items there are."""
    place.fill({"done": "true", "failed": "false", "nested": ["true", "true"]})
    with metadata() as service:
        place.environment.update(in_batch(service))
        place.run("-i", "3")
    everything = {**KNOWN, "Image_ID": IMAGE, "Instance_Type": "m5.large"}
    assert {name: item.made_with for name, item in place.items().items()} == {
        "done": everything,
        "failed": everything,
        "nested": everything,
    }
    assert service.asked == [f"GET {CONTAINER}", "PUT /latest/api/token", f"GET {TYPE}"]


def test_a_pilot_elsewhere(local: Place) -> None:
    local.fill({"item": "true"})
    local.run()
    assert local.item("item").made_with == {"PyAnamo": __version__}


def test_only_a_finished_attempt_tells(local: Place) -> None:
    local.fill({"item": "false"})
    local.run("--retries", "1", "--max-items", "1")
    assert (local.item("item").state, local.item("item").made_with) == (ItemState.TODO, {})
    local.run("--retries", "1")
    assert local.item("item").made_with == {"PyAnamo": __version__}


def test_services_that_do_not_answer_delay_nothing(local: Place) -> None:
    local.script("task", "touch started; wait_for go")
    local.fill({"item": "./task"})
    with metadata() as service:
        service.may_answer.clear()
        local.environment.update(in_batch(service))
        pilot = local.start()
        local.wait_for("started")  # while the first request still waits
        local.touch("go")
        assert pilot.wait(10).counts["done"] == 1
    assert local.item("item").made_with == KNOWN


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, {}),
        ({CONTAINER: "no JSON", TYPE: ""}, {}),
        ({CONTAINER: "[]"}, {}),
        ({CONTAINER: '{"ImageID": null}'}, {}),
        (
            {CONTAINER: '{"ImageID": "\\ud800\\\\' + '\\"' * 200 + '"}'},
            {"Image_ID": "\ufffd\\" + '"' * 96},
        ),
        ({CONTAINER: '{"Image": "x"}', TYPE: "c7g.metal\n"}, {"Instance_Type": "c7g.metal"}),
        ({CONTAINER: f'{{"ImageID": "{"x" * 100_000}"}}'}, {"Image_ID": "x" * 100}),
        ({TYPE: "\x1b[31mm5\0"}, {"Instance_Type": "m5\ufffd"}),
    ],
    ids=[
        "none",
        "no JSON",
        "a list",
        "null",
        "odd characters",
        "a part",
        "long",
        "control characters",
    ],
)
def test_strange_answers(local: Place, answers: Mapping[str, str], told: Mapping[str, str]) -> None:
    local.fill({"item": "true"})
    with metadata(answers) as service:
        local.environment.update(in_batch(service))
        assert local.run().code == 0
    assert local.item("item").made_with == {**KNOWN, **told}


def test_services_that_are_not_there(local: Place) -> None:
    local.fill({"item": "true"})
    with metadata() as service:
        local.environment.update(in_batch(service))
    assert local.run().code == 0
    assert local.item("item").made_with == KNOWN


def test_aws_fargate_has_no_machine(local: Place) -> None:
    local.fill({"item": "true"})
    with metadata() as service:
        local.environment.update(in_batch(service), AWS_EXECUTION_ENV="AWS_ECS_FARGATE")
        local.run()
    assert local.item("item").made_with == {**KNOWN, "Image_ID": IMAGE}
    assert service.asked == [f"GET {CONTAINER}"]


@pytest.mark.parametrize("checksum", ["", "abc", "x" * 64, "a" * 65])
def test_what_is_no_checksum_is_not_told(local: Place, checksum: str) -> None:
    local.fill({"item": "true"})
    local.environment["PYANAMO_ARCHIVE_SHA256"] = checksum
    local.run()
    assert local.item("item").made_with == {"PyAnamo": __version__}

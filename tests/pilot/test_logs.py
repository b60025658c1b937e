"""What becomes of what tasks print and use: in the item, in S3, in a folder, in the pilot's log."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest

from pyanamo.errors import TaskFileError
from pyanamo.model import ItemState, Result, TaskStatus
from pyanamo.tables import Store
from pyanamo.tables.attributes import log_attribute, new_item
from pyanamo.tables.dynamodb.expressions import plain_map, typed_map
from pyanamo.tables.size import MAX_ITEM_BYTES, item_size
from pyanamo.taskfile import parse_task_file
from tests.support import pilots
from tests.support.pilots import REPOSITORY, Ended, cleaned_up
from tests.support.s3 import FaultyS3

TABLE = "Step"
SECONDS = 90.0  # for a pilot

# Runs a script with all its pauses a thousandth as long: those of the SDK between the tries of a
# request, above all, which can come to minutes. What it would have paused is printed in the end.
IMPATIENT = """
import atexit, os, runpy, sys, time
sleep = time.sleep
def short(seconds):
    os.write(2, f"PAUSE {seconds}\\n".encode())
    sleep(seconds / 1000)
time.sleep = short
sys.argv = sys.argv[2:]  # without the interpreter, which comes first
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""

LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) "
    r'(?:\w+=(?:"(?:[^"\\]|\\.)*"|[^ "]+) )*\S.*'
)


class Place(pilots.Place):
    """A folder where pilots run one after another."""

    def result(self, item_id: str = "item", task: str = "Task_0") -> Result:
        """The result of an item's task."""
        return pilots.result(self.item(item_id), task)

    def python(self, name: str, text: str) -> str:
        """Make a script of Python; the command for it."""
        return self.script(name, f"#!{sys.executable}\n{text}\n")

    def run(
        self,
        *flags: str | Path,
        impatient: bool = False,
        file_limit: int | None = None,
    ) -> Ended:
        """Run a pilot to its end. No file of it may be larger than `file_limit`."""
        prefix = [] if file_limit is None else ["prlimit", f"--fsize={file_limit}"]
        prefix += [sys.executable, "-c", IMPATIENT] if impatient else []
        return self.start(*map(str, flags), prefix=prefix).wait(SECONDS)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "work"
    folder.mkdir()
    with cleaned_up(Place(folder, Store(local=folder / "table.db"), TABLE)) as place:
        yield place


@dataclass(frozen=True)
class Bucket:
    """A bucket of a test's own."""

    name: str
    client: Any

    def logs(self, prefix: str = "") -> list[str]:
        """The keys of all logs, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key for key in keys if not key.endswith("/.write-check"))

    def log(self, uri: str) -> bytes:
        """The whole log that a `Log_URI` names."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert bucket == self.name
        return gzip.decompress(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    bucket = Bucket(f"logs-{uuid.uuid4().hex}", boto3.client("s3"))
    bucket.client.create_bucket(Bucket=bucket.name)
    return bucket


def file_of(uri: str) -> Path:
    """The file that a `Log_URI` names."""
    parts = urlsplit(uri)
    assert parts.scheme == "file"
    return Path(unquote(parts.path))


def log_file(uri: str) -> bytes:
    """The whole log of a file that a `Log_URI` names."""
    return gzip.decompress(file_of(uri).read_bytes())


def other_stream(uri: str) -> str:
    """The `Log_URI` of stderr's log."""
    return uri.replace(".stdout.gz", ".stderr.gz")


# --- Memory and disk ----------------------------------------------------------------------------

# The peak memory of a task's pilot and all its processes, in MB, as a result line.
MEASURE = """
import os
from pathlib import Path

def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)

pilot = int(status(os.getppid())["PPid"])
pids = [pilot]
for entry in Path("/proc").glob("[0-9]*"):
    try:
        if int(status(entry.name)["PPid"]) == pilot:
            pids.append(int(entry.name))
    except (OSError, KeyError):
        pass
assert len(pids) >= 3, "the pilot, its worker and its guardian"
peaks = [int(status(pid)["VmHWM"].split()[0]) * 1024 / 1e6 for pid in pids]
print(f"PyAnamo:\\t{sum(peaks)}")
"""


@pytest.mark.parametrize(
    ("command", "size", "to_bucket"),
    [
        pytest.param("head -c 2000000000 /dev/zero", 2_000_000_000, False, id="2 GB, no log"),
        pytest.param("head -c 120000000 /dev/urandom", 120_000_000, True, id="120 MB to a bucket"),
    ],
)
def test_a_pilots_memory_does_not_depend_on_the_output(
    place: Place, bucket: Bucket, command: str, size: int, to_bucket: bool
) -> None:
    measure = place.python("measure", MEASURE)
    place.fill({"little": ["echo one line", measure], "much": [command, measure]})
    flags = ["--max-log", "3GB", *(["-b", bucket.name] if to_bucket else [])]
    for _ in range(2):
        ended = place.run("--max-items", "1", *flags)
        assert ended.code == 0, ended.stderr

    much = place.result("much")
    assert much.stdout_bytes == size
    peaks = {name: float(place.result(name, "Task_1").results[0]) for name in ("little", "much")}
    difference = peaks["much"] - peaks["little"]
    print(f"peak memory of the pilot: {peaks}, difference {difference:.1f} MB")
    assert difference < 20
    if to_bucket:
        assert len(bucket.log(much.log_uri)) == size


def test_output_without_end_is_bounded(place: Place, tmp_path: Path) -> None:
    place.fill({"item": "yes"})
    ended = place.run(
        *("--log-dir", tmp_path / "logs", "--max-log", "1MB", "--task-timeout", "1s"),
        file_limit=1_100_000,
    )
    assert ended.code == 0
    result = place.result()
    assert result.status is TaskStatus.FAILED
    assert result.reason == "timed out after 1 s"
    assert result.stdout_bytes > 10_000_000
    assert result.stdout.endswith(
        f"y\n\n[1000000 of {result.stdout_bytes} bytes were kept: --max-log]"
    )
    assert log_file(result.log_uri) == b"y\n" * 500_000


def test_a_task_goes_on_past_the_limit(place: Place, tmp_path: Path) -> None:
    command = place.script("print", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end")
    place.fill({"item": command})
    place.run("--log-dir", tmp_path / "logs", "--max-log", "500KB")
    result = place.result()
    assert result.status is TaskStatus.DONE
    assert result.stdout_bytes == 3_000_009
    assert "xxx\nthe end\n" in result.stdout
    assert "[500000 of 3000009 bytes were kept: --max-log]" in result.stdout
    assert len(result.stdout.encode()) <= 1000
    assert log_file(result.log_uri) == b"x" * 500_000


@pytest.mark.parametrize("then", ["true", "sleep 60"])
def test_a_daemon_that_prints_without_end_holds_up_nobody(place: Place, then: str) -> None:
    place.fill({"item": f"bash -c 'setsid yes & {then}'"})
    ended = place.run("--task-timeout", "1s")
    assert ended.code == 0
    assert ended.seconds < 30
    reason = "" if then == "true" else "timed out after 1 s"
    assert place.result().reason == reason


def test_a_full_disk_fails_the_task_and_not_the_pilot(place: Place, tmp_path: Path) -> None:
    large = "head -c 30000000 /dev/{}"
    place.fill(
        {
            "a": large.format("zero"),
            "b": large.format("urandom"),
            "c": ["echo still", "echo working"],
        }
    )
    ended = place.run("--log-dir", tmp_path / "logs", file_limit=1_000_000)
    assert ended.code == 0
    why = "its output could not be kept: File too large"
    for item_id in ("a", "b"):
        item = place.item(item_id)
        assert item.state is ItemState.FAILED
        assert item.reason == why
        result = item.results["Task_0"]
        assert result.exit_code == 0
        assert result.stdout_bytes == 30_000_000
        assert result.stdout.endswith(" of 30000000 bytes were kept: File too large]")
    assert place.item("c").state is ItemState.DONE
    # What was kept of the one is small when gzipped; of the other there is no room for a log.
    assert 1_000_000 <= len(log_file(place.result("a").log_uri)) < 1_100_000
    assert place.result("b").log_uri == ""
    assert re.search(r" ERROR itemID=b .*a log is lost: ", ended.stderr)
    assert [path.name for path in (tmp_path / "logs").rglob("*.part")] == []


def test_a_full_disk_is_no_matter_when_no_log_is_wanted(place: Place) -> None:
    place.fill({"item": "head -c 3000000 /dev/zero"})
    place.run(file_limit=1_000_000)
    assert place.result().status is TaskStatus.DONE
    assert place.result().stdout_bytes == 3_000_000


# --- In the item --------------------------------------------------------------------------------


def test_the_tails_of_both_outputs(place: Place) -> None:
    place.fill({"item": place.script("print", "seq 100000; seq 200000 >&2")})
    place.run()
    result = place.result()
    for tail, size, last in (
        (result.stdout, result.stdout_bytes, 100_000),
        (result.stderr, result.stderr_bytes, 200_000),
    ):
        output = "".join(f"{number}\n" for number in range(1, last + 1))
        assert tail == output[-1000:]
        assert size == len(output)
    assert result.log_uri == ""


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"10%\r20%\r100%\ndone\n", "100%\ndone\n"),
        ("€".encode() * 1000, "€" * 333),
        (b"a\0b\xff\xfe", "a\ufffdb\ufffd\ufffd"),
    ],
    ids=["progress bar", "cut within a character", "NUL and no UTF-8"],
)
def test_output_is_readable_in_the_item(place: Place, output: bytes, shown: str) -> None:
    (place.folder / "output").write_bytes(output)
    place.fill({"item": "cat output"})
    place.run()
    assert place.result().stdout == shown
    assert place.result().stdout_bytes == len(output)


def test_every_byte_is_in_the_whole_log(place: Place, bucket: Bucket, tmp_path: Path) -> None:
    every_byte = bytes(range(256))
    outputs = {"short": every_byte, "long": every_byte * 20, "large": os.urandom(6_000_000)}
    for name, output in outputs.items():
        (place.folder / name).write_bytes(output)
        (place.folder / f"{name}2").write_bytes(output[::-1])
    commands = {name: f"bash -c 'cat {name}; cat {name}2 >&2'" for name in outputs}
    place.fill({f"bucket {name}": command for name, command in commands.items()})
    assert place.run("-b", bucket.name).code == 0
    place.fill({f"folder {name}": command for name, command in commands.items()})
    assert place.run("--log-dir", tmp_path / "logs").code == 0

    for where, log_of in (("bucket", bucket.log), ("folder", log_file)):
        for name, output in outputs.items():
            result = place.result(f"{where} {name}")
            assert log_of(result.log_uri) == output
            assert log_of(other_stream(result.log_uri)) == output[::-1]
            assert "\ufffd" in result.stdout
            assert not set(result.stdout) & {"\0", "\r", "\x1b", "\x7f"}
            assert len(result.stdout.encode()) <= 1000


def test_what_the_tail_tells_has_no_log(place: Place, bucket: Bucket) -> None:
    place.fill({"item": ["seq 10", "bash -c 'seq 10; seq 1000 >&2'"]})
    place.run("-b", bucket.name)
    assert place.result("item", "Task_0").log_uri == ""
    uri = place.result("item", "Task_1").log_uri
    assert uri.endswith("/Task_1.1.stderr.gz")
    assert bucket.log(uri).startswith(b"1\n2\n")
    assert len(bucket.logs()) == 1


def test_an_item_of_200_tasks_stays_below_100_kb(place: Place, bucket: Bucket) -> None:
    place.script("print", 'yes "$PYANAMO_TASK" | head -c 1000000')
    place.fill({"item": ["./print"] * 200})
    ended = place.run("-b", bucket.name, "-n", "4")
    assert ended.code == 0

    item = place.item("item")
    assert item.state is ItemState.DONE
    assert len(item.results) == 200
    for name, result in item.results.items():
        assert result.stdout_bytes == 1_000_000
        assert bucket.log(result.log_uri) == (f"{name}\n".encode() * 200_000)[:1_000_000]
        assert result.stdout.count(name) >= 2, "something of the tail is there"
    attributes = {**new_item(item, ""), "Log": log_attribute(item.results, nested=True)}
    size = item_size(attributes)
    print(f"the item has {size} bytes, {len(json.dumps(typed_map(attributes)))} as JSON")
    assert size < 100_000


# --- The largest items --------------------------------------------------------------------------


def largest(line: Callable[[int], str]) -> int:
    """The largest number whose line in a task file an import accepts."""
    accepted, refused = 1, MAX_ITEM_BYTES
    while accepted + 1 < refused:
        middle = (accepted + refused) // 2
        try:
            parse_task_file(task_file(line(middle)), "tasks.txt")
            accepted = middle
        except TaskFileError:
            refused = middle
    return accepted


def task_file(line: str) -> bytes:
    return f"itemID|TaskID|TaskScript|TaskArgs\n{line}\n".encode()


def many_tasks(size: int) -> str:
    return "item|group|./fail|" + ",".join(["x"] * (size // 300))


def long_scripts(size: int) -> str:
    return "item|group|./fail|" + ",".join(["x" * (size // 40)] * 40)


@pytest.mark.parametrize(
    ("line", "share"),
    [
        pytest.param(many_tasks, 1.0, id="many tasks"),
        pytest.param(long_scripts, 1.0, id="long scripts"),
        pytest.param(long_scripts, 0.95, id="long scripts, and little room for results"),
    ],
)
def test_the_largest_item_is_recorded_whatever_its_tasks_print(
    dynamodb: str, tmp_path: Path, table_name: str, line: Callable[[int], str], share: float
) -> None:
    file = tmp_path / "tasks.txt"
    file.write_bytes(task_file(line(int(largest(line) * share))))
    place = Place(tmp_path, Store(endpoint_url=dynamodb), table_name)
    place.environment["AWS_ENDPOINT_URL_DYNAMODB"] = dynamodb
    results = "".join(f"PyAnamo:\t{number} {'x' * 60}\n" for number in range(99))
    # 127 is the exit code that the last line of stderr is told with.
    reason = "ä€" * 150
    text = f"echo '{'ä' * 1000}\n{results}'\n{{ echo '{'ä' * 1000}'; echo '{reason}'; }} >&2"
    place.script("fail", f"#!/bin/sh\n{text}\nexit 127\n")
    subprocess.run(
        [sys.executable, REPOSITORY / "import-items.py", "-t", table_name, "-i", file],
        env={**os.environ, **place.environment},
        check=True,
        capture_output=True,
    )
    ended = place.run("-n", "4", "--log-dir", tmp_path / "logs")
    assert ended.code == 0, ended.stderr
    assert "done 0, failed 1, released 0 in" in ended.stdout, ended.stderr

    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    raw = client.get_item(TableName=table_name, Key={"itemID": {"S": "item"}})["Item"]
    item = place.item("item")
    print(f"{len(item.tasks)} tasks, {item_size(plain_map(raw))} bytes")
    assert item_size(plain_map(raw)) <= MAX_ITEM_BYTES
    assert item.state is ItemState.FAILED
    assert item.reason.startswith("exit code 127: ä€")
    assert len(item.results) == len(item.tasks)
    assert all(result.stderr_bytes == 2752 for result in item.results.values())
    place.table.close()


# --- In the bucket and the folder ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "prefix"),
    [
        (["-b", "BUCKET"], "PyAnamo"),
        (["-b", "s3://BUCKET/their/prefix"], "their/prefix"),
        (["-b", "s3://BUCKET/their/", "-k", "my key"], "my key"),
        (["-b", "s3://BUCKET", "-k", ""], "PyAnamo"),
    ],
)
def test_where_logs_are_in_the_bucket(
    place: Place, bucket: Bucket, flags: list[str], prefix: str
) -> None:
    script = place.script("print", "seq 1000; seq 2000 >&2; exit $((2 - PYANAMO_ATTEMPT))")
    place.fill({"single": script, "nested": ["true", script]})
    ended = place.run("--retries", "1", *(flag.replace("BUCKET", bucket.name) for flag in flags))
    assert ended.code == 0

    keys = [
        f"{prefix}/{TABLE}/{task}.{attempt}.{stream}.gz"
        for task in ("nested/Task_1", "single/Task_0")
        for attempt in (1, 2)
        for stream in ("stderr", "stdout")
    ]
    assert bucket.logs() == keys
    for item_id, task in (("single", "Task_0"), ("nested", "Task_1")):
        uri = place.result(item_id, task).log_uri
        assert uri == f"s3://{bucket.name}/{prefix}/{TABLE}/{item_id}/{task}.2.stdout.gz"
        assert bucket.log(uri).splitlines() == [b"%d" % number for number in range(1, 1001)]
        assert len(bucket.log(other_stream(uri)).splitlines()) == 2000
    head = bucket.client.head_object(Bucket=bucket.name, Key=keys[0])
    assert head["ContentType"] == "application/gzip"


def test_an_empty_bucket_counts_as_not_given(place: Place, tmp_path: Path) -> None:
    place.fill({"item": "seq 1000"})
    assert place.run("-b", "", "-k", "", "--log-dir", tmp_path / "logs").code == 0
    file = tmp_path / "logs" / TABLE / "item" / "Task_0.1.stdout.gz"
    assert file_of(place.result().log_uri) == file
    assert gzip.decompress(file.read_bytes()).endswith(b"\n999\n1000\n")


NAMES = [
    "a b", "a+b", "a%20b", "a/b", "a%2Fb", "/a", "a/", "a\\b", "..", ".", "...", "../a", "../../a",
    "a'b", 'a"b', "ä", "a\u0308", "%C3%A4", "日本", "a\nb", "a\tb", "~", "%7E", "-", "*",
    "x" * 2048, "x" * 2047 + "y", "x" * 200, "x" * 201, "é" * 1024,
    "Task_0.1.stdout.gz", ".write-check",
]  # fmt: skip


@pytest.mark.parametrize("to_bucket", [True, False], ids=["bucket", "folder"])
def test_awkward_names_stay_apart_and_in_their_folder(
    place: Place, bucket: Bucket, tmp_path: Path, to_bucket: bool
) -> None:
    logs = place.folder / "here" / "logs"
    print_name = place.script("print", 'printf "%s" "$PYANAMO_ITEM_ID"; head -c 1001 /dev/zero')
    place.fill(dict.fromkeys(NAMES, print_name))
    flags = ["-b", bucket.name] if to_bucket else ["--log-dir", logs]
    assert place.run("-i", "2", *flags).code == 0

    uris = {name: place.result(name).log_uri for name in NAMES}
    for name, uri in uris.items():
        log = bucket.log(uri) if to_bucket else log_file(uri)
        assert log == name.encode() + b"\0" * 1001
    if to_bucket:
        assert len(bucket.logs()) == len(NAMES)
        for key in bucket.logs():
            assert re.fullmatch(rf"PyAnamo/{TABLE}/[\w.~%-]+/Task_0\.1\.stdout\.gz", key, re.ASCII)
            assert len(key) <= 1024
    else:
        files = {path for path in tmp_path.rglob("*.gz*") if path.is_file()}
        assert files == {file_of(uri) for uri in uris.values()}
        assert all(path.parents[2] == logs for path in files)


# --- When storing fails -------------------------------------------------------------------------


def logs_refused(
    times: float, status: int = 500, code: str = "InternalError"
) -> Callable[[str, str], tuple[int, str] | None]:
    """Refuse so many uploads of logs. The check at the start goes through."""
    left = times

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        nonlocal left
        if method == "PUT" and ".gz" in path and left > 0:
            left -= 1
            return status, code
        return None

    return refuse


def test_an_upload_that_fails_twice(place: Place, bucket: Bucket, s3: str) -> None:
    place.fill({"item": "seq 10000"})
    with FaultyS3(s3, logs_refused(2)) as proxy:
        place.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = place.run("-b", bucket.name, impatient=True)
    assert len(proxy.refused) == 2
    assert ended.code == 0
    assert " WARNING " not in ended.stderr
    assert bucket.log(place.result().log_uri).endswith(b"\n10000\n")


@pytest.mark.parametrize(
    ("status", "code", "tries"), [(500, "InternalError", 10), (403, "AccessDenied", 1)]
)
def test_an_upload_that_always_fails(
    place: Place, bucket: Bucket, s3: str, status: int, code: str, tries: int
) -> None:
    place.fill({"good": "seq 10000", "bad": ["false", "bash -c 'seq 10000; exit 3'"]})
    with FaultyS3(s3, logs_refused(float("inf"), status, code)) as proxy:
        place.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = place.run("-b", bucket.name, impatient=True)
    pauses = [float(pause) for pause in re.findall(r"^PAUSE (.*)$", ended.stderr, re.MULTILINE)]
    print(f"{ended.seconds:.1f} s, and pauses of {sum(pauses):.1f} s left out")
    assert ended.code == 0
    assert len(proxy.refused) == 2 * tries
    assert place.item("good").state is ItemState.DONE
    assert place.item("bad").reason == "exit code 1"
    assert place.result("bad", "Task_1").exit_code == 3
    for item_id, task in (("good", "Task_0"), ("bad", "Task_1")):
        uri = place.result(item_id, task).log_uri
        folder = place.folder / "pyanamo-logs" / TABLE / item_id
        assert file_of(uri) == folder / f"{task}.1.stdout.gz"
        assert log_file(uri).endswith(b"\n10000\n")
        (warning,) = (line for line in ended.stderr.splitlines() if uri in line)
        assert re.search(f" WARNING itemID={item_id} .*task={task} ", warning)
    assert bucket.logs() == []


def test_a_log_that_the_bucket_refuses_goes_to_the_log_folder(
    place: Place, bucket: Bucket, s3: str, tmp_path: Path
) -> None:
    place.fill({"item": "seq 10000"})
    with FaultyS3(s3, logs_refused(float("inf"), 403, "AccessDenied")) as proxy:
        place.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        place.run("-b", bucket.name, "--log-dir", tmp_path / "logs")
    assert file_of(place.result().log_uri).is_relative_to(tmp_path / "logs")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["-b", "no-such-bucket"], "bucket 'no-such-bucket' is not there"),
        (["-b", "Not a bucket!"], "bucket 'Not a bucket!'"),
        (["--log-dir", "table.db"], "the log folder table.db can't be written to"),
    ],
)
def test_logs_have_no_place(place: Place, bucket: Bucket, flags: list[str], says: str) -> None:
    place.fill({"item": "true"})
    assert_nothing_is_started(place, place.run(*flags), says)


def test_no_access_to_the_bucket(place: Place, bucket: Bucket, s3: str) -> None:
    place.fill({"item": "true"})
    with FaultyS3(s3, lambda method, path: (403, "AccessDenied")) as proxy:
        place.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = place.run("-b", bucket.name)
    assert_nothing_is_started(place, ended, f"bucket '{bucket.name}' in us-east-1 .*access denied")


def test_s3_is_not_there(place: Place) -> None:
    place.fill({"item": "true"})
    place.environment["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1"
    ended = place.run("-b", "logs", impatient=True)
    assert_nothing_is_started(place, ended, "S3 can't be reached at http://127.0.0.1:1")


def assert_nothing_is_started(place: Place, ended: Ended, says: str) -> None:
    assert ended.code == 1
    assert ended.stdout == ""
    (line,) = (line for line in ended.stderr.splitlines() if not line.startswith("PAUSE "))
    assert re.search(says, line)
    item = place.item("item")
    assert (item.state, item.attempts) == (ItemState.TODO, 0)


def test_a_bucket_without_a_name_is_wrong_usage(place: Place) -> None:
    place.fill({"item": "true"})
    assert place.run("-b", "s3:///prefix").code == 2


# --- Results ------------------------------------------------------------------------------------


def test_results(place: Place, tmp_path: Path) -> None:
    place.fill(
        {
            "few": place.script("few", r"printf 'PyAnamo:\tone\nx\nPyAnamo:\ttwo \xff'"),
            "both": place.script("both", r"printf 'PyAnamo:\tout'; printf 'PyAnamo:\terr' >&2"),
            "many": place.script("many", r"for n in {1..101}; do printf 'PyAnamo:\t%d\n' $n; done"),
            "wide": place.script("wide", r"printf 'PyAnamo:\t%02000d\n' 1 2 3"),
            "late": place.script("late", r"yes | head -c 3000000; printf 'PyAnamo:\tlate'"),
            "slow": place.script("slow", r"printf 'PyAna'; sleep 0.2; printf 'mo:\tslow'"),
            "none": place.script("none", r"printf ' PyAnamo:\tnot at the beginning\nPyAnamo: no'"),
            "failed": place.script("failed", r"printf 'PyAnamo:\twhy\n'; exit 1"),
        }
    )  # fmt: skip
    place.run("--max-log", "1MB", "--log-dir", tmp_path / "logs")
    cut = "(cut: there are more results)"
    assert {item_id: place.result(item_id).results for item_id in ("few", "both", "late")} == {
        "few": ("one", "two \ufffd"),
        "both": ("out", "err"),
        "late": ("late",),
    }
    assert place.result("many").results == (*map(str, range(1, 101)), cut)
    assert place.result("wide").results == ("1".zfill(2000), "2".zfill(2000), cut)
    assert place.result("slow").results == ("slow",)
    assert place.result("none").results == ()
    assert place.result("failed").results == ("why",)


def test_results_are_kept_without_a_log(place: Place) -> None:
    place.fill({"item": place.script("late", r"yes | head -c 3000000; printf 'PyAnamo:\tlate'")})
    place.run()
    assert place.result().results == ("late",)


# --- Resource use -------------------------------------------------------------------------------


def test_resource_use(place: Place) -> None:
    busy = "import time\nwhile time.process_time() < 0.4:\n    pass\n"
    place.python("busy", f"import subprocess, sys\nsubprocess.run(['./child'])\n{busy}")
    place.python("child", busy)
    place.script("large", f"{sys.executable} -c 'x = b\"x\" * 150_000_000'")
    place.fill({"item": ["./busy", "./large", "sleep 0.5"]})
    before = int(time.time())
    place.run()
    after = time.time()

    item = place.item("item")
    parent, large, sleeping = (item.results[f"Task_{n}"] for n in range(3))
    assert 0.8 <= parent.cpu_seconds <= parent.run_seconds + 0.1
    assert sleeping.cpu_seconds < 0.2
    assert 0.5 <= sleeping.run_seconds < 5
    assert 150 <= large.max_rss_mb < 200
    assert sleeping.max_rss_mb < 100
    for result in item.results.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result.start_date)
        assert date(before) <= result.start_date <= date(after)
    seconds = sum(result.run_seconds for result in item.results.values())
    assert item.run_seconds == pytest.approx(seconds, abs=0.002)
    assert item.max_rss_mb == large.max_rss_mb


def date(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


# --- The pilot's own log ------------------------------------------------------------------------


def test_one_line_an_event(place: Place) -> None:
    names = ["plain", "two words", "a \"quoted\" 'name'", "a\nb\rc\u2028d", "k=v", "ä"]
    commands = ["true", '"no-such\rprogram\u2028"']

    def events(flag: str) -> list[str]:
        place.fill({f"{name}{flag}": commands for name in names})
        return place.run("-v", "--log-format", flag).stderr.removesuffix("\n").split("\n")

    objects = [json.loads(line) for line in events("json")]
    assert len(objects) == 4 * len(names), "claimed, a line a task, failed"
    for name in names:
        about = [fields for fields in objects if fields["itemID"] == f"{name}json"]
        assert [fields["level"] for fields in about] == ["INFO", "DEBUG", "DEBUG", "WARNING"]
        assert [fields.get("task") for fields in about] == [None, "Task_0", "Task_1", None]
        assert all(fields["TaskID"] == f"{name}json-group" for fields in about)
        assert all(LOG_LINE.match(fields["time"] + " INFO x") for fields in about)
        assert "command not found: no-such\rprogram\u2028" in about[-1]["message"]
        assert set(about[1]) == {"time", "level", "itemID", "TaskID", "task", "message"}

    lines = events("text")
    assert len(lines) == len(objects)
    for line in lines:
        assert LOG_LINE.fullmatch(line)
        assert len(line.splitlines()) == 1
    odd = "a\\nb\\rc\\u2028dtext"
    task = f' itemID="{odd}" TaskID="{odd}-group" task=Task_1 '
    assert sum(task in line for line in lines) == 1
    claimed = " itemID=plaintext TaskID=plaintext-group claimed, attempt 1"
    assert sum(claimed in line for line in lines) == 1

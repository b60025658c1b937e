"""What an item has of its tasks' output: tails, sizes, result lines; and what tasks used."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from pyanamo import importer
from pyanamo.errors import TaskFileError
from pyanamo.model import ItemState
from pyanamo.tables.attributes import log_attribute, new_item
from pyanamo.tables.dynamodb.expressions import plain_map, typed_map
from pyanamo.tables.size import MAX_ITEM_BYTES, item_size
from pyanamo.taskfile import parse_task_file
from tests.support.logs import Bucket, log_file, other_stream
from tests.support.place import Place
from tests.support.programs import run_main

# --- In the item --------------------------------------------------------------------------------


def test_the_tails_of_both_outputs(local: Place) -> None:
    local.fill({"item": local.script("print", "seq 100000; seq 200000 >&2")})
    local.run()
    result = local.result()
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
def test_output_is_readable_in_the_item(local: Place, output: bytes, shown: str) -> None:
    (local.folder / "output").write_bytes(output)
    local.fill({"item": "cat output"})
    local.run()
    assert local.result().stdout == shown
    assert local.result().stdout_bytes == len(output)


def test_every_byte_is_in_the_whole_log(local: Place, bucket: Bucket, tmp_path: Path) -> None:
    every_byte = bytes(range(256))
    outputs = {"short": every_byte, "long": every_byte * 20, "large": os.urandom(6_000_000)}
    for name, output in outputs.items():
        (local.folder / name).write_bytes(output)
        (local.folder / f"{name}2").write_bytes(output[::-1])
    commands = {name: f"bash -c 'cat {name}; cat {name}2 >&2'" for name in outputs}
    local.fill({f"bucket {name}": command for name, command in commands.items()})
    assert local.run("-b", bucket.name).code == 0
    local.fill({f"folder {name}": command for name, command in commands.items()})
    assert local.run("--log-dir", tmp_path / "logs").code == 0

    for where, log_of in (("bucket", bucket.log), ("folder", log_file)):
        for name, output in outputs.items():
            result = local.result(f"{where} {name}")
            assert log_of(result.log_uri) == output
            assert log_of(other_stream(result.log_uri)) == output[::-1]
            assert "\ufffd" in result.stdout
            assert not set(result.stdout) & {"\0", "\r", "\x1b", "\x7f"}
            assert len(result.stdout.encode()) <= 1000


def test_what_the_tail_tells_has_no_log(local: Place, bucket: Bucket) -> None:
    local.fill({"item": ["seq 10", "bash -c 'seq 10; seq 1000 >&2'"]})
    local.run("-b", bucket.name)
    assert local.result("item", "Task_0").log_uri == ""
    uri = local.result("item", "Task_1").log_uri
    assert uri.endswith("/Task_1.1.stderr.gz")
    assert bucket.log(uri).startswith(b"1\n2\n")
    assert len(bucket.logs()) == 1


def test_an_item_of_200_tasks_stays_below_100_kb(local: Place, bucket: Bucket) -> None:
    local.script("print", 'yes "$PYANAMO_TASK" | head -c 1000000')
    local.fill({"item": ["./print"] * 200})
    ended = local.run("-b", bucket.name, "-n", "4")
    assert ended.code == 0

    item = local.item("item")
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
    remote: Place, tmp_path: Path, line: Callable[[int], str], share: float
) -> None:
    file = tmp_path / "tasks.txt"
    file.write_bytes(task_file(line(int(largest(line) * share))))
    results = "".join(f"PyAnamo:\t{number} {'x' * 60}\n" for number in range(99))
    # 127 is the exit code that the last line of stderr is told with.
    reason = "ä€" * 150
    text = f"echo '{'ä' * 1000}\n{results}'\n{{ echo '{'ä' * 1000}'; echo '{reason}'; }} >&2"
    remote.script("fail", f"#!/bin/sh\n{text}\nexit 127\n")
    words = [*remote.flags, "-i", file]
    assert run_main(importer.main, words, environment=remote.environment).code == 0
    ended = remote.run("-n", "4", "--log-dir", tmp_path / "logs")
    assert ended.code == 0, ended.stderr
    assert "done 0, failed 1, released 0 in" in ended.stdout, ended.stderr

    client = boto3.client("dynamodb", endpoint_url=remote.store.account.endpoint_url)
    raw = client.get_item(TableName=remote.table_name, Key={"itemID": {"S": "item"}})["Item"]
    item = remote.item("item")
    print(f"{len(item.tasks)} tasks, {item_size(plain_map(raw))} bytes")
    assert item_size(plain_map(raw)) <= MAX_ITEM_BYTES
    assert item.state is ItemState.FAILED
    assert item.reason.startswith("exit code 127: ä€")
    assert len(item.results) == len(item.tasks)
    assert all(result.stderr_bytes == 2752 for result in item.results.values())


# --- Results ------------------------------------------------------------------------------------


def test_results(local: Place, tmp_path: Path) -> None:
    local.fill(
        {
            "few": local.script("few", r"printf 'PyAnamo:\tone\nx\nPyAnamo:\ttwo \xff'"),
            "both": local.script("both", r"printf 'PyAnamo:\tout'; printf 'PyAnamo:\terr' >&2"),
            "many": local.script("many", r"for n in {1..101}; do printf 'PyAnamo:\t%d\n' $n; done"),
            "wide": local.script("wide", r"printf 'PyAnamo:\t%02000d\n' 1 2 3"),
            "late": local.script("late", r"yes | head -c 3000000; printf 'PyAnamo:\tlate'"),
            "slow": local.script("slow", r"printf 'PyAna'; sleep 0.2; printf 'mo:\tslow'"),
            "none": local.script("none", r"printf ' PyAnamo:\tnot at the beginning\nPyAnamo: no'"),
            "failed": local.script("failed", r"printf 'PyAnamo:\twhy\n'; exit 1"),
        }
    )  # fmt: skip
    local.run("--max-log", "1MB", "--log-dir", tmp_path / "logs")
    cut = "(cut: there are more results)"
    assert {item_id: local.result(item_id).results for item_id in ("few", "both", "late")} == {
        "few": ("one", "two \ufffd"),
        "both": ("out", "err"),
        "late": ("late",),
    }
    assert local.result("many").results == (*map(str, range(1, 101)), cut)
    assert local.result("wide").results == ("1".zfill(2000), "2".zfill(2000), cut)
    assert local.result("slow").results == ("slow",)
    assert local.result("none").results == ()
    assert local.result("failed").results == ("why",)


def test_results_are_kept_without_a_log(local: Place) -> None:
    local.fill({"item": local.script("late", r"yes | head -c 3000000; printf 'PyAnamo:\tlate'")})
    local.run()
    assert local.result().results == ("late",)


# --- Resource use -------------------------------------------------------------------------------


def test_resource_use(local: Place) -> None:
    busy = "import time\nwhile time.process_time() < 0.4:\n    pass\n"
    local.python("busy", f"import subprocess, sys\nsubprocess.run(['./child'])\n{busy}")
    local.python("child", busy)
    local.script("large", f"{sys.executable} -c 'x = b\"x\" * 150_000_000'")
    local.fill({"item": ["./busy", "./large", "sleep 0.5"]})
    before = int(time.time())
    local.run()
    after = time.time()

    item = local.item("item")
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
    seconds = sum(result.cpu_seconds for result in item.results.values())
    assert item.cpu_seconds == pytest.approx(seconds, abs=0.002)


def test_the_memory_of_processes_that_run_together(local: Place) -> None:
    """The largest process is half of it."""
    local.python("hold", "import time\nx = b'x' * 100_000_000\ntime.sleep(4)")
    local.script("pipe", "./hold | ./hold")
    local.fill({"item": ["./pipe", "./hold", "true"]})
    local.run("-n", "3")

    item = local.item("item")
    pipe, hold, brief = (item.results[f"Task_{n}"] for n in range(3))
    assert pipe.peak_mb is not None
    assert hold.peak_mb is not None
    assert pipe.max_rss_mb < 150
    assert 200 <= pipe.peak_mb < 250
    assert 100 <= hold.peak_mb < 150
    assert brief.peak_mb is None  # it ended before
    assert item.peak_mb == pipe.peak_mb


def date(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))

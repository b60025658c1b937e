"""Output without end, and disks that are full: what a pilot keeps, and what it takes for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyanamo.model import ItemState, TaskStatus
from tests.support.logs import Bucket, log_file
from tests.support.place import Place

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
        pytest.param("head -c 60000000 /dev/urandom", 60_000_000, True, id="60 MB to a bucket"),
    ],
)
def test_a_pilots_memory_does_not_depend_on_the_output(
    local: Place, bucket: Bucket, command: str, size: int, to_bucket: bool
) -> None:
    measure = local.python("measure", MEASURE)
    local.fill({"little": ["echo one line", measure], "much": [command, measure]})
    flags = ["--max-log", "3GB", *(["-b", bucket.name] if to_bucket else [])]
    for _ in range(2):
        ended = local.start("--max-items", "1", *flags, cold=True).wait()
        assert ended.code == 0, ended.stderr

    much = local.result("much")
    assert much.stdout_bytes == size
    peaks = {name: float(local.result(name, "Task_1").results[0]) for name in ("little", "much")}
    difference = peaks["much"] - peaks["little"]
    print(f"peak memory of the pilot: {peaks}, difference {difference:.1f} MB")
    assert difference < 20
    if to_bucket:
        assert len(bucket.log(much.log_uri)) == size


def test_output_without_end_is_bounded(local: Place, tmp_path: Path) -> None:
    local.fill({"item": "yes"})
    ended = local.run(
        *("--log-dir", tmp_path / "logs", "--max-log", "1MB", "--task-timeout", "1s"),
        file_limit=1_100_000,
    )
    assert ended.code == 0
    result = local.result()
    assert result.status is TaskStatus.FAILED
    assert result.reason == "timed out after 1 s"
    assert result.stdout_bytes > 10_000_000
    assert result.stdout.endswith(
        f"y\n\n[1000000 of {result.stdout_bytes} bytes were kept: --max-log]"
    )
    assert log_file(result.log_uri) == b"y\n" * 500_000


def test_a_task_goes_on_past_the_limit(local: Place, tmp_path: Path) -> None:
    command = local.script("print", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end")
    local.fill({"item": command})
    local.run("--log-dir", tmp_path / "logs", "--max-log", "500KB")
    result = local.result()
    assert result.status is TaskStatus.DONE
    assert result.stdout_bytes == 3_000_009
    assert "xxx\nthe end\n" in result.stdout
    assert "[500000 of 3000009 bytes were kept: --max-log]" in result.stdout
    assert len(result.stdout.encode()) <= 1000
    assert log_file(result.log_uri) == b"x" * 500_000


@pytest.mark.parametrize("then", ["true", "sleep 60"])
def test_a_daemon_that_prints_without_end_holds_up_nobody(local: Place, then: str) -> None:
    local.fill({"item": f"bash -c 'setsid yes & {then}'"})
    ended = local.run("--task-timeout", "1s")
    assert ended.code == 0
    assert ended.seconds < 30
    reason = "" if then == "true" else "timed out after 1 s"
    assert local.result().reason == reason


def test_a_full_disk_fails_neither_the_task_nor_the_pilot(local: Place, tmp_path: Path) -> None:
    large = "head -c 30000000 /dev/{}"
    local.fill(
        {
            "a": large.format("zero"),
            "b": large.format("urandom"),
            "c": ["echo still", "echo working"],
        }
    )
    ended = local.run("--log-dir", tmp_path / "logs", file_limit=1_000_000)
    assert ended.code == 0
    for item_id in ("a", "b"):
        item = local.item(item_id)
        assert item.state is ItemState.DONE
        why = f" ERROR itemID={item_id} .*not all of its output could be kept: File too large"
        assert re.search(why, ended.stderr)
        result = item.results["Task_0"]
        assert result.exit_code == 0
        assert result.stdout_bytes == 30_000_000
        assert result.stdout.endswith(" of 30000000 bytes were kept: File too large]")
    assert local.item("c").state is ItemState.DONE
    # What was kept of the one is small when gzipped; of the other there is no room for a log.
    assert 1_000_000 <= len(log_file(local.result("a").log_uri)) < 1_100_000
    assert local.result("b").log_uri == ""
    assert re.search(r" ERROR itemID=b .*a log is lost: ", ended.stderr)
    assert [path.name for path in (tmp_path / "logs").rglob("*.part")] == []


def test_a_full_disk_is_no_matter_when_no_log_is_wanted(local: Place) -> None:
    local.fill({"item": "head -c 3000000 /dev/zero"})
    local.run(file_limit=1_000_000)
    assert local.result().status is TaskStatus.DONE
    assert local.result().stdout_bytes == 3_000_000

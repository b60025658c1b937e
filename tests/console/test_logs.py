"""The command logs."""

from __future__ import annotations

import re
from pathlib import Path

import boto3
import pytest

from pyanamo.errors import ItemNotFound
from tests.support.operator import Operator
from tests.support.programs import Finished

LONG = "".join(f"{number}\n" for number in range(1, 20_001))
NOISY = "bash -c 'seq 20000; seq 20000 >&2'"


def make_noise(operator: Operator, *flags: str | Path) -> None:
    """Let a pilot run an item with a task that prints much, and one that prints nothing."""
    operator.fill({"noisy": [NOISY, "true"]})
    assert operator.run("-n", "2", *flags).code == 0


def test_logs_in_a_folder(embedded: Operator, tmp_path: Path) -> None:
    make_noise(embedded, "--log-dir", tmp_path / "logs")
    tail = embedded.types("logs", "noisy", "Task_0")
    assert LONG.endswith(tail.stdout)
    assert 100 < len(tail.stdout) < 2000
    size = len(LONG)
    note = f"the end of {size} bytes, as a terminal shows it; all of them with --whole\n"
    assert (tail.code, tail.stderr) == (0, note)
    assert embedded.sees("logs", "noisy", "Task_0", "--whole") == LONG
    assert embedded.sees("logs", "noisy", "Task_0", "--whole", "--stderr") == LONG
    assert embedded.sees("logs", "noisy", "Task_1", "--whole") == ""
    assert embedded.json("logs", "noisy", "Task_0", "--whole")["text"] == LONG
    (file,) = (tmp_path / "logs").rglob("*.stdout.gz")
    packed = file.read_bytes()
    spoilt = packed[:20] + bytes([packed[20] ^ 255]) + packed[21:]
    for content, why in ((packed[:-9], "it is cut off"), (b"", "it is cut off"), (spoilt, "Error")):
        file.write_bytes(content)
        damaged = embedded.types("logs", "noisy", "Task_0", "--whole")
        assert damaged.code == 1
        (line,) = damaged.stderr.splitlines()
        assert line.startswith(f"the log {file.as_uri()} is damaged: ")
        assert why in line
    file.unlink()
    gone = embedded.types("logs", "noisy", "Task_0", "--whole")
    assert gone.code == 1
    assert "can't be read: No such file or directory" in gone.stderr


def test_logs_in_a_bucket(embedded: Operator, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    boto3.client("s3").create_bucket(Bucket="operator-logs")
    make_noise(embedded, "-b", "operator-logs")
    assert embedded.sees("logs", "noisy", "Task_0", "--whole", "--stderr") == LONG
    with embedded.workflow() as workflow:
        assert b"".join(workflow.logs("noisy", "Task_0")).decode() == LONG


def test_logs_of_which_only_the_tail_was_kept(embedded: Operator) -> None:
    make_noise(embedded)
    assert embedded.sees("logs", "noisy", "Task_1") == ""
    refused = embedded.types("logs", "noisy", "Task_0", "--whole")
    assert (refused.code, refused.stdout) == (1, "")
    assert re.match(r"only the tail of stdout was kept, \d+ of 108894 bytes", refused.stderr)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parts"], "item 'parts' has 3 tasks: name one of Task_0 to Task_2 (failed: Task_1)"),
        (["parts", "Task_9"], "item 'parts' has no Task_9"),
        (["waits"], "Task_0 of item 'waits' has no output yet: it appears when the task has ended"),
        (["nobody"], "item 'nobody' is not in Align"),
    ],
)
def test_logs_that_are_not_there(shelf: Operator, words: list[str], message: str) -> None:
    with shelf.workflow() as workflow, pytest.raises(ItemNotFound, match=re.escape(message)):
        workflow.result(*words)
    assert shelf.types("logs", *words) == Finished(code=4, stdout="", stderr=f"{message}\n")


def test_logs_of_a_failed_item_say_where_the_output_is(shelf: Operator) -> None:
    told = "stdout is empty; stderr has 29 bytes: show it with --stderr\n"
    for flags in ([], ["--whole"]):
        assert shelf.types("logs", "bad1", *flags) == Finished(code=0, stdout="", stderr=told)
    assert shelf.sees("logs", "bad1", "--stderr") == "cannot read bad1.bam, line 7\n"
    told = "stderr is empty; stdout has 6 bytes: show it without --stderr\n"
    assert shelf.types("logs", "fine", "--stderr") == Finished(code=0, stdout="", stderr=told)

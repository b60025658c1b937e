"""What import-items.py shows: of a dry run, and on a terminal."""

import json
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.importing import HEADER, NESTED, assert_refused, closed_port, large, written
from tests.support.operator import Operator
from tests.support.programs import finish


@pytest.mark.parametrize("local", [True, False])
def test_a_dry_run_asks_nobody(
    local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    nowhere = Operator.at(f"http://127.0.0.1:{closed_port()}", tmp_path, "Example")
    operator = Operator.in_file(tmp_path) if local else nowhere
    file = written(tmp_path / "tasks.txt", NESTED + "D|Ä|true|\n")

    finished = operator.imports("-i", file, "--dry-run")
    assert (finished.code, finished.stderr) == (0, "")
    *shown, last = finished.stdout.split("...\n")
    assert last == "would import 4: 2 single, 2 nested with 4 tasks\n"
    first, rest = json.JSONDecoder().raw_decode("".join(shown))
    assert rest
    assert first["TaskScript"]["Task_1"] == "seq 2"
    assert not (tmp_path / "table.db").exists()


def test_a_dry_run_on_a_terminal_that_knows_few_characters(
    embedded: Operator, five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    content = f"{HEADER}\nÄ|x|true\n".encode()
    finished = finish(embedded.starts_import("-i", "-", "--dry-run"), content)
    assert (finished.code, finished.stderr) == (0, "")
    assert finished.last_line == "would import 1: 1 single, 0 nested with 0 tasks"


def test_a_dry_run_finds_mistakes(embedded: Operator) -> None:
    finished = embedded.imports("-i", "-", "--dry-run", stdin=b"A|B|C\n")
    assert_refused(finished, "^stdin:1: 'A|B|C' is not a header: ")


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: our end of it, and a program's."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def shown_on(descriptor: int) -> str:
    """All that is printed on a terminal, until nobody has it open any more."""
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # what Linux says at the end of it
            chunk = b""
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)


def test_a_bar_on_a_terminal(
    embedded: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal() as (ours, theirs):
        process = embedded.starts_import("-i", large(tmp_path, 1000), stderr=theirs)
        os.close(theirs)
        shown = shown_on(ours)
        finished = finish(process)
    assert "importing" in shown
    assert "━" in shown
    assert "1000/1000" in shown
    assert (finished.code, finished.stdout) == (0, "imported 1000, already there 0\n")


def test_no_bar_for_a_few_items(embedded: Operator, five: Path) -> None:
    with terminal() as (ours, theirs):
        process = embedded.starts_import("-i", five, stderr=theirs)
        os.close(theirs)
        shown = shown_on(ours)
        finish(process)
    assert shown == f"created table {embedded.table_name}\r\n"


def test_no_bar_in_a_file(embedded: Operator, tmp_path: Path) -> None:
    finished = embedded.imports("-i", large(tmp_path, 1000))
    assert finished.stderr == f"created table {embedded.table_name}\n"
    assert finished.stdout == "imported 1000, already there 0\n"

"""What the programs do when nothing can be written to their stdout or stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.makers import single
from tests.support.operator import Operator
from tests.support.programs import IMPORT_ITEMS, PILOT, ROOT, SECONDS

OPERATOR = ("-m", "pyanamo")
COMMANDS = {
    "items": (*OPERATOR, "items"),
    "export": (*OPERATOR, "export"),
    "hold": (*OPERATOR, "hold", "--name", "*", "--yes"),
    "operator": (*OPERATOR, "--help"),
    "import": (IMPORT_ITEMS, "-i", "five.txt"),
    "import help": (IMPORT_ITEMS, "--help"),
    "pilot": (PILOT, "-q"),
    "pilot version": (PILOT, "--version"),
}


def run(operator: Operator, command: str, where: str, unbuffered: str) -> tuple[int, str]:
    """The exit code and stderr of a command whose stdout is redirected as a shell does it."""
    needs_table = not any(word in command for word in ("help", "version", "operator"))
    words = [*COMMANDS[command], *(operator.flags if needs_table else ())]
    ran = subprocess.run(
        ["bash", "-c", f'"$@" {where}', "bash", sys.executable, *map(str, words)],
        cwd=operator.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": unbuffered,
        },
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return ran.returncode, ran.stderr


@pytest.fixture
def filled(embedded: Operator, five: Path) -> Operator:
    """An operator with a table of one item that ends at once, and a file to import."""
    assert five.parent == embedded.folder
    embedded.table.create()
    embedded.table.add([single("item", "true")])
    return embedded


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told_in_words(filled: Operator, command: str, unbuffered: str) -> None:
    message = "stdout can't be written to: No space left on device\n"
    assert run(filled, command, ">/dev/full", unbuffered) == (1, message)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_as_good_as_none(filled: Operator, command: str) -> None:
    assert run(filled, command, ">&-", "") == (0, "")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_messages_that_cannot_be_written_stop_nothing(
    embedded: Operator, five: Path, where: str
) -> None:
    """The table is new, which the import tells first; the pilot logs what it does."""
    assert run(embedded, "import", where, "") == (0, "")
    assert sorted(embedded.states()) == ["A", "B", "C", "D", "E"]
    assert run(embedded, "pilot", where, "") == (0, "")
    assert set(embedded.states().values()) == {"done"}
    assert run(embedded, "hold", where, "") == (0, "")  # nothing is held, which stderr would tell

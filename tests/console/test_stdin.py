"""What the operator's commands do whose stdin is closed."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.operator import Operator
from tests.support.programs import ROOT, Finished, finish


def types_without_stdin(operator: Operator, name: str, *words: str) -> Finished:
    """Run a command as a shell does with `<&-`."""
    command = ["bash", "-c", 'exec "$0" "$@" <&-', *operator.command(name, *words)]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **operator.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return finish(started)


@pytest.mark.parametrize("command", ["delete", "drop"])
def test_a_closed_stdin_gives_no_consent(shelf: Operator, command: str) -> None:
    words = ["bad1"] if command == "delete" else []
    ended = types_without_stdin(shelf, command, *words)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.endswith(": give --yes to continue\n")
    assert ended.stderr.count("\n") == 1
    assert len(shelf.states()) == 9


@pytest.mark.parametrize("flag", ["--items", "--task-ids"])
def test_a_closed_stdin_has_no_list(shelf: Operator, flag: str) -> None:
    ended = types_without_stdin(shelf, "restart", flag, "-")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "stdin is closed: name a file instead of -\n"

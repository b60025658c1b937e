"""What the operator's commands show on a terminal, and in a pipe."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.operator import Operator
from tests.support.programs import finish
from tests.support.terminal import COLUMNS, CTRL_C


def test_status_on_a_terminal(shelf: Operator) -> None:
    with shelf.at_terminal("status", NO_COLOR=None) as terminal:
        assert terminal.end() == 0
    assert "━" in terminal.shown  # a bar
    assert "\x1b[31m" in terminal.shown  # red
    assert "3/11" in terminal.text
    assert max(map(len, terminal.text.split("\n"))) <= COLUMNS


def test_states_have_colours(shelf: Operator) -> None:
    with shelf.at_terminal("samples", NO_COLOR=None) as terminal:
        assert terminal.end() == 0
    assert "\x1b[31m3/5 failed\x1b[0m" in terminal.shown


def test_failures_on_a_terminal_end_with_a_command_to_copy(shelf: Operator) -> None:
    with shelf.at_terminal("failures") as terminal:
        assert terminal.end() == 0
    (group_id,) = re.findall(r"│ (\w{6}) │ 2 ", terminal.text)
    command = f"python -m pyanamo restart -t Align --group {group_id}"
    assert f"\nRun a group again: {command}\n" in terminal.text


@pytest.mark.parametrize("command", ["status", "samples", "failures"])
def test_no_colours_where_none_are_wanted(shelf: Operator, command: str) -> None:
    with shelf.at_terminal(command, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", terminal.shown)
    assert "failed" in terminal.shown or "exit code" in terminal.shown


def test_a_dumb_terminal_gets_no_control_sequences(shelf: Operator) -> None:
    with shelf.at_terminal("status", "--watch", "0.05", TERM="dumb") as terminal:
        terminal.wait_for("Align", times=2)  # one below the other
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert "\x1b" not in terminal.shown
    assert "Traceback" not in terminal.shown


def test_nothing_of_a_bar_in_a_pipe(shelf: Operator) -> None:
    for command in ("status", "samples", "items", "failures"):
        assert re.fullmatch(r"[\t\n -~]*", shelf.sees(command))


def test_ctrl_c_leaves_the_terminal_as_it_was(shelf: Operator) -> None:
    with shelf.at_terminal("status", "--watch", "0.05") as terminal:
        terminal.wait_for("3/11")
        assert "\x1b[?25l" in terminal.shown  # the cursor is hidden
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.shown


def test_watching_into_a_pipe(shelf: Operator) -> None:
    process = shelf.starts("status", "--watch", "0.05")
    assert process.stdout is not None
    lines = [process.stdout.readline().decode() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    watched = finish(process)
    assert [line.split("\t")[0] for line in lines] == ["Table", "Align"] * 2
    assert (watched.code, watched.stderr) == (130, "")

"""What the operator's commands show on a terminal, and in a pipe."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping

import pytest

from pyanamo.model import ItemState
from tests.support.makers import add, badly, done, ended, failed, nested, single
from tests.support.operator import Operator
from tests.support.programs import ROOT, finish
from tests.support.terminal import COLUMNS, CTRL_C, on_terminal

LONG = "HG00096_HaplotypeCaller_chr20_part03"
SAMPLE = "HG00096_whole_genome"
NO_RICH = "import sys\nsys.modules['rich'] = None\n"  # a module that can't be found
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


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


def test_failures_on_a_terminal_have_a_command_to_copy(shelf: Operator) -> None:
    with shelf.at_terminal("failures") as terminal:
        assert terminal.end() == 0
    first, *_ = terminal.text.split("\n\n")
    *told, command = first.split("\n")
    assert told == ["2 items  exit code 3", "  cannot read bad1.bam, line 7", "  bad1, bad2"]
    assert re.fullmatch(r"  python -m pyanamo restart -t Align --group \w{6}", command)


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


@pytest.fixture
def cohort(embedded: Operator) -> Operator:
    """An operator with an embedded table, whose items have long names."""
    embedded.table.create()
    parts = {"Task_0": badly(4, stderr="first\nnot in the reference: chrX\n", stderr_bytes=34)}
    ended(embedded.table, nested(LONG, 1, task_id=SAMPLE), failed(parts), pilot="ip-10-0-3-117:1#2")
    ended(embedded.table, single(f"{LONG}_b", task_id=SAMPLE), done(), pilot="ip-10-0-3-117:1#2")
    return embedded


@pytest.mark.parametrize(
    ("columns", "environment"),
    [
        (120, {"NO_COLOR": None}),
        (80, {"NO_COLOR": "1"}),
        (80, {"PYTHONPATH": "no rich"}),
        (40, {"TERM": "dumb"}),
        (40, ASCII),
    ],
)
def test_names_are_whole_on_every_terminal(
    cohort: Operator, columns: int, environment: Mapping[str, str | None]
) -> None:
    if "PYTHONPATH" in environment:
        (cohort.folder / "sitecustomize.py").write_text(NO_RICH)
        environment = {"PYTHONPATH": f"{cohort.folder}:{ROOT}"}
    shown = {}
    for command in ("items", "samples", "show"):
        words = [LONG] if command == "show" else []
        with cohort.at_terminal(command, *words, columns=columns, **environment) as terminal:
            assert terminal.end() == 0
        assert "\u2026" not in terminal.text
        shown[command] = terminal.text
        assert max(map(len, terminal.text.split("\n"))) <= max(columns, len(f"Script  {LONG}"))
    for names, text in (
        ((f"{LONG}_b", SAMPLE, "failed"), shown["items"]),
        ((SAMPLE, "1/2 failed"), shown["samples"]),
        ((LONG, SAMPLE, "chrX"), shown["show"]),
    ):
        if columns >= 80:
            assert all(name in text for name in names)
        else:  # they are folded
            assert set("".join(names)) <= set(text)


def test_columns_by_their_headings(cohort: Operator) -> None:
    columns = ("state,EXIT,Ran,ended,Claimed,tasks,itemid", "reason,Step")
    headers = [cohort.sees("items", "--columns", names).splitlines()[0] for names in columns]
    assert headers == [
        "ItemState\tExit_Code\tRun_Seconds\tDone_Date\tLock_Date\tNested\titemID",
        "Reason\tTable",
    ]


def test_numbers_end_in_one_column(embedded: Operator) -> None:
    embedded.table.create()
    add(embedded.table, *(single(f"item-{number}", task_id=f"S{number}") for number in range(1200)))
    environment = {**embedded.environment, "PYTHONPATH": str(ROOT)}
    commands = (
        (embedded.command("status", "--progress"), " 0 %"),
        (embedded.command("samples", "--summary"), "Samples"),
        ([sys.executable, "-m", "pyanamo", "tables"], "todo"),
    )
    for command, heading in commands:
        with on_terminal(command, environment) as terminal:
            assert terminal.end() == 0
        first, *lines = terminal.text.split("\n")
        (line, *_) = [line for line in lines if "1,200" in line]
        assert line.index("1,200") + len("1,200") == first.index(heading) + len(heading)


def test_what_does_not_fit_is_named(cohort: Operator) -> None:
    with cohort.at_terminal("items", columns=80) as terminal:
        assert terminal.end() == 0
    header, *rows = terminal.text.split("\n")
    assert header.split() == ["itemID", "TaskID", "State", "Tasks"]
    assert f"{LONG}    {SAMPLE}  failed    0/1" in rows
    left_out = "Exit, Ran, Ended, Claimed, InstanceID"
    assert " ".join(rows).endswith(f"2 items. Not shown: {left_out} (--columns all) ")
    with cohort.at_terminal("items", "--columns", "all", columns=80) as terminal:
        assert terminal.end() == 0
    assert re.search(r"^Lock_Date +\d{4}-\d\d-\d\dT", terminal.text, re.MULTILINE)
    assert re.search(r"^InstanceID +ip-10-0-3-117:1#2$", terminal.text, re.MULTILINE)
    assert re.search(r"^Last_Line +not in the reference: chrX$", terminal.text, re.MULTILINE)


def test_dates_are_short(cohort: Operator) -> None:
    with cohort.at_terminal("items", columns=140) as terminal:
        assert terminal.end() == 0
    assert re.search(rf"{LONG}_b +{SAMPLE} +done +0 +1.0 s +\d\d:\d\d:\d\d ", terminal.text)


def test_watching_ends_when_nothing_is_left(shelf: Operator) -> None:
    with shelf.at_terminal("status", "--watch", "0.05") as terminal:
        terminal.wait_for("Ctrl-C ends it")
        assert re.search(r"\d\d:\d\d:\d\d, every 0.05 s", terminal.text)
        finish_all(shelf)
        assert terminal.end() == 0
    assert "nothing is left to do" in terminal.text
    assert "Failed items:  python -m pyanamo failures -t Align" in terminal.text


def test_watching_ends_in_a_pipe_too(shelf: Operator) -> None:
    finish_all(shelf)
    process = shelf.starts("status", "--watch", "0.05")
    assert len(finish(process).stdout.splitlines()) == 2


def finish_all(operator: Operator) -> None:
    """Let no item of the shelf be todo or locked any more."""
    operator.sees("release", "busy", "lost", "--force")
    operator.sees("hold", "--state", "todo")
    assert not operator.names(ItemState.TODO, ItemState.LOCKED)

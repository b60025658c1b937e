"""What a pilot shows on a terminal: its log, a live line below it, and how it ended."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pyanamo.model import ItemState
from pyanamo.pilot import live
from pyanamo.pilot.live import Screen
from pyanamo.pilot.shared import NestedProgress
from pyanamo.pilot.standing import Standing, fitting
from pyanamo.tables import Count
from tests.support.faulty_proxy import Action, Fault, FaultyProxy
from tests.support.makers import claimed, done, ended, failed, single
from tests.support.pilots import SUMMARY
from tests.support.place import Place
from tests.support.terminal import CTRL_C, Terminal

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d  \S+ +(claimed, attempt \d+|done in \d+\.\d s)")


def after_summary(terminal: Terminal) -> list[str]:
    """The lines below the summary, once the pilot has ended."""
    (place,) = (n for n, line in enumerate(terminal.lines) if SUMMARY.fullmatch(f"{line}\n"))
    return [line for line in terminal.lines[place + 1 :] if line]


# --- While it works -----------------------------------------------------------------------------


def test_the_line_goes_on_while_a_long_task_runs(local: Place) -> None:
    script = local.script("long", f"cd {local.folder}; wait_for go")
    local.fill({"long": script, "short": "true"})
    with local.pilot_at_terminal("-i", "2") as terminal:
        for shown in ("0:01  ", "0:02  ", "1 of 2 done", "1 running"):
            terminal.wait_for(shown)
        local.touch("go")
        assert terminal.end() == 0
    assert "of 2 done" not in "".join(terminal.lines), "it is erased at the end"
    assert after_summary(terminal) == ["nothing left to do: 2 done"]


def test_the_tasks_of_running_nested_items(local: Place) -> None:
    """With those that an earlier attempt has done."""
    script = local.script("step", f"cd {local.folder}; wait_for go$1")
    local.fill({"nested": [f"{script} {n}" for n in range(3)]})
    local.touch("go0")
    with local.pilot_at_terminal() as terminal:
        terminal.wait_for("tasks 1/3")
        terminal.type(CTRL_C)
        assert terminal.end() == 130
    assert after_summary(terminal) == ["stopped by SIGINT: start the pilot again to go on"]
    with local.pilot_at_terminal() as terminal:
        terminal.wait_for("tasks 1/3")
        local.touch("go1")
        terminal.wait_for("tasks 2/3")
        local.touch("go2")
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", [40, 80])
def test_lines_of_workers_are_never_mixed_with_it(local: Place, columns: int) -> None:
    local.fill({f"item-{n:03}": "true" for n in range(100)})
    with local.pilot_at_terminal("-i", "4", columns=columns) as terminal:
        assert terminal.end() == 0
    terminal_lines = terminal.lines
    log = [line for line in terminal_lines if LOG_LINE.fullmatch(line)]
    assert len(log) == 200
    others = [line for line in terminal_lines if line and line not in log]
    assert SUMMARY.fullmatch(f"{others[0]}\n")
    assert others[1:] == ["nothing left to do: 100 done"]
    drawn = re.findall(r"\r([^\r\n]*of 100 done[^\r\n]*)\x1b\[K", terminal.shown)
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) < columns for line in drawn)
    assert drawn


def test_a_terminal_that_closes(local: Place) -> None:
    """The pilot is stopped by the hang-up, and gives all back."""
    local.fill({f"item-{n}": "sleep 300" for n in range(4)})
    with local.pilot_at_terminal("-i", "4") as terminal:
        terminal.wait_for("4 running")
        assert terminal.hang_up() == 129
    assert set(local.states().values()) == {"todo"}


def test_a_narrow_terminal_has_what_matters_most() -> None:
    standing = Standing(
        total=Count(items=500),
        done=412,
        failed=3,
        running=2,
        nested=[NestedProgress(tasks=40, done_before=3, ended=10), NestedProgress()],
        tasks_ended=425,
        seconds=4000.0,
        time_left=None,
    )

    def shown(columns: int) -> tuple[str, int]:
        parts, bar = fitting(standing.parts("Align"), columns)
        return "  ".join(part.text for part in parts), bar

    rest = "412 of 500 done  3 failed  2 running  tasks 13/40  14 min left"
    whole = f"Align  1:06:40  this pilot:  {rest}"
    assert shown(200) == (whole, 40)
    assert shown(len(whole) + 10) == (whole, 8)
    assert shown(len(whole)) == (whole, 0)
    assert shown(len(whole) - 1) == (f"Align  1:06:40  {rest}", 10)
    assert shown(79) == (f"Align  1:06:40  {rest}", 0)
    assert shown(60) == ("Align  1:06:40  412 of 500 done  3 failed  14 min left", 0)
    assert shown(39) == ("1:06:40  412 of 500 done  3 failed", 0)
    assert shown(15) == ("412 of 500 done", 0)


@pytest.mark.parametrize(
    ("total", "done", "text"),
    [
        (None, 3, "3 done"),
        (Count(items=5), 3, "3 of 5 done"),
        (Count(items=0), 0, "0 done"),
        (Count(items=2), 3, "3 done"),  # others were added since
        (Count(items=25000, is_all=False), 1234, "1,234 of 25,000+ done"),
    ],
)
def test_of_how_many_as_far_as_it_is_known(total: Count | None, done: int, text: str) -> None:
    standing = Standing(
        total=total,
        done=done,
        failed=0,
        running=0,
        nested=[],
        tasks_ended=0,
        seconds=0.0,
        time_left=None,
    )
    assert text in [part.text for part in standing.parts("Step")]


@pytest.mark.parametrize(
    ("tasks_ended", "wall_time", "text"),
    [
        (0, 90.0, "1.5 min of wall time"),
        (10, None, "60 s left"),
        (10, 90.0, "60 s left"),
        (10, 30.0, "30 s of wall time"),
        (10, 0.0, "wall time used up"),
        (0, None, "1 running"),
    ],
)
def test_how_long_it_goes_on(tasks_ended: int, wall_time: float | None, text: str) -> None:
    standing = Standing(
        total=Count(items=16),
        done=10,
        failed=0,
        running=1,
        nested=[],
        tasks_ended=tasks_ended,
        seconds=100.0,
        time_left=wall_time,
    )
    assert standing.parts("Step")[-1].text == text


# --- Where nobody watches -----------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["-q"], ["--log-format", "json"]])
def test_a_terminal_on_which_nothing_is_wanted(remote: Place, flags: list[str]) -> None:
    """Nothing is counted either."""
    remote.fill({"item": "true"})
    with counting(remote) as counts:
        with remote.pilot_at_terminal(*flags) as terminal:
            assert terminal.end() == 0
        assert not counts
    assert "\r" not in terminal.shown.replace("\r\n", "\n")
    assert " of 1 done" not in terminal.shown
    assert after_summary(terminal) == []


def test_on_a_terminal_a_few_requests_count(remote: Place) -> None:
    remote.fill({"item": "true"})
    with counting(remote) as counts:
        with remote.pilot_at_terminal() as terminal:
            assert terminal.end() == 0
        assert counts == ["todo", "locked", "done", "failed", "held", "locked"]
    assert after_summary(terminal) == ["nothing left to do: 1 done"]


@contextmanager
def counting(remote: Place) -> Iterator[list[str]]:
    """Yield the states whose items the programs at a place count."""
    counts: list[str] = []

    def decide(_operation: str, body: Any, _count: int) -> Action:
        if isinstance(body, dict) and body.get("Select") == "COUNT":
            counts.append(body["ExpressionAttributeValues"][":state"]["S"])
        return Fault.NONE

    with FaultyProxy(remote.environment["AWS_ENDPOINT_URL_DYNAMODB"], decide) as proxy:
        remote.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
        yield counts


def test_a_dumb_terminal_has_no_live_line(local: Place) -> None:
    local.fill({"item": "true"})
    with local.pilot_at_terminal(TERM="dumb") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.shown
    assert "of 1 done" not in terminal.shown
    assert after_summary(terminal) == ["nothing left to do: 1 done"]


def test_without_rich_there_is_no_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "find_spec", lambda _name: None)
    screen = Screen(io.StringIO())
    assert screen.console is None
    assert not screen.has_colours


# --- How it ended -------------------------------------------------------------------------------


def test_the_wall_time_is_used_up(local: Place) -> None:
    local.fill({f"item-{n}": "sleep 3" for n in range(3)})
    with local.pilot_at_terminal("-w", "2") as terminal:
        terminal.wait_for("of wall time")
        assert terminal.end() == 0
    assert after_summary(terminal) == [
        "the wall time is used up, 2 items still to do: start the pilot again to go on"
    ]


def test_the_most_items_are_reached_and_some_failed(local: Place) -> None:
    local.fill({f"item-{n}": "false" for n in range(2)})
    with local.pilot_at_terminal("--max-items", "1") as terminal:
        assert terminal.end() == 0
    assert after_summary(terminal) == [
        "--max-items 1 is reached, 1 item still to do: start the pilot again to go on",
        f"failed items: python -m pyanamo failures {' '.join(local.flags)}",
    ]


def test_nothing_to_do(local: Place) -> None:
    local.table.create()
    with local.pilot_at_terminal() as terminal:
        assert terminal.end() == 0
    assert after_summary(terminal) == ["nothing to do: the table has no items"]
    for n in range(8):
        outcome = failed() if n < 2 else done()
        ended(local.table, single(f"item-{n}"), outcome)
    local.environment["PYANAMO_LOCAL"] = str(local.store.local)
    with local.pilot_at_terminal() as terminal:
        assert terminal.end() == 0
    assert after_summary(terminal)[0] == "nothing to do: 6 done, 2 failed"
    assert after_summary(terminal)[1].startswith("failed items: python -m pyanamo failures -t Step")


def test_only_locked_items_are_left(local: Place) -> None:
    local.table.create()
    claimed(local.table, single("first"), lease=800)
    with local.pilot_at_terminal() as terminal:
        assert terminal.end() == 0
    (line,) = after_summary(terminal)
    assert re.fullmatch(
        r"nothing to claim: 1 item is locked until \d\d:\d\d at the latest if its pilot is gone",
        line,
    )
    assert local.item("first").state is ItemState.LOCKED


def test_too_many_failures_in_a_row(local: Place) -> None:
    local.fill({f"item-{n}": "false" for n in range(3)})
    with local.pilot_at_terminal("--max-failures-in-a-row", "2") as terminal:
        assert terminal.end() == 1
    left, look, why = after_summary(terminal)
    assert left == "1 item still to do: to run them all the same, add --max-failures-in-a-row 0"
    assert look.startswith("failed items: ")
    assert why.startswith("the last 2 items all failed")


def test_failures_that_are_tried_again(local: Place) -> None:
    local.fill({"item": "false"})
    with local.pilot_at_terminal("--retries", "2") as terminal:
        assert terminal.end() == 0
    assert "done 0, failed 1, released 2 in " in terminal.text
    told = "released to be tried again after a failure (--retries): 2"
    assert after_summary(terminal)[0] == told

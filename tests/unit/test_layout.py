"""Tables laid out for terminals of any width, and numbers and dates in few characters."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyanamo.console.layout import Cell, Column, Layout, folded_at, layout_of, width_of
from pyanamo.console.overview import status_lines
from pyanamo.model import ItemState, utc_date
from pyanamo.timetext import duration_text, range_text, short_date
from pyanamo.workflow.pace import Remaining
from pyanamo.workflow.status import Status

COLUMNS = (
    Column(heading="itemID"),
    Column(heading="State"),
    Column(heading="Reason", text=True),
    Column(heading="Ended", gives_way=True),
    Column(heading="Pilot", name="InstanceID", gives_way=True),
)
ROW = ("HG00096_chr20_part03", "failed", "killed by signal 9 (out of memory)", "10:57:17", "host-4")

names = st.text(st.characters(categories=("L", "N", "P", "So")), min_size=1, max_size=60)


def cells(row: Sequence[str]) -> list[Cell]:
    return [Cell(text=text) for text in row]


def laid_out(width: int, *rows: Sequence[str]) -> tuple[Layout, list[str]]:
    """A table with these rows: how it is laid out, and its lines."""
    layout = layout_of(COLUMNS, map(cells, rows), width)
    lines = [*layout.head(), *(line for row in rows for line in layout.lines(cells(row)))]
    return layout, ["".join(text for text, _ in line) for line in lines]


def test_a_table_that_fits() -> None:
    layout, lines = laid_out(100, ROW, ("S1", "todo", "", "", ""))
    assert lines == [
        "itemID                State   Reason                              Ended     Pilot",
        "HG00096_chr20_part03  failed  killed by signal 9 (out of memory)  10:57:17  host-4",
        "S1                    todo",
    ]
    assert layout.left_out == []


def test_texts_are_folded_and_columns_are_left_out() -> None:
    layout, lines = laid_out(66, ROW)
    assert lines == [
        "itemID                State   Reason                      Ended",
        "HG00096_chr20_part03  failed  killed by signal 9 (out of  10:57:17",
        "                              memory)",
    ]
    assert layout.left_out == ["Pilot"]


def test_a_narrow_table_folds_names() -> None:
    layout, lines = laid_out(34, ROW)
    assert lines == [
        "itemID        State   Reason",
        "HG00096_chr2  failed  killed by",
        "0_part03              signal 9",
        "                      (out of",
        "                      memory)",
    ]
    assert layout.left_out == ["Ended", "Pilot"]


def test_a_table_that_is_too_wide_is_a_list_of_everything() -> None:
    layout, lines = laid_out(24, ROW, ("S1", "todo", "", "", ""))
    assert lines == [
        "itemID  HG00096_chr20_part03",
        "State   failed",
        "Reason  killed by signal 9 (out of memory)",
        "Ended   10:57:17",
        "Pilot   host-4",
        "",
        "itemID  S1",
        "State   todo",
        "",
    ]
    assert layout.left_out == []


@given(st.lists(st.tuples(names, names), min_size=1, max_size=5), st.integers(1, 130))
def test_nothing_is_cut_at_any_width(rows: list[tuple[str, str]], width: int) -> None:
    columns = (Column(heading="itemID"), Column(heading="TaskID", right=True))
    layout = layout_of(columns, map(cells, rows), width)
    for row in rows:
        lines = ["".join(text for text, _ in line) for line in layout.lines(cells(row))]
        shown = "".join("".join(lines).split())
        if layout.widths is None:
            assert lines == [f"itemID  {row[0]}", f"TaskID  {row[1]}", ""]
        else:
            assert max(map(width_of, lines)) <= width
            assert sorted(shown) == sorted("".join(row))


@given(st.text(), st.integers(2, 50))
def test_folded_texts_lose_nothing_but_blanks(text: str, width: int) -> None:
    lines = folded_at(text, width)
    assert all(width_of(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wide_characters_take_two_columns() -> None:
    assert [width_of(text) for text in ("ab", "日本", "🍄", "e\u0301", "")] == [2, 4, 2, 1, 0]
    assert folded_at("日本語", 5) == ["日本", "語"]


# --- Status -------------------------------------------------------------------------------------


def status(
    name: str, counts: Sequence[int], *, remaining: Remaining | None = None, rate: float = 1240.0
) -> Status:
    items = dict(zip(ItemState, counts, strict=True))
    return Status(
        table=name,
        items=items,
        progress={},
        tasks=sum(counts),
        tasks_done=items[ItemState.DONE],
        tasks_left=items[ItemState.TODO] + items[ItemState.LOCKED],
        per_hour=rate,
        remaining=remaining,
    )


def shown(width: int, *statuses: Status) -> list[str]:
    lines = status_lines(statuses, width)
    return ["".join(text for text, _ in line).rstrip() for line in lines]


RUNNING = status("HaplotypeCaller", (80, 4, 412, 4, 0), remaining=Remaining(low=200, high=400))
OVER = status("Align", (0, 0, 498, 2, 0), remaining=Remaining(low=0, high=0))


def test_the_bar_gives_way_first() -> None:
    assert shown(96, RUNNING)[1] == (
        "HaplotypeCaller    80       4   412       4     0  412/500  "
        + "━" * 11
        + "─" * 3
        + "     1,240  3 to 7 min"
    )
    assert shown(80, RUNNING) == [
        "Step             todo  locked  done  failed  held    Tasks  Per hour  Left",
        "HaplotypeCaller    80       4   412       4     0  412/500     1,240  3 to 7 min",
    ]


def test_a_narrow_status_has_lines_for_each_table() -> None:
    assert shown(40, RUNNING, OVER) == [
        "HaplotypeCaller",
        "  412/500  ━━━━━━━━━━━━━━━━━━━─────",
        "  80 todo  4 locked  412 done  4 failed",
        "  per hour: 1,240  left: 3 to 7 min",
        "Align",
        "  498/500  ━━━━━━━━━━━━━━━━━━━━━━━─",
        "  498 done  2 failed",
    ]


def test_no_pace_and_no_estimate_once_nobody_works() -> None:
    waits = status("Align", (5, 0, 10, 0, 0), remaining=None)
    for one in (OVER, waits):
        assert "1,240" not in shown(100, one)[1]
        assert "unknown" not in shown(100, one)[1]
    unknown = status("Align", (5, 1, 10, 0, 0), remaining=None)
    assert shown(100, unknown)[1].endswith("unknown")


# --- Numbers and dates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.04, "0.0 s"), (1.25, "1.2 s"), (45, "45 s"), (89, "89 s"), (90, "1.5 min")),
        *((3725, "62 min"), (5400, "1.5 h"), (90000, "25 h"), (200000, "2.3 d")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        *((1, 1.2, "1 s"), (45, 100, "45 to 100 s"), (45, 400, "45 s to 7 min")),
        *((200, 400, "3 to 7 min"), (7200, 9000, "120 to 150 min"), (11000, 20000, "3 to 6 h")),
    ],
)
def test_ranges(low: float, high: float, text: str) -> None:
    assert range_text(low, high) == text


def test_dates_are_local_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")  # two hours ahead
    time.tzset()
    try:
        now = 1_800_000_000.0  # 2027-01-15 08:00 UTC
        assert short_date(utc_date(now - 3600), now) == "09:00:00"
        assert short_date(utc_date(now - 9.9 * 3600), now) == "00:06:00"
        assert short_date(utc_date(now - 24 * 3600), now) == "01-14 10:00"
        assert short_date(utc_date(now - 30 * 24 * 3600), now) == "2026-12-16"
        assert short_date("yesterday", now) == "yesterday"
    finally:
        monkeypatch.undo()
        time.tzset()

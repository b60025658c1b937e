"""Any bytes as text that a table and a terminal take, and its ends."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyanamo.text import first_bytes, harmless, json_text, last_bytes, readable
from tests.support.output import texts

CONTROLS = {chr(code) for code in (*range(32), *range(127, 160))} - {"\t", "\n"}
REORDERING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def terminal(line: str) -> str:
    """What a terminal shows of a line, a character at a time."""
    cells: list[str] = []
    column = 0
    for character in line:
        if character == "\r":
            column = 0
        elif character == "\b":
            column = max(0, column - 1)
        else:
            cells[column : column + 1] = [character]
            column += 1
    return "".join(cells)


@given(st.binary())
@example(bytes(range(256)))
def test_any_bytes_become_text_that_a_table_and_a_terminal_take(output: bytes) -> None:
    shown = readable(output)
    shown.encode()  # no half of a surrogate pair
    assert not set(shown) & (CONTROLS | REORDERING)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"], include_characters="\t\n")))
def test_plain_text_stays_as_it_is(output: str) -> None:
    assert readable(output.encode()) == output


@given(st.lists(st.text("ab\r\b€"), max_size=4))
def test_carriage_returns_draw_as_on_a_terminal(lines: list[str]) -> None:
    output = "\n".join(lines)
    assert readable(output.encode()) == "\n".join(map(terminal, output.split("\n")))


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b" 10%\r 20%\r100%\ndone\n", "100%\ndone\n"),
        (b"long line\rshort\n", "shortline\n"),
        (b"of Windows\r\n", "of Windows\n"),
        (b"a\0b\x1b[31m", "a\ufffdb"),
        (b"\x1b[31mTimeout\x1b[0m\n", "Timeout\n"),
        (b"\x1b[1;38;5;196mOK\x1b(B\x1b[m", "OK"),  # as tput does
        ("\x9b31mred\x9bm".encode(), "red"),
        (b"\x1b]0;a title\x07a \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "a link"),
        (b"\x1bP1$r0m\x1b\\x\x1b7y\x1b[?25lz\x1b[2 q", "xyz"),
        (b"10%\r\x1b[K20%\x1b[2K\r3%", "3%"),
        (b"abc\x1b[2Kd", "   d"),
        (b"1234\b\b\x1b[0Kx", "12x"),
        (b"b\bbo\bol\bld\bd", "bold"),
        (b"ends\x1b", "ends\ufffd"),
        ("a\x07b\x7fc\x85d".encode(), "a\ufffdb\ufffdc\ufffdd"),
        ("a\u202eb\u2066c".encode(), "a\ufffdb\ufffdc"),
        (b"\xff\xe2\x82", "\ufffd\ufffd"),
        ("Käse €".encode(), "Käse €"),
    ],
)
def test_readable(output: bytes, shown: str) -> None:
    assert readable(output) == shown


@given(texts, st.integers(0, 40))
@example("€€€", 4)
def test_ends_of_a_text_have_whole_characters_and_as_many_as_fit(whole: str, limit: int) -> None:
    end, beginning = last_bytes(whole, limit), first_bytes(whole, limit)
    for part, further in (
        (end, whole[: len(whole) - len(end)][-1:]),
        (beginning, whole[len(beginning) :][:1]),
    ):
        size = len(part.encode())
        assert size <= limit
        assert not further or size + len(further.encode()) > limit
    assert whole.endswith(end)
    assert whole.startswith(beginning)


@given(st.text(st.characters()))  # lone surrogates too: bytes that aren't UTF-8
@example("\udcfc\x9b\u202e\x7f\u2028")
def test_json_is_utf8_without_what_controls_a_terminal(text: str) -> None:
    for ascii_only in (False, True):
        written = json_text([text], ascii_only=ascii_only)
        assert written.isascii() or not ascii_only
        written.encode()
        assert not set(written) & (CONTROLS | REORDERING | {"\u2028", "\u2029"})
        (read,) = json.loads(written)
        assert read == re.sub("[\ud800-\udfff]", "\ufffd", text)


@given(st.text(st.characters()))
@example("\x1b[2J\u202e\udcfc\n")
def test_harmless_text_stays_apart(text: str) -> None:
    shown = harmless(text)
    shown.encode()
    assert set(shown) - {"\n", "\t"} == {char for char in shown if char.isprintable()}
    assert shown == text or not text.isprintable()


def test_time_is_linear() -> None:
    """Also where sequences begin and never end."""
    for begin in ("\x1b]", "\x1b[", "\x9d", "\x9b1", "\x1b]x", "\x1b", "\b", "\r", "\x1b[K"):
        readable((begin * 40_000).encode())

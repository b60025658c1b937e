"""Any bytes as text that a table and a terminal take, and its ends."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyanamo.output.text import first_bytes, last_bytes, readable
from tests.support.output import texts


def terminal(line: str) -> str:
    """What a terminal shows of a line, a character at a time."""
    cells: list[str] = []
    column = 0
    for character in line:
        if character == "\r":
            column = 0
        else:
            cells[column : column + 1] = [character]
            column += 1
    return "".join(cells)


@given(st.binary())
@example(bytes(range(256)))
def test_any_bytes_become_text_that_a_table_and_a_terminal_take(output: bytes) -> None:
    shown = readable(output)
    shown.encode()  # no half of a surrogate pair
    assert not {character for character in shown if ord(character) < 32} - {"\t", "\n"}
    assert "\x7f" not in shown


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n")))
def test_plain_text_stays_as_it_is(output: str) -> None:
    assert readable(output.encode()) == output


@given(st.lists(st.text("ab\r€"), max_size=4))
def test_carriage_returns_draw_as_on_a_terminal(lines: list[str]) -> None:
    output = "\n".join(lines)
    assert readable(output.encode()) == "\n".join(map(terminal, output.split("\n")))


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b" 10%\r 20%\r100%\ndone\n", "100%\ndone\n"),
        (b"long line\rshort\n", "shortline\n"),
        (b"of Windows\r\n", "of Windows\n"),
        (b"a\0b\x1b[31m", "a\ufffdb\ufffd[31m"),
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

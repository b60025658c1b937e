"""Turn bytes and foreign text into text that can be kept and shown, and shorten text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

# What a terminal obeys instead of showing it (ECMA-48, section 5.4 and 8.3): control sequences such
# as colours; strings for the terminal, such as its title; and other escape sequences.
_SEQUENCE = re.compile(
    r"""
      (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]
    | (?: \x1b[\]PX^_] | [\x90\x98\x9d-\x9f] ) [^\x00-\x1f\x7f-\x9f]* (?: \x07 | \x1b\\ | \x9c )
    | \x1b [ -/]* [0-~]
    """,
    re.VERBOSE,
)
_ERASE = re.compile(r"(?:\x1b\[|\x9b)[02]?K")  # the rest of the line; with 2, all of it
_MOVES = re.compile(rf"(\r|\x08|{_ERASE.pattern})")
_SURROGATES = "\ud800-\udfff"  # bytes that aren't UTF-8, as Python carries them (PEP 383)
_REORDERING = "\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
_CONTROLS = f"\x7f-\x9f{_REORDERING}{_SURROGATES}"
_UNREADABLE = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{_CONTROLS}]")
_NOT_ASCII = re.compile("[^\x00-\x7e]")
_NOT_IN_JSON = re.compile(f"[\u2028\u2029{_CONTROLS}]")  # of what the json module doesn't escape

_SURROGATE = re.compile("[\ud800-\udfff]")


def readable(output: bytes) -> str:
    """Decode bytes as what a terminal finally shows of them; see `readable_text`."""
    return readable_text(output.decode(errors="replace"))


def readable_text(text: str) -> str:
    """Return what a terminal finally shows of a text, as far as it is plain text.

    Colours and other terminal sequences vanish. Carriage returns and backspaces draw over their
    line, and sequences that erase the line do. Anything else that isn't text is replaced: other
    control characters, what reorders text, and bytes that were no UTF-8.
    """
    text = _SEQUENCE.sub(lambda found: found[0] if _ERASE.fullmatch(found[0]) else "", text)
    if _MOVES.search(text):
        text = "\n".join(map(_drawn, text.split("\n")))
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of the names that are similar to a name, the nearest first."""
    from difflib import get_close_matches  # which is seldom needed

    return get_close_matches(name, list(names))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint at the nearest name for one that isn't there; empty if none is near."""
    nearest = close_names(name, names)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def valid_text(text: str) -> str:
    """Replace what stands for bytes that were no UTF-8 ("surrogateescape"); all else stays."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str, kept: str = "") -> str:
    r"""Escape what isn't printable, except the characters in `kept`: `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def harmless(text: str) -> str:
    """Escape what might control a terminal; lines stay lines."""
    return escaped(text, kept="\n\t")


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return a value as JSON that is valid UTF-8, and that doesn't control a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return (_NOT_ASCII if ascii_only else _NOT_IN_JSON).sub(_in_json, text)


def _in_json(found: re.Match[str]) -> str:
    is_surrogate = "\ud800" <= found[0] <= "\udfff"
    return json.dumps("\N{REPLACEMENT CHARACTER}" if is_surrogate else found[0])[1:-1]


def last_bytes(text: str, limit: int) -> str:
    """Return the end of a text: whole characters, at most `limit` bytes."""
    encoded = text.encode()
    start = max(0, len(encoded) - limit)
    return encoded[start:].decode(errors="ignore")


def first_bytes(text: str, limit: int) -> str:
    """Return the beginning of a text: whole characters, at most `limit` bytes."""
    return text.encode()[:limit].decode(errors="ignore")


def shortened(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, which ends in `...` if some are left out."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _drawn(line: str) -> str:
    """Return what a terminal finally shows of a line in which the cursor moves back."""
    cells: list[str] = []
    column = 0
    for part in _MOVES.split(line):
        if part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        elif _ERASE.fullmatch(part):
            del cells[0 if part.endswith("2K") else column :]
        elif part:
            cells += " " * (column - len(cells))
            cells[column : column + len(part)] = part
            column += len(part)
    return "".join(cells)

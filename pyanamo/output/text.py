"""Turn bytes into readable text, and shorten text to a number of bytes."""

from __future__ import annotations

import re

# Control characters, except tabs and newlines.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def readable(output: bytes) -> str:
    """Decode bytes: invalid UTF-8 is replaced, and carriage returns overwrite their line."""
    text = output.decode(errors="replace").replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_drawn(line) for line in text.split("\n"))
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def last_bytes(text: str, limit: int) -> str:
    """Return the end of a text: whole characters, at most `limit` bytes."""
    encoded = text.encode()
    start = max(0, len(encoded) - limit)
    return encoded[start:].decode(errors="ignore")


def first_bytes(text: str, limit: int) -> str:
    """Return the beginning of a text: whole characters, at most `limit` bytes."""
    return text.encode()[:limit].decode(errors="ignore")


def _drawn(line: str) -> str:
    """Return what a terminal finally shows of a line with carriage returns."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown

"""Any bytes as readable text, cut to so many bytes."""

from __future__ import annotations

import re

# What no terminal shows and a table's reader can't use; tabs and line ends stay.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def readable(output: bytes) -> str:
    """Text from any bytes: what is no UTF-8 is replaced, carriage returns draw over their line."""
    text = output.decode(errors="replace").replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_drawn(line) for line in text.split("\n"))
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def last_bytes(text: str, limit: int) -> str:
    """The end of a text, whole characters of at most `limit` bytes in all."""
    encoded = text.encode()
    start = max(0, len(encoded) - limit)
    return encoded[start:].decode(errors="ignore")


def first_bytes(text: str, limit: int) -> str:
    """The beginning of a text, whole characters of at most `limit` bytes in all."""
    return text.encode()[:limit].decode(errors="ignore")


def _drawn(line: str) -> str:
    """What is seen of a line in the end: each carriage return starts again at its front."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown

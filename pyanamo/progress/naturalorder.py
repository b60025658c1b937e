"""Names in the order that people expect."""

from __future__ import annotations

import re


def natural_key(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Sorts names as people do: Sample2 before Sample10. Different names have different keys."""
    parts = re.split("([0-9]+)", name)  # text, digits, text, ...: like is compared with like
    key = (_number_key(part) if place % 2 else part for place, part in enumerate(parts))
    return tuple(key), name


def _number_key(digits: str) -> tuple[int, str]:
    """Sorts by value, without Python's limit to the length of a number."""
    significant = digits.lstrip("0")
    return len(significant), significant

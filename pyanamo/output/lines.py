"""The last lines that a task printed: they often say why it failed."""

from __future__ import annotations

import re

from pyanamo.model import Result

LAST_LINES = 3
_CUT_NOTE = re.compile(r"\[\d+ of \d+ bytes were kept: --max-log\]")  # below an output's tail


def last_line_of(result: Result) -> str:
    """The last line of a result's stderr that isn't empty."""
    return next(iter(last_lines_of(result, 1)), "")


def last_lines_of(result: Result, count: int = LAST_LINES) -> list[str]:
    """The last lines of a result's stderr that aren't empty."""
    lines = (line.strip() for line in result.stderr.splitlines())
    return [line for line in lines if line and not _CUT_NOTE.fullmatch(line)][-count:]

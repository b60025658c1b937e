"""Write figures for people (a Markdown table) and for programs (JSON)."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, number

COLUMNS = ("what", "target", "median", "spread", "met", "details")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def markdown(figures: Sequence[Figure]) -> str:
    """Return a Markdown table with one row per figure."""
    table = Table(*COLUMNS, box=box.MARKDOWN)
    for figure in figures:
        table.add_row(*row(figure))
    text = io.StringIO()
    # Wide enough for any row: a row of a Markdown table is one line.
    Console(file=text, width=10_000, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def row(figure: Figure) -> tuple[str, ...]:
    """Return the cells of a figure's row."""
    met = {True: "yes", False: "**no**", None: ""}[figure.is_met]
    target = "" if figure.target is None else str(figure.target)
    median = f"{number(figure.median)} {figure.unit}"
    return figure.what, target, median, figure.spread, met, figure.beside


def as_json(machine: Mapping[str, str], seconds: float, figures: Sequence[Figure]) -> str:
    """Return all figures as JSON."""
    entries = [
        {
            "name": figure.name,
            "what": figure.what,
            "unit": figure.unit,
            "median": figure.median,
            "values": list(figure.values),
            "target": figure.target and str(figure.target),
            "met": figure.is_met,
            "beside": figure.beside,
        }
        for figure in figures
    ]
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    whole = {"date": date, "seconds": round(seconds), "machine": machine, "figures": entries}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def put_between_marks(file: Path, text: str) -> None:
    """Replace the text between the marks of a document."""
    before, _, rest = file.read_text("utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{file} has no lines {BEGIN!r} and {END!r}")
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")

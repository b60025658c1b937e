"""Measure the speed and the memory of import-items.py."""

from __future__ import annotations

from statistics import fmean

from benchmarks.figures import Figure, at_least, at_most, number
from benchmarks.places import Place, task_file
from benchmarks.rates import bare


def import_rows(place: Place, rows: int, beside_rows: int) -> list[Figure]:
    """Measure an import, and `batch_writer` with fewer rows before and after it."""
    before = batch_writer_rate(place, beside_rows)
    table = place.new_table()
    ran = place.import_file(table, task_file(place.folder, rows, "true"))
    place.keep_filled(rows, table)
    beside = fmean((before, batch_writer_rate(place, beside_rows)))
    rate = rows / ran.seconds
    return [
        Figure(
            name="import_rate",
            what=f"import of {rows:,} rows, DynamoDB Local, compared with boto3's `batch_writer`",
            unit="of its rate",
            values=[rate / beside],
            target=at_least(0.6),
            beside=f"import-items.py including its start {number(rate)} rows/s, "
            f"batch_writer, which overwrites rows, {number(beside)} rows/s",
        ),
        Figure(
            name="import_memory",
            what=f"peak memory of this import of {rows:,} rows",
            unit="MB",
            values=[ran.peak_mb],
            target=at_most(200),
        ),
    ]


def batch_writer_rate(place: Place, rows: int) -> float:
    """Return the rows per second of `batch_writer`, in one thread, into a new table."""
    table = place.fill(1)  # its row is overwritten
    return bare(place, "write", rows, "--table", table).rate

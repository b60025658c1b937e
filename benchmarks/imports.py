"""How fast import-items.py writes rows, and in how much memory."""

from __future__ import annotations

from statistics import fmean

from benchmarks.figures import Figure, at_least, at_most, number
from benchmarks.places import Place, task_file
from benchmarks.rates import bare


def import_rows(place: Place, rows: int, beside_rows: int) -> list[Figure]:
    """Import rows, between two runs of `batch_writer` with some of them."""
    before = batch_writer_rate(place, beside_rows)
    table = place.new_table()
    ran = place.import_file(table, task_file(place.folder, rows, "true"))
    place.keep_filled(rows, table)
    beside = fmean((before, batch_writer_rate(place, beside_rows)))
    rate = rows / ran.seconds
    return [
        Figure(
            name="import_rate",
            what=f"import of {rows:,} rows, DynamoDB Local, next to boto3's `batch_writer`",
            unit="of its rate",
            values=[rate / beside],
            target=at_least(0.6),
            beside=f"import-items.py with its start {number(rate)} rows/s, "
            f"batch_writer {number(beside)} rows/s, which overwrites what is there",
        ),
        Figure(
            name="import_memory",
            what=f"memory of that import of {rows:,} rows, at its highest",
            unit="MB",
            values=[ran.peak_mb],
            target=at_most(200),
        ),
    ]


def batch_writer_rate(place: Place, rows: int) -> float:
    """The rows a second that boto3's `batch_writer` writes, on one thread, into a new table."""
    table = place.fill(1)  # the same row comes again, and is overwritten
    return bare(place, "write", rows, "--table", table).rate

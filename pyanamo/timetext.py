"""Durations and dates, as people read them."""

from __future__ import annotations

import time

from pyanamo.model import epoch_seconds_of

_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


def duration_text(seconds: float) -> str:
    """Return `4.5 s`, `45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    number, unit = _in_its_unit(seconds, 1.5)
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def flag_text(seconds: float) -> str:
    """Return a duration as a flag takes it: `90`, `90m`, `2h`, `1d`."""
    sizes = {"d": 86400.0, "h": 3600.0, "m": 60.0}
    unit = next((unit for unit, size in sizes.items() if seconds and seconds % size == 0), "")
    return f"{seconds / sizes.get(unit, 1.0):g}{unit}"


def range_text(low: float, high: float) -> str:
    """Return about `45 s to 3 min`, `3 to 7 min`, `12 min`."""
    (least, unit), (most, other) = (_in_its_unit(seconds, 3.0) for seconds in (low, high))
    if unit != other:
        return f"{least:.0f} {unit} to {most:.0f} {other}"
    texts = dict.fromkeys((f"{least:.0f}", f"{most:.0f}"))
    return f"{' to '.join(texts)} {unit}"


def _in_its_unit(seconds: float, least: float) -> tuple[float, str]:
    """The number in the largest unit of which there are at least so many, and the unit."""
    units = ((seconds / size, unit) for unit, size in _UNITS)
    return next((found for found in units if found[0] >= least), (seconds, "s"))


def short_date(date: str, now: float) -> str:
    """Return a table's date as local time: `10:57:17` of today, `12-31 10:57`, `2025-12-31`."""
    moment = epoch_seconds_of(date)
    if moment is None:
        return date
    then, today = time.localtime(moment), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%m-%d %H:%M" if then[0] == today[0] else "%Y-%m-%d", then)

"""Which sample is how far in which step: a matrix of cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyanamo.errors import UsageError
from pyanamo.model import ItemState, ItemSummary
from pyanamo.progress.cells import NO_ITEMS, Cell, cell_of
from pyanamo.progress.naturalorder import natural_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """All items of one `TaskID`: a row of the matrix."""

    task_id: str
    cells: Mapping[str, Cell] = field(default_factory=dict)  # by step; only where it has items

    def cell(self, step: str) -> Cell:
        """What its items in a step come to."""
        return self.cells.get(step, NO_ITEMS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The matrix: a row a sample, in the natural order of their names; a column a step."""

    steps: tuple[str, ...]
    rows: tuple[Sample, ...]

    def where(self, filters: Sequence[Filter]) -> Samples:
        """Only the samples that match all the filters."""
        rows = (row for row in self.rows if all(wanted.matches(row) for wanted in filters))
        return Samples(steps=self.steps, rows=tuple(rows))


def samples_of(streams: Mapping[str, Iterable[ItemSummary]]) -> Samples:
    """The matrix of the steps' rows, the steps in the order given.

    The streams are read once, one after another; only the cells are kept.
    """
    cells: dict[str, dict[str, Cell]] = {}  # by sample, then by step
    for step, summaries in streams.items():
        for summary in summaries:
            row = cells.setdefault(summary.task_id, {})
            row[step] = row.get(step, NO_ITEMS) + cell_of(summary)
    rows = (Sample(task_id=name, cells=cells[name]) for name in sorted(cells, key=natural_key))
    return Samples(steps=tuple(streams), rows=tuple(rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A wish for the state of a sample in a step, which is that of its cell there."""

    step: str
    state: ItemState | None  # None: it has no items there

    @classmethod
    def parse(cls, text: str, steps: Sequence[str]) -> Filter:
        """`STEP=failed`; `STEP=` for no items. Raises `UsageError` for what names no step or state.

        A cell with items in several states has the most pressing one, which is the one it shows.
        """
        step, equals, state = text.partition("=")
        states = {known.value: known for known in ItemState} | {"": None}
        if not equals:
            raise UsageError(f"{text!r} is no filter: expected STEP=STATE, {steps[0]}=failed, say")
        if step not in steps:
            raise UsageError(f"{step!r} in {text!r} is no step: expected {', '.join(steps)}")
        if state not in states:
            known = ", ".join(filter(None, states))
            raise UsageError(f"{state!r} in {text!r} is no state: expected {known}, or nothing")
        return cls(step=step, state=states[state])

    def matches(self, sample: Sample) -> bool:
        """Whether a sample is as wished."""
        return sample.cell(self.step).state is self.state

"""How far each sample is in each step: a matrix of cells, and where each sample is. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pyanamo.errors import UsageError
from pyanamo.model import UNFINISHED, ItemState, ItemSummary, task_counts

# Of several items, the state that an operator should see first.
MOST_PRESSING = (
    ItemState.FAILED,
    ItemState.LOCKED,
    ItemState.TODO,
    ItemState.HELD,
    ItemState.DONE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A sample's items in one step, summed up. Cells can be added; `NO_ITEMS` is their zero."""

    items: int = 0
    tasks: int = 0
    tasks_done: int = 0
    nested: bool = False  # whether at least one item is nested
    state: ItemState | None = None  # the most pressing one of its items; None if it has no items
    goes_on: bool = False  # whether at least one item is todo or locked

    def __add__(self, other: Cell) -> Cell:
        states = [state for state in (self.state, other.state) if state is not None]
        return Cell(
            items=self.items + other.items,
            tasks=self.tasks + other.tasks,
            tasks_done=self.tasks_done + other.tasks_done,
            nested=self.nested or other.nested,
            state=min(states, key=MOST_PRESSING.index, default=None),
            goes_on=self.goes_on or other.goes_on,
        )

    @property
    def is_done(self) -> bool:
        """Whether there are items, and all of them are done."""
        return self.state is ItemState.DONE

    @property
    def is_begun(self) -> bool:
        """Whether any item was ever worked on, or held."""
        return self.tasks_done > 0 or self.state not in (None, ItemState.TODO)

    @property
    def is_stuck(self) -> bool:
        """Whether it needs an operator: items are failed or held, and none is todo or locked."""
        return self.state in (ItemState.FAILED, ItemState.HELD) and not self.goes_on

    @property
    def text(self) -> str:
        """`locked`; `18/22 locked` for several tasks or items; empty if there are no items."""
        if self.state is None:
            return ""
        if self.items == 1 and not self.nested:
            return self.state.value
        return f"{self.tasks_done}/{self.tasks} {self.state.value}"


NO_ITEMS = Cell()


def cell_of(summary: ItemSummary) -> Cell:
    """The cell of one item."""
    tasks, done = task_counts(summary)
    return Cell(
        items=1,
        tasks=tasks,
        tasks_done=done,
        nested=summary.nested_tasks is not None,
        state=summary.state,
        goes_on=summary.state in UNFINISHED,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """All items of one `TaskID`: a row of the matrix."""

    task_id: str
    cells: Mapping[str, Cell] = field(default_factory=dict)  # by step, for steps with items of it

    def cell(self, step: str) -> Cell:
        """The cell of a step."""
        return self.cells.get(step, NO_ITEMS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The matrix: one row per sample, in the natural order of their names; one column per step."""

    steps: tuple[str, ...]
    rows: tuple[Sample, ...]

    def where(self, filters: Sequence[Filter]) -> Samples:
        """Only the samples that match all the filters."""
        rows = (
            row for row in self.rows if all(wanted.matches(row, self.steps) for wanted in filters)
        )
        return Samples(steps=self.steps, rows=tuple(rows))


OF_A_SAMPLE = ("TaskID", "Nested_Tasks", "Nested_Done")  # what is read of each item, and its state


def samples_of(streams: Mapping[str, Iterable[ItemSummary]]) -> Samples:
    """The matrix of the steps' rows, with the steps in the order given.

    Each stream is read once, and only the cells are kept.
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
    """Selects samples by the state of their cell in a step, or those that are stuck there."""

    step: str
    state: ItemState | None = None  # None selects samples without items in the step
    stuck: bool = False  # whether it selects those that a summary counts as stuck in the step

    @classmethod
    def parse(cls, text: str, steps: Sequence[str]) -> Filter:
        """Read `STEP=failed`, `STEP=stuck`, or `STEP=` for no items. Raises `UsageError`.

        A cell with items in several states has the most pressing state, the one that it shows.
        """
        step, equals, state = text.partition("=")
        states = {known.value: known for known in ItemState} | {"": None}
        if not equals:
            raise UsageError(
                f"{text!r} is not a filter: expected STEP=STATE, for example {steps[0]}=failed"
            )
        if step not in steps:
            raise UsageError(f"{step!r} in {text!r} is not a step: expected {', '.join(steps)}")
        if state == Stage.STUCK.value:
            return cls(step=step, stuck=True)
        if state not in states:
            known = ", ".join([*filter(None, states), Stage.STUCK.value])
            raise UsageError(f"{state!r} in {text!r} is not a state: expected {known}, or nothing")
        return cls(step=step, state=states[state])

    def matches(self, sample: Sample, steps: Sequence[str]) -> bool:
        """Whether the filter selects a sample of a workflow of these steps."""
        if self.stuck:
            return place_of(sample, steps) == Place(stage=Stage.STUCK, step=self.step)
        return sample.cell(self.step).state is self.state


class Stage(str, Enum):
    """How far a sample has come as a whole."""

    NOT_BEGUN = "not begun"  # none of its items was ever worked on, or held
    IN_STEP = "in step"  # items of it run in a step, or wait there
    STUCK = "stuck"  # in its step, items are failed or held, and none is todo or locked
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sample is."""

    stage: Stage
    step: str | None  # the first that isn't done; None if all are


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplesSummary:
    """How many samples are where. Each sample is counted once: the counts add up to `samples`."""

    samples: int
    finished: int
    not_begun: int
    in_step: Mapping[str, int]  # of every step
    stuck: Mapping[str, int]  # of every step


def place_of(sample: Sample, steps: Sequence[str]) -> Place:
    """Where a sample is in a workflow of these steps.

    Its step is the first that isn't done. A step without items of the sample isn't done, since they
    may still be imported, unless the sample has items in a later step: then it skips that step. So
    a sample is *finished* if all its items are done, and some of them are in the last step.
    """
    last = max((place for place, step in enumerate(steps) if step in sample.cells), default=-1)
    for place, step in enumerate(steps):
        cell = sample.cell(step)
        skipped = cell.state is None and place < last
        if cell.is_done or skipped:
            continue
        if not any(other.is_begun for other in sample.cells.values()):
            return Place(stage=Stage.NOT_BEGUN, step=step)
        return Place(stage=Stage.STUCK if cell.is_stuck else Stage.IN_STEP, step=step)
    return Place(stage=Stage.FINISHED, step=None)


def summary_of_samples(samples: Samples) -> SamplesSummary:
    """How many samples are where."""
    places = Counter(place_of(sample, samples.steps) for sample in samples.rows)
    stages: Counter[Stage] = Counter()
    for place, count in places.items():
        stages[place.stage] += count
    return SamplesSummary(
        samples=len(samples.rows),
        finished=stages[Stage.FINISHED],
        not_begun=stages[Stage.NOT_BEGUN],
        in_step={step: places[Place(stage=Stage.IN_STEP, step=step)] for step in samples.steps},
        stuck={step: places[Place(stage=Stage.STUCK, step=step)] for step in samples.steps},
    )


def natural_key(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Sort names as people do: Sample2 before Sample10. Different names have different keys."""
    parts = re.split("([0-9]+)", name)  # text, digits, text, ...: the same kinds are compared
    key = (_number_key(part) if place % 2 else part for place, part in enumerate(parts))
    return tuple(key), name


def _number_key(digits: str) -> tuple[int, str]:
    """Sort by value, without Python's limit on the length of a number."""
    significant = digits.lstrip("0")
    return len(significant), significant

"""Where each sample is in the workflow as a whole, and how many are where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pyanamo.progress.samples import Sample, Samples


class Stage(str, Enum):
    """How far a sample has come as a whole."""

    NOT_BEGUN = "not begun"  # nothing has ever become of any of its items
    IN_STEP = "in step"  # it is being worked on in a step, or waits there
    STUCK = "stuck"  # in its step items failed or are held, and nothing goes on
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sample is."""

    stage: Stage
    step: str | None  # the first that isn't done; None when finished


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplesSummary:
    """How many samples are where. Each is counted once: the numbers add up to `samples`."""

    samples: int
    finished: int
    not_begun: int
    in_step: Mapping[str, int]  # of every step
    stuck: Mapping[str, int]  # of every step


def place_of(sample: Sample, steps: Sequence[str]) -> Place:
    """Where a sample is in a workflow of these steps.

    Its step is the first that isn't done. One without items of the sample isn't done either, for
    they may still be imported there; unless the sample has items in a later step: then it skips
    it. So *finished* is a sample all whose items are done, and that has some in the last step.
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

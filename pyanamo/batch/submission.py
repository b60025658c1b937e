"""Pilots as jobs of AWS Batch: how many are wanted, in which arrays, and what a job is told.

`Jobs.submit` of `pyanamo.batch.jobs` sends what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyanamo.model import ItemState
from pyanamo.tables import WorkflowTable

LARGEST_ARRAY = 10_000  # AWS Batch User Guide, "Array jobs"; the smallest has 2 jobs
MOST_PILOTS = 1_000_000  # 100 arrays; who asks for more has slipped


@dataclass(frozen=True, kw_only=True)
class PilotJob:
    """What AWS Batch is told of a job, plain or an array, each of whose containers is a pilot."""

    name: str
    queue: str  # name, or ARN
    definition: str  # name, name:revision, or ARN
    environment: Mapping[str, str] = field(default_factory=dict)  # beyond the job definition's
    command: tuple[str, ...] = ()  # in place of the job definition's; empty: the definition's

    def request(self, pilots: int) -> dict[str, Any]:
        """The arguments of the `SubmitJob` that starts so many pilots, 1 to `LARGEST_ARRAY`."""
        overrides: dict[str, Any] = {
            "environment": [
                {"name": name, "value": value} for name, value in self.environment.items()
            ]
        }
        if self.command:
            overrides["command"] = list(self.command)
        request: dict[str, Any] = {
            "jobName": self.name,
            "jobQueue": self.queue,
            "jobDefinition": self.definition,
            "containerOverrides": overrides,
        }
        if pilots > 1:
            request["arrayProperties"] = {"size": pilots}
        return request


@dataclass(frozen=True, kw_only=True)
class Left:
    """The items of a table for which pilots may be wanted."""

    todo: int
    lost: int  # locked, but the lease has expired: whoever finds them takes them over
    busy: int  # locked by pilots that keep their leases

    def pilots(self, items: int) -> int:
        """How many pilots it takes for each item to have its place, with `items` at a time each."""
        return -(-(self.todo + self.lost) // items)


def left_in(table: WorkflowTable, now: float) -> Left:
    """What is left to do in a table at `now`, in epoch seconds.

    What waits is counted in the index. That doesn't have the leases: the locked items are read
    whole, some at a time.
    """
    todo = sum(1 for _ in table.summaries(ItemState.TODO))
    lost = busy = 0
    for item in table.items(ItemState.LOCKED):
        has_expired = item.lease_has_expired(now)
        lost += has_expired
        busy += not has_expired
    return Left(todo=todo, lost=lost, busy=busy)


def array_sizes(pilots: int) -> list[int]:
    """How many pilots each job has: as few jobs as can be, as even as can be.

    A job of 1 is a plain one, for an array has 2 at least; there is none beside arrays.
    """
    jobs = -(-pilots // LARGEST_ARRAY)
    return [pilots // jobs + (number < pilots % jobs) for number in range(jobs)]


def job_name_of(table: str) -> str:
    """A job's name that comes as close to a table's as AWS Batch allows."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", table).lstrip("_-")
    return name[:128] or "pilots"

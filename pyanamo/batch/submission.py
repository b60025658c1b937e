"""Make the requests that submit pilots to AWS Batch: how many, in which array jobs, with what.

`Jobs.submit` in `pyanamo.batch.jobs` sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyanamo.model import ItemState
from pyanamo.tables import WorkflowTable

LARGEST_ARRAY = 10_000  # jobs (AWS Batch User Guide, "Array jobs"); the smallest has 2
MOST_PILOTS = 1_000_000  # 100 arrays; more is most likely a typing error


@dataclass(frozen=True, kw_only=True)
class PilotJob:
    """A job or array job for AWS Batch. Each of its containers is a pilot."""

    name: str
    queue: str  # name or ARN
    definition: str  # name, name:revision or ARN
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the definition's
    command: tuple[str, ...] = ()  # replaces the definition's, unless it is empty

    def request(self, pilots: int) -> dict[str, Any]:
        """Return the arguments of `SubmitJob` that start this many pilots, 1 to `LARGEST_ARRAY`."""
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
    """How many unfinished items a table has."""

    todo: int
    lost: int  # locked, but the lease has expired: any pilot may take them over
    busy: int  # locked, with a lease that has not expired

    def pilots(self, items: int) -> int:
        """Return how many pilots it takes to run all these items at once, `items` in each pilot."""
        return -(-(self.todo + self.lost) // items)


def left_in(table: WorkflowTable) -> Left:
    """Count the unfinished items of a table.

    The leases aren't in the index, so all attributes of locked items are read, in batches.
    """
    todo = sum(1 for _ in table.summaries(ItemState.TODO))
    lost = busy = 0
    for item in table.items(ItemState.LOCKED):
        has_expired = item.lease_has_expired(table.now())
        lost += has_expired
        busy += not has_expired
    return Left(todo=todo, lost=lost, busy=busy)


def array_sizes(pilots: int) -> list[int]:
    """Return how many pilots each job has: as few jobs as possible, of sizes as even as possible.

    A size of 1 is a job that isn't an array, and then the only one.
    """
    jobs = -(-pilots // LARGEST_ARRAY)
    return [pilots // jobs + (number < pilots % jobs) for number in range(jobs)]


def job_name_of(table: str) -> str:
    """Return a valid name for a job that is as close as possible to a table's name."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", table).lstrip("_-")
    return name[:128] or "pilots"

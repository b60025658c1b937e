"""A workflow step for the contract tests, as several pilots see it."""

from dataclasses import dataclass
from typing import Any

from pyanamo.model import Claim, Item
from pyanamo.tables import Added, WorkflowTable
from tests.support.backends import Backend, Clock
from tests.support.makers import well

LEASE = 60
STARTED = "2027-01-15T08:00:00Z"  # START
LATER = "2027-01-15T08:00:10Z"  # 10 seconds later
EXPIRED = "2027-01-15T08:01:00Z"  # a lease later
DIED = "the worker died while running it (killed by signal 9)"


@dataclass(frozen=True)
class Step:
    """A table of a backend, and what pilots do with it."""

    backend: Backend
    name: str
    table: WorkflowTable  # of one pilot

    @property
    def clock(self) -> Clock:
        return self.backend.clock

    def add(self, *items: Item, replace: bool = False) -> Added:
        return self.table.add(items, replace=replace)

    def claim_if_any(self, pilot: str = "pilot-1", *, max_attempts: int = 3) -> Claim | None:
        """Claim as a new pilot does, which has no candidates of the table yet."""
        table = self.backend.open(self.name)
        return table.claim(pilot, lease=LEASE, max_attempts=max_attempts)

    def claim(self, pilot: str = "pilot-1", *, max_attempts: int = 3) -> Claim:
        claim = self.claim_if_any(pilot, max_attempts=max_attempts)
        assert claim is not None, "there is nothing to claim"
        return claim

    def get(self, item_id: str) -> Item:
        item = self.table.get(item_id)
        assert item is not None, f"{item_id} is not there"
        return item

    def raw(self, item_id: str) -> dict[str, Any]:
        return self.backend.raw(self.name, item_id)


def make_step(backend: Backend, name: str) -> Step:
    table = backend.open(name)
    table.create()
    return Step(backend, name, table)


# A result with all fields, and what a table keeps of it.
RESULT = well(
    1.5,
    start_date="2027-01-15T08:00:01Z",
    cpu_seconds=0.25,
    max_rss_mb=12.5,
    peak_mb=14.5,
    stdout="out",
    stderr="err",
    stdout_bytes=3000,
    stderr_bytes=3,
    log_uri="s3://bucket/a.log",
    results=("reads: 8", "Größe: 9"),
)
KEPT_RESULT = {
    "Status": "done",
    "Exit_Code": 0,
    "Start_Date": "2027-01-15T08:00:01Z",
    "Run_Seconds": 1.5,
    "CPU_Seconds": 0.25,
    "Max_RSS_MB": 12.5,
    "Peak_MB": 14.5,
    "stdout": "out",
    "stderr": "err",
    "stdout_bytes": 3000,
    "stderr_bytes": 3,
    "Log_URI": "s3://bucket/a.log",
    "Results": ["reads: 8", "Größe: 9"],
}

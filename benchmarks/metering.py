"""Read the requests to DynamoDB that `benchmarks/meter` has logged."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

METER = Path(__file__).with_name("meter")
CONDITION_FAILED = "ConditionalCheckFailedException"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of a client."""

    operation: str
    pid: int
    milliseconds: float
    at: float  # its end, in epoch seconds
    tries: int = 1  # more than 1 if the SDK retried it
    error: str = ""
    reads: float = 0.0  # read units
    writes: float = 0.0  # write units

    @property
    def is_conflict(self) -> bool:
        """Whether this is a write whose condition failed."""
        return self.error == CONDITION_FAILED


class Meter:
    """A file that metered programs write to."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that a program needs to be metered."""
        paths = (str(METER), os.environ.get("PYTHONPATH", ""))
        return {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "AWS_METER": str(self._file)}

    def take(self) -> list[Request]:
        """Return the requests since the last call. Raises `RuntimeError` if there are none."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._file.unlink(missing_ok=True)
        if not lines:
            raise RuntimeError("the meter has seen no request: does the program use botocore?")
        return [Request(**json.loads(line)) for line in lines]


def count(requests: Iterable[Request]) -> Counter[str]:
    """Count requests per operation, including the SDK's retries."""
    counts: Counter[str] = Counter()
    for request in requests:
        counts[request.operation] += request.tries
    return counts

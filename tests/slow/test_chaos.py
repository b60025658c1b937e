"""However often pilots and workers die, stop or freeze: all is done, nothing is done at once."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.support.chaos import Round
from tests.support.pilots import new_place

CHAOS_SECONDS = 22.0  # of a round
LIMIT_SECONDS = 100.0


@pytest.mark.parametrize("kind", ["embedded", "dynamodb"])
def test_chaos(kind: str, tmp_path: Path, table_name: str, request: pytest.FixtureRequest) -> None:
    """One round, or as many as begin within this table's half of CHAOS_MINUTES.

    The seeds are printed; CHAOS_SEED gives that of the first round.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    end = time.monotonic() + 30 * float(os.environ.get("CHAOS_MINUTES") or 0)
    number = 0
    while number == 0 or time.monotonic() < end:
        folder = tmp_path / str(number)
        folder.mkdir()
        print(f"{kind}: seed {seed + number}", flush=True)
        with new_place(kind, folder, f"{table_name}-{number}"[-255:], request) as place:
            print(f"{kind}:", Round(place, seed + number).run(CHAOS_SECONDS, LIMIT_SECONDS))
        number += 1

"""However often pilots and workers die, stop or freeze: all is done, nothing is done at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.chaos import Round
from tests.support.place import Place, cleaned_up

CHAOS_SECONDS = 22.0  # of a round
LIMIT_SECONDS = 100.0


def test_chaos(new_place: Callable[[int], Place], request: pytest.FixtureRequest) -> None:
    """One round, or as many as begin within this table's half of CHAOS_MINUTES.

    The seeds are printed; CHAOS_SEED gives that of the first round.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    end = time.monotonic() + 30 * float(os.environ.get("CHAOS_MINUTES") or 0)
    number = 0
    while number == 0 or time.monotonic() < end:
        print(f"{request.node.name}: seed {seed + number}", flush=True)
        with cleaned_up(new_place(number)) as place:
            print(Round(place, seed + number).run(CHAOS_SECONDS, LIMIT_SECONDS))
        number += 1

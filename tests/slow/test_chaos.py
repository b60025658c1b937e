"""However often pilots and workers die, stop or freeze: all is done, nothing is done at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.chaos import LONG, SHORT, Round
from tests.support.place import Place, cleaned_up


def test_chaos(new_place: Callable[[int], Place], request: pytest.FixtureRequest) -> None:
    """Run a short round, or long ones for half of CHAOS_MINUTES: each kind of table has one half.

    The seeds are printed. CHAOS_SEED sets the seed of the first round.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    minutes = float(os.environ.get("CHAOS_MINUTES") or 0)
    end = time.monotonic() + 30 * minutes
    number = 0
    while number == 0 or time.monotonic() < end:
        print(f"{request.node.name}: seed {seed + number}", flush=True)
        with cleaned_up(new_place(number)) as place:
            print(Round(place, seed + number, LONG if minutes else SHORT).run())
        number += 1

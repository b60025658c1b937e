"""The simulated cluster: that it does what the figures say, and that the claim code stays good."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.simulated_dynamodb import Capacity, Refused, Service, SimulatedTable
from benchmarks.simulated_time import Simulation
from benchmarks.simulation import Cluster, Run, ideal_seconds, simulate

SMALL = Cluster(pilots=50, items=1000, task_seconds=60.0, start_seconds=30.0)


def test_every_item_is_claimed_once_and_every_pilot_leaves() -> None:
    run = Run(SMALL)
    run.run()
    assert run.table.waiting == 0
    assert len(run.claims_at) == len(run.ran) == SMALL.items
    assert len(run.exits) == SMALL.pilots


def test_the_same_seed_gives_the_same_figures() -> None:
    crowd = replace(SMALL, pilots=20, items=100, start_seconds=0.0)
    first, second, other = simulate(crowd), simulate(crowd), simulate(replace(crowd, seed=2))
    here = dict.fromkeys(("cpu_seconds", "memory_mb"))
    assert {**first, **here} == {**second, **here}
    assert first["makespan_seconds"] != other["makespan_seconds"]


def test_few_pilots_hardly_meet_and_none_is_idle_while_items_wait() -> None:
    figures = simulate(SMALL)
    assert figures["conflicts_percent"] < 2
    assert figures["longest_idle_seconds"] < 5
    assert figures["left_early"] == 0
    # Import 2, claim 3, finish 3; a conflict and a renewal are one more.
    more = figures["conflicts"] + figures["renewals"]
    assert figures["write_units"] == 8 * SMALL.items + more
    assert figures["makespan_seconds"] < 1.05 * figures["ideal_seconds"]


def test_nested_items_cost_at_most_3_units_a_task() -> None:
    nested = replace(SMALL, items=100, tasks=100, nests=4, task_seconds=1.0, start_seconds=0.0)
    figures = simulate(nested)
    assert figures["claims"] == 100
    assert 1 < figures["write_units_a_task"] <= 3
    assert figures["makespan_seconds"] < 1.05 * figures["ideal_seconds"]


def test_pages_are_tried_in_a_random_order() -> None:
    """In the index's order, 6 % were conflicts: all took what came first after an empty stretch."""
    crowded = Cluster(pilots=150, items=3000, task_seconds=10.0, start_seconds=10.0)
    assert simulate(crowded)["conflicts_percent"] < 3


def test_workers_of_one_pilot_keep_out_of_each_others_way() -> None:
    """Until few are left, and somebody has none of his own."""
    strangers = replace(SMALL, pilots=4, items=2000, task_seconds=0.5, start_seconds=0.0)
    together = replace(strangers, pilots=1, workers=4)
    apart, shared = simulate(strangers), simulate(together)
    early = [figures["conflicts"] - figures["end_conflicts"] for figures in (apart, shared)]
    assert early[1] < early[0] / 2


def test_the_last_item_is_found_at_the_first_look() -> None:
    """Though the first page may begin behind it, as 4 of 5 do."""
    for seed in range(10):
        figures = simulate(replace(SMALL, pilots=1, items=1, seed=seed))
        assert figures["claims"] == 1
        assert figures["longest_idle_seconds"] < 1  # a second look is later than that


def test_nobody_tries_again_what_the_index_still_shows() -> None:
    slow = Service(lag=0.5, lag_sigma=0.0)
    alone = replace(SMALL, pilots=1, items=30, task_seconds=0.1, service=slow)
    assert simulate(alone)["conflicts"] == 0


def test_where_pages_age_fast_they_are_kept_for_a_shorter_time() -> None:
    """With pages kept as long as ever there were 27 to 49 % here."""
    hasty = Cluster(pilots=40, items=2000, task_seconds=0.3, start_seconds=0.0)
    assert simulate(hasty)["conflicts_percent"] < 20


def test_a_slow_index_delays_nobody_for_long() -> None:
    slow = Service(lag=0.3, lag_sigma=0.5)
    figures = simulate(replace(SMALL, service=slow))
    assert figures["claims"] == SMALL.items
    assert figures["longest_idle_seconds"] < 5
    assert figures["left_early"] == 0


def test_a_partition_refuses_what_is_beyond_its_second() -> None:
    now = 0.0
    capacity = Capacity(lambda: now)
    for _ in range(1000):
        capacity.write(("todo", 0))
    with pytest.raises(Refused):
        capacity.write(("done", 0), ("todo", 0))
    for _ in range(1000):
        capacity.write(("done", 0))  # nothing of what was refused was taken
    now = 0.5
    for _ in range(500):
        capacity.write(("todo", 0))
    with pytest.raises(Refused):
        capacity.write(("todo", 0))


def test_the_index_lags_behind_the_table() -> None:
    now = 0.0
    table = SimulatedTable(10, Service(lag=2.0, lag_sigma=0.0), lambda: now, random.Random(1))
    first = table.query("todo", "00000000", "ffffffff", 3)["Items"]
    item_id = first[0]["itemID"]["S"]
    table.update(item_id, {"ItemState": "locked", "lockID": "token"}, {"ItemState": "todo"})
    now = 1.9
    assert table.query("todo", "00000000", "ffffffff", 3)["Items"] == first
    assert table.query("locked", "00000000", "ffffffff", 3)["Items"] == []
    now = 2.1
    assert table.query("todo", "00000000", "ffffffff", 2)["Items"] == first[1:]
    assert table.query("locked", "00000000", "ffffffff", 3)["Items"] == first[:1]


def test_functions_run_by_the_simulated_clock() -> None:
    simulation = Simulation()
    seen = []

    def work(name: str, seconds: float) -> None:
        for _ in range(2):
            simulation.sleep(seconds)
            seen.append((name, simulation.now()))

    simulation.start(lambda: work("slow", 2.0), 0.5)
    simulation.start(lambda: work("fast", 1.0), 0.0)
    simulation.run()
    assert seen == [("fast", 1.0), ("fast", 2.0), ("slow", 2.5), ("slow", 4.5)]


def test_the_ideal_leaves_no_worker_without_a_task() -> None:
    assert ideal_seconds([0.0, 1.0], [3.0, 1.0, 1.0, 2.0]) == 5.0

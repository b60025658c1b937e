"""Figures from the simulation of a large cluster: see `benchmarks.simulation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks import simulation
from benchmarks.figures import Figure, Target, at_most, number


def clusters(arguments: Sequence[str]) -> list[Figure]:
    """Run the simulation with these arguments; return two figures per run."""
    simulated = simulation.scenarios(simulation.parse(arguments))
    figures = []
    for name, found in simulation.run(simulated).items():
        cluster = simulated[name]
        what = f"{cluster.pilots:,} pilots, {name}"
        if cluster.items >= cluster.pilots:
            what += f", {cluster.items:,} items"
            figures += _figures(what, found, at_most(2), at_most(5))
        else:  # most pilots find no item, and many compete for the same ones
            figures += _figures(what, found, None, None)
    return figures


def _figures(
    what: str, found: Mapping[str, float], conflicts: Target | None, idle: Target | None
) -> list[Figure]:
    key = what.replace(",", "").replace(" ", "_")
    return [
        Figure(
            name=f"simulated_conflicts_{key}",
            what=f"simulated: conflicts per claim, {what}",
            unit="%",
            values=[found["conflicts_percent"]],
            target=conflicts,
            is_count=True,
            beside=f"{number(found['requests_a_second_mean'])} requests/s "
            f"(at most {number(found['requests_a_second_peak'])}), "
            f"{found['throttled']:,.0f} throttled, ${number(found['dollars'])}, "
            f"${number(found['dollars_a_thousand_items'])} per thousand items, "
            f"{number(found['write_units_a_task'])} write units per task",
        ),
        Figure(
            name=f"simulated_idle_{key}",
            what=f"simulated: longest idle time of a pilot while items wait, {what}",
            unit="s",
            values=[found["longest_idle_seconds"]],
            target=idle,
            is_count=True,
            beside=f"{found['left_early']:,.0f} left early; all done after "
            f"{number(found['makespan_seconds'])} s, ideal {number(found['ideal_seconds'])} s",
        ),
    ]

"""What the simulation of a large cluster finds: see `benchmarks.simulation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks import simulation
from benchmarks.figures import Figure, Target, at_most, number


def clusters(arguments: Sequence[str]) -> list[Figure]:
    """Two rows for each run that these arguments of the simulation's command line make."""
    simulated = simulation.scenarios(simulation.parse(arguments))
    figures = []
    for name, found in simulation.run(simulated).items():
        cluster = simulated[name]
        what = f"{cluster.pilots:,} pilots, {name}"
        if cluster.items > cluster.pilots:
            what += f", {cluster.items:,} items"
            figures += _figures(what, found, at_most(2), at_most(5))
        else:  # most find nothing, and many want the same
            figures += _figures(what, found, None, None)
    return figures


def _figures(
    what: str, found: Mapping[str, float], conflicts: Target | None, idle: Target | None
) -> list[Figure]:
    key = what.replace(",", "").replace(" ", "_")
    return [
        Figure(
            name=f"simulated_conflicts_{key}",
            what=f"simulated: conflicts a claim, {what}",
            unit="%",
            values=[found["conflicts_percent"]],
            target=conflicts,
            is_count=True,
            beside=f"{number(found['requests_a_second_mean'])} requests/s "
            f"(at most {number(found['requests_a_second_peak'])}), "
            f"{found['throttled']:,.0f} throttled, ${number(found['dollars'])}, "
            f"${number(found['dollars_a_thousand_items'])} a thousand items",
        ),
        Figure(
            name=f"simulated_idle_{key}",
            what=f"simulated: the longest that a pilot is idle while items wait, {what}",
            unit="s",
            values=[found["longest_idle_seconds"]],
            target=idle,
            is_count=True,
            beside=f"{found['left_early']:,.0f} left early; all done in "
            f"{number(found['makespan_seconds'])} s, ideal {number(found['ideal_seconds'])} s",
        ),
    ]

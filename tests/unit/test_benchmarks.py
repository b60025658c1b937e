"""The benchmarks' own measuring: what they count, and what they make of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.bench import missed_counts
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.metering import Meter, count
from benchmarks.report import BEGIN, END, markdown, put_between_marks
from tests.support.faulty_proxy import Action, Fault, FaultyProxy
from tests.support.place import Place


def test_the_meter_counts_what_goes_over_the_wire(
    remote: Place, tmp_path: Path, dynamodb: str
) -> None:
    def decide(operation: str, _body: object, number: int) -> Action:
        lost = operation == "UpdateItem" and number == 3
        return Fault.ERROR_AFTER if lost else Fault.NONE

    meter = Meter(tmp_path / "meter")
    with FaultyProxy(dynamodb, decide) as proxy:
        remote.fill({f"item-{number}": "true" for number in range(20)})
        proxied = {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url}
        remote.environment.update({**meter.environment, **proxied})
        assert remote.run("-i", "2").counts["done"] == 20
        requests = meter.take()
    assert count(requests) == Counter(proxy.operations)
    assert any(one.tries == 2 for one in requests)
    writes = [one for one in requests if one.operation == "UpdateItem" and not one.error]
    assert {one.writes for one in writes} == {3.0}  # the item, and its row of the index twice
    with pytest.raises(RuntimeError, match="no request"):
        meter.take()


def figure(*values: float, what: str = "speed", **fields: object) -> Figure:
    """A figure with these values."""
    return Figure(name="name", what=what, unit="s", values=values, **fields)  # type: ignore[arg-type]


def test_the_median_counts_and_the_spread_is_told() -> None:
    measured = figure(3, 1, 200, target=at_most(3))
    assert measured.is_met
    assert measured.spread == "1 to 200, 3 runs"
    assert figure(3, 4, 200, target=at_most(3)).is_met is False
    assert figure(3, 1, 200, target=at_least(3)).is_met
    assert figure(3, 2, 1, target=at_least(3)).is_met is False


def test_a_quick_run_fails_for_counts_and_not_for_times() -> None:
    count_, time_ = figure(9, target=at_most(8), is_count=True), figure(9, target=at_most(8))
    assert missed_counts([count_, time_, figure(9, is_count=True)]) == [count_]


def test_results_replace_those_of_before(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    long = figure(9, 9.5, what="w" * 200, target=at_most(8), beside="[red] is no color")
    put_between_marks(file, markdown([figure(1), long]))
    text = file.read_text("utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n\n| what")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in rows] == [7] * 4
    assert "w" * 200 in rows[3]
    assert "[red] is no color" in rows[3]
    file.write_text("no marks")
    with pytest.raises(RuntimeError, match="no lines"):
        put_between_marks(file, "x")

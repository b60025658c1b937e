"""The table's clock, as the dates of a service's answers tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from pyanamo.clocks import ServiceClock

TIME = 1_800_000_000.0  # by the service's clock, at the start


@dataclass
class Machine:
    """A machine whose clock is so many seconds ahead of the service's."""

    ahead: float = 0.0
    passed: float = 0.0
    clock: ServiceClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ServiceClock(
            clock=lambda: TIME + self.passed + self.ahead, steady_clock=lambda: 50 + self.passed
        )

    @property
    def right(self) -> float:
        """The time by the service's clock."""
        return TIME + self.passed

    def asks(self, at: float, took: float = 0.1, ahead: float = 0.0) -> None:
        """Have an answer that was dated so many seconds after the start; then it takes a while."""
        self.passed = at + took
        self.clock.hear(formatdate(TIME + ahead + at, usegmt=True))

    @property
    def behind(self) -> float:
        """By how much the clock is behind the service's."""
        return self.right - self.clock()


@pytest.mark.parametrize("ahead", [-240.0, 0.0, 240.0, 3600.0])
def test_the_service_tells_the_time(ahead: float) -> None:
    machine = Machine(ahead)
    assert machine.clock() == TIME + ahead  # nobody has told yet
    machine.asks(0.5)
    assert machine.behind == pytest.approx(0.6)
    machine.passed += 100
    assert machine.behind == pytest.approx(0.6, abs=0.02)


def test_it_is_never_ahead_and_the_best_answer_counts() -> None:
    machine = Machine(240)
    behind = []
    for number in range(50):
        machine.asks(number * 1.37, took=0.01 if number % 3 else 9.0)
        behind.append(machine.behind)
    assert min(behind) >= 0
    assert max(behind) < 10
    assert max(behind[20:]) < 0.2


def test_a_step_of_the_machines_clock_changes_nothing() -> None:
    machine = Machine()
    machine.asks(0.0)
    machine.ahead = 240
    assert machine.behind == pytest.approx(0.1)
    machine.asks(10.0)
    assert machine.behind == pytest.approx(0.1, abs=0.01)


def test_the_services_clock_may_be_set() -> None:
    machine = Machine()
    for step in (600.0, -600.0):
        machine.asks(0.0)
        machine.asks(10.0, ahead=step)
        assert machine.behind == pytest.approx(0.1 - step, abs=0.01)
        machine = Machine()


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 99 Foo 2027 99:99:99 GMT",
    ],
)
def test_what_is_not_the_time_is_not_believed(date: str) -> None:
    machine = Machine(5)
    machine.clock.hear(date)
    assert machine.clock() == TIME + 5
    machine.asks(1.0)
    machine.clock.hear(date)
    assert machine.behind == pytest.approx(0.1)

"""Halts, and what is done when one is set."""

import threading

from pyanamo.signals import Halt, when_set
from tests.support.waiting import wait_until


def test_something_is_done_once_a_halt_is_set(halt: Halt) -> None:
    acted: list[str] = []
    with when_set(halt, lambda: acted.append(threading.current_thread().name)):
        assert acted == []
        halt.set("stopped", grace=0.0)
        halt.set("stopped again", grace=0.0)
        wait_until(lambda: acted, "it is done")
    assert len(acted) == 1
    assert acted != [threading.main_thread().name]  # a signal handler would have been interrupted


def test_a_halt_that_is_set_already_counts(halt: Halt) -> None:
    halt.set("stopped", grace=0.0)
    acted: list[bool] = []
    with when_set(halt, lambda: acted.append(True)):
        wait_until(lambda: acted, "it is done")


def test_nothing_is_done_after_the_block(halt: Halt) -> None:
    acted: list[bool] = []
    threads = threading.active_count()
    with when_set(halt, lambda: acted.append(True)):
        pass
    halt.set("stopped", grace=0.0)
    assert acted == []
    assert threading.active_count() == threads

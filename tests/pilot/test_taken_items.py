"""A pilot whose item somebody else has taken: it stops its tasks, and leaves the item alone."""

from __future__ import annotations

from pyanamo.model import ItemState
from pyanamo.workflow import Changed
from pyanamo.workflow.selection import Selection
from tests.support.hasty import LEASE
from tests.support.makers import claim_from
from tests.support.place import Place
from tests.support.waiting import wait_until


def take(place: Place) -> None:
    """Take the item from its pilot: an operator releases it by force, another pilot claims it."""
    with place.workflow() as workflow:
        assert workflow.release(Selection(names=("item",)), force=True) == Changed(changed=1)
    with place.opened() as table:
        claim_from(table, "another")


def test_a_pilot_finds_at_the_end_that_its_item_was_taken(place: Place) -> None:
    place.script("waits.sh", "touch ready; wait_for taken")
    place.fill({"item": "./waits.sh"})
    pilot = place.start("--max-items", "1")
    place.wait_for("ready")
    take(place)
    before = place.item("item")
    place.touch("taken")
    ended = pilot.wait()
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 1}
    assert "lost in " in ended.stderr
    assert ": somebody else has the item" in ended.stderr
    assert place.item("item") == before
    assert (before.state, before.instance) == (ItemState.LOCKED, "another")


def test_a_pilot_finds_at_a_renewal_that_its_item_was_taken(place: Place) -> None:
    place.fill({"item": "bash -c 'sleep 300 & touch ready; sleep 300'"})
    pilot = place.start("--lease", f"{LEASE}s", "--max-items", "1", hasty=True)
    place.wait_for("ready")
    take(place)
    before = place.item("item")
    wait_until(lambda: not place.task("item"), "the tasks are dead")
    ended = pilot.wait()
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 1}
    assert ": somebody else has the item" in ended.stderr
    assert place.item("item") == before


def test_a_pilot_finds_at_a_nested_result_that_its_item_was_taken(place: Place) -> None:
    place.script("waits.sh", "wait_for taken")
    place.fill({"item": ["./waits.sh", "bash -c 'touch ready; sleep 300'"]})
    pilot = place.start("-n", "2", "--max-items", "1", "--lease", "10s")
    place.wait_for("ready")
    take(place)
    before = place.item("item")
    place.touch("taken")
    wait_until(lambda: not place.task("item", "Task_1"), "the other task is dead")
    ended = pilot.wait()
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 1}
    assert ": somebody else has the item" in ended.stderr
    assert place.item("item") == before

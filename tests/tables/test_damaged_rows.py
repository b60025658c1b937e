"""Rows that aren't items, as somebody else has written them: each harms nobody but itself."""

from __future__ import annotations

import re

import pytest

from pyanamo.errors import DamagedItem
from pyanamo.model import Claim, ItemState
from pyanamo.tables import Amended, transitions
from tests.support.backends import SQLiteBackend
from tests.support.damage import (
    HARMLESS_TO_A_CLAIM,
    OF_A_CLAIM,
    OF_A_LEASE,
    OF_AN_EXPIRED_ITEM,
    Damage,
    inflict,
    insert_raw,
)
from tests.support.makers import done, nested, single
from tests.support.step import LEASE, Step, make_step


def damaged_step(step: Step, damage: Damage) -> None:
    """A step with a good item and a damaged one, both todo."""
    step.add(single("good"), nested("bad", 2) if damage.nested else single("bad"))
    inflict(step.backend.store, step.name, "bad", damage)


def claims(step: Step) -> tuple[list[Claim], list[DamagedItem]]:
    """What a new pilot claims until there is nothing left, and what it is told of."""
    told: list[DamagedItem] = []
    found = []
    table = step.backend.open(step.name)
    table.on_damaged = told.append
    while claim := table.claim("pilot-2", lease=LEASE, max_attempts=3):
        found.append(claim)
        assert len(found) < 5, "items are claimed again and again"
    return found, told


def assert_held(step: Step, damage: Damage) -> None:
    row = step.raw("bad")
    assert row["ItemState"] == "held"
    assert re.match(rf"damaged: {damage.attribute}[\w.\[\]/]* is (missing|.+, not )", row["Reason"])
    assert "lockID" not in row


@pytest.mark.parametrize("damage", OF_A_CLAIM, ids=str)
def test_a_damaged_item_is_set_aside(step: Step, damage: Damage) -> None:
    damaged_step(step, damage)
    found, told = claims(step)
    assert [claim.item.item_id for claim in found] == ["good"]
    (error,) = told
    assert (error.item_id, error.attribute.split(".")[0].split("[")[0]) == ("bad", damage.attribute)
    assert f"table {step.name!r}: item 'bad' is damaged: " in str(error)
    assert_held(step, damage)
    assert claims(step) == ([], [])


@pytest.mark.parametrize("damage", OF_A_LEASE, ids=str)
def test_an_item_whose_lease_cannot_be_read_is_not_locked_for_ever(
    step: Step, damage: Damage
) -> None:
    step.add(single("bad"))
    claim = step.claim()
    inflict(step.backend.store, step.name, "bad", damage)
    found, told = claims(step)
    assert (found, [error.attribute for error in told]) == ([], ["Lease_Expires"])
    assert_held(step, damage)
    assert step.table.renew(claim, lease=LEASE) is False


@pytest.mark.parametrize("damage", OF_AN_EXPIRED_ITEM, ids=str)
def test_a_damaged_item_is_not_taken_from_its_pilot(step: Step, damage: Damage) -> None:
    """Only once the lease has expired is it set aside."""
    step.add(single("bad"))
    step.claim()
    inflict(step.backend.store, step.name, "bad", damage)
    assert claims(step) == ([], [])
    step.clock.advance(LEASE)
    found, told = claims(step)
    assert (found, [error.attribute for error in told]) == ([], [damage.attribute])
    assert_held(step, damage)


@pytest.mark.parametrize("damage", HARMLESS_TO_A_CLAIM, ids=str)
def test_what_a_claim_does_not_need_does_not_stand_in_its_way(step: Step, damage: Damage) -> None:
    damaged_step(step, damage)
    found, told = claims(step)
    assert {claim.item.item_id for claim in found} == {"good", "bad"}
    assert told == []


@pytest.mark.parametrize("damage", [*OF_A_CLAIM, *HARMLESS_TO_A_CLAIM], ids=str)
def test_a_damaged_item_is_left_out_of_lists_and_told(step: Step, damage: Damage) -> None:
    damaged_step(step, damage)
    table = step.backend.open(step.name)
    told: list[DamagedItem] = []
    table.on_damaged = told.append
    assert [item.item_id for item in table.items()] == ["good"]
    assert [item.item_id for item in table.items(ItemState.TODO)] == ["good"]
    assert {error.item_id for error in told} == {"bad"}
    names = {row.item_id for row in table.summaries()}
    assert names in ({"good"}, {"good", "bad"})  # the index has only a few attributes
    with pytest.raises(DamagedItem, match=damage.attribute):
        table.get("bad")
    assert table.amend("bad", transitions.held) is Amended.DAMAGED
    assert table.amend("good", transitions.held) is Amended.CHANGED


@pytest.mark.parametrize("damage", OF_A_CLAIM, ids=str)
def test_a_damaged_item_is_replaced_and_deleted(step: Step, damage: Damage) -> None:
    damaged_step(step, damage)
    assert step.add(single("bad"), replace=True).replaced == 1
    assert step.get("bad").state is ItemState.TODO
    inflict(step.backend.store, step.name, "bad", damage)
    deleted = lambda _: transitions.DELETED  # noqa: E731
    assert step.table.amend("bad", transitions.deleted, if_damaged=deleted) is Amended.CHANGED
    assert step.table.get("bad") is None


def test_a_row_of_an_import_of_nobody_is_replaced(step: Step) -> None:
    """Somebody has made it by hand."""
    damaged_step(step, Damage("Import_ID", None, None))
    assert step.add(single("bad"), replace=True).replaced == 1


def test_a_holder_whose_history_is_damaged_still_ends_its_item(step: Step) -> None:
    """It writes its history whole; and a repeated end isn't mistaken for a lost claim's."""
    step.add(single("bad"))
    claim = step.claim()
    inflict(step.backend.store, step.name, "bad", Damage("History", {"S": "x"}, "x"))
    assert step.table.finish(claim, done()) is True
    inflict(step.backend.store, step.name, "bad", Damage("History", {"S": "x"}, "x"))
    assert step.table.finish(claim, done()) is False


def test_by_default_a_damaged_item_is_an_error(step: Step) -> None:
    damaged_step(step, Damage("Attempts", {"S": "0"}, "zero"))
    with pytest.raises(DamagedItem, match=r"Attempts is '(0|zero)', not a whole number"):
        list(step.table.items())


@pytest.mark.parametrize("name", [b"blob", b"", "CAST(x'ff' AS TEXT)", ""])
def test_names_that_no_item_can_have(sqlite: SQLiteBackend, name: bytes | str) -> None:
    """Nor do they hide what comes before or after them."""
    step = make_step(sqlite, "Step")
    step.add(single("a"), single("z"), single("ÿ"))
    row = {"TaskID": "t", "TaskScript": "true", "ItemState": "todo", "Slot": "0"}
    insert_raw(sqlite.store, "Step", {"itemID": name, **row})
    if isinstance(name, str) and name:
        sqlite.execute(f"UPDATE items SET itemID = {name} WHERE itemID LIKE 'CAST%'")
    told: list[DamagedItem] = []
    table = sqlite.open("Step")
    table.on_damaged = told.append
    read = [item.item_id for item in table.items() if item.item_id]
    assert read == ["a", "z", "ÿ"]
    found, _ = claims(step)
    assert {claim.item.item_id for claim in found} - {""} == {"a", "z", "ÿ"}

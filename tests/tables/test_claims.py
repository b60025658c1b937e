"""The contract of a workflow table: claims and their leases."""

import re

from pyanamo.model import ItemState
from tests.support.backends import START
from tests.support.makers import done, failed, interrupted, nested, single, well
from tests.support.step import EXPIRED, LEASE, STARTED, Step

# --- Claiming -----------------------------------------------------------------------------------


def test_a_claim_sets_every_attribute(step: Step) -> None:
    step.add(single("a", "seq 8"))
    before = step.raw("a")
    claim = step.claim("batch-job:7#2")
    assert step.raw("a") == before | {
        "ItemState": "locked",
        "lockID": claim.token,
        "InstanceID": "batch-job:7#2",
        "Lock_Date": STARTED,
        "Lease_Expires": START + LEASE,
        "Attempts": 1,
    }
    assert re.fullmatch("[0-9a-f]{16}", claim.token)
    assert claim.item == step.get("a")
    assert claim.item.token == claim.token


def test_a_lease_ends_on_a_whole_second_and_never_early(step: Step) -> None:
    step.add(single("a"))
    step.clock.advance(0.25)
    claim = step.claim()
    assert claim.item.lease_expires == START + LEASE + 1
    assert claim.item.lock_date == STARTED


def test_each_item_is_claimed_once_until_there_is_none(step: Step) -> None:
    step.add(*(single(f"item-{n}") for n in range(30)))
    claims = [step.table.claim("pilot-1", lease=LEASE, max_attempts=3) for _ in range(31)]
    assert claims[30] is None
    taken = [claim for claim in claims if claim is not None]
    assert {claim.item.item_id for claim in taken} == {f"item-{n}" for n in range(30)}
    assert len({claim.token for claim in taken}) == 30
    assert step.claim_if_any("pilot-2") is None


def test_nothing_is_claimed_of_an_empty_table(step: Step) -> None:
    assert step.claim_if_any() is None


def test_a_held_item_is_not_claimed(step: Step) -> None:
    step.add(single("a"))
    step.backend.set_raw(step.name, "a", "ItemState", "held")
    before = step.raw("a")
    assert step.claim_if_any() is None
    assert step.raw("a") == before
    step.backend.set_raw(step.name, "a", "ItemState", "todo")
    assert step.claim().item.item_id == "a"


def test_nested_tasks_come_in_the_order_of_their_numbers(step: Step) -> None:
    step.add(nested("a", 12))
    assert [task.name for task in step.claim().item.tasks] == [f"Task_{n}" for n in range(12)]


def test_waiting_items_go_before_lost_ones(step: Step) -> None:
    step.add(single("lost"))
    step.claim()
    step.clock.advance(LEASE)
    step.add(*(single(f"new-{n}") for n in range(5)))
    claims = [step.claim("pilot-2").item.item_id for _ in range(6)]
    assert claims[5] == "lost"


# --- Leases -------------------------------------------------------------------------------------


def test_a_lease_expires_at_the_exact_second(step: Step) -> None:
    step.add(single("a"))
    lost = step.claim("pilot-1")
    step.clock.advance(LEASE - 1)
    before = step.raw("a")
    assert step.claim_if_any("pilot-2") is None
    step.clock.advance(0.999)
    assert step.claim_if_any("pilot-2") is None
    assert step.raw("a") == before

    step.clock.now = START + LEASE
    claim = step.claim("pilot-2")
    assert claim.token != lost.token
    assert step.raw("a") == before | {
        "lockID": claim.token,
        "InstanceID": "pilot-2",
        "Lock_Date": EXPIRED,
        "Lease_Expires": START + 2 * LEASE,
        "Attempts": 2,
        "History": [
            {
                "Attempt": 1,
                "InstanceID": "pilot-1",
                "Lock_Date": STARTED,
                "End_Date": EXPIRED,
                "Outcome": "lost",
                "Reason": "the lease expired",
                "lockID": lost.token,
                "Times_Lost": 1,
            }
        ],
    }
    assert claim.failures == 0
    assert step.claim_if_any("pilot-3") is None


def test_renew_extends_the_lease(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    before = step.raw("a")
    step.clock.advance(LEASE / 3)
    assert step.table.renew(claim, lease=LEASE) is True
    assert step.raw("a") == before | {"Lease_Expires": START + LEASE // 3 + LEASE}

    step.clock.now = START + LEASE // 3 + LEASE - 1
    assert step.claim_if_any("pilot-2") is None
    step.clock.advance(1)
    assert step.claim("pilot-2").item.item_id == "a"


def test_a_late_renewal_holds_while_nobody_took_the_item(step: Step) -> None:
    step.add(single("a"))
    claim = step.claim()
    step.clock.advance(10 * LEASE)
    assert step.table.renew(claim, lease=LEASE) is True
    assert step.claim_if_any("pilot-2") is None
    assert step.table.finish(claim, done()) is True


def test_a_lost_item_is_found_among_living_ones(step: Step) -> None:
    """Wherever in the index it is."""
    step.add(*(single(f"item-{n}") for n in range(8)))
    claims = [step.claim() for _ in range(8)]
    for lost in claims:
        step.clock.advance(LEASE)
        for claim in claims:
            if claim is not lost:
                assert step.table.renew(claim, lease=LEASE)
        found = step.claim(max_attempts=99)
        assert found.item.item_id == lost.item.item_id
        step.table.finish(found, done())
        claims = [claim for claim in claims if claim is not lost]


def test_an_item_lost_too_often_fails(step: Step) -> None:
    step.add(nested("a", 2))
    tokens = []
    for attempt in (1, 2, 3):
        claim = step.claim(f"pilot-{attempt}", max_attempts=3)
        tokens.append(claim.token)
        step.table.renew(claim, lease=LEASE, results={"Task_0": well()})
        step.clock.advance(LEASE)
    assert step.claim_if_any("pilot-4", max_attempts=3) is None
    raw = step.raw("a")
    assert raw["ItemState"] == "failed"
    assert raw["Reason"] == "lost 3 times: the pilot died while running it"
    assert raw["Done_Date"] == "2027-01-15T08:03:00Z"
    assert (raw["Attempts"], raw["InstanceID"], raw["Nested_Done"]) == (3, "pilot-3", 1)
    assert not raw.keys() & {"lockID", "Lease_Expires", "Exit_Code"}
    assert [
        (past["Attempt"], past["Outcome"], past["Times_Lost"], past["lockID"])
        for past in raw["History"]
    ] == [(n, "lost", n, tokens[n - 1]) for n in (1, 2, 3)]
    assert step.claim_if_any("pilot-5", max_attempts=99) is None


def test_one_attempt_may_be_all(step: Step) -> None:
    step.add(single("a"))
    step.claim(max_attempts=1)
    step.clock.advance(LEASE)
    assert step.claim_if_any(max_attempts=1) is None
    assert step.get("a").reason == "lost once: the pilot died while running it"


def test_giving_up_one_item_does_not_hide_another(step: Step) -> None:
    step.add(single("doomed"))
    step.claim()
    step.clock.advance(LEASE)
    step.claim()
    step.add(single("fresh"))
    step.claim()
    step.clock.advance(LEASE)
    assert step.claim(max_attempts=2).item.item_id == "fresh"
    assert step.claim_if_any(max_attempts=2) is None
    assert step.get("doomed").state is ItemState.FAILED


def test_only_lost_attempts_count_as_lost(step: Step) -> None:
    step.add(single("a"))
    for outcome in (failed(), interrupted(), failed(), interrupted(), failed()):
        step.table.release(step.claim(max_attempts=2), outcome)
    step.claim(max_attempts=2)
    step.clock.advance(LEASE)
    claim = step.claim(max_attempts=2)
    assert (claim.item.attempts, claim.item.times_lost, claim.failures) == (5, 1, 3)

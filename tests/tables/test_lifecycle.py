"""Items live random lives in both kinds of table, and in a model that says what must be so.

A step is a call as pilots make it, on both tables: imports, claims, renewals, results, ends, ends
that are repeated, claims that are forgotten by a pilot that crashed, and time that passes. After it
both tables have what it may have changed just as the model has it, and at the end every item.

Tables choose at random which item a pilot gets. So the pilot that claims here takes all there are:
then both tables must have given out the same ones, in whatever order.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pyanamo.model import Claim, Ending, Item, ItemState, Outcome, Result, TaskStatus
from pyanamo.tables import Added, WorkflowTable
from tests.support.backends import KINDS, Clock, DynamoDBBackend, SQLiteBackend
from tests.support.makers import badly, done, failed, interrupted, nested, single, well
from tests.support.model import DIED, LEASE, MAX_ATTEMPTS, Held, Model

EXAMPLES, STEPS = 30, 25

NEW_ITEMS = {item.item_id: item for item in (single("s"), *(nested(x, 2) for x in "klmn"))}
IDS = st.sets(st.sampled_from(sorted(NEW_ITEMS)), min_size=1)
PILOTS = st.sampled_from(["pilot-1", "pilot-2"])
SECONDS = st.sampled_from([1, LEASE // 2, LEASE - 1, LEASE])
WHICH = st.integers(0, 7)  # of the claims given out, from the latest back
FINAL = (ItemState.DONE, ItemState.FAILED)


class Act(Enum):
    """What a pilot does with a claim."""

    RENEW = "renew"
    RECORD = "record"
    FINISH_WELL = "finish, done"
    FINISH_BADLY = "finish, failed"
    RETRY = "release, failed"
    RELEASE = "release, interrupted"
    LOSE = "lose"  # the pilot does, whose worker has died


ACTS = st.lists(st.sampled_from([None, *Act]), max_size=len(NEW_ITEMS))


class Lifecycle(RuleBasedStateMachine):
    """Steps on both tables and the model."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        super().__init__()
        self.clock = Clock()
        self.name = f"lifecycle-{uuid.uuid4().hex}"
        self.backends = {
            "sqlite": SQLiteBackend(self.clock, folder / f"{self.name}.db"),
            "dynamodb": DynamoDBBackend(self.clock, endpoint),
        }
        self.tables: dict[str, WorkflowTable] = {}
        for kind in KINDS:
            self.tables[kind] = self.backends[kind].open(self.name)
            self.tables[kind].create()
        self.model = Model(self.clock)
        self.given_out: list[Held] = []
        self.remembered: list[Held] = []  # those whose pilot has not crashed
        self.numbers: dict[str, str] = {"": ""}  # of tokens
        self.final: dict[str, Item] = {}
        self.touched: set[str] = set()  # the items that the step may have changed

    # --- Steps ---

    @initialize(item_ids=IDS)
    def import_first(self, item_ids: set[str]) -> None:
        self.import_items(item_ids)

    @rule(item_ids=IDS)
    def import_items(self, item_ids: set[str]) -> None:
        self.touched |= item_ids
        items = [NEW_ITEMS[item_id] for item_id in sorted(item_ids)]
        expected = sum(map(self.model.add, items), Added())
        for table in self.tables.values():
            assert table.add(items) == expected

    @rule(pilot=PILOTS, acts=ACTS)
    def claim_all(self, pilot: str, acts: Sequence[Act | None]) -> None:
        """And do something with each of the claims, or nothing yet."""
        for held, act in zip(self._claim_all(pilot), acts, strict=False):
            if act is not None:
                self._act(held, act)

    @rule(seconds=SECONDS, pilot=PILOTS, acts=ACTS)
    def claim_all_later(self, seconds: int, pilot: str, acts: Sequence[Act | None]) -> None:
        self.clock.advance(seconds)
        self.claim_all(pilot, acts)

    def _claim_all(self, pilot: str) -> list[Held]:
        self.touched.update(NEW_ITEMS)
        waiting, expired = self.model.waiting(), self.model.expired()
        for item_id in expired:
            self.model.lose(item_id)
        taken_over = {
            item_id for item_id in expired if self.model.items[item_id].state is ItemState.TODO
        }
        claims = {kind: self._claims(kind, pilot) for kind in KINDS}
        for order in map(list, claims.values()):
            assert set(order[: len(waiting)]) == waiting  # those first that wait
            assert set(order) == waiting | taken_over
        new = []
        for item_id in sorted(waiting | taken_over):
            held = Held(
                number=len(self.given_out),
                item_id=item_id,
                holds_until=self.clock() + LEASE,
                claims={kind: claims[kind][item_id] for kind in KINDS},
            )
            self.model.claim(item_id, pilot, held.token)
            for other in self.given_out:  # at most one live holder
                if other.item_id == item_id:
                    assert other.ended or other.holds_until <= self.clock()
            self.given_out.append(held)
            new.append(held)
            for kind in KINDS:
                self.numbers[held.claims[kind].token] = held.token
                assert self._as_modelled(held.claims[kind].item) == _as_claimed(
                    self.model.items[item_id]
                )
        self.remembered += new
        return new

    def _claims(self, kind: str, pilot: str) -> dict[str, Claim]:
        """What a pilot gets that comes new and claims until there is nothing left."""
        table = self.backends[kind].open(self.name)
        claims: dict[str, Claim] = {}
        while claim := table.claim(pilot, lease=LEASE, max_attempts=MAX_ATTEMPTS):
            assert claim.item.item_id not in claims, "given out twice"
            claims[claim.item.item_id] = claim
        return claims

    @precondition(lambda self: self.remembered)
    @rule(which=WHICH, act=st.sampled_from(Act))
    def pilot_acts(self, which: int, act: Act) -> None:
        """With any claim that it remembers, its own still or not."""
        self._act(self._held(which), act)

    @precondition(lambda self: self.remembered)
    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.remembered.remove(self._held(which))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # --- What must be so ---

    @invariant()
    def both_tables_are_as_the_model(self) -> None:
        """As far as the step may have changed them; the end of the example looks at all."""
        for table in self.tables.values():
            for item_id in self.touched:
                item = table.get(item_id)
                modelled = None if item is None else self._as_modelled(item)
                assert modelled == self.model.items.get(item_id)
        self.touched.clear()

    @invariant()
    def final_states_are_final(self) -> None:
        for item_id, item in self.model.items.items():
            if item.state in FINAL:
                assert self.final.setdefault(item_id, item) == item
            assert item.state in FINAL or item_id not in self.final

    @invariant()
    def attempts_add_up(self) -> None:
        for item_id, item in self.model.items.items():
            endings = self.model.endings[item_id]
            spent = sum(ending is not Ending.INTERRUPTED for ending in endings)
            assert item.attempts == spent + (item.state is ItemState.LOCKED)
            assert item.times_lost == endings.count(Ending.LOST)
            assert len(item.history) == min(10, len(endings))

    def teardown(self) -> None:
        self.touched.update(NEW_ITEMS)
        self.both_tables_are_as_the_model()
        for table in self.tables.values():
            rows = {summary.item_id: summary for summary in table.summaries()}
            assert set(rows) == set(self.model.items)  # none is lost
            for item_id, item in self.model.items.items():
                is_done = [task.status is TaskStatus.DONE for task in item.tasks]
                row = rows[item_id]
                assert row.state is item.state
                assert row.nested_done == (sum(is_done) if item.nested else None)
        self.backends["sqlite"].close()

    # --- Help ---

    def _held(self, which: int) -> Held:
        held = self.remembered[-1 - which % len(self.remembered)]
        self.touched.add(held.item_id)
        return held

    def _act(self, held: Held, act: Act) -> None:
        match act:
            case Act.RENEW:
                self._renew(held)
            case Act.RECORD:
                self._record(held)
            case Act.FINISH_WELL:
                self._end(held, self._outcome(held, is_well=True), put_back=False)
            case Act.FINISH_BADLY:
                self._end(held, self._outcome(held, is_well=False), put_back=False)
            case Act.RETRY:
                self._end(held, self._outcome(held, is_well=False), put_back=True)
            case Act.RELEASE:
                self._end(held, interrupted(held.results), put_back=True)
            case Act.LOSE:
                self._lose(held)

    def _renew(self, held: Held) -> None:
        expected = self.model.renew(held)
        if expected:
            held.holds_until = self.clock() + LEASE
        for kind, table in self.tables.items():
            assert table.renew(held.claims[kind], lease=LEASE) is expected

    def _record(self, held: Held) -> None:
        """One more result, of a task that was done or failed by turns."""
        new = [name for name in self._todo(held) if name not in held.results]
        if held.claims["sqlite"].item.nested and new:
            is_well = (held.number + len(new)) % 3 > 0
            held.results[new[-1]] = self._result(held, is_well)
        expected = self.model.renew(held) and self.model.record(held, held.results)
        if expected:
            held.holds_until = self.clock() + LEASE
        for kind, table in self.tables.items():
            assert table.renew(held.claims[kind], lease=LEASE, results=held.results) is expected

    def _end(self, held: Held, outcome: Outcome, *, put_back: bool) -> None:
        expected = self.model.end(held, outcome, put_back=put_back)
        held.ended = held.ended or expected
        held.results.update(outcome.results)
        for kind, table in self.tables.items():
            end = table.release if put_back else table.finish
            assert end(held.claims[kind], outcome) is expected

    def _lose(self, held: Held) -> None:
        expected = self.model.worker_died(held)
        held.ended = held.ended or expected
        for kind, table in self.tables.items():
            assert table.lose(held.claims[kind], DIED, max_attempts=MAX_ATTEMPTS) is expected

    def _todo(self, held: Held) -> list[str]:
        """The tasks that this attempt has to run."""
        tasks = held.claims["sqlite"].item.tasks
        return [task.name for task in tasks if task.status is not TaskStatus.DONE]

    def _outcome(self, held: Held, is_well: bool) -> Outcome:
        """What the attempt comes to when all tasks end, those of which we know nothing like so."""
        todo = self._todo(held)
        results = {name: held.results.get(name, self._result(held, is_well=True)) for name in todo}
        if not is_well and todo:
            results[todo[-1]] = self._result(held, is_well=False)
        is_well = all(result.status is TaskStatus.DONE for result in results.values())
        return done(results) if is_well else failed(results)

    def _result(self, held: Held, is_well: bool) -> Result:
        """A result that differs from attempt to attempt."""
        seconds = 0.5 + held.number
        if not is_well:
            return badly(1 + held.number % 9, seconds)
        peak = seconds if held.number % 2 else None
        return well(seconds, cpu_seconds=seconds, max_rss_mb=seconds, peak_mb=peak)

    def _as_modelled(self, item: Item) -> Item:
        """An item with claims' numbers for their tokens."""
        history = tuple(replace(past, token=self.numbers[past.token]) for past in item.history)
        return replace(item, token=self.numbers[item.token], history=history)


def _as_claimed(item: Item) -> Item:
    """An item without what the end of an attempt overwrites."""
    item = replace(
        item,
        exit_code=None,
        reason="",
        run_seconds=None,
        cpu_seconds=None,
        max_rss_mb=None,
        peak_mb=None,
        done_date="",
    )
    if item.nested:
        return item
    return replace(item, tasks=(replace(item.tasks[0], status=TaskStatus.TODO),))


def test_items_live_as_they_must_in_both_kinds_of_table(tmp_path: Path, dynamodb: str) -> None:
    run_state_machine_as_test(
        lambda: Lifecycle(tmp_path, dynamodb),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            # To make a failure's steps fewer takes minutes: who wants it adds Phase.shrink.
            phases=(Phase.reuse, Phase.generate),
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

"""How an overview reads a table in DynamoDB: in parts, and no more than it needs."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyanamo.errors import DamagedItem
from pyanamo.model import ItemState, ItemSummary
from pyanamo.tables.dynamodb import overview, whole
from pyanamo.workflow.samples import OF_A_SAMPLE
from pyanamo.workflow.status import OF_A_STATUS
from tests.support.backends import DynamoDBBackend
from tests.support.damage import Damage, inflict
from tests.support.damaged_rows import typed_values
from tests.support.makers import badly, ended, failed, single
from tests.support.metered import Metered, metered_table
from tests.support.step import make_step

pytestmark = pytest.mark.services

ITEMS = {f"item-{number:03}" for number in range(600)}
# Slots that others may have written: between ours, before and after all of them.
ODD_SLOTS = (" ", "0", "7fffffff~~", "7g", "80000000", "80000000x", "fffffffff", "~", "\U0010ffff")


@pytest.fixture
def metered(dynamo: DynamoDBBackend, table_name: str, monkeypatch: pytest.MonkeyPatch) -> Metered:
    """A table whose pages are small, with many items."""
    monkeypatch.setattr(overview, "PAGE", 20)
    monkeypatch.setattr(whole, "SCAN_PAGE", 20)
    metered = metered_table(dynamo, table_name)
    metered.table.add(map(single, sorted(ITEMS)))
    return metered


def names(metered: Metered, **how: Any) -> list[str]:
    return sorted(row.item_id for row in metered.table.summaries(**how))


def test_all_rows_are_read_once_whatever_their_slots(
    metered: Metered, dynamo: DynamoDBBackend
) -> None:
    for number, slot in enumerate(ODD_SLOTS):
        dynamo.set_raw(metered.table.name, f"item-{number:03}", "Slot", slot)
    assert names(metered) == sorted(ITEMS)
    assert sorted(item.item_id for item in metered.table.items(ItemState.TODO)) == sorted(ITEMS)


def test_rows_of_one_slot_are_read_once(metered: Metered, dynamo: DynamoDBBackend) -> None:
    """Also if more of them than a page has are where the first page ends."""
    first = next(iter(metered.table.summaries(ItemState.TODO)))
    slot = dynamo.raw(metered.table.name, first.item_id)["Slot"]
    for number in range(50):
        dynamo.set_raw(metered.table.name, f"item-{number:03}", "Slot", slot)
    assert names(metered) == sorted(ITEMS)


def test_parts_cost_a_page_each_at_most(metered: Metered, monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(read: Callable[[], object]) -> tuple[int, float]:
        metered.clear()
        read()
        return len(metered.requests), metered.total

    parts, units = cost(lambda: names(metered))
    monkeypatch.setattr(overview, "RANGES", 1)
    pages, units_of_pages = cost(lambda: names(metered))
    assert pages >= len(ITEMS) / 20 + 4
    assert pages < parts <= pages + 8
    assert units <= units_of_pages + (parts - pages) * 1
    small = [cost(lambda: list(metered.table.summaries(ItemState.DONE)))[0]]
    assert small == [1]


def test_parts_are_read_at_the_same_time(metered: Metered) -> None:
    together = threading.Barrier(8)
    waited = threading.local()

    def meet(params: dict[str, Any], **_: Any) -> None:
        if b"BETWEEN" not in params["body"] and b":first" not in params["body"]:
            return
        if not getattr(waited, "once", False):
            waited.once = True
            together.wait(30)  # an error unless eight requests come before any is answered

    metered.client.meta.events.register("before-call.dynamodb.Query", meet)
    assert names(metered) == sorted(ITEMS)


def test_whole_items_are_read_in_segments_and_batches(
    metered: Metered, dynamo: DynamoDBBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = metered.table
    dynamo.client.update_item(  # an item that the index doesn't have
        TableName=table.name, Key={"itemID": {"S": "item-000"}}, UpdateExpression="REMOVE Slot"
    )
    metered.clear()
    assert sorted(item.item_id for item in table.items()) == sorted(ITEMS)
    assert metered.counts["Scan"] <= len(ITEMS) / 20 + 2 * 8
    metered.clear()
    assert len(list(table.items(ItemState.TODO))) == len(ITEMS) - 1
    assert metered.counts["BatchGetItem"] == 6
    monkeypatch.setattr(whole, "GET_BATCH", 10)
    monkeypatch.setattr(whole, "BATCH_BYTES", 1000)
    metered.clear()
    assert len(list(table.items(ItemState.TODO))) == len(ITEMS) - 1
    answers = [answer["Responses"] for answer in metered.answers if "Responses" in answer]
    assert max(len(answer[table.name]) for answer in answers[1:]) < 10


@pytest.mark.parametrize("only", [OF_A_STATUS, OF_A_SAMPLE, ("Nested_Tasks",)])
def test_only_what_is_shown_is_fetched(
    dynamo: DynamoDBBackend, table_name: str, only: tuple[str, ...]
) -> None:
    metered = metered_table(dynamo, table_name)
    ended(metered.table, single("a"), failed({"Task_0": badly()}))
    metered.clear()
    (row,) = metered.table.summaries(only=only)
    assert row.state is ItemState.FAILED
    fetched = [row for answer in metered.answers for row in answer["Items"]]
    assert len(fetched) == 1
    assert set(fetched[0]) <= set(only)


@pytest.mark.parametrize(
    "damage",
    [
        Damage("TaskID", None, None),
        Damage("TaskID", {"N": "7"}, None),
        Damage("TaskID", {"S": "a\0b"}, None),
        Damage("InstanceID", {"B": b"x"}, None),
        Damage("Lock_Date", {"N": "7"}, None),
        Damage("Done_Date", {"BOOL": True}, None),
        Damage("Nested_Tasks", {"S": "x"}, None),
        Damage("Nested_Done", {"N": "1E+100"}, None),
        Damage("Exit_Code", {"S": "x"}, None),
        Damage("Exit_Code", {"NULL": True}, None),
        Damage("Run_Seconds", {"L": []}, None),
    ],
    ids=str,
)
def test_damage_in_what_is_not_fetched_is_told(
    dynamo: DynamoDBBackend, table_name: str, damage: Damage
) -> None:
    step = make_step(dynamo, table_name)
    step.add(single("bad"), single("good"))
    inflict(dynamo.store, table_name, "bad", damage)
    for only in (None, OF_A_STATUS, OF_A_SAMPLE, ("Exit_Code",)):
        told: list[DamagedItem] = []
        table = dynamo.open(table_name)
        table.on_damaged = told.append
        rows: list[ItemSummary] = list(table.summaries(only=only))
        assert len(rows) == 1
        assert [(error.item_id, error.attribute) for error in told] == [("bad", damage.attribute)]


@given(row=st.dictionaries(st.text("ab", min_size=1), typed_values, max_size=4))
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_rows_are_what_botocore_makes_of_them(dynamo: DynamoDBBackend, row: dict[str, Any]) -> None:
    name = f"rows-{uuid.uuid4().hex}"
    make_step(dynamo, name)
    dynamo.client.put_item(TableName=name, Item={**row, "itemID": {"S": "row"}})
    plain = boto3.client("dynamodb", endpoint_url=dynamo.endpoint)
    keys = {name: {"Keys": [{"itemID": {"S": "row"}}]}}
    scanned = [client.scan(TableName=name) for client in (dynamo.client, plain)]
    assert scanned[0]["Items"] == scanned[1]["Items"]
    assert scanned[0]["Count"] == 1
    got = [client.batch_get_item(RequestItems=keys) for client in (dynamo.client, plain)]
    assert got[0]["Responses"] == got[1]["Responses"]

"""Leases are told by the table's clock, not by this machine's."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone

import pytest

from pyanamo.account import Account
from pyanamo.batch.submission import Left, left_in
from pyanamo.model import Item, epoch_seconds_of
from pyanamo.tables import WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection
from tests.support.backends import DynamoDBBackend
from tests.support.faulty_proxy import FaultyProxy
from tests.support.makers import done, single

FOUR_MINUTES = 240.0


def opened(name: str, endpoint: str) -> DynamoDBTable:
    """The table as a program of this machine has it."""
    return DynamoDBTable(name, account=Account(endpoint_url=endpoint))


def item_of(table: WorkflowTable) -> Item:
    item = table.get("a")
    assert item is not None
    return item


@pytest.mark.parametrize("behind", [FOUR_MINUTES, -FOUR_MINUTES, 0.0])
def test_a_machine_with_another_clock_leaves_a_lease_alone(
    dynamodb: str, proxy: FaultyProxy, table_name: str, behind: float
) -> None:
    """Seen from a machine whose clock is right, this one's is four minutes off."""
    proxy.ahead = -behind
    with closing(opened(table_name, proxy.url)) as table:
        table.create()
        table.add([single("a")])
        claim = table.claim("pilot-1", lease=60, max_attempts=3)
        assert claim is not None
        right = time.time() - behind
        expires = item_of(table).lease_expires
        assert expires is not None
        assert right + 58 <= expires <= right + 61
        locked = epoch_seconds_of(item_of(table).lock_date)
        assert locked is not None
        assert right - 3 <= locked <= right

        with closing(opened(table_name, proxy.url)) as other:
            other.check()
            assert right - 2 <= other.now() - (time.time() - behind - right) <= right + 0.1
            assert other.claim("pilot-2", lease=60, max_attempts=3) is None
            assert left_in(other) == Left(todo=0, lost=0, busy=1)
        with Workflow(table_name, endpoint_url=proxy.url) as steps:
            assert steps.release(Selection(names=("a",))).unchanged == 1

        assert table.renew(claim, lease=100)
        renewed = item_of(table).lease_expires
        assert renewed is not None
        assert right + 98 <= renewed <= time.time() - behind + 101
        assert table.finish(claim, done())
        ended = epoch_seconds_of(item_of(table).done_date)
        assert ended is not None
        assert right - 3 <= ended <= time.time() - behind


def test_an_expired_lease_is_taken_over_by_the_tables_clock(
    proxy: FaultyProxy, table_name: str
) -> None:
    with closing(opened(table_name, proxy.url)) as table:
        table.create()
        table.add([single("a")])
        assert table.claim("pilot-1", lease=60, max_attempts=3)
    proxy.ahead = 70
    with closing(opened(table_name, proxy.url)) as other:
        assert left_in(other) == Left(todo=0, lost=1, busy=0)
        assert other.claim("pilot-2", lease=60, max_attempts=3) is not None


def test_a_clock_that_is_given_is_the_tables(dynamo: DynamoDBBackend, table_name: str) -> None:
    table = dynamo.open(table_name)
    table.create()
    table.check()
    assert table.now() == dynamo.clock()
    assert datetime.fromtimestamp(table.now(), timezone.utc).year == 2027

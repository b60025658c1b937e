"""What a pilot costs, in requests to DynamoDB, counted on their way there."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.support.faulty_proxy import Action, Fault, FaultyProxy
from tests.support.place import Place

ITEMS = 500


@pytest.fixture
def remote(remote: Place, proxy: FaultyProxy) -> Place:
    """A place with a table of DynamoDB whose requests are counted."""
    remote.environment["AWS_ENDPOINT_URL_DYNAMODB"] = proxy.url
    return remote


def test_a_single_item_costs_two_writes_and_hardly_a_read(
    remote: Place, proxy: FaultyProxy
) -> None:
    remote.fill({f"item-{number}": "true" for number in range(ITEMS)})
    ended = remote.run("-i", "4", "-q", seconds=100)
    assert ended.counts["done"] == ITEMS
    requests = Counter(proxy.operations)
    assert set(requests) <= {"UpdateItem", "Query", "BatchGetItem"}
    assert requests.total() <= 2.3 * ITEMS, requests


def test_a_nested_item_costs_a_claim_an_end_and_a_write_a_second(
    remote: Place, proxy: FaultyProxy
) -> None:
    remote.fill({"nested": ["true"] * 100})
    ended = remote.run("-n", "2")
    assert ended.counts["done"] == 1
    assert proxy.operations.count("UpdateItem") <= 2 + ended.seconds


def test_throttling_costs_no_more_than_the_requests_it_refuses(
    remote: Place, proxy: FaultyProxy
) -> None:
    remote.fill({f"item-{number}": "true" for number in range(60)})
    rng = Random(1)

    def decide(_operation: str, _body: Any, _count: int) -> Action:
        return Fault.THROTTLE if rng.random() < 0.3 else Fault.NONE

    proxy.decide = decide
    ended = remote.run("-i", "4", "-q", hasty=True)
    assert ended.counts == {"done": 60, "failed": 0, "released": 0, "lost": 0}
    assert all(item.attempts == 1 for item in remote.items().values())
    without_faults = 2 * 60 + 45  # and what four workers ask at the end: see the first test
    assert len(proxy.operations) <= 2 * without_faults

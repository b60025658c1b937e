"""How large an item is, and how large it can become.

The rules are DynamoDB's (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"): names
and strings count their UTF-8 bytes, a number about a byte for two digits, a map or list 3 bytes and
one more an element. Both tables keep them, so that a file which fits one fits the other.
"""

from __future__ import annotations

from typing import Any

MAX_ITEM_BYTES = 400 * 1024
MAX_KEY_BYTES = 2048  # of a partition key

# A result without its tails: its numbers, dates and names, and a reason of MAX_REASON_BYTES.
RESULT_BYTES = 300
MAX_REASON_BYTES = 100
# The claim, the history of ten attempts, and the results of the item as a whole.
LIFE_BYTES = 8 * 1024


def size_of(value: Any) -> int:
    """The bytes that a value takes in DynamoDB; of numbers an upper bound."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return 3 + sum(1 + len(name) + size_of(part) for name, part in value.items())
    if isinstance(value, list):
        return 3 + sum(1 + size_of(part) for part in value)
    if value is None:
        return 1
    return len(str(value)) // 2 + 2


def item_size(attributes: dict[str, Any]) -> int:
    """The bytes that an item takes in DynamoDB."""
    return sum(len(name) + size_of(value) for name, value in attributes.items())


def grown_size(attributes: dict[str, Any], tasks: int) -> int:
    """The bytes that a new item may come to, when every task of it has a result without tails."""
    return item_size(attributes) + LIFE_BYTES + tasks * RESULT_BYTES

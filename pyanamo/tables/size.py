"""How large an item is, and how large it can become.

The rules are DynamoDB's (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"): a
name or a string takes its UTF-8 bytes, a number about one byte per two digits, a map or a list
3 bytes and one more per element. Both kinds of table apply them, so that a task file which fits
one also fits the other.
"""

from __future__ import annotations

from typing import Any

from pyanamo.model import Item
from pyanamo.tables.attributes import new_item

MAX_ITEM_BYTES = 400 * 1024
MAX_KEY_BYTES = 2048  # of a partition key

# A result without the tails of its output: numbers, dates, names, and the longest reason.
RESULT_BYTES = 300
MAX_REASON_BYTES = 100
# The claim, the history of ten attempts, and the results of the item as a whole.
LIFE_BYTES = 8 * 1024
IMPORT_ID_BYTES = 29  # see `new_import_id`


def size_of(value: Any) -> int:
    """Return the bytes that a value takes in DynamoDB; for a number, an upper bound."""
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
    """Return the bytes that an item takes in DynamoDB."""
    return sum(len(name) + size_of(value) for name, value in attributes.items())


def size_without_results(item: Item) -> int:
    """Return the bytes that an item can grow to, not counting the results of its tasks."""
    return item_size(new_item(item, import_id="")) + IMPORT_ID_BYTES + LIFE_BYTES


def grown_size(item: Item) -> int:
    """Return the bytes that an item can grow to if each of its tasks has a result without tails."""
    return size_without_results(item) + len(item.tasks) * RESULT_BYTES


def size_bounds(tasks: int, characters: int) -> tuple[int, int]:
    """Bounds of `grown_size`, for that many tasks, whose commands and names have `characters`.

    They say of most items whether they fit, and of those that are far too large before their tasks
    are made.
    """
    least = tasks * RESULT_BYTES + characters
    return least, 4 * least + 2 * LIFE_BYTES  # a character has up to 4 bytes in UTF-8

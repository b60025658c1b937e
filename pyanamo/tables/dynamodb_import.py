"""Write many new items to a DynamoDB table, without overwriting any that somebody else wrote.

`BatchExecuteStatement` with `INSERT`s: an `INSERT` fails on a key that is there, while `PutItem`
and `BatchWriteItem` overwrite (Amazon DynamoDB Developer Guide, "PartiQL insert statements").
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from pyanamo.aws import Client, ConditionFailed, aws_error, translated_errors
from pyanamo.errors import PyAnamoError, StoreUnavailable
from pyanamo.model import ItemState
from pyanamo.parallel import several_at_a_time
from pyanamo.tables import Added
from pyanamo.tables.attributes import Attributes
from pyanamo.tables.expressions import typed, typed_map

BATCH = 25  # statements a request: DynamoDB's limit
AT_A_TIME = 4  # requests
TRIES = 12  # of a statement: with the backoff below about a minute and a half
LONGEST_WAIT = 20.0

# Errors of single statements, which come inside an answer that is otherwise well, so that the SDK
# doesn't try again (DynamoDB API Reference, "BatchStatementError").
_PASSING = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
}

T = TypeVar("T")


def insert(client: Client, table: str, rows: Iterable[Attributes]) -> Iterator[Added]:
    """Insert the rows that aren't there."""
    return several_at_a_time(partial(_insert_batch, client, table), _batches(rows), AT_A_TIME)


def replace(client: Client, table: str, rows: Iterable[Attributes]) -> Iterator[Added]:
    """Write the rows over what is there, but not over locked items."""
    return several_at_a_time(partial(_replace_batch, client, table), _batches(rows), AT_A_TIME)


def _insert_batch(client: Client, table: str, batch: Sequence[Attributes]) -> Added:
    """Insert up to 25 rows, trying again what only failed for now."""
    left = list(batch)
    imported = already_there = 0
    unsure: list[Attributes] = []  # there, but perhaps by a write of ours whose answer was lost
    maybe_written: set[str] = set()
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0, min(LONGEST_WAIT, 0.1 * 2**attempt)))
        answer = _execute(client, table, left)
        if answer["ResponseMetadata"].get("RetryAttempts", 0):
            maybe_written.update(row["itemID"] for row in left)
        again: list[Attributes] = []
        for row, response in zip(left, answer["Responses"], strict=True):
            error = response.get("Error", {})
            code = error.get("Code")
            if code is None:
                imported += 1
            elif code == "DuplicateItem" and row["itemID"] in maybe_written:
                unsure.append(row)
            elif code == "DuplicateItem":
                already_there += 1
            elif code in _PASSING:
                again.append(row)
                maybe_written.add(row["itemID"])
            elif code in ("ResourceNotFound", "AccessDenied"):
                message = error.get("Message", "")
                raise aws_error(f"{code}Exception", message, client, f"table {table!r}")
            else:
                raise PyAnamoError(
                    f"table {table!r}: item {row['itemID']!r} can't be written: {code}: "
                    f"{error.get('Message', '')}"
                )
        left = again
        if not left:
            own = _count_own(client, table, unsure)
            return Added(imported=imported + own, already_there=already_there + len(unsure) - own)
    raise StoreUnavailable(
        f"table {table!r}: {len(left)} items, {left[0]['itemID']!r} among them, were refused "
        f"{TRIES} times ({code}): run the import again later, what is there stays as it is"
    )


def _execute(client: Client, table: str, rows: Sequence[Attributes]) -> Any:
    statements = []
    for row in rows:
        values = ", ".join(f"'{name}': ?" for name in row)
        statements.append(
            {
                "Statement": f'INSERT INTO "{table}" VALUE {{{values}}}',
                "Parameters": [typed(value) for value in row.values()],
            }
        )
    with translated_errors(client, f"table {table!r}"):
        return client.batch_execute_statement(Statements=statements)


def _count_own(client: Client, table: str, rows: Sequence[Attributes]) -> int:
    """How many of these rows, which are there, this very import has written."""
    own = {(row["itemID"], row["Import_ID"]) for row in rows}
    keys = [{"itemID": typed(row["itemID"])} for row in rows]
    count = 0
    while keys:
        request = {
            "Keys": keys,
            "ProjectionExpression": "itemID, Import_ID",
            "ConsistentRead": True,
        }
        with translated_errors(client, f"table {table!r}"):
            answer = client.batch_get_item(RequestItems={table: request})
        for row in answer["Responses"].get(table, ()):
            count += (row["itemID"]["S"], row.get("Import_ID", {}).get("S")) in own
        keys = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
    return count


def _replace_batch(client: Client, table: str, batch: Sequence[Attributes]) -> Added:
    return sum((_replace(client, table, row) for row in batch), Added())


def _replace(client: Client, table: str, row: Attributes) -> Added:
    """Write one row, unless a pilot holds the item."""
    try:
        with translated_errors(client, f"table {table!r}"):
            answer = client.put_item(
                TableName=table,
                Item=typed_map(row),
                ConditionExpression="attribute_not_exists(itemID) OR ItemState <> :locked",
                ExpressionAttributeValues={":locked": typed(ItemState.LOCKED.value)},
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except ConditionFailed as failed:
        # A pilot may have claimed our own row, written by a try whose answer was lost.
        if failed.item and failed.item.get("Import_ID") == typed(row["Import_ID"]):
            return Added(replaced=1)
        return Added(locked=(row["itemID"],))
    return Added(replaced=1) if answer.get("Attributes") else Added(imported=1)


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch

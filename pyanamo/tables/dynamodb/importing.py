"""Write many new items to a DynamoDB table, without overwriting any.

`BatchExecuteStatement` takes many `INSERT`s at once. An `INSERT` fails if the key is there, while
`PutItem` and `BatchWriteItem` overwrite (Amazon DynamoDB Developer Guide, "PartiQL insert
statements").
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

from pyanamo.aws import Client, ConditionFailed, aws_error, translated_errors
from pyanamo.errors import PyAnamoError, StoreUnavailable
from pyanamo.model import ItemState
from pyanamo.parallel import several_at_a_time
from pyanamo.tables.attributes import Attributes
from pyanamo.tables.dynamodb.expressions import typed, typed_map
from pyanamo.tables.size import item_size
from pyanamo.tables.table import Added

BATCH = 25  # statements per request: DynamoDB's limit
BATCH_BYTES = 1 << 20  # of a request's rows, unless it has a single one: several are in memory
AT_A_TIME = 4  # requests
FRUITLESS_ROUNDS = 10  # about two minutes, with the pauses between them
LONGEST_PAUSE = 20.0  # seconds

# Errors of single statements, which may pass. The request as a whole succeeds, so the SDK doesn't
# repeat it (DynamoDB API Reference, "BatchStatementError").
_PASSING = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
}


@dataclass
class _Row:
    """A row on its way into the table."""

    attributes: Attributes
    maybe_written: bool = False  # by an earlier request of ours, though its answer was an error


@dataclass(frozen=True)
class _Tried:
    """What became of a batch."""

    added: Added
    failed: Sequence[_Row]  # to be tried again


def insert(client: Client, table: str, rows: Iterable[Attributes], stop: object) -> Iterator[Added]:
    """Insert the rows that aren't in the table yet; yields what became of each batch.

    Statements that DynamoDB refuses for now are collected, and tried again in another round after
    a pause. So requests are full even while DynamoDB throttles. Raises `StoreUnavailable` after
    `FRUITLESS_ROUNDS` rounds in a row in which nothing succeeded.

    Once `stop` is true, no other batch and no other round is begun.
    """
    left: Iterable[_Row] = map(_Row, rows)
    fruitless = 0
    while fruitless < FRUITLESS_ROUNDS:
        failed: list[_Row] = []
        succeeded = 0
        write = partial(_insert_batch, client, table)
        batches = takewhile(lambda _: not stop, _batches(left))
        for tried in several_at_a_time(write, batches, AT_A_TIME):
            failed += tried.failed
            succeeded += tried.added.items
            yield tried.added
        if stop or not failed:
            return
        left = failed
        fruitless = 0 if succeeded else fruitless + 1
        time.sleep(random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, 0.2 * 2**fruitless))
    raise StoreUnavailable(
        f"table {table!r}: {len(failed)} items, for example {failed[0].attributes['itemID']!r}, "
        f"were refused {FRUITLESS_ROUNDS} times in a row because DynamoDB is too busy: run the "
        "import again later; items that are already in the table don't change"
    )


def replace(
    client: Client, table: str, rows: Iterable[Attributes], stop: object
) -> Iterator[Added]:
    """Write the rows over what is there, but not over locked items; yields what became of each.

    Once `stop` is true, no other row is written.
    """
    until_stop = takewhile(lambda _: not stop, rows)
    return several_at_a_time(partial(_replace, client, table), until_stop, 2 * AT_A_TIME)


def _insert_batch(client: Client, table: str, batch: Sequence[_Row]) -> _Tried:
    """Try to insert up to `BATCH` rows with one request."""
    answer = _execute(client, table, [row.attributes for row in batch])
    was_retried = bool(answer["ResponseMetadata"].get("RetryAttempts", 0))
    imported = already_there = 0
    unsure: list[Attributes] = []  # there, but perhaps by an earlier request of ours
    failed: list[_Row] = []
    for row, response in zip(batch, answer["Responses"], strict=True):
        error = response.get("Error", {})
        code = error.get("Code")
        if code is None:
            imported += 1
        elif code == "DuplicateItem" and (row.maybe_written or was_retried):
            unsure.append(row.attributes)
        elif code == "DuplicateItem":
            already_there += 1
        elif code in _PASSING:
            row.maybe_written = True
            failed.append(row)
        else:
            raise _refused(client, table, row, code, error.get("Message", ""))
    own = _count_own(client, table, unsure)
    there = already_there + len(unsure) - own
    return _Tried(Added(imported=imported + own, already_there=there), failed)


def _refused(client: Client, table: str, row: _Row, code: str, message: str) -> PyAnamoError:
    """Return the error of a statement that will never succeed."""
    if code in ("ResourceNotFound", "AccessDenied"):
        return aws_error(f"{code}Exception", message, client, f"table {table!r}")
    item_id = row.attributes["itemID"]
    return PyAnamoError(f"table {table!r}: item {item_id!r} can't be written: {code}: {message}")


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
    """Return how many of these rows, which are in the table, this import has written."""
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


def _replace(client: Client, table: str, row: Attributes) -> Added:
    """Write one row, unless a pilot holds the item."""
    # An earlier request, whose answer was lost, may have written it, and a pilot may have run it.
    is_free = "ItemState <> :locked AND Import_ID <> :own"
    try:
        with translated_errors(client, f"table {table!r}"):
            answer = client.put_item(
                TableName=table,
                Item=typed_map(row),
                ConditionExpression=f"attribute_not_exists(itemID) OR ({is_free})",
                ExpressionAttributeValues=typed_map(
                    {":locked": ItemState.LOCKED.value, ":own": row["Import_ID"]}
                ),
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except ConditionFailed as failed:
        if failed.item and failed.item.get("Import_ID") == typed(row["Import_ID"]):
            return Added(replaced=1)
        return Added(locked=(row["itemID"],))
    return Added(replaced=1) if answer.get("Attributes") else Added(imported=1)


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    size = 0
    for row in rows:
        row_size = item_size(row.attributes)
        if batch and (len(batch) == BATCH or size + row_size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch

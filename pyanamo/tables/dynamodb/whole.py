"""Read many whole items, several requests at a time, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from pyanamo.aws import Client, not_understood, translated_errors
from pyanamo.parallel import in_turns, several_at_a_time
from pyanamo.tables.dynamodb.expressions import plain_map, typed
from pyanamo.tables.reading import Row

AT_A_TIME = 8  # requests
GET_BATCH = 100  # keys per request: DynamoDB's limit
BATCH_BYTES = 1 << 20  # that an answer is to have: several of them are in memory
SCAN_PAGE = 2000  # rows, of at most 1 MB


class WholeItems:
    """The items of a table."""

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        self._table = table
        self._batch = GET_BATCH  # of items as large as those that were read last

    def named(self, item_ids: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of these items, without those that are gone."""
        rest = iter(item_ids)
        if first := list(islice(rest, GET_BATCH)):  # which tells how large items are
            yield from self._get(first)
        batches = iter(lambda: list(islice(rest, self._batch)), [])
        yield from chain.from_iterable(several_at_a_time(self._get, batches, AT_A_TIME))

    def all(self) -> Iterator[Row]:
        """Yield all rows, also of items that aren't in the index."""
        segments = (self._scan(number) for number in range(AT_A_TIME))
        yield from chain.from_iterable(in_turns(segments, AT_A_TIME))

    def _get(self, item_ids: list[str]) -> list[Row]:
        rows: list[Row] = []
        size = 0
        keys = [{"itemID": typed(item_id)} for item_id in item_ids]
        while keys:
            with translated_errors(self._client, f"table {self._table!r}"):
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys}})
            rows += map(plain_map, answer["Responses"].get(self._table, ()))
            size += int(answer["ResponseMetadata"]["HTTPHeaders"].get("content-length", 0))
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        self._batch = max(1, min(GET_BATCH, BATCH_BYTES * len(rows) // max(1, size)))
        return rows

    def _scan(self, segment: int) -> Iterator[list[Row]]:
        after: Mapping[str, Any] | None = None
        while True:
            start = {"ExclusiveStartKey": after} if after else {}
            with translated_errors(self._client, f"table {self._table!r}"):
                page = self._client.scan(
                    TableName=self._table,
                    Limit=SCAN_PAGE,
                    Segment=segment,
                    TotalSegments=AT_A_TIME,
                    **start,
                )
            yield list(map(plain_map, page["Items"]))
            before, after = after, page.get("LastEvaluatedKey")
            if not after:
                return
            if after == before:
                raise not_understood(self._client, "the same page again and again")

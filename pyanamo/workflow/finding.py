"""Find items in the steps of a workflow, by their names or by what the index tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from pyanamo.errors import DamagedItem, ItemNotFound
from pyanamo.model import Item, ItemSummary
from pyanamo.parallel import several_at_a_time
from pyanamo.tables import WorkflowTable
from pyanamo.tables.reading import Tell
from pyanamo.workflow.selection import Selection, summary_of

AT_A_TIME = 8  # items that are read
FEW = 100  # names that are looked up one by one; for more of them the index is read once
MOST_NAMED = 20  # of the names that no item has

_Known: TypeAlias = "dict[tuple[str, str], ItemSummary | DamagedItem]"  # by table and name


class Finder:
    """Finds items in tables."""

    def __init__(self, tables: Sequence[WorkflowTable], on_damaged: Tell) -> None:
        self._tables = {table.name: table for table in tables}
        self._on_damaged = on_damaged

    def named(self, item_id: str) -> list[tuple[str, Item | DamagedItem]]:
        """The items of that name, each with its table's name. Raises `ItemNotFound` for none."""
        found = self._look_up(item_id)
        if not found:
            raise self._not_found([item_id])
        return found

    def rows(self, selection: Selection) -> Iterator[ItemSummary]:
        """The rows of the index that match. Raises `ItemNotFound` if no item has a given name."""
        if not selection.names:
            for table in self._tables.values():
                yield from selection.rows(table, table.now())
        elif selection.needs_items:
            rows = self._named_rows(selection)
            yield from (summary_of(name, item) for name, item in self._whole(selection, rows))
        else:
            yield from self._named_rows(selection)

    def items(self, selection: Selection) -> Iterator[Item]:
        """The same items, whole."""
        is_by_state = selection == Selection(states=selection.states)
        if not selection.names and (is_by_state or selection.needs_items):
            for table in self._tables.values():
                yield from selection.items(table, table.now())
            return
        rows = self._named_rows(selection) if selection.names else self.rows(selection)
        yield from (item for _, item in self._whole(selection, rows))

    def whole(self, rows: Iterable[ItemSummary]) -> Iterator[tuple[ItemSummary, Item | None]]:
        """Each row with its item, several read at a time; None if it is damaged, or gone."""

        def read(row: ItemSummary) -> tuple[ItemSummary, Item | None]:
            try:
                return row, self._tables[row.table].get(row.item_id)
            except DamagedItem as damaged:
                self._on_damaged(damaged)
                return row, None

        return several_at_a_time(read, rows, AT_A_TIME)

    def names(self, selection: Selection) -> Iterator[tuple[str, str, ItemSummary | None]]:
        """The same items, each by its table's name and its own, and with its row.

        A damaged item matches if nothing but its name is given; it has no row.
        """
        if selection.is_by_name:
            for name, row in self._by_name(selection.names).items():
                yield *name, None if isinstance(row, DamagedItem) else row
        else:
            yield from ((row.table, row.item_id, row) for row in self.rows(selection))

    def _look_up(self, item_id: str) -> list[tuple[str, Item | DamagedItem]]:
        # A command line may have bytes that aren't UTF-8, but no item's name has.
        if not item_id.isascii() and item_id.encode(errors="ignore").decode() != item_id:
            return []
        found: list[tuple[str, Item | DamagedItem]] = []
        for table in self._tables.values():
            try:
                item: Item | DamagedItem | None = table.get(item_id)
            except DamagedItem as damaged:
                item = damaged
            if item is not None:
                found.append((table.name, item))
        return found

    def _named_rows(self, selection: Selection) -> Iterator[ItemSummary]:
        """The rows of a selection by names, as far as the index tells."""
        now = next(iter(self._tables.values())).now()
        for row in self._by_name(selection.names).values():
            if isinstance(row, DamagedItem):
                self._on_damaged(row)
            elif selection.matches(row, now):
                yield row

    def _by_name(self, names: Iterable[str]) -> _Known:
        """The items that have these names. Raises `ItemNotFound` if there is one that none has."""
        missing = dict.fromkeys(names)
        known: _Known = {}
        if len(missing) > FEW:
            for table in self._tables.values():
                rows = (row for row in table.summaries() if row.item_id in missing)
                known |= {(row.table, row.item_id): row for row in rows}
            for _, name in known:
                missing.pop(name, None)
        nowhere = []
        for name in missing:  # in DynamoDB, the index may lag behind
            found = self._look_up(name)
            for table_name, item in found:
                known[table_name, name] = (
                    item if isinstance(item, DamagedItem) else summary_of(table_name, item)
                )
            nowhere += [] if found else [name]
            if len(nowhere) == FEW:
                break
        if nowhere:
            raise self._not_found(nowhere, is_all=len(nowhere) < FEW)
        return known

    def _not_found(self, names: Sequence[str], *, is_all: bool = True) -> ItemNotFound:
        what = "item {} is" if len(names) == 1 else "items {} are"
        listed = ", ".join(map(repr, names[:MOST_NAMED]))
        if (more := len(names) - MOST_NAMED) > 0:
            listed += f" and {'' if is_all else 'at least '}{more} more"
        error = ItemNotFound(f"{what.format(listed)} not in {', '.join(self._tables)}")
        error.names = names
        return error

    def _whole(
        self, selection: Selection, rows: Iterable[ItemSummary]
    ) -> Iterator[tuple[str, Item]]:
        """The items of rows that match, each with its table's name."""
        for row, item in self.whole(rows):
            now = self._tables[row.table].now()
            if item is not None and selection.matches_item(row.table, item, now):
                yield row.table, item

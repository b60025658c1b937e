"""Check items that a program has made, as those of a task file are checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyanamo.errors import TaskFileError
from pyanamo.model import Item
from pyanamo.shellwords import check_command
from pyanamo.tables.size import MAX_ITEM_BYTES, grown_size
from pyanamo.taskfile.check import CONTROL, MOST_BYTES
from pyanamo.taskfile.messages import Messages, shown


def checked_items(items: Iterable[Item]) -> list[Item]:
    """The items as new ones, to be done from the beginning.

    Raises `TaskFileError` with one line per mistake, of which the first 20 are told.
    """
    checked: dict[str, Item] = {}
    mistakes = Messages("items", "mistakes")
    for number, item in enumerate(items, start=1):
        scripts = [task.script for task in item.tasks]
        found = list(_mistakes(item, scripts))
        if not found and item.item_id in checked:
            found = [f"itemID {shown(item.item_id)} is there twice: expected unique names"]
        for mistake in found:
            mistakes.note(number, mistake)
        if not found:
            commands = scripts if item.nested else scripts[0]
            checked[item.item_id] = Item.new(item.item_id, item.task_id, commands)
    if mistakes.count:
        raise TaskFileError(str(mistakes))
    return list(checked.values())


def _mistakes(item: Item, scripts: list[str]) -> Iterator[str]:
    """What is wrong with an item, apart from others of its name."""
    texts = {"itemID": item.item_id, "TaskID": item.task_id}
    for text in (*texts.values(), *scripts):
        if text.encode(errors="replace").decode() != text:
            yield f"{shown(text)} can't be written as UTF-8"
            return
    if not item.item_id:
        yield "an empty itemID: expected a unique name"
    for column, name in texts.items():
        size = len(name.encode())
        if size > MOST_BYTES[column]:
            yield f"{column} {shown(name)} has {size} bytes: expected at most {MOST_BYTES[column]}"
        if name != name.strip() or CONTROL.search(name):
            yield f"{column} {shown(name)} has blanks around it, or control characters"
    if not scripts or (len(scripts) > 1 and not item.nested):
        yield f"item {shown(item.item_id)} has {len(scripts)} tasks: expected 1, or a nested item"
    for script in scripts:
        try:
            check_command(script)
        except ValueError as error:
            yield f"{shown(script)} can't be run: {error}: expected a command"
    if (size := grown_size(item)) > MAX_ITEM_BYTES:
        yield (
            f"item {shown(item.item_id)} takes at least {size:,} bytes with its results: expected "
            f"at most {MAX_ITEM_BYTES:,}, DynamoDB's limit: split it into several items"
        )

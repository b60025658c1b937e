"""The commands that change items: restart, hold, unhold, release, delete."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import chain, takewhile

from pyanamo.cli import say
from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.preview import SHOWN, Preview
from pyanamo.console.screen import counted, json_error, print_data, print_json, require_consent
from pyanamo.console.selecting import (
    add_selection_flags,
    no_item_matches,
    selection_of,
    told_of_unmatched,
)
from pyanamo.errors import ItemNotFound, PyAnamoError, UsageError
from pyanamo.model import ItemState, ItemSummary
from pyanamo.parser import Parser
from pyanamo.signals import Stop, exit_code, stop_signals, when_set
from pyanamo.workflow import Changed, Found, Workflow
from pyanamo.workflow.selection import Selection

ASK_FROM = 100  # items
STOPPING = "stopping after the current items; a second signal stops at once"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_restart(commands)
    _add(commands, "hold", run_hold, "set todo or failed items aside", "hold -t Align Sample1")
    _add(
        commands,
        "unhold",
        run_unhold,
        "put held items back to todo",
        "unhold -t Align --state held",
    )
    _add_release(commands)
    delete = _add(commands, "delete", run_delete, "delete items", "delete -t Align Sample1 --yes")
    delete.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="TASK",
        help="delete only this nested task; repeat it for several",
    )


def _add_restart(commands: Commands) -> None:
    restart = _add(
        commands,
        "restart",
        run_restart,
        "put items back to todo, to run again",
        "restart -t Align --failed --dry-run",
    )
    which = restart.add_mutually_exclusive_group()
    which.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="TASK",
        help="run this nested task again even if it is done, besides those that are not done; "
        "repeat it for several",
    )
    which.add_argument(
        "--all-tasks", action="store_true", help="run all nested tasks again, even if they are done"
    )


def _add_release(commands: Commands) -> None:
    release = _add(
        commands,
        "release",
        run_release,
        "put locked items back to todo if their lease has expired",
        "release -t Align --ended-jobs",
    )
    release.add_argument(
        "--ended-jobs",
        action="store_true",
        help="release the items of AWS Batch jobs that have ended",
    )
    release.add_argument(
        "--force",
        action="store_true",
        help="release items by name even if their lease has not expired; a pilot that still runs "
        "one learns at its next write that it has lost the item",
    )


def _add(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    example: str,
) -> Parser:
    parser = add_command(commands, name, run, summary, example, takes_items=True)
    add_selection_flags(parser)
    parser.add_argument("--dry-run", action="store_true", help="only show which items match")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return parser


def run_restart(arguments: argparse.Namespace) -> int:
    """Put items back to todo."""
    chooses_tasks = bool(arguments.task or arguments.all_tasks)
    return _run(
        arguments,
        selection_of(arguments),
        "restarted",
        lambda workflow, selection, found: workflow.restart(
            selection, found, tasks=arguments.task, all_tasks=arguments.all_tasks
        ),
        lambda row: _can_restart(row, chooses_tasks),
        why_left="Items that are already todo are left alone. So are nested items with no task "
        "left to run: use --task or --all-tasks.",
    )


def _can_restart(row: ItemSummary, chooses_tasks: bool) -> bool:
    """Whether a restart changes an item, as far as its row tells."""
    if row.nested_tasks is not None and chooses_tasks:
        return row.state is not ItemState.LOCKED
    is_whole = row.nested_tasks is not None and row.nested_done == row.nested_tasks
    return row.state not in (ItemState.TODO, ItemState.LOCKED) and not is_whole


def run_hold(arguments: argparse.Namespace) -> int:
    """Set items aside."""
    return _run(
        arguments,
        selection_of(arguments),
        "held",
        Workflow.hold,
        lambda row: row.state in (ItemState.TODO, ItemState.FAILED),
        why_left="only todo and failed items can be held",
    )


def run_unhold(arguments: argparse.Namespace) -> int:
    """Put held items back."""
    if arguments.reason and not arguments.state:
        arguments.state = [ItemState.HELD.value]
    return _run(
        arguments,
        selection_of(arguments),
        "put back",
        Workflow.unhold,
        lambda row: row.state is ItemState.HELD,
        why_left="only held items can be put back",
    )


def run_release(arguments: argparse.Namespace) -> int:
    """Put locked items back to todo."""
    if arguments.ended_jobs:
        return _release_ended_jobs(arguments)
    if arguments.state not in (None, [ItemState.LOCKED.value]):
        raise UsageError(f"--state {arguments.state[0]}: release changes locked items only")
    arguments.state = [ItemState.LOCKED.value]
    selection = selection_of(arguments)
    if arguments.force and not selection.names:
        raise UsageError("--force releases items by name: give their names")
    return _run(
        arguments,
        selection,
        "released",
        lambda workflow, chosen, found: workflow.release(chosen, found, force=arguments.force),
        lambda row: row.state is ItemState.LOCKED,
        needs_items=False,
        provided="" if arguments.force else " if their lease has expired",
    )


def _release_ended_jobs(arguments: argparse.Namespace) -> int:
    if arguments.force or not selection_of(arguments).is_all:
        raise UsageError("--ended-jobs takes no item names or conditions, and no --force")
    with workflow_of(arguments) as workflow:
        if arguments.dry_run:
            preview = Preview("released", lambda row: True)
            rows = (row for held in workflow.ended_jobs() for row in held.items)
            names = [name for _, name in preview.of((row.table, row.item_id, row) for row in rows)]
            if not names:
                raise ItemNotFound("no item is held by an AWS Batch job that has ended")
            return _dry_run(arguments, names, preview)
        return _change(arguments, "released", lambda stop: workflow.release_ended_jobs(stop=stop))


def run_delete(arguments: argparse.Namespace) -> int:
    """Delete items, or nested tasks of items."""
    if arguments.task:
        return _run(
            arguments,
            selection_of(arguments),
            "deleted",
            lambda workflow, selection, found: workflow.delete_tasks(
                selection, arguments.task, found
            ),
            lambda row: row.nested_tasks is not None and row.state is not ItemState.LOCKED,
            always_ask=True,
            part=f"{', '.join(dict.fromkeys(arguments.task))} of ",
            why_left="an item keeps at least one task: to delete all of them, delete the item",
        )
    return _run(
        arguments,
        selection_of(arguments),
        "deleted",
        Workflow.delete,
        lambda row: row.state is not ItemState.LOCKED,
        always_ask=True,
    )


def _run(
    arguments: argparse.Namespace,
    selection: Selection,
    done: str,
    change: Callable[[Workflow, Selection, Found], Changed],
    can_change: Callable[[ItemSummary], bool],
    *,
    always_ask: bool = False,
    needs_items: bool = True,
    part: str = "",
    provided: str = "",
    why_left: str = "",
) -> int:
    """Find the items, ask if there are many, change them, and tell; the exit code.

    The index is read once: while the items are changed, or before it unless it is sure that the
    operator need not be asked. In that case the names of all items are kept in memory. `why_left`
    says which items can't be changed; for `part` and `provided`, see `Preview`.
    """
    if selection.is_all and needs_items:
        raise UsageError("which items? Give names, or --state, --task-id, --name '*' ...")
    with workflow_of(arguments) as workflow:
        preview = Preview(done, can_change, part, provided)
        names = workflow.names_and_rows(selection)
        found = preview.of(told_of_unmatched(selection, names))
        if arguments.dry_run:
            return _dry_run(arguments, [item_id for _, item_id in found], preview)
        first = _first(found, selection, until=lambda: arguments.yes or preview.count == ASK_FROM)
        if not first and not needs_items and selection == Selection(states=selection.states):
            _tell(arguments, done, Changed())
            return 0
        if not first:
            raise no_item_matches(arguments)
        if not arguments.yes and (always_ask or preview.count == ASK_FROM):
            first += found
            require_consent(str(preview))
        all_found = chain(first, found)
        return _change(
            arguments,
            done,
            lambda stop: change(workflow, selection, takewhile(lambda _: not stop, all_found)),
            part=part,
            why_left=why_left,
            by_name=bool(selection.names),
        )


def _first(
    found: Iterator[tuple[str, str]], selection: Selection, until: Callable[[], bool]
) -> list[tuple[str, str]]:
    """The first items, at least one if there is one. An unknown name ends the command."""
    first = []
    try:
        for one in found:
            first.append(one)
            if until():
                break
    except ItemNotFound as error:
        if len(set(selection.names)) == len(error.names):
            raise
        told = ItemNotFound(f"nothing was changed: {error}")
        told.names = error.names
        raise told from error
    return first


def _change(
    arguments: argparse.Namespace,
    done: str,
    change: Callable[[Stop], Changed],
    *,
    part: str = "",
    why_left: str = "",
    by_name: bool = False,
) -> int:
    """Change items until a stop signal or an error, and tell what was changed; the exit code.

    On a stop signal, the items that are being changed are the last ones. It is an error if items
    that are given by name are left to their pilots.
    """
    code, why = 0, ""
    failed: dict[str, str] = {}
    with stop_signals() as stop, when_set(stop, lambda: say(STOPPING)):
        try:
            changed = change(stop)
        except PyAnamoError as error:
            if error.changed in (None, Changed()):
                raise
            changed, code, why = error.changed, error.exit_code, str(error)
            failed = {"error": json_error(error)}
    if stop.signal is not None:
        code, why = exit_code(stop.signal), why or stop.reason
    if why:
        say(f"{why}: run the command again for the rest")
    if changed.unchanged and why_left:
        say(why_left)
    _tell(arguments, done, changed, part, **failed)
    return code or int(by_name and bool(changed.taken or changed.locked))


def _dry_run(arguments: argparse.Namespace, names: list[str], preview: Preview) -> int:
    if not names:
        raise no_item_matches(arguments)
    if arguments.json:
        print_json(arguments.command, dry_run=True, items=names, would_change=preview.count)
        return 0
    for name in preview.first:
        print_data(name)
    if preview.count > SHOWN:
        print("...")
    print(preview)
    return 0


def _tell(
    arguments: argparse.Namespace, done: str, changed: Changed, part: str = "", **failed: str
) -> None:
    """Tell what was changed; in JSON, with the error that ended it."""
    if changed.locked is not None:
        say(f"{changed.locked}; a pilot renews its leases while it works")
    if arguments.json:
        print_json(arguments.command, changed=changed, **failed)
        return
    parts = [f"{done} {part}{counted(changed.changed) if part else changed.changed}"]
    if changed.unchanged:
        parts.append(f"left as they are {changed.unchanged}")
    if changed.taken:
        parts.append(f"in use by others {changed.taken}")
    if changed.missing:
        parts.append(f"no longer there {changed.missing}")
    if changed.damaged:
        parts.append(f"damaged {changed.damaged}")
    print(", ".join(parts))

"""The commands that change items: restart, hold, unhold, release, delete."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import chain, islice, takewhile

from pyanamo.cli import say
from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.screen import counted, json_error, print_data, print_json, require_consent
from pyanamo.console.selecting import (
    add_selection_flags,
    selection_of,
    selection_text,
    told_of_unmatched,
)
from pyanamo.errors import ItemNotFound, PyAnamoError, UsageError
from pyanamo.model import ItemState
from pyanamo.parser import Parser
from pyanamo.signals import Stop, exit_code, stop_signals, when_set
from pyanamo.workflow import Changed, Found, Workflow
from pyanamo.workflow.selection import Selection

ASK_FROM = 100  # items
DRY_RUN_SHOWS = 10
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
    restart.add_argument("--failed", action="store_true", help="the same as --state failed")
    restart.add_argument("--done", action="store_true", help="the same as --state done")
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
    states = [state for state in ("failed", "done") if getattr(arguments, state)]
    arguments.state = [*(arguments.state or ()), *states] or None
    return _run(
        arguments,
        selection_of(arguments),
        "restarted",
        lambda workflow, selection, found: workflow.restart(
            selection, found, tasks=arguments.task, all_tasks=arguments.all_tasks
        ),
        why_left="items that are todo stay so, and nested ones whose tasks are all done "
        "(unless --task or --all-tasks selects some)",
    )


def run_hold(arguments: argparse.Namespace) -> int:
    """Set items aside."""
    return _run(
        arguments,
        selection_of(arguments),
        "held",
        Workflow.hold,
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
        needs_items=False,
    )


def _release_ended_jobs(arguments: argparse.Namespace) -> int:
    if arguments.force or not selection_of(arguments).is_all:
        raise UsageError("--ended-jobs takes no item names or conditions, and no --force")
    with workflow_of(arguments) as workflow:
        if arguments.dry_run:
            names = [row.item_id for held in workflow.ended_jobs() for row in held.items]
            if not names:
                raise ItemNotFound("no item is held by an AWS Batch job that has ended")
            return _dry_run(arguments, "released", names)
        return _change(arguments, "released", lambda stop: workflow.release_ended_jobs(stop=stop))


def run_delete(arguments: argparse.Namespace) -> int:
    """Delete items, or nested tasks of items."""
    if arguments.task:
        return _run(
            arguments,
            selection_of(arguments),
            "changed",
            lambda workflow, selection, found: workflow.delete_tasks(
                selection, arguments.task, found
            ),
            always_ask=True,
            why_left="an item keeps at least one task: to delete all of them, delete the item",
        )
    return _run(arguments, selection_of(arguments), "deleted", Workflow.delete, always_ask=True)


def _run(
    arguments: argparse.Namespace,
    selection: Selection,
    done: str,
    change: Callable[[Workflow, Selection, Found], Changed],
    *,
    always_ask: bool = False,
    needs_items: bool = True,
    why_left: str = "",
) -> int:
    """Find the items, ask if there are many, change them, and tell; the exit code.

    The index is read once: while the items are changed, or before it if the operator must be asked.
    In that case the names of all items are kept in memory. `why_left` says which items can't be
    changed.
    """
    if selection.is_all and needs_items:
        raise UsageError("which items? Give names, or --state, --task-id, --name '*' ...")
    with workflow_of(arguments) as workflow:
        found = told_of_unmatched(selection, workflow.names(selection))
        if arguments.dry_run:
            return _dry_run(arguments, done, [item_id for _, item_id in found])
        first = list(islice(found, ASK_FROM))
        if not first and not needs_items and selection == Selection(states=selection.states):
            _tell(arguments, done, Changed())
            return 0
        if not first:
            raise ItemNotFound(f"no item matches {selection_text(arguments)}")
        if not arguments.yes and (always_ask or len(first) == ASK_FROM):
            first += found
            require_consent(f"{counted(len(first))} would be {done}")
        all_found = chain(first, found)
        return _change(
            arguments,
            done,
            lambda stop: change(workflow, selection, takewhile(lambda _: not stop, all_found)),
            why_left,
        )


def _change(
    arguments: argparse.Namespace,
    done: str,
    change: Callable[[Stop], Changed],
    why_left: str = "",
) -> int:
    """Change items until a stop signal or an error, and tell what was changed; the exit code.

    On a stop signal, the items that are being changed are the last ones.
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
    _tell(arguments, done, changed, **failed)
    return code


def _dry_run(arguments: argparse.Namespace, done: str, names: list[str]) -> int:
    if not names:
        raise ItemNotFound(f"no item matches {selection_text(arguments)}")
    if arguments.json:
        print_json(arguments.command, dry_run=True, items=names)
        return 0
    for name in names[:DRY_RUN_SHOWS]:
        print_data(name)
    if len(names) > DRY_RUN_SHOWS:
        print("...")
    verb = "matches" if len(names) == 1 else "match"
    print(f"{counted(len(names))} {verb}; those that a pilot is working on would not be {done}")
    return 0


def _tell(arguments: argparse.Namespace, done: str, changed: Changed, **failed: str) -> None:
    """Tell what was changed; in JSON, with the error that ended it."""
    if changed.locked is not None:
        say(str(changed.locked))
    if arguments.json:
        print_json(arguments.command, changed=changed, **failed)
        return
    parts = [f"{done} {changed.changed}"]
    if changed.unchanged:
        parts.append(f"left as they are {changed.unchanged}")
    if changed.taken:
        parts.append(f"in use by others {changed.taken}")
    if changed.missing:
        parts.append(f"no longer there {changed.missing}")
    if changed.damaged:
        parts.append(f"damaged {changed.damaged}")
    print(", ".join(parts))

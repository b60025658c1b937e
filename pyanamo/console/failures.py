"""The commands that show what several items have in common: failures, jobs."""

from __future__ import annotations

import argparse

from pyanamo.cli import say, store_of
from pyanamo.console.arguments import Commands, add_command, tables_text, workflow_of
from pyanamo.console.layout import GAP, Column, Line
from pyanamo.console.screen import (
    counted,
    is_terminal,
    on_lines,
    on_screen,
    print_json,
    print_lines,
    print_table,
)
from pyanamo.workflow.failures import FailureGroup

JOB_COLUMNS = (
    Column(heading="Job"),
    Column(heading="Status"),
    Column(heading="Items", right=True),
    Column(heading="Reason", text=True),
)


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    add_command(
        commands,
        "failures",
        run_failures,
        "show what failed items have in common",
        "failures -t Align",
    )
    add_command(
        commands, "jobs", run_jobs, "list AWS Batch jobs that hold items", "jobs -t Align Call"
    )


def run_failures(arguments: argparse.Namespace) -> int:
    """Show what failed items have in common."""
    with workflow_of(arguments) as workflow:
        groups = workflow.failures()
    restart = f"{arguments.program} restart {tables_text(arguments)} --group"
    if arguments.json:
        commands = {group.group_id: f"{restart} {group.group_id}" for group in groups}
        print_json("failures", groups=groups, restart=commands)
        return 0
    if is_terminal():
        lines = [line for group in groups for line in _group_lines(group, restart)]
        print_lines(lines[:-1] if lines else [[("no item has failed", "")]])
        return 0
    columns = ("Group", "Items", "Reason", "Last_Line", "Example", "Restart", "Example_Line")
    rows = (
        (
            *(group.group_id, str(group.count), group.reason, group.last_line, group.example_id),
            *(f"{restart} {group.group_id}", group.example_line),
        )
        for group in groups
    )
    print_table(columns, rows)
    return 0


def _group_lines(group: FailureGroup, restart: str) -> list[Line]:
    """A group on a terminal, in the words of its first item, and the command that restarts it.

    The command isn't broken at the terminal's width, so that a person can copy it.
    """
    more = group.count - len(group.examples)
    names = ", ".join(group.examples) + (f" and {more} more" if more else "")
    line = "" if group.example_line in group.example_reason else group.example_line
    lines = on_lines(f"{counted(group.count)}  {group.example_reason}", "bold")
    for text in filter(None, (line, names)):
        lines += on_lines(text, indent=GAP)
    return [*lines, [(on_screen(f"  {restart} {group.group_id}"), "dim")], []]


def run_jobs(arguments: argparse.Namespace) -> int:
    """List AWS Batch jobs that hold items."""
    with workflow_of(arguments) as workflow:
        held = workflow.jobs()
    if not held and store_of(arguments).local is not None:
        say("these tables are in a file on this machine: no AWS Batch job holds items of them")
    elif not held:
        say("no AWS Batch job holds an item")
    if arguments.json:
        print_json("jobs", jobs=held)
        return 0
    rows = (
        (entry.instance, entry.job.status.value, str(len(entry.items)), entry.job.reason)
        for entry in held
    )
    print_table(JOB_COLUMNS, rows)
    return 0

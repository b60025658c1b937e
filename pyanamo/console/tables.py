"""The commands for tables as a whole: tables, create, drop, capacity."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from pyanamo.cli import say, store_of
from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.damage import DamageReport
from pyanamo.console.screen import (
    counted,
    number_columns,
    number_text,
    print_json,
    print_table,
    require_consent,
)
from pyanamo.errors import TableNotFound, UsageError
from pyanamo.model import ItemState
from pyanamo.tables import Store
from pyanamo.tables.dynamodb.units import Capacity, Scaling, Units
from pyanamo.workflow.status import OF_A_STATUS, Status, status_of

if TYPE_CHECKING:
    from pyanamo.tables.dynamodb.capacity import TableCapacity


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    add_command(
        commands,
        "tables",
        run_tables,
        "list PyAnamo's tables, and count their items",
        "tables --region us-east-1",
        takes_tables=False,
    )
    create = add_command(
        commands,
        "create",
        run_create,
        "create tables",
        "create -t Align Call --read 50 --write 200",
    )
    _add_billing_flags(create)
    drop = add_command(
        commands, "drop", run_drop, "delete tables with all their items", "drop -t Align"
    )
    drop.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    capacity = add_command(
        commands,
        "capacity",
        run_capacity,
        "show or change the billing and capacity of DynamoDB tables",
        "capacity -t Align --autoscale 5 500 70",
    )
    _add_billing_flags(capacity)
    capacity.add_argument("--on-demand", action="store_true", help="pay per request")


def _add_billing_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("provisioned capacity of a DynamoDB table, and of its index")
    group.add_argument("--read", type=int, metavar="N", help="read units per second")
    group.add_argument("--write", type=int, metavar="N", help="write units per second")
    group.add_argument(
        "--autoscale",
        nargs=3,
        metavar=("MIN", "MAX", "TARGET"),
        help="scale the units between MIN and MAX, so that TARGET %% of them are used",
    )


def run_tables(arguments: argparse.Namespace) -> int:
    """List the tables of the region or the file."""
    store = store_of(arguments)
    found = list(_statuses(store, arguments.damage))
    if not found:
        say(f"no table in {store.local or 'this region'} is PyAnamo's: import items first")
    if arguments.json:
        answer = [{"table": each.table, "items": each.items, "total": each.total} for each in found]
        print_json("tables", tables=answer)
        return 0
    rows = (
        (each.table, *map(number_text, (*(each.items[state] for state in ItemState), each.total)))
        for each in found
    )
    counts = number_columns((*(state.value for state in ItemState), "Items"))
    print_table(("Table", *counts), rows)
    return 0


def _statuses(store: Store, on_damaged: DamageReport) -> Iterator[Status]:
    """The status of each table, without those that are dropped in the meantime."""
    for name in store.names():
        with closing(store.open(name, on_damaged=on_damaged)) as table, suppress(TableNotFound):
            yield status_of(name, table.summaries(only=OF_A_STATUS), table.now())


def run_create(arguments: argparse.Namespace) -> int:
    """Create tables."""
    scaling = _scaling(arguments)
    units = _units(arguments)
    if store_of(arguments).local is not None and (scaling or units):
        raise UsageError("an embedded table has no capacity to set")
    with workflow_of(arguments) as workflow:
        made = workflow.create()
    for name in made if scaling or units else ():
        _set(_capacity(arguments, name), scaling, units)
    if arguments.json:
        print_json("create", created=made)
        return 0
    for name in arguments.table:
        print(f"created {name}" if name in made else f"{name} exists already")
    return 0


def run_drop(arguments: argparse.Namespace) -> int:
    """Delete tables."""
    names: list[str] = arguments.table
    listed = ", ".join(names)
    with workflow_of(arguments) as workflow:
        items = sum(status.total for status in workflow.status())
        if not arguments.yes:
            require_consent(f"{listed} with {counted(items)} would be deleted")
        if store_of(arguments).local is None:
            for name in names:
                _capacity(arguments, name).remove_scaling()
        workflow.drop()
    if arguments.json:
        print_json("drop", dropped=names)
    else:
        print(f"dropped {listed}")
    return 0


def run_capacity(arguments: argparse.Namespace) -> int:
    """Change the capacity, if that is asked for, and show it."""
    if store_of(arguments).local is not None:
        raise UsageError("an embedded table has no capacity to show or set")
    scaling, units = _scaling(arguments), _units(arguments)
    if sum(map(bool, (scaling, units, arguments.on_demand))) > 1:
        raise UsageError("give only one of --on-demand, --read with --write, and --autoscale")
    found: dict[str, Capacity] = {}
    for name in arguments.table:
        capacity = _capacity(arguments, name)
        if arguments.on_demand:
            capacity.set_on_demand()
        elif scaling or units:
            _set(capacity, scaling, units)
        found[name] = capacity.describe()
    if arguments.json:
        print_json("capacity", tables=found)
        return 0
    columns = ("Table", "Billing", "Part", "Read", "Write", "Read_Scaling", "Write_Scaling")
    rows = (
        (
            name,
            capacity.billing.value,
            part,
            str(throughput.units.read),
            str(throughput.units.write),
            _scaling_text(throughput.read_scaling),
            _scaling_text(throughput.write_scaling),
        )
        for name, capacity in found.items()
        for part, throughput in (("table", capacity.table), ("index", capacity.index))
    )
    print_table(columns, rows)
    return 0


def _set(capacity: TableCapacity, scaling: Scaling | None, units: Units | None) -> None:
    if scaling is not None and scaling.target_percent is not None:
        capacity.set_autoscaling(
            minimum=scaling.minimum,
            maximum=scaling.maximum,
            target_percent=scaling.target_percent,
        )
    elif units is not None:
        capacity.set_provisioned(read=units.read, write=units.write)


def _units(arguments: argparse.Namespace) -> Units | None:
    if arguments.read is None and arguments.write is None:
        return None
    if arguments.read is None or arguments.write is None:
        raise UsageError("--read and --write go together: give both")
    return Units(read=arguments.read, write=arguments.write)


def _scaling(arguments: argparse.Namespace) -> Scaling | None:
    if arguments.autoscale is None:
        return None
    least, most, target = arguments.autoscale
    try:
        percent = float(target.removesuffix("%"))
        return Scaling(minimum=int(least), maximum=int(most), target_percent=percent)
    except ValueError as error:
        raise UsageError(
            f"--autoscale {least} {most} {target}: expected MIN MAX TARGET, for example 5 500 70"
        ) from error


def _capacity(arguments: argparse.Namespace, name: str) -> TableCapacity:
    from pyanamo.tables.dynamodb.capacity import TableCapacity

    return TableCapacity(name, store_of(arguments).account)


def _scaling_text(scaling: Scaling | None) -> str:
    if scaling is None:
        return ""
    target = "" if scaling.target_percent is None else f" at {scaling.target_percent:g}%"
    return f"{scaling.minimum} to {scaling.maximum}{target}"

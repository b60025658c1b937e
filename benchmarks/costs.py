"""Count the requests and the capacity units per item in DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.figures import Figure, at_most
from benchmarks.metering import Meter, count
from benchmarks.places import Place
from benchmarks.processes import in_own_process
from pyanamo.account import Account
from pyanamo.aws import make_client
from pyanamo.tables import Store
from pyanamo.tables.dynamodb.definition import table_definition
from pyanamo.tables.dynamodb.expressions import plain_map
from pyanamo.tables.size import item_size

NESTED = 100
KILOBYTE = 1024
HOUR = 3600
PRINTED = 400  # characters that a task prints, so that its item grows to almost 1 KB


def single_items(place: Place, items: int, workers: int) -> Figure:
    """Count the requests of a pilot from start to end, per item."""
    meter = Meter(place.folder / "single.meter")
    table = place.fill(items)
    place.pilot(table, "-i", str(workers), done=items, environment=meter.environment)
    requests = meter.take()
    counts = count(requests)
    last_end = max(one.at for one in requests if one.operation == "UpdateItem")
    at_end = count(one for one in requests if one.at > last_end)
    return Figure(
        name=f"requests_single_i{workers}",
        what=f"requests per single item, claim to done, {items} items `true`, `-i {workers}`",
        unit="requests",
        values=[counts.total() / items],
        # Of these, 0.03 are the search for the last items, however many items there are.
        target=at_most(2.2),
        is_count=True,
        beside=f"{listed(counts)}; {at_end.total()} of them after the last item had ended",
    )


def units(place: Place, items: int) -> list[Figure]:
    """Count the write units of an item of 1 KB, including its import, and the read units.

    An import writes with PartiQL statements, for which DynamoDB Local doesn't report units. So the
    same row is written with PutItem, for which DynamoDB charges the same.
    """
    meter = Meter(place.folder / "units.meter")
    table = place.fill(items, f"printf %{PRINTED}s x")
    environment = {**place.environment, **meter.environment}
    imported = in_own_process(environment, _put_again, table, place.new_table())
    put = [one for one in meter.take() if one.operation == "PutItem"]
    place.pilot(table, "-i", "2", done=items, environment=meter.environment)
    run = meter.take()
    sizes = in_own_process(place.environment, _sizes, table)
    if not 0.9 * KILOBYTE < max(sizes) <= KILOBYTE:
        raise RuntimeError(f"items have {min(sizes)} to {max(sizes)} bytes at the end, not 1 KB")
    of_import = sum(one.writes for one in put) / imported
    of_run = sum(one.writes for one in run) / items
    return [
        Figure(
            name="write_units_single",
            what="write units per single item of 1 KB, including its import",
            unit="units",
            values=[of_import + of_run],
            target=at_most(8),
            is_count=True,
            beside=f"import {of_import:.2f}, claim and end {of_run:.2f}, including the index; "
            f"{max(sizes):,} bytes at the end",
        ),
        Figure(
            name="read_units_single",
            what="read units per single item",
            unit="units",
            values=[sum(one.reads for one in run) / items],
            is_count=True,
        ),
    ]


def nested_item(place: Place) -> Figure:
    """Count the requests per second for a nested item, except its claim and its end."""
    meter = Meter(place.folder / "nested.meter")
    table = place.fill_nested("sleep", ["0.1"] * NESTED)
    place.pilot(table, "-n", "4", done=1, environment=meter.environment)
    requests = meter.take()
    writes = [one for one in requests if one.operation == "UpdateItem"]
    seconds = writes[-1].at - writes[0].at
    sent = sum(one.tries for one in writes)
    others = count(one for one in requests if one.operation != "UpdateItem")
    return Figure(
        name="requests_nested",
        what=f"requests per second for a nested item of {NESTED} tasks of 0.1 s, `-n 4`, "
        "without its claim and its end",
        unit="requests",
        values=[(sent - 2) / seconds],
        target=at_most(1),
        is_count=True,
        beside=f"{sent} in {seconds:.1f} s; requests to look for items: {listed(others)}",
    )


def nested_units(place: Place, tasks: int, nests: int, printed: int) -> Figure:
    """Count the write units of a nested item per task, including its import.

    Its tasks take a second each, and print `printed` bytes on stdout and on stderr.
    """
    meter = Meter(place.folder / "nested-units.meter")
    environment = {**place.environment, **meter.environment}
    script = f'bash -c "sleep 1; printf %{printed}s; printf %{printed}s >&2"'
    table = place.fill_nested(script, [str(number) for number in range(tasks)])
    in_own_process(environment, _put_again, table, place.new_table())
    of_import = sum(one.writes for one in meter.take() if one.operation == "PutItem")
    place.pilot(table, "-n", str(nests), done=1, environment=meter.environment)
    writes = [one for one in meter.take() if one.operation == "UpdateItem"]
    of_run = sum(one.writes for one in writes)
    return Figure(
        name=f"write_units_nested_{tasks}_{printed}",
        what=f"write units per task, including the import: an item of {tasks} nested tasks of 1 s "
        f"that print 2 x {printed} bytes, `-n {nests}`",
        unit="units",
        values=[(of_import + of_run) / tasks],
        target=at_most(3),
        is_count=True,
        beside=f"import {of_import:g}, claim to end {of_run:g} in {len(writes)} writes",
    )


def idle_pilot(place: Place, items: int, kilobytes: int, seconds: int) -> Figure:
    """Count the read units of a pilot that waits beside large items which another one holds."""
    meter = Meter(place.folder / "idle.meter")
    word = "x" * (KILOBYTE - 1)
    table = place.fill(items, f"true {' '.join([word] * kilobytes)}")
    in_own_process(place.environment, _lock_all, table, items)
    place.pilot(table, "--idle", str(seconds), done=0, environment=meter.environment)
    requests = meter.take()
    return Figure(
        name="read_units_idle",
        what=f"read units of a pilot with `--idle {seconds}` beside {items} locked items of "
        f"{kilobytes} KB",
        unit="units",
        values=[sum(one.reads for one in requests)],
        # Each lease is read once: half a unit for 4 KB of its item.
        target=at_most(1.1 * items * kilobytes / 8),
        is_count=True,
        beside=listed(count(requests)),
    )


def listed(counts: Mapping[str, int]) -> str:
    """Format the number of requests per operation for people."""
    return ", ".join(f"{number} {operation}" for operation, number in sorted(counts.items()))


def _put_again(source: str, target: str) -> int:
    """Create a table and copy another table's rows into it; return their number."""
    client = make_client("dynamodb", Account())
    client.create_table(**table_definition(target))
    rows = client.scan(TableName=source, ConsistentRead=True)["Items"]
    for row in rows:
        client.put_item(TableName=target, Item=row)
    return len(rows)


def _lock_all(table_name: str, items: int) -> None:
    """Claim all items of a table."""
    table = Store(account=Account()).open(table_name)
    for _ in range(items):
        if not table.claim("another-pilot", lease=HOUR, max_attempts=3):
            raise RuntimeError(f"table {table_name} has fewer than {items} items to claim")
    table.close()


def _sizes(table: str) -> list[int]:
    """Return the size of each item of a table, in bytes."""
    client = make_client("dynamodb", Account())
    rows = client.scan(TableName=table, ConsistentRead=True)["Items"]
    return [item_size(plain_map(row)) for row in rows]

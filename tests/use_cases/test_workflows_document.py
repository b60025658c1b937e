"""The examples of "Creating and Managing Workflows.md", run as they stand, on both kinds of table.

What needs AWS Batch is elsewhere: `jobs` in test_jobs.py and test_operator.py, the examples of
`submit` in test_submit.py.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyanamo.account import Account
from pyanamo.tables import Store
from tests.support.documents import Example, examples, make_checkout, run_example
from tests.support.dynamodb_local import DynamoDBLocal
from tests.support.makers import done, nested, well

EXAMPLES = examples("Creating and Managing Workflows.md")
SHELL = [example for example in EXAMPLES if not example.language]
(PYTHON,) = (example for example in EXAMPLES if example.language == "python")
(AWS,) = (example for example in EXAMPLES if example.language == "aws")


class Reader:
    """Somebody who types the document's examples in, in their order."""

    def __init__(self, kind: str, folder: Path, endpoint: str | None) -> None:
        self._folder = make_checkout(folder)
        self._waiting = iter(SHELL)
        self._suffix = "" if endpoint is None else f"-{kind}-{uuid.uuid4().hex[:12]}"
        self.environment = (
            {"PYANAMO_LOCAL": "pyanamo.db"}
            if endpoint is None
            else {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
        )

    def table(self, step: str) -> str:
        """What a step's table is called here: DynamoDB is shared by all tests."""
        return f"{step}{self._suffix}"

    def types(self, example: Example) -> str:
        """What an example prints, with the document's names for the tables."""
        text = re.sub(r"\b(Align|Call)\b", lambda found: self.table(found[0]), example.text)
        if self._suffix:
            text = text.replace(', local="pyanamo.db"', "")
        ran = run_example(Example(example.language, text), self._folder, self.environment)
        assert ran.code == 0, f"{example.text}\n{ran.stderr}"
        return ran.stdout.replace(self._suffix, "") if self._suffix else ran.stdout

    def next(self, begin: str) -> str:
        """What the next example of the shell prints, which must begin so."""
        example = next(self._waiting)
        assert example.text.startswith(begin)
        return self.types(example)

    def is_through(self) -> bool:
        """Whether all examples of the shell have been typed in."""
        return next(self._waiting, None) is None


@pytest.fixture(params=["embedded", "dynamodb"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a checkout, and tables of either kind, with none of others among them."""
    if request.param == "embedded":
        yield Reader(request.param, tmp_path, None)
    else:
        request.getfixturevalue("dynamodb")  # for its environment
        with DynamoDBLocal() as server:
            yield Reader(request.param, tmp_path, server.endpoint)


def fields(printed: str) -> list[list[str]]:
    """Lines of tab-separated fields."""
    return [line.split("\t") for line in printed.splitlines()]


def test_the_examples_work_in_their_order(reader: Reader) -> None:
    fill(reader)
    look(reader)
    look_in_python(reader)  # here, to fill the steps but once
    change(reader)
    printed = reader.next("python -m pyanamo export").splitlines()
    assert printed[-1] == "imported 4, already there 0"  # the items of the task file
    exported = [json.loads(line) for line in printed[:-1]]
    assert [item["itemID"] for item in sorted(exported, key=lambda item: item["itemID"])] == [
        "nested-count",
        *(f"nested-mario-{number}" for number in (1, 2, 3)),
    ]
    assert all("Log" not in item and "History" not in item for item in exported)
    assert reader.is_through()


def fill(reader: Reader) -> None:
    assert reader.next("python -m pyanamo create") == "created Align\ncreated Call\n"
    listed = {row[0]: row[1:] for row in fields(reader.next("python -m pyanamo tables"))}
    assert set(listed) >= {"Align", "Call"}
    printed = reader.next("python import-items.py")
    assert "imported 6, already there 0" in printed
    assert "imported 4, already there 0" in printed
    printed = reader.next("python pyanamo.py")
    assert "done 5, failed 1, released 0" in printed
    assert "done 4, failed 0, released 0" in printed


def look(reader: Reader) -> None:
    columns, *rows = fields(reader.next("python -m pyanamo status"))
    assert columns[:8] == ["Table", "todo", "locked", "done", "failed", "held", "Tasks", "Done"]
    assert [row[:8] for row in rows] == [
        ["Align", "0", "0", "5", "1", "0", "6", "5"],
        ["Call", "0", "0", "4", "0", "0", "12", "12"],
    ]

    printed = reader.next("python -m pyanamo samples")
    assert printed.startswith(
        "TaskID\tAlign\tCall\n"
        "Count\tdone\t3/3 done\n"
        "Failure\tfailed\t\n"
        "Hello\tdone\t\n"
        "SuperMario\t3/3 done\t9/9 done\n"
        "TaskID\tAlign\tCall\n"
        "Failure\tfailed\t\n"
        "Where\tSamples\n"
        "samples\t4\n"
        "finished\t2\n"
        "in Align\t0\n"
        "stuck in Align\t1\n"
    )
    assert printed.endswith(
        "TaskID,Align,Call\nCount,done,3/3 done\nFailure,failed,\nHello,done,\n"
        "SuperMario,3/3 done,9/9 done\n"
    )

    assert fields(reader.next("python -m pyanamo status")) == [
        ["Table", "0 %", "1-25 %", "26-75 %", "76-99 %", "100 %"],
        ["Align", "1", "0", "0", "0", "5"],
        ["Call", "0", "0", "0", "0", "4"],
    ]

    rows = fields(reader.next("python -m pyanamo items"))
    assert rows[1][:5] == ["single-failure", "Failure", "failed", "", "2"]
    of_mario = [row[:5] for row in rows[3:9]]
    assert sorted(of_mario) == [
        *(["Align", f"single-mario-{n}", "SuperMario", "done", ""] for n in (1, 2, 3)),
        *(["Call", f"nested-mario-{n}", "SuperMario", "done", "3/3"] for n in (1, 2, 3)),
    ]
    assert rows[9] == ["itemID", "ItemState", "Run_Seconds"]
    assert len(rows) == 10 + 6

    printed = reader.next("python -m pyanamo show")
    assert "itemID\tnested-count\n" in printed
    assert "Nested_Done\t3\n" in printed
    assert re.search(r"^Task_0\tdone\t0\t\d\.\d\t\d+\t\t\tseq 8$", printed, re.MULTILINE)
    assert printed.endswith("1\n2\nls: cannot access 'no-such-folder': No such file or directory\n")

    (_, group) = fields(reader.next("python -m pyanamo failures"))
    assert group[1:5] == [
        "1",
        "exit code 2",
        "ls: cannot access *: No such file or directory",
        "single-failure",
    ]
    assert group[5] == f"python -m pyanamo restart -t Align -t Call --group {group[0]}"


def change(reader: Reader) -> None:
    assert reader.next("python -m pyanamo restart").splitlines() == [
        "single-failure",
        "1 item would be restarted",
        "restarted 1",
        "restarted 1",
        "restarted 3",
    ]
    assert reader.next("python -m pyanamo hold") == "held 1\nput back 1\n"
    assert reader.next("python -m pyanamo release") == "released 0\n"
    printed = reader.next("python -m pyanamo delete")
    assert printed == "deleted Task_0 of 1 item\ndeleted 6\ndropped Align\n"


def look_in_python(reader: Reader) -> None:
    lines = reader.types(PYTHON).splitlines()
    assert lines[:2] == ["Align 5 of 6", "Call 12 of 12"]
    assert sorted(lines[2:7]) == [
        "nested-count done",
        *(f"nested-mario-{number} done" for number in (1, 2, 3)),
        "one-more todo",
    ]
    assert lines[7:] == ["Count 3/3 done", "Failure ", "Hello ", "SuperMario 9/9 done"]


def test_the_same_with_the_aws_cli(dynamodb: str, tmp_path: Path) -> None:
    reader = Reader("aws", tmp_path, dynamodb)
    name = reader.table("Call")
    make_done_items(dynamodb, name)
    reader.environment["AWS_PAGER"] = ""
    commands = [line for line in AWS.text.splitlines() if line]
    answers = [json.loads(reader.types(Example("", command))) for command in commands]
    everything, of_a_sample, progress, count = answers

    rows = {row["itemID"]["S"]: row for row in everything["Items"]}
    assert set(rows) == {"nested-count", "nested-mario-1", "nested-mario-2"}
    row = rows["nested-count"]
    assert (row["InstanceID"], row["Nested_Done"], row["Nested_Tasks"]) == (
        {"S": "somebody"},
        {"N": "3"},
        {"N": "3"},
    )
    assert "Lock_Date" in row
    assert sorted(row["itemID"]["S"] for row in of_a_sample["Items"]) == [
        "nested-mario-1",
        "nested-mario-2",
    ]
    assert all(set(row) == {"itemID", "Nested_Done", "Nested_Tasks"} for row in progress["Items"])
    assert len(progress["Items"]) == 3
    assert count["Count"] == 3
    assert "Items" not in count


def make_done_items(endpoint: str, name: str) -> None:
    """A step with three items that are done, and one that waits."""
    table = Store(account=Account(endpoint_url=endpoint)).open(name)
    table.create()
    names = {
        "nested-count": "Count",
        "nested-mario-1": "SuperMario",
        "nested-mario-2": "SuperMario",
    }
    table.add(nested(item_id, 3, task_id=names[item_id]) for item_id in names)
    for _ in names:
        claim = table.claim("somebody", lease=60, max_attempts=3)
        assert claim is not None
        results = {task.name: well() for task in claim.item.tasks}
        assert table.finish(claim, done(results))
    table.add([nested("nested-mario-3", 3, task_id="SuperMario")])
    table.close()


def test_every_command_is_shown() -> None:
    text = "\n".join(example.text for example in SHELL)
    shown = set(re.findall(r"python -m pyanamo ([a-z]+)", text))
    need_aws = {"jobs", "capacity", "submit"}
    assert shown | need_aws == {
        *("create", "drop", "capacity", "status", "samples", "items", "show", "logs"),
        *("failures", "restart", "hold", "unhold", "release", "jobs", "delete", "export"),
        *("submit", "tables"),
    }

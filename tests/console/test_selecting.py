"""Selecting items: flags that are repeated, lists of names, and what they cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pyanamo.errors import ItemNotFound
from pyanamo.model import ItemState
from pyanamo.workflow import Changed, Selection
from tests.support.makers import add, single
from tests.support.operator import Operator
from tests.support.programs import Finished, run_main

MANY = 10_000


def names_in(operator: Operator, *words: str, stdin: bytes = b"") -> list[str]:
    """The names of the items that `items` lists."""
    ended = types(operator, "items", *words, "--columns", "itemID", stdin=stdin)
    assert (ended.code, ended.stderr) == (0, "")
    return sorted(ended.stdout.splitlines()[1:])


def types(operator: Operator, name: str, *words: str, stdin: bytes = b"") -> Finished:
    """What a command does that is given something on stdin."""
    from pyanamo.console import command_line

    typed = [name, "-t", operator.table_name, *words]
    return run_main(command_line.main, typed, environment=operator.environment, stdin=stdin)


def test_a_repeated_flag_adds_to_the_first(shelf: Operator) -> None:
    """It must not replace it: what is held or deleted would be other items than were meant."""
    assert shelf.sees("hold", "--task-id", "S1", "--task-id", "S3", "--state", "failed") == (
        "held 3\n"
    )
    held = [name for name, state in shelf.states().items() if state == "held"]
    assert sorted(held) == ["aside", "bad1", "bad3", "parts"]
    assert shelf.sees("delete", "--name", "bad1", "--name", "w*", "--yes") == "deleted 2\n"
    assert not {"bad1", "waits"} & set(shelf.states())


def test_states_have_flags_of_their_own(shelf: Operator) -> None:
    assert names_in(shelf, "--failed", "--task-id", "S2") == ["bad2"]
    assert names_in(shelf, "--done", "--failed") == ["bad1", "bad2", "bad3", "fine", "parts"]
    assert shelf.sees("delete", "--done", "--yes") == "deleted 1\n"
    assert shelf.types("release", "--failed").code == 2


def test_lists_of_names(stocked: Operator, tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffbad1\r\n\r\n  waits \nbad1\n".encode())
    assert names_in(stocked, "--items", str(file)) == ["bad1", "waits"]
    assert names_in(stocked, "fine", "--items", str(file)) == ["bad1", "fine", "waits"]
    assert names_in(stocked, "--items", str(file), "--state", "failed") == ["bad1"]
    assert names_in(stocked, "--task-ids", "-", stdin=b"S3\nS10\n") == ["aside", "bad3", "waits"]
    both = ("--task-ids", "-", "--task-id", "S3", "--items", str(file))
    assert names_in(stocked, *both, stdin=b"S1\n") == ["bad1"]


def test_a_list_may_be_what_items_prints(shelf: Operator) -> None:
    listed = shelf.sees("items", "--state", "failed", "--columns", "itemID").encode()
    assert types(shelf, "hold", "--items", "-", stdin=listed).stdout == "held 4\n"
    samples = shelf.sees("items", "--state", "held", "--columns", "TaskID").encode()
    ended = types(shelf, "unhold", "--task-ids", "-", stdin=samples)
    assert ended.stdout == "put back 5, left as they are 2, in use by others 2\n"


def test_a_list_may_be_what_samples_prints(shelf: Operator) -> None:
    listed = shelf.sees("samples", "--where", "Align=failed").encode()
    assert b"\t" in listed
    restarted = types(shelf, "restart", "--task-ids", "-", "--state", "failed", stdin=listed)
    assert (restarted.stdout, restarted.stderr) == ("restarted 4\n", "")
    whole = shelf.sees("items", "--task-id", "S2", "--columns", "TaskID,itemID").encode()
    assert names_in(shelf, "--items", "-", stdin=whole) == ["bad2", "busy", "lost"]


@pytest.mark.parametrize("command", ["items", "export", "restart"])
def test_samples_of_a_list_that_are_nowhere_are_named(shelf: Operator, command: str) -> None:
    names = "\n".join(["TYPO1", "S1", "S3", "TYPO2"]).encode()
    ended = types(shelf, command, "--task-ids", "-", stdin=names)
    told = "no item matches 2 of the 4 TaskIDs: 'TYPO1', 'TYPO2'\n"
    assert (ended.code, ended.stderr) == (0, told)
    ended = types(shelf, command, "--task-ids", "-", stdin=b"TYPO1")
    assert (ended.code, ended.stderr) == (4, "no item matches --task-ids -\n")


def test_a_list_that_names_none_selects_none(shelf: Operator, tmp_path: Path) -> None:
    ended = types(shelf, "delete", "--task-ids", "-", "--yes", stdin=b"\n \nTaskID\n")
    assert (ended.code, ended.stdout) == (4, "")
    assert ended.stderr == "no item matches --task-ids -: it names none\n"
    (tmp_path / "latin").write_bytes(b"S\xe4mple\n")
    assert "is not UTF-8 text" in shelf.types("items", "--items", str(tmp_path / "latin")).stderr
    assert len(shelf.states()) == 9


def test_many_names_of_which_some_are_nowhere(stocked: Operator) -> None:
    add(stocked.table, *(single(f"item-{number}") for number in range(200)))
    names = [f"item-{number}" for number in range(205)]
    ended = types(stocked, "hold", "--items", "-", stdin="\n".join(names).encode())
    assert ended.code == 4
    assert ended.stderr == (
        "nothing was changed: items 'item-200', 'item-201', 'item-202', 'item-203', 'item-204' "
        f"are not in {stocked.table_name}\n"
    )
    assert Counter(stocked.states().values())["held"] == 1
    ended = types(stocked, "hold", "--items", "-", "--yes", stdin="\n".join(names[:200]).encode())
    assert ended == Finished(code=0, stdout="held 200\n", stderr="")


def test_many_names_and_a_reason(shelf: Operator) -> None:
    add(shelf.table, *(single(f"item-{number:04}") for number in range(150)))
    names = [f"item-{number:04}" for number in range(150)] + ["bad3", "fine"]
    with shelf.workflow() as workflow:
        chosen = Selection(names=names, reason=["code 4", "code 5"])
        assert [row.item_id for row in workflow.items(chosen)] == ["bad3"]
        assert [item.item_id for item in workflow.export(chosen)] == ["bad3"]
        assert workflow.restart(chosen) == Changed(changed=1)


def test_ten_thousand_names_cost_one_pass_over_the_index(hosted: Operator) -> None:
    hosted.table.create()
    add(
        hosted.table, *(single(f"item-{number:05}", task_id=f"S{number}") for number in range(MANY))
    )
    every = [f"item-{number:05}" for number in range(MANY)]
    one_pass = pages(hosted, Selection())
    assert len(one_pass) > 5  # more than a page per state
    assert pages(hosted, Selection(names=every)) == one_pass
    samples = [f"S{number}" for number in range(0, MANY, 2)]
    assert pages(hosted, Selection(task_id=samples)) == one_pass


def pages(operator: Operator, selection: Selection) -> list[str]:
    """The requests that it takes to find items, apart from the look at the table's index."""
    with operator.workflow() as workflow:
        requests: list[str] = []
        (table,) = workflow._tables
        table._client.meta.events.register(  # type: ignore[attr-defined]
            "before-call", lambda model, **_: requests.append(model.name)
        )
        found = sum(1 for _ in workflow.items(selection))
    assert found in (MANY, MANY // 2)
    assert set(requests) == {"Query"}
    return requests[1:]


def test_an_export_of_some(stocked: Operator, tmp_path: Path) -> None:
    def exported(*words: str) -> list[str]:
        return sorted(item["itemID"] for item in stocked.json("export", *words)["items"])

    assert exported("--reason", "*code 3*") == ["bad1", "bad2", "parts"]
    assert exported("--task-id", "S1", "--task-id", "S10") == [
        *("aside", "bad1", "fine", "parts", "waits")
    ]
    assert exported("--state", "todo", "--state", "held") == ["aside", "waits"]
    assert exported("fine", "bad3", "--state", "failed") == ["bad3"]
    text = stocked.sees("export", "--reason", "code 4", "--task-file")
    assert text == "itemID|TaskID|TaskScript|TaskArgs\nbad3|S3|align bad3|\n"


def test_items_that_failed_go_on_in_another_table(shelf: Operator, tmp_path: Path) -> None:
    other = Operator(shelf.folder, shelf.store, "Align_Large")
    text = shelf.sees("export", "--reason", "*code 3*", "--task-file")
    assert other.imports("-i", "-", stdin=text.encode()).stdout == ("imported 3, already there 0\n")
    assert set(other.states().values()) == {"todo"}


def test_reasons_of_held_items(shelf: Operator) -> None:
    shelf.table.amend("waits", lambda _: {"ItemState": "held", "Reason": "damaged: TaskID is 3"})
    assert shelf.sees("unhold", "--reason", "damaged") == "put back 1\n"
    assert shelf.item("waits").state is ItemState.TODO


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"names": "bad1"}, ["bad1"]),
        ({"names": ("bad1", "bad2")}, ["bad1", "bad2"]),
        ({"states": "done"}, ["fine"]),
        ({"states": ["done", ItemState.TODO]}, ["fine", "waits"]),
        ({"exit_code": 4}, ["bad3"]),
        ({"exit_code": [0, 4]}, ["bad3", "fine"]),
        ({"pattern": ["b*1", "w*"]}, ["bad1", "waits"]),
    ],
    ids=str,
)
def test_a_condition_in_python_is_one_value_or_several(
    shelf: Operator, given: dict[str, Any], expected: list[str]
) -> None:
    with shelf.workflow() as workflow:
        assert sorted(row.item_id for row in workflow.items(Selection(**given))) == expected


def test_names_that_are_nowhere_in_python(shelf: Operator) -> None:
    with shelf.workflow() as workflow, pytest.raises(ItemNotFound, match="'x', 'y' are not in"):
        list(workflow.items(Selection(names=["x", "fine", "y"])))

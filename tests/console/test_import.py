"""What import-items.py does, on both kinds of table, also when several run at once."""

from pathlib import Path

import pytest

from pyanamo.model import ItemState, TaskStatus
from pyanamo.tables import Store
from tests.support.cli import Place, finish
from tests.support.importing import (
    DONE,
    FIVE,
    HEADER,
    NESTED,
    finish_one,
    large,
    names,
    told,
    written,
)

# --- What an import does ------------------------------------------------------------------------


def test_it_creates_the_table_and_adds_what_is_not_there(place: Place, tmp_path: Path) -> None:
    two = written(tmp_path / "two.txt", f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\n")
    first = place.import_items("-i", two)
    assert (first.code, first.stdout) == (0, "imported 2, already there 0\n")
    assert first.stderr == f"created table {place.table}\n"

    five = written(tmp_path / "five.txt", FIVE)
    second = place.import_items("-i", five)
    assert (second.code, second.stdout, second.stderr) == (0, "imported 3, already there 2\n", "")
    third = place.import_items("-i", five)
    assert (third.code, third.last_line) == (0, "imported 0, already there 5")

    assert place.names(ItemState.TODO) == ["A", "B", "C", "D", "E"]
    item = place.get("D")
    assert (item.task_id, item.nested, item.attempts) == ("Mario", False, 0)
    assert [task.script for task in item.tasks] == ["echo ä"]


def test_nested_items(place: Place, tmp_path: Path) -> None:
    file = written(tmp_path / "nested.txt", NESTED)
    assert place.import_items("-i", file, "-n", ",").last_line == "imported 3, already there 0"
    item = place.get("A")
    assert item.nested
    assert [(task.name, task.script, task.status) for task in item.tasks] == [
        (f"Task_{number}", f"seq {number + 1}", TaskStatus.TODO) for number in range(3)
    ]
    assert not place.get("B").nested
    assert [task.script for task in place.get("C").tasks] == ["echo a b"]


def test_items_that_were_worked_on_are_left_alone(place: Place, five: Path) -> None:
    place.import_items("-i", five)
    with place.opened() as table:
        finish_one(table)
        claim = table.claim("pilot", lease=900, max_attempts=3)
        assert claim
    before = [place.get(name) for name in "ABCDE"]

    again = place.import_items("-i", five)
    assert (again.code, again.last_line) == (0, "imported 0, already there 5")
    assert [place.get(name) for name in "ABCDE"] == before
    with place.opened() as table:
        assert table.finish(claim, DONE), "the claim no longer holds"


def test_replace_spares_what_is_being_worked_on(place: Place, five: Path, tmp_path: Path) -> None:
    place.import_items("-i", five)
    with place.opened() as table:
        done = finish_one(table)
        claim = table.claim("pilot", lease=900, max_attempts=3)
        assert claim
    locked = claim.item.item_id
    lines = [HEADER, *(f"{name}|Peach|seq 99" for name in "ABCDEF")]
    other = written(tmp_path / "new.txt", "\n".join(lines))

    replaced = place.import_items("-i", other, "--replace")
    assert replaced.stderr == f"not replaced, a pilot is working on it: {locked}\n"
    assert (replaced.code, replaced.stdout) == (1, "imported 1, replaced 4\n")
    assert place.get(locked).tasks == claim.item.tasks
    for name in sorted(set("ABCDEF") - {locked}):
        item = place.get(name)
        assert (item.task_id, item.tasks[0].script) == ("Peach", "seq 99")
        assert (item.state, item.attempts, item.results) == (ItemState.TODO, 0, {})
    assert done in place.names(ItemState.TODO)

    with place.opened() as table:
        assert table.finish(claim, DONE), "the claim no longer holds"
    again = place.import_items("-i", other, "--replace")
    assert (again.code, again.last_line) == (0, "imported 0, replaced 6")


def test_stdin(place: Place) -> None:
    finished = place.import_items("-i", "-", stdin=FIVE.encode())
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert place.names() == ["A", "B", "C", "D", "E"]


def test_delimiters(local_place: Place, tmp_path: Path) -> None:
    content = NESTED.replace(",", ";").replace("|", "\t")
    file = written(tmp_path / "tabs.txt", content)
    finished = local_place.import_items("-i", file, "-d", r"\t", "-n", ";")
    assert (finished.code, finished.last_line) == (0, "imported 3, already there 0")
    assert len(local_place.get("A").tasks) == 3


def test_a_nested_delimiter_without_arguments(local_place: Place, five: Path) -> None:
    finished = local_place.import_items("-i", five, "-n", ",")
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert f"{five} has no TaskArgs column: -n isn't used, all items are single\n" in (
        finished.stderr
    )


def test_two_tables_of_one_file_have_nothing_in_common(local_place: Place, five: Path) -> None:
    local_place.import_items("-i", five)
    other = Place(table="Other", store=local_place.store, flags=local_place.flags)
    assert other.import_items("-i", five).last_line == "imported 5, already there 0"


def test_the_local_file_of_the_environment(
    tmp_path: Path, five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "of the environment?.db"
    monkeypatch.setenv("PYANAMO_LOCAL", str(file))
    place = Place(table="Example", store=Store(local=file))
    assert place.import_items("-i", five).last_line == "imported 5, already there 0"
    assert place.names() == ["A", "B", "C", "D", "E"]


# --- Many items, many imports -------------------------------------------------------------------


def test_imports_of_the_same_file_at_once_share_it(place: Place, tmp_path: Path) -> None:
    """Each row counts as imported for one of them, and as already there for the others."""
    rows = 5000
    file = large(tmp_path, rows)
    place.create()  # so that none has a start
    processes = [place.start_import("-i", file) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [rows, 3 * rows]
    assert place.names() == names(rows)

    again = place.import_items("-i", file)
    assert (again.code, again.stdout) == (0, "imported 0, already there 5000\n")


def test_one_of_many_that_start_at_once_creates_the_table(place: Place, five: Path) -> None:
    processes = [place.start_import("-i", five) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert sum(end.stderr == f"created table {place.table}\n" for end in ends) == 1
    assert sum(end.stderr == "" for end in ends) == 3
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [5, 15]

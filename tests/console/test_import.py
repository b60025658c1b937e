"""What import-items.py does, on both kinds of table, also when several run at once."""

from pathlib import Path

import pytest

from pyanamo import importer
from pyanamo.model import ItemState, TaskStatus
from pyanamo.tables import Store
from tests.support.importing import FIVE, HEADER, NESTED, finish_one, large, names, told, written
from tests.support.makers import claim_from, done
from tests.support.operator import Operator
from tests.support.programs import finish, run_main

# --- What an import does ------------------------------------------------------------------------


def test_it_creates_the_table_and_adds_what_is_not_there(either: Operator, tmp_path: Path) -> None:
    two = written(tmp_path / "two.txt", f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\n")
    first = either.imports("-i", two)
    assert (first.code, first.stdout) == (0, "imported 2, already there 0\n")
    assert first.stderr == f"created table {either.table_name}\n"

    five = written(tmp_path / "five.txt", FIVE)
    second = either.imports("-i", five)
    assert (second.code, second.stdout, second.stderr) == (0, "imported 3, already there 2\n", "")
    third = either.imports("-i", five)
    assert (third.code, third.last_line) == (0, "imported 0, already there 5")

    assert either.names(ItemState.TODO) == ["A", "B", "C", "D", "E"]
    item = either.item("D")
    assert (item.task_id, item.nested, item.attempts) == ("Mario", False, 0)
    assert [task.script for task in item.tasks] == ["echo ä"]


def test_nested_items(either: Operator, tmp_path: Path) -> None:
    file = written(tmp_path / "nested.txt", NESTED)
    assert either.imports("-i", file, "-n", ",").last_line == "imported 3, already there 0"
    item = either.item("A")
    assert item.nested
    assert [(task.name, task.script, task.status) for task in item.tasks] == [
        (f"Task_{number}", f"seq {number + 1}", TaskStatus.TODO) for number in range(3)
    ]
    assert not either.item("B").nested
    assert [task.script for task in either.item("C").tasks] == ["echo a b"]


def test_items_that_were_worked_on_are_left_alone(either: Operator, five: Path) -> None:
    either.imports("-i", five)
    with either.opened() as table:
        finish_one(table)
        claim = claim_from(table)
    before = [either.item(name) for name in "ABCDE"]

    again = either.imports("-i", five)
    assert (again.code, again.last_line) == (0, "imported 0, already there 5")
    assert [either.item(name) for name in "ABCDE"] == before
    with either.opened() as table:
        assert table.finish(claim, done()), "the claim no longer holds"


def test_replace_spares_what_is_being_worked_on(
    either: Operator, five: Path, tmp_path: Path
) -> None:
    either.imports("-i", five)
    with either.opened() as table:
        finished = finish_one(table)
        claim = claim_from(table)
    locked = claim.item.item_id
    lines = [HEADER, *(f"{name}|Peach|seq 99" for name in "ABCDEF")]
    other = written(tmp_path / "new.txt", "\n".join(lines))

    replaced = either.imports("-i", other, "--replace")
    assert replaced.stderr == f"not replaced, a pilot is working on it: {locked}\n"
    assert (replaced.code, replaced.stdout) == (1, "imported 1, replaced 4\n")
    assert either.item(locked).tasks == claim.item.tasks
    for name in sorted(set("ABCDEF") - {locked}):
        item = either.item(name)
        assert (item.task_id, item.tasks[0].script) == ("Peach", "seq 99")
        assert (item.state, item.attempts, item.results) == (ItemState.TODO, 0, {})
    assert finished in either.names(ItemState.TODO)

    with either.opened() as table:
        assert table.finish(claim, done()), "the claim no longer holds"
    again = either.imports("-i", other, "--replace")
    assert (again.code, again.last_line) == (0, "imported 0, replaced 6")


def test_stdin(either: Operator) -> None:
    finished = either.imports("-i", "-", stdin=FIVE.encode())
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert either.names() == ["A", "B", "C", "D", "E"]


def test_delimiters(embedded: Operator, tmp_path: Path) -> None:
    content = NESTED.replace(",", ";").replace("|", "\t")
    file = written(tmp_path / "tabs.txt", content)
    finished = embedded.imports("-i", file, "-d", r"\t", "-n", ";")
    assert (finished.code, finished.last_line) == (0, "imported 3, already there 0")
    assert len(embedded.item("A").tasks) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-d", r"\n"], r"-d '\\n' has a \ that means nothing: only \t does, a tab"),
        (["-n", r"\x2c"], r"-n '\\x2c' has a \ that means nothing"),
        (["-d", "\n"], r"-d '\n': a delimiter needs at least one character, and no line break"),
        (["-d", "\udcff"], r"-d '\udcff' is not UTF-8, as task files are"),
        (["-d", "I"], "-d 'I' is part of the column name itemID: give another one"),
        (["-d", ";", "-n", ";;"], "-n ';;' contains -d ';': give different ones"),
    ],
)
def test_delimiters_that_cannot_work(
    embedded: Operator, five: Path, flags: list[str], message: str
) -> None:
    finished = embedded.imports("-i", five, *flags)
    assert finished.code == 2
    assert finished.stderr.startswith(message)


def test_a_nested_delimiter_without_arguments(embedded: Operator, five: Path) -> None:
    finished = embedded.imports("-i", five, "-n", ",")
    assert (finished.code, finished.last_line) == (0, "imported 5, already there 0")
    assert f"{five} has no TaskArgs column: -n is ignored, all items are single\n" in (
        finished.stderr
    )


def test_commands_for_a_shell_are_imported_with_a_warning(either: Operator, tmp_path: Path) -> None:
    file = written(tmp_path / "shell.txt", f"{HEADER}\nA|x|true\nB|x|seq 3 \\; true; ls\n")
    for flags in (["--dry-run"], []):
        finished = either.imports("-i", file, *flags)
        assert finished.code == 0
        warning = finished.stderr.splitlines()[0]
        assert warning.startswith(
            f"{file}:3: warning: 'seq 3 \\\\; true; ls' is run without a shell"
        )
        assert "bash -c '...'" in warning
    assert finished.last_line == "imported 2, already there 0"


def test_two_tables_of_one_file_have_nothing_in_common(embedded: Operator, five: Path) -> None:
    embedded.imports("-i", five)
    other = Operator.in_file(embedded.folder, "Other")
    assert other.imports("-i", five).last_line == "imported 5, already there 0"


def test_the_local_file_of_the_environment(tmp_path: Path, five: Path) -> None:
    operator = Operator(tmp_path, Store(local=tmp_path / "of the environment?.db"), "Example")
    words = ["-t", "Example", "-i", five]  # without --local
    finished = run_main(importer.main, words, environment=operator.environment)
    assert finished.last_line == "imported 5, already there 0"
    assert operator.names() == ["A", "B", "C", "D", "E"]


# --- Many items, many imports -------------------------------------------------------------------


def test_imports_of_the_same_file_at_once_share_it(either: Operator, tmp_path: Path) -> None:
    """Each row counts as imported for one of them, and as already there for the others."""
    rows = 600
    file = large(tmp_path, rows)
    either.table.create()  # so that none has a start
    processes = [either.starts_import("-i", file) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [rows, 3 * rows]
    assert either.names() == names(rows)

    again = either.imports("-i", file)
    assert (again.code, again.stdout) == (0, "imported 0, already there 600\n")


def test_one_of_many_that_start_at_once_creates_the_table(either: Operator, five: Path) -> None:
    processes = [either.starts_import("-i", five) for _ in range(4)]
    ends = [finish(process) for process in processes]
    assert [end.code for end in ends] == [0] * 4
    assert sum(end.stderr == f"created table {either.table_name}\n" for end in ends) == 1
    assert sum(end.stderr == "" for end in ends) == 3
    assert [sum(column) for column in zip(*map(told, ends), strict=True)] == [5, 15]

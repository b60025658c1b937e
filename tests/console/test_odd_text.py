"""Text to pipes, files and terminals: data is UTF-8, and nothing controls a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pyanamo.taskfile import parse_task_file
from tests.support.makers import badly, ended, failed, single
from tests.support.operator import Operator
from tests.support.programs import ROOT, finish

NAMES = ("Größe", "日本", "🍄")
HOSTILE = "a\x1b[2J\x9b31m\x1b]0;title\x07\x7f\u202eb"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PLAIN = {"LC_ALL": "C.UTF-8"}


@pytest.fixture(params=["ISO-8859-1", "ASCII", "PYTHONIOENCODING"])
def abroad(request: pytest.FixtureRequest, embedded: Operator) -> Operator:
    """An operator whose locale lacks characters, with items whose names have them."""
    if request.param == "ISO-8859-1":
        latin_1: Mapping[str, str] = request.getfixturevalue("latin_1")
        embedded.environment.update(latin_1)
    elif request.param == "ASCII":
        embedded.environment.update(ASCII)
    else:
        embedded.environment["PYTHONIOENCODING"] = "ascii:strict"
    embedded.fill({name: f"echo '{name}'" for name in NAMES})
    return embedded


def prints(operator: Operator, name: str, *words: str) -> str:
    """What a command prints into a pipe; `finish` takes UTF-8 only."""
    process = operator.starts(name, *words)
    done = finish(process)
    assert (done.code, done.stderr) == (0, "")
    return done.stdout


def test_data_is_utf8_in_every_locale(abroad: Operator) -> None:
    task_file = parse_task_file(prints(abroad, "export", "--task-file").encode(), "export")
    scripts = {item.item_id: item.tasks[0].script for item in task_file}
    assert scripts == {name: f"echo '{name}'" for name in NAMES}
    lines = prints(abroad, "export").splitlines()
    assert {json.loads(line)["itemID"] for line in lines} == set(NAMES)
    rows = csv.reader(io.StringIO(prints(abroad, "export", "--csv")))
    assert {row[0] for row in rows} == {"itemID", *NAMES}
    answer = json.loads(prints(abroad, "items", "--json"))
    assert {item["item_id"] for item in answer["items"]} == set(NAMES)
    table = prints(abroad, "items", "--columns", "itemID")
    assert set(table.splitlines()) == {"itemID", *NAMES}
    assert "Größe" in prints(abroad, "hold", "--state", "todo", "--dry-run")
    assert prints(abroad, "items", "Größe", "日本", "--columns", "itemID").count("\n") == 3


def test_a_terminal_that_lacks_a_character_gets_an_escape(
    embedded: Operator, latin_1: dict[str, str]
) -> None:
    embedded.environment.update(latin_1)
    embedded.fill({"日本": "echo '🍄'"})
    with embedded.at_terminal("items", "--columns", "itemID") as terminal:
        assert terminal.end() == 0
    assert "\\u65e5\\u672c" in terminal.text
    with embedded.at_terminal("items", "--json") as terminal:
        assert terminal.end() == 0
    assert json.loads(terminal.text)["items"][0]["item_id"] == "日本"
    with embedded.at_terminal("export") as terminal:
        assert terminal.end() == 0
    assert json.loads(terminal.text)["TaskScript"] == "echo '🍄'"


def test_bytes_on_the_command_line_that_are_not_utf8(embedded: Operator) -> None:
    embedded.fill({"item": "true"})
    process = embedded.starts("show", os.fsdecode(b"M\xfcller"))
    done = finish(process)
    assert (done.code, done.stderr) == (4, "item 'M\\udcfcller' is not in Align\n")


@pytest.fixture
def hostile(embedded: Operator) -> Operator:
    """An operator with an item, whose texts would control a terminal."""
    embedded.environment.update(PLAIN)
    result = replace(badly(stdout=HOSTILE, stdout_bytes=99, stderr=HOSTILE), reason=HOSTILE)
    embedded.table.create()
    item = single(HOSTILE, f"echo '{HOSTILE}'", task_id=HOSTILE)
    ended(embedded.table, item, failed({"Task_0": result}), pilot=HOSTILE)
    return embedded


@pytest.mark.parametrize(
    "words",
    [
        *("items", "samples", "samples --csv", "failures", f"show {HOSTILE}", "export"),
        *("export --csv", "export --task-file", "items --json", f"logs {HOSTILE}"),
        *(f"logs {HOSTILE} --json", f"logs {HOSTILE} --whole"),
        *("hold --state failed --dry-run", f"show {HOSTILE}x", f"restart {HOSTILE}"),
    ],
)
@pytest.mark.parametrize("rich", [True, False])
def test_nothing_controls_the_terminal(hostile: Operator, words: str, rich: bool) -> None:
    path = str(ROOT)
    if not rich:  # a module that can't be found
        (hostile.folder / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
        path = f"{hostile.folder}:{path}"
    command = words.split(" ")
    with hostile.at_terminal(*command, NO_COLOR="1", PYTHONPATH=path) as terminal:
        terminal.end()
    assert "\x1b[2J" not in terminal.shown
    assert not set(terminal.text) & {*"\x1b\x07\x7f\x9b\u202e"}
    assert terminal.text


def test_a_whole_log_on_a_terminal_and_in_a_pipe(embedded: Operator, tmp_path: Path) -> None:
    output = b"\x1b[31mred\r\nplain\r\n" + b"10%\r20%\x1b[K\n" * 100 + b"\xff\x9b \x07end"
    (tmp_path / "output").write_bytes(output)
    embedded.fill({"item": f"cat '{tmp_path / 'output'}'"})
    assert embedded.run("--log-dir", tmp_path / "logs").code == 0
    process = embedded.starts("logs", "item", "--whole")
    stdout, _ = process.communicate(timeout=60)
    assert stdout == output
    with embedded.at_terminal("logs", "item", "--whole", **PLAIN) as terminal:
        assert terminal.end() == 0
    expected = "red\nplain\n" + "20%\n" * 100 + "\ufffd\ufffd \ufffdend"
    assert terminal.shown == expected


def test_colours_make_no_group_and_hide_none(embedded: Operator) -> None:
    def fails(line: str) -> str:
        return f"bash -c 'printf \"{line}\\n\" >&2; exit 1'"

    embedded.fill(
        {
            "coloured timeout": fails(r"\033[31mTimeout\033[0m"),
            "plain timeout": fails("Timeout"),
            "bright timeout": fails(r"\033[1;38;5;9mTimeout\033[0m\033[K"),
            "coloured crash": fails(r"\033[31mSegfault\033[0m"),
            "crash after a bar": fails(r"9%%\r\033[KSegfault"),
        }
    )
    embedded.run("--max-failures-in-a-row", "0")
    groups = [row[1:4] for row in embedded.rows("failures")]
    assert groups == [["3", "exit code 1", "Timeout"], ["2", "exit code 1", "Segfault"]]


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "'=1", "\u00a0x", '=HYPERLINK("http://x","y")')


def test_no_cell_is_a_formula(embedded: Operator) -> None:
    """What reads the cells takes away one apostrophe, and has the texts as they are."""
    embedded.table.create()
    embedded.table.add(single(name, f"echo {n}", task_id=name) for n, name in enumerate(FORMULAS))
    for command in ("export", "samples"):
        rows = list(csv.reader(io.StringIO(embedded.sees(command, "--csv"))))[1:]
        cells = [row[0] for row in rows]
        assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]
        assert {cell.removeprefix("'") for cell in cells} == set(FORMULAS)
        assert "' before it" in " ".join(embedded.types(command, "--help").stdout.split())


def test_every_cell_comes_back(embedded: Operator) -> None:
    names = ["a\rb", "\tx", "\rx", "\nx", 'a"b', "a,b", "a\nb", "'", "''", "x"]
    embedded.table.create()
    embedded.table.add(single(name, "true") for name in names)
    exported = embedded.sees("export", "--csv")
    rows = list(csv.reader(io.StringIO(exported, newline="")))[1:]
    assert sorted(row[0].removeprefix("'") for row in rows) == sorted(names)

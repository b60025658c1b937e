"""A task file becomes items."""

import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyanamo.errors import TaskFileError, UsageError
from pyanamo.model import Item, ItemState, TaskStatus
from pyanamo.tables.attributes import new_import_id, new_item
from pyanamo.tables.size import (
    LIFE_BYTES,
    MAX_ITEM_BYTES,
    RESULT_BYTES,
    grown_size,
    item_size,
    size_bounds,
)
from pyanamo.taskfile import header_line, task_line
from tests.support.makers import nested, single
from tests.support.taskfiles import HEADER, NESTED_HEADER, items_of, mistakes, parse

# --- What a file may look like ------------------------------------------------------------------


def test_an_item_a_line() -> None:
    tasks = parse(f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|bash -c 'seq 3; true'\n")
    assert tuple(tasks) == (
        single("A", "seq 8", task_id="Luigi"),
        single("B", "bash -c 'seq 3; true'", task_id="Luigi"),
    )
    assert not tasks.has_arguments


def test_new_items_wait() -> None:
    (item,) = items_of(f"{NESTED_HEADER}\nA|Luigi|seq|1,2\n")
    assert item.state is ItemState.TODO
    assert [task.status for task in item.tasks] == [TaskStatus.TODO] * 2


def test_an_argument_makes_a_task() -> None:
    tasks = parse(f"{NESTED_HEADER}\nA|Luigi|seq -w|1 3,5,'a b'\n")
    assert tuple(tasks) == (
        nested("A", ["seq -w 1 3", "seq -w 5", "seq -w 'a b'"], task_id="Luigi"),
    )
    assert tasks.has_arguments


def test_one_argument_is_nested_and_none_is_single() -> None:
    tasks = parse(f"{NESTED_HEADER}\nA|x|seq|1\nB|x|seq 8|\nC|x|seq 9|  \n")
    assert tuple(tasks) == (
        nested("A", ["seq 1"], task_id="x"),
        single("B", "seq 8", task_id="x"),
        single("C", "seq 9", task_id="x"),
    )
    assert tasks.has_arguments


def test_many_arguments_keep_their_order() -> None:
    numbers = [str(number) for number in range(120)]
    (item,) = items_of(f"{NESTED_HEADER}\nA|x|seq|{','.join(numbers)}")
    assert item == nested("A", [f"seq {number}" for number in numbers], task_id="x")


@pytest.mark.parametrize(
    "content",
    [
        "TaskScript|itemID|TaskID\nseq 8|A|Luigi",
        "TASKID|taskscript|ItemId\nLuigi|seq 8|A",
        " itemID | TaskID | TaskScript \nA|Luigi|seq 8",
        "itemID|TaskID|TaskScript\r\nA|Luigi|seq 8\r\n",
        "\n\n  \n\t\nitemID|TaskID|TaskScript\n\n\nA|Luigi|seq 8\n \r\n\n\n",
        "\ufeffitemID|TaskID|TaskScript\nA|Luigi|seq 8",
        "\ufeff\r\nitemID|TaskID|TaskScript\r\nA|Luigi|seq 8",
        "itemID|TaskID|TaskScript\n A |\tLuigi |seq 8",
    ],
    ids=[
        "order",
        "case",
        "blanks in the header",
        "CRLF",
        "empty lines",
        "byte-order mark",
        "byte-order mark and CRLF",
        "blanks around names",
    ],
)
def test_ways_to_write_the_same(content: str) -> None:
    assert items_of(content) == (single("A", "seq 8", task_id="Luigi"),)


@pytest.mark.parametrize(
    ("delimiter", "nested_delimiter"),
    [("\t", ","), ("\t", "|"), ("|", ";"), ("||", "|"), ("::", "=>"), (" ## ", ", "), ("§", "é")],
)
def test_delimiters(delimiter: str, nested_delimiter: str) -> None:
    lines = [
        ["itemID", "TaskID", "TaskScript", "TaskArgs"],
        ["A", "Luigi", "seq -w", nested_delimiter.join(["1", "2", "3"])],
        ["B", "Mario", "seq 8", ""],
    ]
    content = "\n".join(delimiter.join(line) for line in lines)
    assert items_of(content, delimiter, nested_delimiter) == (
        nested("A", ["seq -w 1", "seq -w 2", "seq -w 3"], task_id="Luigi"),
        single("B", "seq 8", task_id="Mario"),
    )


def test_a_delimiter_is_text_and_no_pattern() -> None:
    assert items_of("itemID.TaskID.TaskScript\nA.x.seq 8", ".") == (
        single("A", "seq 8", task_id="x"),
    )


def test_quotes_do_not_keep_a_line_together() -> None:
    """What is written is what runs: a delimiter parts fields wherever it stands."""
    (mistake,) = mistakes(f"{HEADER}\nA|x|bash -c 'seq 8 | wc -l'\n")
    assert "4 fields" in mistake


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_line_ends_end_a_line(character: str) -> None:
    script = f"echo a{character}b"
    (item,) = items_of(f"{HEADER}\nA|x|{script}\n")
    assert item == single("A", script, task_id="x")


def test_text_of_any_language() -> None:
    (item,) = items_of(f"{HEADER}\nÄ 日本|🍄|echo ñ ' $HOME'\n")
    assert item == single("Ä 日本", "echo ñ ' $HOME'", task_id="🍄")


def test_task_ids_need_be_neither_unique_nor_there() -> None:
    items = items_of(f"{HEADER}\nA|x|true\nB|x|true\nC||true\n")
    assert [item.task_id for item in items] == ["x", "x", ""]


def test_the_same_name_in_another_case_is_another() -> None:
    assert len(items_of(f"{HEADER}\nA|x|true\na|x|true\n")) == 2


# --- Sizes --------------------------------------------------------------------------------------


def largest_script(start: str) -> str:
    """The longest list of words behind a command with which an item fits DynamoDB."""

    def fits(length: int) -> bool:
        try:
            parse(f"{HEADER}\nA|x|{start}{'é ' * length}\n")
        except TaskFileError:
            return False
        return True

    low, high = 0, 300_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return start + "é " * low


def test_an_item_too_large_for_dynamodb() -> None:
    (mistake,) = mistakes(f"{HEADER}\nA|x|true\nB|x|echo {'a' * MAX_ITEM_BYTES}\n")
    assert re.fullmatch(
        r"tasks\.txt:3: item 'B' takes at least 4\d\d,\d\d\d bytes with the results of its "
        r"1 task\(s\): expected at most 409,600, DynamoDB's limit: split it into several items",
        mistake,
    )


def test_the_size_is_that_of_utf_8_and_leaves_room_for_the_result() -> None:
    script = largest_script("echo ")
    assert MAX_ITEM_BYTES - 20_000 < len(script.encode()) < MAX_ITEM_BYTES - 5_000
    (item,) = items_of(f"{HEADER}\nA|x|{script}\n")
    assert grown_size(item) <= MAX_ITEM_BYTES


def test_the_size_is_that_of_what_an_import_writes() -> None:
    file = f"{NESTED_HEADER}\nA|Größe|echo {'é' * 500}|\nB||seq|{','.join(['8'] * 120)}\n"
    for item in items_of(file):
        written = item_size(new_item(item, new_import_id(0)))
        results = len(item.tasks) * RESULT_BYTES
        assert grown_size(item) == written + LIFE_BYTES + results


def test_the_size_counts_the_results_of_all_tasks() -> None:
    assert len(items_of(f"{NESTED_HEADER}\nA|x|seq|{','.join(['8'] * 1000)}\n")[0].tasks) == 1000
    (mistake,) = mistakes(f"{NESTED_HEADER}\nA|x|seq|{','.join(['8'] * 2000)}\n")
    assert "'A' takes at least" in mistake
    assert "2000 task(s)" in mistake


@given(
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=50),
    st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=50), min_size=1),
    st.integers(1, 300),
)
def test_the_size_is_between_its_bounds(name: str, scripts: list[str], times: int) -> None:
    for item in (nested(name, scripts * times), single(name, scripts[0] * times)):
        characters = len(name) + sum(len(task.script) for task in item.tasks)
        least, most = size_bounds(len(item.tasks), characters)
        assert least <= grown_size(item) <= most


def test_a_name_may_be_as_long_as_a_key() -> None:
    name = "é" * 1024
    assert items_of(f"{HEADER}\n{name}|x|true\n")[0].item_id == name


def test_a_row_takes_little_memory() -> None:
    """Beside the file itself: less than 20 bytes, however long its fields are."""
    rows = 50_000
    lines = [HEADER, *(f"item-{number:06}|group|echo {number} words" for number in range(rows))]
    content = "\n".join(lines).encode()
    tracemalloc.start()
    try:
        tasks = parse(content)
        assert sum(1 for _ in tasks) == tasks.items == rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * rows


# --- What only a shell understands --------------------------------------------------------------


def test_a_command_for_a_shell_is_warned_of() -> None:
    lines = [HEADER, "A|x|seq 8", "B|x|echo > out.txt", "C|x|bash -c 'seq 3 > out.txt'"]
    assert parse("\n".join(lines)).warnings == (
        "tasks.txt:3: warning: 'echo > out.txt' is run without a shell, so '>' has no effect. "
        "Write bash -c '...' to use it, or quote it if it is plain text"
    )


def test_all_of_a_command_that_is_for_a_shell_is_named() -> None:
    warnings = parse(f"{HEADER}\nA|x|cd $D && ls *.bam > list").warnings
    assert "so '&&', '*' and '>' have no effect. Write bash -c '...' to use them" in warnings
    warnings = parse(f"{HEADER}\nA|x|a; b > c < d & e && f *").warnings
    assert "so ';', '>', '<', '&', '&&' and more have no effect. " in warnings


def test_a_line_is_warned_of_once() -> None:
    lines = [NESTED_HEADER, "A|x|echo|a,b > c,$(d)", "B|x|ls *|a,b,c", "C|x|echo 'a>'|b"]
    warnings = parse("\n".join(lines)).warnings.split("\n")
    assert [line.split(":")[1] for line in warnings] == ["2", "3"]


def test_of_many_warnings_the_first_are_told() -> None:
    lines = [HEADER, *(f"{number}|x|make &" for number in range(500))]
    *told, last = parse("\n".join(lines)).warnings.split("\n")
    assert len(told) == 20
    assert last == "tasks.txt: and 480 more warnings"


# --- Anything -----------------------------------------------------------------------------------

# Mostly what means something, so that some of it gets far.
PIECES = st.one_of(
    st.sampled_from(
        [b"itemID", b"TaskID", b"TaskScript", b"TaskArgs", b"|", b"\n", b"\r\n", b",", b"'", b'"']
    ),
    st.sampled_from([b"\\", b"$", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"\t"]),
    st.sampled_from([f"{HEADER}\n".encode(), f"{NESTED_HEADER}\n".encode(), b"A|x|seq 8\n"]),
    st.binary(max_size=4),
)
DELIMITERS = st.sampled_from(["|", "\t", ",", "||", "\\", "é"])


@given(st.lists(PIECES).map(b"".join), DELIMITERS, DELIMITERS)
@example(b"\xef\xbb\xbf\xff", "|", ",")
def test_any_bytes_are_items_or_mistakes(
    content: bytes, delimiter: str, nested_delimiter: str
) -> None:
    try:
        tasks = parse(content, delimiter, nested_delimiter)
    except TaskFileError as error:
        for line in str(error).split("\n"):
            assert re.match(r"tasks\.txt(:\d+)?: .*expected ", line, re.DOTALL), line
    else:
        names = [item.item_id for item in tasks]
        assert names
        assert len(set(names)) == len(names)
        assert all(item.item_id and item.tasks for item in tasks)


NAMES = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="|"), max_size=20
)
SCRIPTS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="|\n\r\0"), max_size=20
)


@given(st.dictionaries(NAMES.map(str.strip).filter(bool), st.tuples(NAMES, SCRIPTS), min_size=1))
def test_what_is_written_is_what_runs(rows: dict[str, tuple[str, str]]) -> None:
    """Also with scripts that no shell would want: they come out as they went in."""
    lines = [HEADER]
    lines += [f"{name}|{task_id}|echo {script}" for name, (task_id, script) in rows.items()]
    try:
        items = items_of("\n".join(lines))
    except TaskFileError as error:
        complaints = str(error).split("\n")
    else:
        complaints = []
        assert [(item.item_id, item.tasks[0].script) for item in items] == [
            (name, f"echo {script}") for name, (_, script) in rows.items()
        ]
    assert all("can't be run" in line for line in complaints)


# --- Back to a task file ------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["a", "b 1", "'a,'", r"\\ ", " '' "]), min_size=1, max_size=5),
    st.sampled_from(["seq", "bash run.sh x", "a b"]),
)
def test_a_nested_item_comes_back_as_it_was(arguments: list[str], script: str) -> None:
    item = nested("a", [f"{script} {argument}" for argument in arguments], task_id="b")
    line = task_line(item, "|", ";")
    assert items_of(f"{NESTED_HEADER}\n{line}\n", nested_delimiter=";") == (item,)


CANNOT_BE_LINES = {
    "an argument with -n in it": (nested("a", ["seq 1,2", "seq 3"]), "|", ","),
    "commands that begin differently": (nested("a", ["seq 1", "true 2"]), "|", ","),
    "no argument": (nested("a", ["seq"]), "|", ","),
    "a field with -d in it": (nested("a", ["seq 1|2"]), "|", ","),
    "a line break": (nested("a", ["seq 1\n2"]), "|", ","),
    "a CR at the end of the line": (nested("a", ["seq 1\r"]), "|", ","),
    "a field that ends in a part of -d": (single("a", "echo |", task_id="b"), "||", ","),
    "a name that ends in a part of -d": (single("a|", "true"), "||", ","),
    "an argument that ends in a part of -n": (nested("a", ["seq ,", "seq 2"]), "|", ",,"),
    "a name that ends in a blank": (single("a ", "true"), "|", ","),
    "a NUL in a name": (single("a\0", "true"), "|", ","),
    "a command that an import refuses": (single("a", "echo '"), "|", ","),
    "a header": (single("itemID", "TaskScript", task_id="TaskID"), " ", "TaskArgs"),
}


@pytest.mark.parametrize(
    ("item", "delimiter", "nested_delimiter"), CANNOT_BE_LINES.values(), ids=CANNOT_BE_LINES
)
def test_what_would_not_be_read_back_is_refused(
    item: Item, delimiter: str, nested_delimiter: str
) -> None:
    with pytest.raises(TaskFileError, match=r"^item '.*' is left out: with -d "):
        task_line(item, delimiter, nested_delimiter)


@given(
    st.text(st.sampled_from("|:,a "), min_size=1, max_size=3),
    st.text(st.sampled_from("|:,a "), min_size=1, max_size=3),
    st.lists(st.text(st.sampled_from("|:,a "), min_size=1, max_size=4), min_size=4, max_size=5),
)
def test_a_line_is_read_back_as_the_item_or_refused(
    delimiter: str, nested_delimiter: str, texts: list[str]
) -> None:
    name, group, *scripts = texts
    item = nested(name, [f"seq {script}" for script in scripts], task_id=group)
    try:
        content = f"{header_line(delimiter)}\n{task_line(item, delimiter, nested_delimiter)}\n"
    except (TaskFileError, UsageError):
        return
    assert items_of(content, delimiter, nested_delimiter) == (item,)


@pytest.mark.parametrize("delimiter", ["T", "ID", "a"])
def test_a_delimiter_that_is_part_of_the_header(delimiter: str) -> None:
    with pytest.raises(UsageError, match=f"^-d '{delimiter}'"):
        header_line(delimiter)

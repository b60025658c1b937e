"""Random task files are read as an independent, naive reading of the format has it.

The naive reading follows the document's words ("Task files"), and knows no messages: a file has
these items, or it is refused.
"""

from __future__ import annotations

import shlex
import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyanamo.errors import TaskFileError
from tests.support.fuzz import examples
from tests.support.taskfiles import HEADER, NESTED_HEADER, parse

COLUMNS = ["itemid", "taskid", "taskscript", "taskargs"]
Read = dict[str, tuple[str, bool, list[str]]]  # by itemID: TaskID, whether it is nested, commands


class Refused(Exception):
    """The file has a mistake."""


def require(holds: object) -> None:
    if not holds:
        raise Refused


def naive(content: bytes, delimiter: str, nested_delimiter: str) -> Read:
    """The items of a file, of which none is near a limit of size."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    header, *rows = [line for line in lines if line.strip()] or [""]
    require("\r" not in header.strip())
    columns = [name.strip().lower() for name in header.split(delimiter)]
    require(sorted(columns) in (sorted(COLUMNS), sorted(COLUMNS[:3])))
    items: Read = {}
    for row in rows:
        name, item = naive_item(columns, row.split(delimiter), nested_delimiter)
        require(name not in items)
        items[name] = item
    require(items)
    return items


def naive_item(
    columns: list[str], fields: list[str], nested_delimiter: str
) -> tuple[str, tuple[str, bool, list[str]]]:
    require(len(fields) == len(columns))
    require(not all(field.strip("\ufeff \t\r").lower() in COLUMNS for field in fields))
    by_name = dict(zip(columns, fields, strict=True))
    name, group = by_name["itemid"].strip(), by_name["taskid"].strip()
    require(name)
    require(not any(unicodedata.category(char) == "Cc" for char in name + group))
    script, arguments = by_name["taskscript"], by_name.get("taskargs", "")
    require(script.strip())
    nested = bool(arguments.strip())
    commands = [script]
    if nested:
        require(all(argument.strip() for argument in arguments.split(nested_delimiter)))
        commands = [f"{script} {argument}" for argument in arguments.split(nested_delimiter)]
    for command in commands:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise Refused from error
        require(words and words[0] and "\0" not in command)
    return name, (group, nested, commands)


ODD = st.one_of(
    st.sampled_from(["", " ", "it's", '"x', "a\\", "1,,2", "a\0", "a\x1fb", "\x85", "1;,:2"]),
    st.sampled_from(["itemID", "taskid", "TaskScript", "\ufeffitemID", "\ufeff"]),
    st.text(st.sampled_from("|,;: ab\t\r'\"\\$\0\x7f\u2028\ufeff"), max_size=4),
)
USUAL = {
    "itemid": st.text(st.sampled_from("ABCDé_ "), min_size=3, max_size=9).filter(str.strip),
    "taskid": st.sampled_from(["Mario", " Luigi ", "", "日本"]),
    "taskscript": st.sampled_from(["seq 8", " echo ' ' ", "a b\\ ", 'x "$A"', "true\u2028", "`>"]),
    "taskargs": st.sampled_from(["", " ", "1", "1,2", "1;2, 3", "a:b", "'c d',e"]),
}
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", " \n", "\n\r\n"])
DELIMITERS = st.sampled_from(["|", "||", ",", ";", "\t", " ", ":", "|:"])
SPELLED = st.sampled_from([str, str.upper, str.title, " {} ".format])


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, str, str]:
    """A file and its delimiters; now and then something about it is odd."""
    delimiter = draw(st.just("|") | DELIMITERS)
    nested_delimiter = draw(st.just(",") | DELIMITERS)
    columns = draw(st.permutations(COLUMNS) | st.permutations(COLUMNS[:3]))
    is_odd = draw(st.lists(st.booleans(), min_size=6, max_size=6).map(all))  # one of 64 is
    header = [draw(SPELLED)(name) for name in columns] + draw(st.just([]) | st.just(["x"] * is_odd))
    text = draw(st.sampled_from(["", "", "\ufeff", "\n", " \r\n"])) + delimiter.join(header)
    for _ in range(draw(st.integers(0, 4))):
        fields = [draw(USUAL[name]) for name in columns]
        if draw(st.integers(0, 9)) == 0:
            fields[draw(st.integers(0, len(fields) - 1))] = draw(ODD)
        if draw(st.integers(0, 19)) == 0:
            fields = draw(st.sampled_from([fields[1:], [*fields, ""], columns, COLUMNS]))
        text += draw(st.sampled_from(["\r", "", *["\n"] * 30]) if is_odd else ENDS)
        text += delimiter.join(fields)
    return (text + draw(ENDS | st.just(""))).encode(), delimiter, nested_delimiter


@settings(max_examples=examples(300), deadline=None)
@given(files())
@example((f"{HEADER}\nA||true\n{HEADER}".encode(), "|", ","))
@example((f"{HEADER}\nA||true\r\r\n".encode(), "|", ","))
@example((f"{HEADER}\rA||true\r".encode(), "|", ","))
def test_a_file_is_read_as_the_document_says(file: tuple[bytes, str, str]) -> None:
    check(*file)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(st.binary(max_size=3) | st.sampled_from([b"A|x|true", b"\n", b"|"]), max_size=12),
    DELIMITERS,
)
def test_bytes_below_a_header_are_read_as_the_document_says(
    pieces: list[bytes], nested_delimiter: str
) -> None:
    check(f"{NESTED_HEADER}\n".encode() + b"".join(pieces), "|", nested_delimiter)


def check(content: bytes, delimiter: str, nested_delimiter: str) -> None:
    """Both readings must refuse the file, or find the same items in the same order."""
    try:
        expected: Read | None = naive(content, delimiter, nested_delimiter)
    except Refused:
        expected = None
    try:
        read = parse(content, delimiter, nested_delimiter)
    except TaskFileError:
        assert expected is None
        return
    found = {
        item.item_id: (item.task_id, item.nested, [task.script for task in item.tasks])
        for item in read
    }
    assert expected is not None
    assert list(found.items()) == list(expected.items())
    nested = [commands for _, is_nested, commands in found.values() if is_nested]
    assert (read.items, read.nested, read.nested_tasks) == (
        len(found),
        len(nested),
        sum(map(len, nested)),
    )

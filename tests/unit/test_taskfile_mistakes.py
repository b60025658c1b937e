"""A task file with mistakes becomes a list of all of them."""

import time
import tracemalloc

import pytest

from tests.support.taskfiles import HEADER, NESTED_HEADER, mistakes

LONG = "x" * 2049
ONE_HEADER = (
    "expected one per file: if files were joined, delete this line, or import them one by one"
)
NO_CONTROL = "expected a name without U+0000 to U+001F and U+007F to U+009F"
CR = r"a CR in it: expected LF at line ends: convert old Mac files with tr '\r' '\n'"

MISTAKES = {
    "too few fields": (
        f"{HEADER}\nA|seq 8\n",
        "tasks.txt:2: 'A|seq 8' has 2 fields: expected 3 (itemID|TaskID|TaskScript)",
    ),
    "too many fields": (
        f"{HEADER}\nA|x|seq 8|1\n",
        "tasks.txt:2: 'A|x|seq 8|1' has 4 fields: expected 3 (itemID|TaskID|TaskScript). If the "
        r"command contains '|', use another delimiter, for example -d '\t'. "
        "(Pipes need bash -c '... | ...'.)",
    ),
    "no field for arguments": (
        f"{NESTED_HEADER}\nA|x|seq 8\n",
        "tasks.txt:2: 'A|x|seq 8' has 3 fields: expected 4 (itemID|TaskID|TaskScript|TaskArgs)",
    ),
    "empty itemID": (
        f"{HEADER}\n  |x|seq 8\n",
        "tasks.txt:2: '  |x|seq 8' has an empty itemID: expected a unique name",
    ),
    "itemID too long": (
        f"{HEADER}\n{LONG}|x|seq 8\n",
        f"tasks.txt:2: itemID '{LONG[:80]}...' has 2049 bytes: expected at most 2048",
    ),
    "itemID twice": (
        f"{HEADER}\n\nA|x|seq 8\nB|x|seq 8\n A |y|seq 9\n",
        "tasks.txt:5: itemID 'A' is already on line 3: expected unique names",
    ),
    "empty TaskScript": (
        f"{HEADER}\nA|x| \n",
        "tasks.txt:2: 'A|x| ' has an empty TaskScript: expected a command",
    ),
    "empty TaskScript with arguments": (
        f"{NESTED_HEADER}\nA|x||1,2\n",
        "tasks.txt:2: 'A|x||1,2' has an empty TaskScript: expected a command",
    ),
    "single quote": (
        f"{HEADER}\nA|x|echo it's\n",
        "tasks.txt:2: \"echo it's\" can't be run: a single quote is not closed: expected a command",
    ),
    "double quote": (
        f'{HEADER}\nA|x|echo "a\n',
        "tasks.txt:2: 'echo \"a' can't be run: a double quote is not closed: expected a command",
    ),
    "backslash": (
        f"{HEADER}\nA|x|echo \\\n",
        "tasks.txt:2: 'echo \\\\' can't be run: it ends in a backslash, with nothing to escape: "
        "expected a command",
    ),
    "no command": (
        f"{HEADER}\nA|x|'' 8\n",
        "tasks.txt:2: \"'' 8\" can't be run: it is empty: expected a command",
    ),
    "NUL": (
        f"{HEADER}\nA|x|seq\0 8\n",
        "tasks.txt:2: 'seq\\x00 8' can't be run: it contains a NUL byte: expected a command",
    ),
    "argument with a quote": (
        f"{NESTED_HEADER}\nA|x|seq|1,'2,3\n",
        "tasks.txt:2: \"seq '2\" can't be run: a single quote is not closed: expected a command",
    ),
    "nothing as argument": (
        f"{NESTED_HEADER}\nA|x|seq|1,, 3\n",
        "tasks.txt:2: TaskArgs '1,, 3' has nothing as argument 2: "
        "expected arguments with ',' between them",
    ),
    "nothing as last argument": (
        f"{NESTED_HEADER}\nA|x|seq|1,\n",
        "tasks.txt:2: TaskArgs '1,' has nothing as argument 2: "
        "expected arguments with ',' between them",
    ),
    "not UTF-8": (
        b"itemID|TaskID|TaskScript\nA|x|true\nB|M\xfcller|seq 8\n",
        "tasks.txt:3: 'B|M\N{REPLACEMENT CHARACTER}ller|seq 8': byte 4 is 0xfc, which is not UTF-8:"
        " expected UTF-8 text",
    ),
    "nothing but lines that are not UTF-8": (
        b"itemID|TaskID|TaskScript\n\xff|x|true\n",
        "tasks.txt:2: '\N{REPLACEMENT CHARACTER}|x|true': byte 1 is 0xff, which is not UTF-8: "
        "expected UTF-8 text",
    ),
    "header not UTF-8": (
        b"itemID|TaskID|TaskScript|\xff\nA|x|true|1\n",
        "tasks.txt:1: 'itemID|TaskID|TaskScript|\N{REPLACEMENT CHARACTER}': byte 26 is 0xff, "
        "which is not UTF-8: expected UTF-8 text",
    ),
    "a second header": (
        f"{HEADER}\nA|x|true\n{HEADER}\nB|x|true\n",
        f"tasks.txt:3: '{HEADER}' is a second header: {ONE_HEADER}",
    ),
    "a second header, written otherwise, with other columns": (
        f"{HEADER}\nA|x|true\n\ufeff TASKID | itemid|TaskScript|TaskArgs\r\n",
        "tasks.txt:3: '\\ufeff TASKID | itemid|TaskScript|TaskArgs' is a second header: "
        f"{ONE_HEADER}",
    ),
    "NUL in an itemID": (
        f"{HEADER}\nA\0|x|true\n",
        f"tasks.txt:2: itemID 'A\\x00' has the control character U+0000: {NO_CONTROL}",
    ),
    "control character in a TaskID": (
        f"{HEADER}\nA|x\x9by|true\n",
        f"tasks.txt:2: TaskID 'x\\x9by' has the control character U+009B: {NO_CONTROL}",
    ),
    "TaskID too long for an environment": (
        f"{HEADER}\nA|{'x' * 131_057}|true\n",
        f"tasks.txt:2: TaskID '{'x' * 80}...' has 131057 bytes: expected at most 131056",
    ),
    "a word too long for the system": (
        f"{HEADER}\nA|x|bash -c '{'é' * 65_536}'\n",
        f"tasks.txt:2: \"bash -c '{'é' * 71}...\" can't be run: it has a word of 131,072 bytes, "
        "where a program can be given at most 131,071: put it in a file for the command to read: "
        "expected a command",
    ),
    "CR line ends": (
        "\r".join([HEADER, "A|x|true", "B|x|true", ""]),
        f"tasks.txt:1: '{HEADER}\\rA|x|true\\rB|x|true' has {CR}",
    ),
    "CR line ends below the header": (
        f"{HEADER}\nA|x|true\rB|x|true\r",
        f"tasks.txt:2: 'A|x|true\\rB|x|true' has {CR}",
    ),
    "UTF-16": (
        f"{HEADER}\nA|x|true\n".encode("utf-16"),
        "tasks.txt:1: the file is UTF-16: expected UTF-8",
    ),
    "no header": (
        "\nA|x|seq 8\nB|x|seq 9\n",
        "tasks.txt:2: 'A|x|seq 8' is not a header: expected itemID|TaskID|TaskScript, and TaskArgs "
        "for nested items",
    ),
    "another delimiter": (
        "itemID,TaskID,TaskScript\nA,x,seq 8\n",
        "tasks.txt:1: 'itemID,TaskID,TaskScript' is not a header: expected "
        "itemID|TaskID|TaskScript, and TaskArgs for nested items (this is one with -d ',' -n ';')",
    ),
    "tabs": (
        "itemID\tTaskID\tTaskScript\nA\tx\tseq 8\n",
        r"tasks.txt:1: 'itemID\tTaskID\tTaskScript' is not a header: expected "
        r"itemID|TaskID|TaskScript, and TaskArgs for nested items (this is one with -d '\t')",
    ),
    "header lacks a column": (
        "itemID|taskscript\nA|seq 8\n",
        "tasks.txt:1: the header 'itemID|taskscript' lacks TaskID: expected "
        "itemID|TaskID|TaskScript, and TaskArgs for nested items",
    ),
    "header with an unknown column": (
        f"{HEADER}|Comment\nA|x|seq 8|hello\n",
        "tasks.txt:1: 'Comment' in the header is not a column: expected itemID|TaskID|TaskScript, "
        "and TaskArgs for nested items",
    ),
    "header with a column twice": (
        f"{HEADER}|TASKID\nA|x|seq 8|y\n",
        "tasks.txt:1: the header 'itemID|TaskID|TaskScript|TASKID' has TaskID twice: expected "
        "itemID|TaskID|TaskScript, and TaskArgs for nested items",
    ),
    "empty file": (
        "",
        "tasks.txt: the file is empty: expected a header, itemID|TaskID|TaskScript",
    ),
    "nothing but empty lines": (
        "\ufeff\n  \r\n\t\n",
        "tasks.txt: the file is empty: expected a header, itemID|TaskID|TaskScript",
    ),
    "no items": (
        f"{HEADER}\n\n",
        "tasks.txt: there is no item below the header: expected one per line",
    ),
}


@pytest.mark.parametrize(("content", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(content: str | bytes, message: str) -> None:
    assert mistakes(content) == [message]


def test_all_columns_that_are_missing_are_named() -> None:
    first, second = mistakes("TaskScript|TaskArgs\nseq|8\n")
    assert "lacks itemID" in first
    assert "lacks TaskID" in second


def test_all_mistakes_at_once() -> None:
    lines = [
        HEADER,
        "A|x|true",
        "A|x|true",  # 3
        "B|x",  # 4
        "|x|",  # 5, two mistakes
        "C|x|echo 'a",  # 6
        "",
        "A|x|true",  # 8
        "D|x|true",
    ]
    found = mistakes("\n".join(lines))
    assert [line.split(":")[1] for line in found] == ["3", "4", "5", "5", "6", "8"]
    # Of three that are alike, both later ones name the first.
    assert "'A' is already on line 2" in found[0]
    assert "'A' is already on line 2" in found[5]


def test_every_command_of_a_nested_item_is_checked() -> None:
    first, second = mistakes(f"{NESTED_HEADER}\nA|x|echo|'a,b,c\"\n")
    assert '"echo \'a"' in first
    assert "'echo c\"'" in second


def test_a_header_with_a_mistake_does_not_hide_mistakes_below() -> None:
    header, row = mistakes("itemID|TaskScript\nA|echo 'a\n")
    assert "lacks TaskID" in header
    assert "a single quote is not closed" in row


def test_line_numbers_are_those_of_an_editor() -> None:
    (mistake,) = mistakes(f"\ufeff\r\n{HEADER}\r\n\r\nA\u2029B\u2028C|x|true\r\n\r\nD\r\n")
    assert mistake.startswith("tasks.txt:6: 'D' has 1 field: expected 3 ")


def test_a_message_is_one_short_line_whatever_it_shows() -> None:
    (mistake,) = mistakes(f"{HEADER}\nA\x1b[31m\x85\r\u2028{'é' * 5000}\n")
    assert mistake.isprintable()
    assert len(mistake) < 200


def test_of_many_mistakes_the_first_are_told() -> None:
    lines = [HEADER, *(f"{number}|x" for number in range(500)), "A|x|true", "A|x|true"]
    *told, last = mistakes("\n".join(lines))
    assert [line.split(":")[1] for line in told] == [str(number) for number in range(2, 22)]
    assert last == "tasks.txt: and 481 more mistakes"


def test_an_early_name_is_told_before_later_mistakes() -> None:
    """Though names that occur twice are only found at the end of the file."""
    lines = [HEADER, "A|x|true", "A|x|true", *(f"{number}|x" for number in range(500))]
    assert "itemID 'A' is already on line 2" in mistakes("\n".join(lines))[0]


@pytest.mark.parametrize(
    "content",
    [
        "\r".join([HEADER, *(f"{number}|x|true" for number in range(300_000))]),
        "\n".join([HEADER, *(f"{number}|x" for number in range(30_000))]),
        f"{HEADER}\n" + "A|x|true\n" * 30_000,
        "|".join([HEADER, *map(str, range(1_000_000))]),
        f"{NESTED_HEADER}\nA|x|seq|{',' * 5_000_000}",
        f"{NESTED_HEADER}\nA|x|echo {'x' * 40_000}|{','.join(['1'] * 20_000)}",
        f"{HEADER}\nA|x|{'|' * 5_000_000}",
        f"{HEADER}\nA|x|{'{,' * 100_000}\n",
        f"{HEADER}\n" + b"\xff".decode("latin-1") * 5_000_000,
    ],
    ids=[
        "CR line ends",
        "too few fields",
        "the same name",
        "a wide header",
        "no arguments",
        "a script for each argument",
        "too many fields",
        "braces",
        "a long line",
    ],
)
def test_mistakes_take_little_time_and_memory(content: str) -> None:
    """In seconds of this process and in bytes beyond the file's, twice decoded."""
    encoded = content.encode()
    started = time.process_time()
    tracemalloc.start()
    try:
        found = mistakes(encoded)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) <= 21
    assert time.process_time() - started < 20
    assert peak < 20_000_000 + 3 * len(encoded)

"""What is kept of a task's output: the capture, the readable tail, the stores of whole logs."""

from __future__ import annotations

import errno
import gzip
import io
import itertools
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim, Ending, Item, Outcome, Result, Task, TaskStatus
from pyanamo.output import bucket
from pyanamo.output.bucket import PART_BYTES, LogBucket
from pyanamo.output.capture import (
    IN_MEMORY,
    RESULT_BYTES,
    RESULT_LINES,
    WINDOW_BYTES,
    Capture,
    ResultLines,
    TaskOutput,
)
from pyanamo.output.room import ITEM_BYTES, TAIL_BYTES, Room
from pyanamo.output.stores import LogFolder, LogName, gzipped, safe_name
from pyanamo.output.text import first_bytes, last_bytes, readable
from pyanamo.tables import transitions
from pyanamo.tables.attributes import new_item
from pyanamo.tables.size import MAX_ITEM_BYTES, MAX_REASON_BYTES, grown_size, item_size
from tests.support.s3 import FaultyS3

# --- Text from any bytes ------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]))


def terminal(line: str) -> str:
    """What a terminal shows of a line, a character at a time."""
    cells: list[str] = []
    column = 0
    for character in line:
        if character == "\r":
            column = 0
        else:
            cells[column : column + 1] = [character]
            column += 1
    return "".join(cells)


@given(st.binary())
@example(bytes(range(256)))
def test_any_bytes_become_text_that_a_table_and_a_terminal_take(output: bytes) -> None:
    shown = readable(output)
    shown.encode()  # no half of a surrogate pair
    assert not {character for character in shown if ord(character) < 32} - {"\t", "\n"}
    assert "\x7f" not in shown


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n")))
def test_plain_text_stays_as_it_is(output: str) -> None:
    assert readable(output.encode()) == output


@given(st.lists(st.text("ab\r€"), max_size=4))
def test_carriage_returns_draw_as_on_a_terminal(lines: list[str]) -> None:
    output = "\n".join(lines)
    assert readable(output.encode()) == "\n".join(map(terminal, output.split("\n")))


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b" 10%\r 20%\r100%\ndone\n", "100%\ndone\n"),
        (b"long line\rshort\n", "shortline\n"),
        (b"of Windows\r\n", "of Windows\n"),
        (b"a\0b\x1b[31m", "a\ufffdb\ufffd[31m"),
        (b"\xff\xe2\x82", "\ufffd\ufffd"),
        ("Käse €".encode(), "Käse €"),
    ],
)
def test_readable(output: bytes, shown: str) -> None:
    assert readable(output) == shown


@given(text, st.integers(0, 40))
@example("€€€", 4)
def test_ends_of_a_text_have_whole_characters_and_as_many_as_fit(whole: str, limit: int) -> None:
    end, beginning = last_bytes(whole, limit), first_bytes(whole, limit)
    for part, further in (
        (end, whole[: len(whole) - len(end)][-1:]),
        (beginning, whole[len(beginning) :][:1]),
    ):
        size = len(part.encode())
        assert size <= limit
        assert not further or size + len(further.encode()) > limit
    assert whole.endswith(end)
    assert whole.startswith(beginning)


# --- The capture of an output -------------------------------------------------------------------


def captured(*chunks: bytes, limit: int = 10**9) -> Capture:
    """What has taken these chunks, and then the end."""
    capture = Capture(limit)
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.write(capture.writer, view[:32768])
            view = view[written:]
            capture.pump()
    return capture


def pattern(size: int) -> bytes:
    """Bytes that differ from place to place, printable ones."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 10 * IN_MEMORY])
def test_all_within_the_limit_is_kept(size: int) -> None:
    output = pattern(size)
    capture = captured(output)
    assert b"".join(capture.content()) == output
    assert b"".join(capture.content()) == output, "a second time, for a second try"
    assert capture.size == capture.kept == size
    assert capture.is_whole
    assert capture.tail(TAIL_BYTES) == output[-TAIL_BYTES:].decode()
    capture.close()


@pytest.mark.parametrize("limit", [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 5 * IN_MEMORY])
@pytest.mark.parametrize("over", [1, 10, 3 * IN_MEMORY])
def test_past_the_limit_the_beginning_and_the_tail_are_kept(limit: int, over: int) -> None:
    output = pattern(limit + over)
    capture = captured(output[:limit], output[limit:], limit=limit)
    assert b"".join(capture.content()) == output[:limit]
    assert capture.size == limit + over
    assert capture.kept == limit
    assert not capture.is_whole
    assert capture.tail(TAIL_BYTES) == output[-TAIL_BYTES:].decode()
    capture.close()


def test_a_tail_that_begins_within_a_character() -> None:
    capture = captured(b"x" + "€".encode() * WINDOW_BYTES)
    assert capture.tail(TAIL_BYTES) == "€" * (TAIL_BYTES // 3)
    capture.close()


@pytest.mark.parametrize(
    ("output", "tells"),
    [(b"", True), (b"all\n", True), (b"bar\rBAR\n", False), (b"\xff", False), (b"\0", False)],
)
def test_whether_a_tail_tells_all(output: bytes, tells: bool) -> None:
    capture = captured(output)
    assert capture.equals(capture.tail(TAIL_BYTES)) == tells
    capture.close()


def test_what_is_printed_without_end_does_not_hold_up() -> None:
    capture = Capture(limit=1000)
    over = threading.Event()

    def print_without_end() -> None:
        while not over.is_set():
            os.write(capture.writer, b"y\n" * 512)

    printing = threading.Thread(target=print_without_end)
    printing.start()
    try:
        capture.pump()
    finally:
        over.set()
        while printing.is_alive():
            capture.pump()
        printing.join()
        capture.close()


class FullDisk(io.RawIOBase):
    """A file on a disk that has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._room = room

    def write(self, data: Any) -> int:
        written = self._file.write(bytes(data)[: self._room])
        self._room -= written
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


@pytest.mark.parametrize("room", [0, 1, 100_000])
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    file = FullDisk(room)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: file)
    output = pattern(500_000)
    capture = captured(output)
    assert capture.error == "No space left on device"
    assert b"".join(capture.content()) == output[: IN_MEMORY + room]
    assert capture.kept == IN_MEMORY + room
    assert capture.size == len(output)
    assert capture.tail(TAIL_BYTES) == output[-TAIL_BYTES:].decode()
    capture.close()


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    small = captured(b"x" * IN_MEMORY)
    assert not small.error
    large = captured(b"x" * IN_MEMORY + b"y")
    assert large.error == "No usable temporary directory found"
    small.close()
    large.close()


# --- Result lines -------------------------------------------------------------------------------

CUT = "(cut: there are more results)"


def results_of(*chunks: bytes) -> ResultLines:
    lines = ResultLines()
    for chunk in chunks:
        lines.feed(chunk)
    lines.end()
    return lines


def chunks_of(output: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    places = [0, *sorted(cuts), len(output)]
    for start, end in itertools.pairwise(places):
        yield output[start:end]


output_with_results = st.lists(
    st.sampled_from([b"PyAnamo:\t", b"PyAnamo:", b"\n", b"\r\n", b"\r", b"a", b"\xff", b"x" * 5000])
).map(b"".join)


@given(output_with_results, st.lists(st.integers(0, 200)))
def test_results_do_not_depend_on_how_the_output_is_cut_into_chunks(
    output: bytes, cuts: list[int]
) -> None:
    whole, in_chunks = results_of(output), results_of(*chunks_of(output, cuts))
    assert (in_chunks.lines, in_chunks.cut) == (whole.lines, whole.cut)


def test_which_lines_are_results() -> None:
    output = (
        b"PyAnamo:\tfirst\nnot PyAnamo:\tthis\nPyAnamo: nor this\nPyAnamo:\t\xff \xe2\x82\xac\r\n"
        b"PyAnamo:\tlast, without a line end"
    )
    assert results_of(output).lines == ["first", "\ufffd €", "last, without a line end"]


def output_of(stdout: bytes, stderr: bytes = b"") -> TaskOutput:
    """What a task has printed."""
    output = TaskOutput(limit=0)
    output.stdout.results.feed(stdout)
    output.stderr.results.feed(stderr)
    return output


def test_results_of_both_outputs() -> None:
    with output_of(b"PyAnamo:\tout", b"PyAnamo:\terr") as output:
        assert output.results(RESULT_BYTES) == ("out", "err")


def test_so_many_lines_and_a_note() -> None:
    lines = b"PyAnamo:\tx\n" * 60
    with output_of(lines, lines) as output:
        assert output.results(RESULT_BYTES) == (*["x"] * RESULT_LINES, CUT)
    with output_of(b"PyAnamo:\tx\n" * RESULT_LINES) as output:
        assert output.results(RESULT_BYTES) == ("x",) * RESULT_LINES


def test_so_many_bytes_and_a_note() -> None:
    with output_of(b"PyAnamo:\t" + b"x" * 999 + b"\nPyAnamo:\t" + b"y" * 3200) as output:
        assert output.results(RESULT_BYTES) == ("x" * 999, CUT)
    with output_of(b"PyAnamo:\t" + b"x" * 10**6) as output:
        assert output.results(RESULT_BYTES) == (CUT,)
    with output_of(b"PyAnamo:\t" + b"x" * (RESULT_BYTES - 1)) as output:
        assert output.results(RESULT_BYTES) == ("x" * (RESULT_BYTES - 1),)


# --- An item's size -----------------------------------------------------------------------------


def item_of(tasks: int, script_bytes: int) -> Item:
    """A nested item with scripts of that size."""
    scripts = (Task(name=f"Task_{n}", script="x" * script_bytes) for n in range(tasks))
    return Item(item_id="i" * 2048, task_id="group", tasks=tuple(scripts), nested=True)


def finished_size(item: Item, *, lines: int, address: int) -> int:
    """An item's size after every task has printed so many result lines and much else, and failed.

    `address` is the length of each `Log_URI`, if there is room for that.
    """
    room = Room.of(item)
    with output_of(b"PyAnamo:\tresult\n" * lines) as output:
        results = output.results(room.results)
    result = Result(
        status=TaskStatus.FAILED,
        exit_code=127,
        reason="r" * MAX_REASON_BYTES,
        start_date="2026-01-31T23:59:59Z",
        run_seconds=123456.789,
        cpu_seconds=123456.789,
        max_rss_mb=123456.7,
        stdout_bytes=10**12,
        stderr_bytes=10**12,
        log_uri="u" * min(address, room.address),
        results=results,
    )
    tail = room.tail_beside(result)
    result = replace(result, stdout="o" * tail, stderr="e" * tail)
    claim = Claim(item=item, token="t" * 16)
    outcome = Outcome(
        ending=Ending.FAILED,
        results={task.name: result for task in item.tasks},
        reason=result.reason,
        exit_code=127,
    )
    changes = transitions.finished(claim, outcome, 1_800_000_000.0)
    return item_size({**new_item(item, "i" * 29), **changes})


@settings(max_examples=200)
@given(st.integers(1, 1200), st.integers(0, 400_000))
@example(1, 385_000)
@example(1100, 0)
@example(1050, 10)
@example(500, 400)
@example(90, 4000)
def test_no_item_that_an_import_accepts_grows_too_large(tasks: int, script_bytes: int) -> None:
    item = item_of(tasks, script_bytes % (400_000 // tasks))
    if grown_size(new_item(item, "i" * 29), tasks) <= MAX_ITEM_BYTES:
        for address in (0, Room.of(item).address):
            assert finished_size(item, lines=1000, address=address) <= MAX_ITEM_BYTES


@pytest.mark.parametrize("tasks", [1, 2, 20, 50, 100, 150, 190])
@pytest.mark.parametrize("address", [0, 110])
def test_with_their_tails_items_stay_below_100_kb(tasks: int, address: int) -> None:
    assert finished_size(item_of(tasks, 20), lines=0, address=address) <= ITEM_BYTES


# --- Names --------------------------------------------------------------------------------------

AWKWARD = [
    "a b", "a+b", "a%20b", "a/b", "a%2Fb", "a\\b", "..", ".", "...", "../a", "%2E%2E", "a'b", 'a"b',
    "ä", "a\u0308", "%C3%A4", "a\nb", "a\tb", "~", "%7E", "x" * 2048, "x" * 2047 + "y", "é" * 1024,
    "x" * 200, "x" * 201,
]  # fmt: skip


@given(text, text)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(text.filter(bool) | st.sampled_from(AWKWARD))
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    safe = safe_name(name)
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-%~")
    assert safe.strip(".")
    assert len(safe) <= 200


def test_a_name_that_was_cut_is_no_other_names() -> None:
    cut = safe_name("x" * 2048)
    assert safe_name(cut) != cut
    names = [LogName("T", name, "Task_0", 1).path("stdout") for name in AWKWARD]
    assert len(set(names)) == len(AWKWARD)


# --- The stores ---------------------------------------------------------------------------------


@given(st.lists(st.binary()))
def test_gzipped(chunks: list[bytes]) -> None:
    assert gzip.decompress(b"".join(gzipped(iter(chunks)))) == b"".join(chunks)


def test_a_folder_is_made_and_logs_are_written_over(tmp_path: Path) -> None:
    store = LogFolder(tmp_path / "new" / "logs")
    store.check("Step")
    for text in (b"old", b"new"):
        uri = store.keep("Step/a%20b/Task_0.1.stdout.gz", lambda text=text: iter([text]))  # type: ignore[misc]
    file = tmp_path / "new/logs/Step/a%20b/Task_0.1.stdout.gz"
    assert uri == file.as_uri()
    assert gzip.decompress(file.read_bytes()) == b"new"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_log_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def content() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PyAnamoError, match="No space left on device"):
        LogFolder(tmp_path).keep("a", content)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        PyAnamoError, match=r"log folder .*file/logs can't be written to: Not a dir"
    ):
        LogFolder(tmp_path / "file" / "logs").check("Step")


@pytest.fixture
def client(s3: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of S3, where there is a bucket `stores`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    client = boto3.client("s3")
    client.create_bucket(Bucket="stores")
    return client


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_an_upload_of_any_size(client: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "gzipped", iter)
    content = pattern(size)
    pieces = [content[at : at + 100_000] for at in range(0, size, 100_000)]
    uri = LogBucket("stores", "any").keep(f"size/{size}", lambda: iter(pieces))
    assert uri == f"s3://stores/any/size/{size}"
    answer = client.get_object(Bucket="stores", Key=f"any/size/{size}")
    assert answer["Body"].read() == content
    assert answer["ContentType"] == "application/gzip"


def test_a_large_upload_that_fails_leaves_no_parts(
    client: Any, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(method: str, path: str) -> tuple[int, str] | None:
        return (403, "AccessDenied") if "partNumber=2" in path else None

    with FaultyS3(s3, refuse) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        with pytest.raises(PyAnamoError, match="access denied"):
            LogBucket("stores", "fails").keep("x", lambda: iter([os.urandom(2 * PART_BYTES)]))
    assert len(proxy.refused) == 1
    assert "Uploads" not in client.list_multipart_uploads(Bucket="stores")
    assert "Contents" not in client.list_objects_v2(Bucket="stores", Prefix="fails")

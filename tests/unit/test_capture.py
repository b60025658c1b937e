"""What is kept of a task's output: its beginning, its tail, its result lines."""

from __future__ import annotations

import errno
import io
import itertools
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyanamo.output.capture import (
    IN_MEMORY,
    RESULT_BYTES,
    RESULT_LINES,
    WINDOW_BYTES,
    Capture,
    ResultLines,
)
from pyanamo.output.room import TAIL_BYTES
from tests.support.output import output_of, pattern

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
    for limit in (10**9, 0, 2):  # of what is kept
        capture = captured(output, limit=limit)
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
    st.sampled_from(
        [
            *(b"PyAnamo:\t", b"PyAnamo:", b"\n", b"\r\n", b"\r", b"a", b"\xff", b"x" * 5000),
            *(b"\x1b[31m", b"\x1b", b"\x1b[1m" * 30, b"\x1b[m" * 2000),
        ]
    )
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


@pytest.mark.parametrize(
    "lead",
    [b"100%\r", b"\r10%\r20% of all that there is to do\r", b"\x1b[1;32m", b"9%\r\x1b[K\x1b[0m"],
)
def test_a_result_after_a_progress_bar_or_colours(lead: bytes) -> None:
    for end in (b"", b"\n", b"\r\n", b"\x1b[0m\n", b"\r"):
        assert results_of(lead + b"PyAnamo:\tcount=3" + end).lines == ["count=3"]
    assert results_of(lead, b"PyAnamo:", b"\tcount=3").lines == ["count=3"]


def test_a_result_after_a_progress_bar_without_end() -> None:
    bar = b"".join(b"\r%d %%" % number for number in range(50_000))
    pieces = [bar[at : at + 999] for at in range(0, len(bar), 999)]
    assert results_of(*pieces, b"\rPyAnamo:\tcount=3\n").lines == ["count=3"]


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

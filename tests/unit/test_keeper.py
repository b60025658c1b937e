"""Tails and whole logs: whether a tail is the whole, and a stop while a log store hangs."""

import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError
from pyanamo.model import CommandEnd, Ending, Result
from pyanamo.output import keeper as keeper_module
from pyanamo.output.keeper import Keeper
from pyanamo.output.reader import whole_log
from pyanamo.output.room import Room
from pyanamo.output.stores import Content, LogFolder, LogName
from pyanamo.signals import Halt
from tests.support.makers import single

ITEM = single("Sample1", "seq 1000")
OUTPUT = b"".join(b"%d\n" % number for number in range(1000))


class HangingStore:
    """A log store that doesn't answer until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def check(self, table: str) -> None:
        pass

    def keep(self, path: str, content: Content) -> str:
        self.asked.set()
        assert self.let_go.wait(60)
        return f"elsewhere:{path}"


@pytest.fixture
def store() -> Iterator[HangingStore]:
    store = HangingStore()
    yield store
    store.let_go.set()


def result_of(keeper: Keeper, *halts: Halt, stdout: bytes = OUTPUT, stderr: bytes = b"") -> Result:
    with keeper.capture() as output:
        output.stdout._take(stdout)
        output.stderr._take(stderr)
        end = CommandEnd(ending=Ending.DONE, exit_code=0, start_date="", run_seconds=1.0)
        name = LogName("Align", "Sample1", "Task_0", 1)
        return keeper.result(end, output, name, Room(ITEM), halts, {})


def test_a_stop_gives_a_hanging_store_a_moment(
    store: HangingStore, halt: Halt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "STOPPED_SECONDS", 0.1)
    keeper = Keeper(store=store, spare_folder=tmp_path)

    def stop_once_it_hangs() -> None:
        assert store.asked.wait(60)
        halt.set("stopped by SIGTERM", grace=0.0)

    stopper = threading.Thread(target=stop_once_it_hangs)
    stopper.start()
    started = time.monotonic()
    result = result_of(keeper, halt)
    stopper.join()
    assert time.monotonic() - started < 30  # it doesn't hang for as long as the store does
    assert result.log_uri == (tmp_path / "Align" / "Sample1" / "Task_0.1.stdout.gz").as_uri()
    assert result.stdout_bytes == len(OUTPUT)


def test_without_a_stop_it_waits_for_the_store(
    store: HangingStore, halt: Halt, tmp_path: Path
) -> None:
    threading.Timer(0.5, store.let_go.set).start()
    result = result_of(Keeper(store=store, spare_folder=tmp_path), halt)
    assert result.log_uri == "elsewhere:Align/Sample1/Task_0.1.stdout.gz"


# --- Whether a tail is the whole ----------------------------------------------------------------

RED = b"\x1b[31mred\r\nplain\r\n"
OUTPUTS = st.lists(
    st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"\xff", b"\0", b"\x1b[m", b"\xe2\x82\xac"])
    | st.integers(900, 1100).map(lambda size: b"x" * size)
).map(b"".join)


@given(OUTPUTS, OUTPUTS)
@example(RED, b"all")
@example(b"\xff\r\n\r\n", RED)  # the tail would have as many bytes
def test_a_kept_log_comes_back_byte_for_byte(stdout: bytes, stderr: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keeper = Keeper(store=LogFolder(Path(folder)))
        result = result_of(keeper, stdout=stdout, stderr=stderr)
        assert b"".join(whole_log(result, "stdout", Account())) == stdout
        assert b"".join(whole_log(result, "stderr", Account())) == stderr


@given(OUTPUTS)
@example(b"\xff\r\n\r\n")
def test_a_tail_that_is_not_the_whole_is_not_taken_for_it(stdout: bytes) -> None:
    result = result_of(Keeper(), stdout=stdout)
    if stdout == result.stdout.encode():
        assert b"".join(whole_log(result, "stdout", Account())) == stdout
        return
    size = len(result.stdout.encode())
    told = f"only the tail of stdout was kept, {size} of {len(stdout)} bytes"
    with pytest.raises(PyAnamoError, match=re.escape(told)):
        b"".join(whole_log(result, "stdout", Account()))


def test_a_tail_with_a_note_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    keeper = Keeper(store=LogFolder(tmp_path), max_log=500)
    result = result_of(keeper, stdout=b"x" * 1000)
    assert result.stdout.endswith("x\n[500 of 1000 bytes were kept: --max-log]")
    assert b"".join(whole_log(result, "stdout", Account())) == b"x" * 500

"""A stop doesn't wait for a log store that hangs: the log is kept here, and the result recorded."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyanamo.model import CommandEnd, Ending, Result
from pyanamo.output import keeper as keeper_module
from pyanamo.output.keeper import Keeper
from pyanamo.output.room import Room
from pyanamo.output.stores import Content, LogName
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


def result_of(keeper: Keeper, halt: Halt) -> Result:
    with keeper.capture() as output:
        output.stdout._take(OUTPUT)
        end = CommandEnd(ending=Ending.DONE, exit_code=0, start_date="", run_seconds=1.0)
        name = LogName("Align", "Sample1", "Task_0", 1)
        return keeper.result(end, output, name, Room.of(ITEM), [halt], {})


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

"""An import that is stopped: it says what it wrote, and running it again does the rest."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pyanamo.tables.sqlitefile import BUSY_SECONDS
from tests.support.faulty_proxy import Action, Fault, FaultyProxy, Hang
from tests.support.importing import large, locked_file, names, through, told
from tests.support.operator import Operator
from tests.support.processes import has_open
from tests.support.programs import SECONDS, Finished, finish
from tests.support.waiting import wait_until

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_to_a_file(
    embedded: Operator, tmp_path: Path, number: signal.Signals
) -> None:
    rows = 15_000  # enough for the lock to come in between
    file = large(tmp_path, rows)
    embedded.table.create()
    process = embedded.starts_import("-i", file)
    wait_until(embedded.names, "the first items are imported")
    with locked_file(tmp_path / "table.db"):  # it can't go on until the signal has come
        process.send_signal(number)
    stopped = finish(process)
    assert_stopped(embedded, stopped, number, file, rows)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_to_dynamodb(
    hosted: Operator, dynamodb: str, tmp_path: Path, number: signal.Signals
) -> None:
    rows = 1000

    def decide(operation: str, body: Any, count: int) -> Action:
        return Hang(0.5) if operation == "BatchExecuteStatement" and count > 8 else Fault.NONE

    file = large(tmp_path, rows)
    hosted.table.create()
    with FaultyProxy(dynamodb, decide) as proxy:
        process = through(proxy, hosted).starts_import("-i", file)
        wait_until(lambda: proxy.count("BatchExecuteStatement") > 8, "eight batches")
        process.send_signal(number)
        stopped = finish(process)
    assert_stopped(hosted, stopped, number, file, rows)


def assert_stopped(
    operator: Operator, stopped: Finished, number: signal.Signals, file: Path, rows: int
) -> None:
    """It said what it wrote, and running it again does the rest."""
    assert stopped.code == CODES[number]
    assert stopped.stderr == f"stopped by {number.name}: run the import again to import the rest\n"
    imported, already_there = told(stopped)
    assert (len(operator.names()), already_there) == (imported, 0)
    assert 0 < imported < rows

    again = operator.imports("-i", file)
    assert again.last_line == f"imported {rows - imported}, already there {imported}"
    assert operator.names() == names(rows)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_while_others_write(
    embedded: Operator, five: Path, number: signal.Signals
) -> None:
    """It doesn't wait until they have written."""
    embedded.table.create()
    file = embedded.folder / "table.db"
    with locked_file(file):
        process = embedded.starts_import("-i", five)
        wait_until(lambda: has_open(process.pid, file), "the import has opened the file")
        process.send_signal(number)
        process.wait(BUSY_SECONDS / 2)
    assert finish(process).code == CODES[number]
    assert embedded.names() == []


def test_stopping_an_import_in_the_middle_while_others_write(
    embedded: Operator, tmp_path: Path
) -> None:
    rows = 15_000
    file = large(tmp_path, rows)
    embedded.table.create()
    process = embedded.starts_import("-i", file)
    wait_until(embedded.names, "the first items are imported")
    with locked_file(tmp_path / "table.db"):
        process.send_signal(signal.SIGINT)
        process.wait(BUSY_SECONDS / 2)
    stopped = finish(process)
    assert stopped.code == 130
    assert stopped.stderr.endswith("stopped by SIGINT: run the import again to import the rest\n")
    assert 0 < told(stopped)[0] == len(embedded.names()) < rows


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 30, 50, 80, 150])
def test_stopping_an_import_that_has_hardly_begun(embedded: Operator, milliseconds: int) -> None:
    """Whether Python, the script or its wait for stdin is what the signal meets."""
    process = embedded.starts_import("-i", "-", cold=True)
    time.sleep(milliseconds / 1000)
    process.terminate()
    process.wait(SECONDS)  # stdin stays open: it is the signal that ends it
    assert finish(process) == Finished(code=143, stdout="", stderr="")


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_stopping_an_import_that_waits_for_its_file(
    embedded: Operator, tmp_path: Path, number: signal.Signals
) -> None:
    """By then it is the script that ends itself, as it must where it is process 1."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = embedded.starts_import("-i", fifo)
    with fifo.open("wb"):  # returns once the script has opened it to read
        process.send_signal(number)
        process.wait(SECONDS)
    assert process.returncode == CODES[number]
    assert finish(process).stderr == ""

"""The files that results and logs are kept in when their place can't be written to."""

from __future__ import annotations

import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim
from pyanamo.output.stores import PRIVATE, LogFolder, write_file
from pyanamo.pilot.unrecorded import SpareCopy, kept_file
from tests.support.makers import done, single, well

CLAIM = Claim(item=single("item"), token="a-token")
NAME = "pyanamo-unrecorded-Align-a-token.json"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with one for temporary files beside it."""
    for name in ("work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    previous = os.umask(0)
    yield tmp_path / "work"
    os.umask(previous)


def spare_copy() -> SpareCopy:
    return SpareCopy("Align", CLAIM, done({"Task_0": well(stdout="said\n")}))


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.lstat().st_mode)


def test_only_its_owner_can_read_a_spare_copy(work: Path) -> None:
    copy = spare_copy()
    file = copy.keep()
    assert file == work / NAME == kept_file("Align", CLAIM)
    assert mode_of(file) == PRIVATE
    assert json.loads(file.read_text())["Log"]["stdout"] == "said\n"
    assert copy.keep() == file
    copy.discard()
    assert not file.exists()


@pytest.mark.parametrize("to", ["victim", "nothing"])
def test_a_spare_copy_follows_no_link(work: Path, to: str) -> None:
    victim = work.parent / to
    if to == "victim":
        victim.write_text("mine")
    (work / NAME).symlink_to(victim)
    assert spare_copy().keep() == work.parent / "temporary" / NAME
    assert victim.exists() == (to == "victim")
    assert to == "nothing" or victim.read_text() == "mine"


def test_a_spare_copy_that_cannot_be_kept_is_named(
    work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in (work, work.parent / "temporary"):
        (folder / NAME).write_text("of somebody else")
    with caplog.at_level(logging.ERROR):
        assert spare_copy().keep() is None
    (message,) = caplog.messages
    for folder in (work, work.parent / "temporary"):
        assert f"{folder / NAME}: File exists" in message
        assert (folder / NAME).read_text() == "of somebody else"


def test_a_spare_log_follows_no_link_and_is_private(work: Path) -> None:
    victim = work / "victim"
    victim.write_text("mine")
    for mode in (PRIVATE, 0o644):
        folder = LogFolder(work / "logs", mode)
        log = work / "logs" / "item" / "Task_0.1.stdout.gz"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        log.symlink_to(victim)
        log.with_name(f"{log.name}.{os.getpid()}.part").symlink_to(victim)
        assert folder.keep("item/Task_0.1.stdout.gz", lambda: iter([b"text"])) == log.as_uri()
        assert mode_of(log) == mode
        assert victim.read_text() == "mine"


def test_nothing_is_left_of_what_cannot_be_written(work: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a part"
        raise OSError(28, "No space left on device")

    with pytest.raises(PyAnamoError, match="can't be written: No space left"):
        LogFolder(work).keep("log.gz", broken)
    with pytest.raises(FileExistsError):
        write_file(work.parent / "work", [b""])
    assert list(work.iterdir()) == []


def test_no_temporary_folder_is_needed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is found while no file can be opened: that must not keep the results from the first."""
    monkeypatch.setattr(tempfile, "tempdir", None)

    def find_none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    assert spare_copy().keep() == work / NAME
    assert kept_file("Align", CLAIM) == work / NAME

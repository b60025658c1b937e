"""unpack.py with archives that no program makes: one line, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import (
    HOSTILE,
    STEPS,
    link,
    make_steps,
    make_tar,
    make_zip,
    member,
)
from tests.support.programs import ROOT

MAIN: Callable[[], int] = runpy.run_path(str(ROOT / "use_cases/example_docker/unpack.py"))["main"]


def unpack_into(folder: Path | str, archive: Path) -> str:
    """Unpack an archive; return the error message, or nothing."""
    said = io.StringIO()
    words = ["unpack.py", str(archive), str(folder), "NAME"]
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stderr(said):
        code = MAIN()
    assert code == bool(said.getvalue())
    return said.getvalue()


def unpack(archive: Path) -> str:
    """What it says of an archive; empty if it unpacks it."""
    with tempfile.TemporaryDirectory() as folder:
        return unpack_into(folder, archive)


def refusal(archive: Path) -> str:
    """The line in which it refuses an archive."""
    (line,) = unpack(archive).splitlines()
    assert line.startswith("NAME can't be unpacked: ")
    return line


@pytest.mark.parametrize("time", [2**64, -(2**70), 1e300])
def test_times_that_no_file_can_have(tmp_path: Path, time: float) -> None:
    assert "it is damaged" in refusal(make_tar(tmp_path / "made.tar", member("f", mtime=time)))


def test_the_first_time_that_no_file_can_have(tmp_path: Path) -> None:
    """Python 3.11.2 takes it for one that a file can have: a rounding error."""
    said = unpack(make_tar(tmp_path / "made.tar", member("f", mtime=2**63)))
    assert "it is damaged" in said or sys.version_info < (3, 11, 7)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("mtime", "nan"), ("mtime", "1e400"), ("size", "-5"), ("size", "9" * 30)),
        *(("path", "a\0b"), ("path", ""), ("path", "./"), ("GNU.sparse.map", "0,x")),
    ],
)
def test_odd_headers_of_a_tar(tmp_path: Path, header: str, value: str) -> None:
    info = tarfile.TarInfo("f")
    info.pax_headers = {header: value}
    with tarfile.open(tmp_path / "made.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    said = refusal(tmp_path / "made.tar")
    # Python 3.11.2 takes a member of negative size for the end.
    is_end = "there is nothing in it" in said and sys.version_info < (3, 11, 7)
    assert "it is damaged" in said or header == "path" or is_end


@pytest.mark.parametrize("name", ["", ".", "/", "//"])
def test_a_member_without_a_name(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("later")
    info.filename = name
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr(info, b"x")
    assert f"{name!r} in it is" in refusal(tmp_path / "made.zip")


@pytest.fixture(params=["this Python's filters", "no filters"])
def filters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """tarfile as this Python has it, and as in Python 3.11.2, which has no filters."""
    if request.param == "no filters":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar(tmp_path: Path, what: str) -> None:
    archive = make_tar(tmp_path / "made.tar", *HOSTILE[what])
    assert "damaged" not in refusal(archive)
    assert set(tmp_path.iterdir()) == {archive}


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize(
    ("mode", "kept"),
    [(0o7777, 0o755), (0o777, 0o755), (0o666, 0o644), (0o071, 0o640), (0o001, 0o600), (0, 0o600)],
)
def test_rights_that_a_file_does_not_get(tmp_path: Path, mode: int, kept: int) -> None:
    """Nobody else may write, nothing runs as its owner, and the owner is who unpacks it."""
    somebody = {"uid": 4321, "gid": 4321, "uname": "nobody", "gname": "nogroup"}
    archive = make_tar(
        tmp_path / "made.tar",
        member("d", b"", type=tarfile.DIRTYPE, mode=0o7777, **somebody),
        member("d/f", mode=mode, **somebody),
        member("h", b"", type=tarfile.LNKTYPE, linkname="d/f", mode=mode, **somebody),
        link("l", "d/f"),
    )
    assert unpack_into(tmp_path / "folder", archive) == ""
    folder, file = (tmp_path / "folder" / name for name in ("d", "d/f"))
    assert folder.stat().st_mode & 0o7002 == 0
    assert stat.S_IMODE(file.stat().st_mode) == kept
    for path in (folder, file):
        assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), os.getegid())


def test_the_folder_itself_may_be_in_it(tmp_path: Path) -> None:
    folder = member("./", b"", type=tarfile.DIRTYPE, mode=0o755)
    assert unpack(make_tar(tmp_path / "made.tar", folder, *STEPS)) == ""
    assert unpack(make_zip(tmp_path / "made.zip", *STEPS)) == ""


changes = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=12)), max_size=3)


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@given(changes=changes, cut=st.integers(0, 200))
def test_an_archive_with_other_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    changes: list[tuple[int, bytes]],
    cut: int,
) -> None:
    """It is unpacked or refused, whatever is in it."""
    folder = tmp_path_factory.getbasetemp()
    archive = make_steps(folder, suffix)
    data = bytearray(archive.read_bytes())
    for place, other in changes:
        place %= len(data)
        data[place : place + len(other)] = other
        if suffix == ".tar":  # with checksums that are right again
            for start in range(0, len(data) - 511, 512):
                block = data[start : start + 512]
                if block[257:262] == b"ustar":
                    total = sum(block[:148]) + 256 + sum(block[156:])
                    data[start + 148 : start + 156] = b"%06o\0 " % total
    archive.write_bytes(data[: len(data) - cut])
    if said := unpack(archive):
        assert said.startswith("NAME can't be unpacked: ")
        assert said.count("\n") == 1

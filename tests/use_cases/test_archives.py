"""The archives that Fetch_and_Run.sh doesn't take, and what it keeps of those that it does."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archives import (
    HOSTILE,
    OUTSIDE,
    link,
    make_steps,
    make_tar,
    make_zip,
    member,
)
from tests.support.container import Container, the_error

URI = "s3://bucket/scripts/steps"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no archive": lambda _: b"<Error/>" * 1000,
    "empty": lambda _: b"",
    "cut off": lambda data: data[: min(len(data) // 2, 700)],
    "one byte is another": lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", [".tar.gz", ".tar", ".zip"])
def test_a_damaged_archive(container: Container, suffix: str, damage: str) -> None:
    archive = make_steps(container.place.folder, suffix)
    archive.write_bytes(DAMAGE[damage](archive.read_bytes()))
    container.serve(archive)
    line = the_error(container.run(URI + suffix), 1)
    assert f"{URI}{suffix} can't be unpacked" in line
    assert container.left_behind == []


@pytest.mark.parametrize("end", [1024, 1100, 1536, 1600])
def test_a_tar_that_ends_between_or_in_members(container: Container, end: int) -> None:
    archive = make_steps(container.place.folder, ".tar")
    archive.write_bytes(archive.read_bytes()[:end])
    container.serve(archive)
    line = the_error(container.run(URI + ".tar"), 1)
    assert "it ends too early" in line or "it is damaged" in line


UNUSABLE = {
    "a long name": ([member("n" * 300)], "this name in it is too long"),
    "a file in a file": ([member("d"), member("d/f")], "both a file and a folder"),
    "a file in a folder's place": ([member("d/f"), member("d")], "both a file and a folder"),
}


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize("what", UNUSABLE)
def test_names_that_cannot_be(container: Container, what: str, suffix: str) -> None:
    members, said = UNUSABLE[what]
    make = make_zip if suffix == ".zip" else make_tar
    container.serve(make(container.place.folder / f"made{suffix}", *members))
    line = the_error(container.run(URI + suffix), 1)
    assert line.startswith(f"{URI}{suffix} can't be unpacked: ")
    assert said in line
    assert container.left_behind == []


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar(container: Container, what: str) -> None:
    # A good member comes first: of a bad archive nothing is unpacked.
    members = [member("good"), *HOSTILE[what]] if HOSTILE[what] else []
    container.serve(make_tar(container.place.folder / "made.tar.gz", *members))
    line = the_error(container.run(URI + ".tar.gz"), 1)
    assert f"{URI}.tar.gz can't be unpacked: " in line
    assert "damaged" not in line
    assert container.left_behind == []
    assert not container.place.has("outside")
    assert not Path("/tmp/pyanamo-hostile").exists()


def zip_of(name: str, mode: int = stat.S_IFREG | 0o644) -> Callable[[Path], None]:
    """What makes a zip of one member."""

    def make(file: Path) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"../outside")

    return make


def encrypted(file: Path) -> None:
    """A zip whose one member says that it is encrypted."""
    zip_of("secret")(file)
    data = bytearray(file.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (zip_of("/tmp/pyanamo-hostile"), "outside its folder"),
        (zip_of(OUTSIDE), "outside its folder"),
        (zip_of("l", stat.S_IFLNK | 0o777), "'l' in it is a link, which only a tar may have"),
        (encrypted, "'secret' in it is encrypted"),
        (lambda file: zipfile.ZipFile(file, "w").close(), "there is nothing in it"),
    ],
)
def test_a_hostile_zip(container: Container, make: Callable[[Path], None], said: str) -> None:
    archive = container.place.folder / "made.zip"
    make(archive)
    container.serve(archive)
    assert said in the_error(container.run(URI + ".zip"), 1)
    assert container.left_behind == []
    assert not container.place.has("outside")


def test_modes_and_harmless_links_are_kept(container: Container) -> None:
    place = container.place
    members = [
        member("./d/open", mode=0o4777, type=tarfile.REGTYPE),
        member("d/plain", mode=0o640),
        link("d/up", "../tool"),
        link("latest", "d/open"),
        member("tool", b"", mode=0o755, type=tarfile.LNKTYPE, linkname="d/open"),
        link("top", "./d/up"),
    ]
    container.serve(make_tar(place.folder / "made.tgz", *members))
    assert container.run(URI + ".tgz").code == 0
    scripts = container.left_behind[0] / "scripts"
    assert stat.S_IMODE((scripts / "d/open").stat().st_mode) == 0o755
    assert stat.S_IMODE((scripts / "d/plain").stat().st_mode) == 0o640
    assert (scripts / "top").readlink() == Path("d/up")
    assert (scripts / "tool").samefile(scripts / "d/open")
    assert (scripts / "latest").samefile(scripts / "top")

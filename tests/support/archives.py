"""Archives of scripts for Fetch_and_Run.sh, good ones and others."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

COUNT = b'#!/bin/bash\necho "$PWD" && seq "$1" && printf "<%s>\\n" "${@:2}"\n'
HANG = b'#!/bin/bash\ntouch "$READY"\nexec sleep 300\n'


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar: a file, unless its fields say otherwise."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(data) if info.isreg() else 0
    return info, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """A symbolic link in a tar."""
    return member(name, b"", type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """A hard link in a tar."""
    return member(name, b"", type=tarfile.LNKTYPE, linkname=target)


STEPS = (member("steps/count.sh", COUNT), member("hang", HANG, mode=0o755))

OUTSIDE = "../../outside"
# What would be written outside the folder, or is no file, folder or link.
HOSTILE = {
    "absolute": [member("/tmp/pyanamo-hostile")],
    "parent": [member(OUTSIDE)],
    "parent within": [member("a/../../../outside")],
    "link to absolute": [link("l", "/etc")],
    "link to parent": [link("a/l", "../..")],
    "link over link": [link("b", "."), link("a", "b/../..")],
    "through a link": [link("d", "e"), member("d/x")],
    "through a later link": [member("d/x"), link("d", "e")],
    "hard link to absolute": [hard_link("h", "/etc/hostname")],
    "hard link to parent": [hard_link("h", OUTSIDE)],
    "hard link to a link": [link("a/b/l", "../../f"), hard_link("h", "a/b/l"), member("f")],
    "hard link to a link in a file's place": [
        member("a/b/l"),
        link("a/b/l", "../../f"),
        hard_link("h", "a/b/l"),
    ],
    "hard link to nothing": [hard_link("h", "f")],
    "fifo": [member("p", b"", type=tarfile.FIFOTYPE)],
    "device": [member("p", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "nothing": [],
}


def make_tar(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A tar, gzipped unless its name ends in .tar."""
    with tarfile.open(file, "w" if file.suffix == ".tar" else "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file


def make_zip(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """The same as a zip, without its links."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members:
            entry = zipfile.ZipInfo(info.name)
            entry.external_attr = (stat.S_IFREG | info.mode) << 16
            archive.writestr(entry, data)
    return file


def make_steps(folder: Path, suffix: str = ".tar.gz") -> Path:
    """An archive of the scripts."""
    make = make_zip if suffix == ".zip" else make_tar
    return make(folder / f"made{suffix}", *STEPS)

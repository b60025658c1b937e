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

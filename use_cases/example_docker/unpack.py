"""Unpack an archive of scripts into a folder, and nowhere else.

    python unpack.py FILE FOLDER NAME

FILE is a tar, compressed or not, or by its suffix a zip; NAME is what messages call it. An archive
that names anything outside the folder, by itself or by way of a link, is refused as a whole, and so
is one that isn't whole. Files keep their modes, but are never writable for others. The exit code
is 1 where the archive can't be unpacked; what is in the folder then is of no use.
"""

from __future__ import annotations

import errno
import lzma
import stat
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_BLOCK = 512  # of a tar; one of zeros ends it
_DAMAGED = "it is damaged, or no archive of its kind: make it anew"
_DAMAGE = (
    EOFError,
    NotImplementedError,  # zipfile's, for ways of packing that it doesn't know
    lzma.LZMAError,
    tarfile.TarError,
    ValueError,  # tarfile's, for names with a zero byte in them
    zipfile.BadZipFile,
    zlib.error,
)
# The system's errors for which the archive is to blame, not the folder.
_CLASH = "there is both a file and a folder of this name in it"
_OF_ITS_NAMES = {
    errno.ENAMETOOLONG: "this name in it is too long",
    errno.EEXIST: _CLASH,
    errno.EISDIR: _CLASH,
    errno.ENOTDIR: _CLASH,
}


class BadArchive(Exception):
    """Its message is what is wrong with the archive."""


def main() -> int:
    """Unpack; the exit code."""
    file, folder, name = sys.argv[1:]
    try:
        (unpack_zip if file.endswith(".zip") else unpack_tar)(Path(file), Path(folder))
    except BadArchive as error:
        problem = f"{error}: make the archive anew"
    except _DAMAGE:
        problem = _DAMAGED
    except OSError as error:
        reason = _OF_ITS_NAMES.get(error.errno or 0)
        problem = f"{error.strerror}: see to it that {folder} can be written to and has space"
        if reason is not None:
            problem = f"{error.filename!r}: {reason}: make the archive anew"
        elif error.errno is None:  # of gzip and bz2, not of the system
            problem = _DAMAGED
    else:
        return 0
    print(f"{name} can't be unpacked: {problem}", file=sys.stderr)
    return 1


def unpack_tar(file: Path, folder: Path) -> None:
    """Unpack a tar, of any compression. Raises `BadArchive`, and what tarfile raises."""
    if not hasattr(tarfile, "data_filter"):
        raise SystemExit("unpack.py needs Python 3.12, 3.11.4, 3.10.12 or newer")
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        check_end(tar)
        check_members(members)
        tar.extractall(folder, members, filter="data")


def check_end(tar: tarfile.TarFile) -> None:
    """Raise `BadArchive` where reading ended elsewhere than at the archive's end.

    tarfile takes whatever it can't read, after the first member, for the end.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise BadArchive("it ends too early, or is damaged in the middle")


def check_members(members: list[tarfile.TarInfo]) -> None:
    """Raise `BadArchive` for one that would, or could, write outside the folder.

    tarfile's own filter is to find these too, but has had holes (CVE-2025-4517 and others), which
    all need a path through a link. With none of these allowed it is enough to look at the names.
    """
    if not members:
        raise BadArchive("there is nothing in it")
    links = {path_of(member.name) for member in members if member.issym()}
    files = set()
    for member in members:
        path = path_of(member.name)
        if not links.isdisjoint(path.parents):
            raise BadArchive(f"{member.name!r} in it is reached through a link")
        if member.issym():
            check_symlink(path, member.linkname)
        elif member.islnk():
            target = path_of(member.linkname)
            if target not in files or target in links:
                raise BadArchive(f"{member.name!r} in it is a link to what isn't a file in it")
        elif member.isfile():
            files.add(path)
        elif not member.isdir():
            raise BadArchive(f"{member.name!r} in it is no file, folder or link")


def check_symlink(path: PurePosixPath, target: str) -> None:
    """Raise `BadArchive` for a link to what isn't, or might not be, below the folder.

    Each `..` in the beginning leaves one of the folders of `path`, none of which is a link; a later
    one might follow a link, and then lead anywhere.
    """
    parts = PurePosixPath(target).parts
    ups = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    leaves = ups >= len(path.parts) or ".." in parts[ups:]
    if target.startswith("/") or leaves:
        raise BadArchive(f"{str(path)!r} in it is a link to {target!r}, outside its folder")


def path_of(name: str) -> PurePosixPath:
    """The path of a member. Raises `BadArchive` for one that leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadArchive(f"{name!r} in it is outside its folder")
    return path


def unpack_zip(file: Path, folder: Path) -> None:
    """Unpack a zip. Raises `BadArchive`, and what zipfile raises."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if not members:
            raise BadArchive("there is nothing in it")
        for member in members:
            path_of(member.filename)
            mode = member.external_attr >> 16  # zero where it wasn't made on Unix
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadArchive(f"{member.filename!r} in it is a link, which only a tar may have")
            if member.flag_bits & 1:
                raise BadArchive(f"{member.filename!r} in it is encrypted")
        for member in members:
            extracted = Path(archive.extract(member, folder))
            mode = member.external_attr >> 16
            if mode and not member.is_dir():
                extracted.chmod(mode & 0o755 | 0o600)  # as tarfile's filter has it


if __name__ == "__main__":
    sys.exit(main())

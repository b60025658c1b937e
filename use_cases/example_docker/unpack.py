"""Unpack an archive of scripts into a folder, and nowhere else.

    python unpack.py FILE FOLDER NAME

FILE is a zip if its suffix is .zip; otherwise it is a tar, compressed or not. NAME is what messages
call it. An archive is refused if it is incomplete, or if a path or a link in it leads outside the
folder. Files keep their modes, except that only their owner can write to them. The exit code is 1
if the archive can't be unpacked; the folder is unusable then.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_BLOCK = 512  # bytes; a block of zeros ends a tar
_DAMAGED = "it is damaged, or not an archive of its kind: create it again"
_DAMAGE = (
    EOFError,
    LookupError,  # zipfile's and tarfile's, for parts that are too short
    NotImplementedError,  # zipfile's, for unsupported compression methods
    OverflowError,  # tarfile's, for times that the system doesn't have
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    ValueError,  # tarfile's, for names that contain a NUL byte
    zipfile.BadZipFile,
    zlib.error,
)
# System errors that are caused by the archive, not by the folder.
_CLASH = "there is both a file and a folder of this name in it"
_OF_ITS_NAMES = {
    errno.ENAMETOOLONG: "this name in it is too long",
    errno.EEXIST: _CLASH,
    errno.EISDIR: _CLASH,
    errno.ENOTDIR: _CLASH,
}


class BadArchive(Exception):
    """The archive can't be used; the message says why."""


def main() -> int:
    """Unpack the archive, and return the exit code."""
    file, folder, name = sys.argv[1:]
    try:
        (unpack_zip if file.endswith(".zip") else unpack_tar)(Path(file), Path(folder))
    except BadArchive as error:
        problem = f"{error}: create the archive again"
    except _DAMAGE:
        problem = _DAMAGED
    except OSError as error:
        reason = _OF_ITS_NAMES.get(error.errno or 0)
        problem = f"{error.strerror}: make sure that {folder} is writable and has space"
        if reason is not None:
            problem = f"{error.filename!r}: {reason}: create the archive again"
        elif error.errno is None:  # raised by gzip or bz2, not by the system
            problem = _DAMAGED
    else:
        return 0
    print(f"{name} can't be unpacked: {problem}", file=sys.stderr)
    return 1


def unpack_tar(file: Path, folder: Path) -> None:
    """Unpack a tar with any compression. Raises `BadArchive`, and tarfile's errors.

    Python before 3.10.12 and 3.11.4 (Debian 12 has 3.11.2) lacks tarfile's filters. What they do is
    done here too, so such a Python unpacks the same.
    """
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        check_end(tar)
        check_members(members)
        for member in members:
            drop_rights(member)
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _folder: member)
        tar.extractall(folder, members)


def check_end(tar: tarfile.TarFile) -> None:
    """Raise `BadArchive` if reading stopped before the end of the archive.

    After the first member, tarfile treats anything that it can't read as the end.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise BadArchive("it ends too early, or is damaged in the middle")


def check_members(members: list[tarfile.TarInfo]) -> None:
    """Raise `BadArchive` if a member would, or could, be written outside the folder.

    tarfile's own filter should prevent this too, but had vulnerabilities (CVE-2025-4517 and
    others). All of them need a path through a link. Such paths are refused here, so it is enough
    to check the names.
    """
    if not members:
        raise BadArchive("there is nothing in it")
    links = {path_of(member.name) for member in members if member.issym()}
    files = set()
    for member in members:
        path = path_of(member.name, is_folder=member.isdir())
        if not links.isdisjoint(path.parents):
            raise BadArchive(f"{member.name!r} in it is reached through a link")
        if member.issym():
            check_symlink(path, member.linkname)
        elif member.islnk():
            target = path_of(member.linkname)
            if target not in files or target in links:
                raise BadArchive(f"{member.name!r} in it is a link, but not to a file in it")
        elif member.isfile():
            files.add(path)
        elif not member.isdir():
            raise BadArchive(f"{member.name!r} in it is not a file, folder or link")


def check_symlink(path: PurePosixPath, target: str) -> None:
    """Raise `BadArchive` for a link that leads, or might lead, outside the folder.

    A leading `..` leaves one of the folders of `path`, none of which is a link. A later `..` might
    follow a link, and then lead anywhere.
    """
    parts = PurePosixPath(target).parts
    ups = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    leaves = ups >= len(path.parts) or ".." in parts[ups:]
    if target.startswith("/") or leaves:
        raise BadArchive(f"{str(path)!r} in it is a link to {target!r}, outside its folder")


def drop_rights(member: tarfile.TarInfo) -> None:
    """Make the member ours, with a safe mode, by the rules of tarfile's "data" filter."""
    member.uid, member.gid = os.geteuid(), os.getegid()
    member.uname = member.gname = ""  # else root would look up their numbers
    if member.isdir():
        member.mode = 0o755
    elif not member.mode & 0o100:
        member.mode = member.mode & 0o644 | 0o600
    else:
        member.mode = member.mode & 0o755 | 0o600


def path_of(name: str, *, is_folder: bool = False) -> PurePosixPath:
    """Return the path of a member.

    Raises `BadArchive` if it leads outside the folder, or if it is the folder itself and the member
    is something else than a folder.
    """
    path = PurePosixPath(name)
    if not path.parts and not is_folder:
        raise BadArchive(f"{name!r} in it is not a file's name")
    if path.is_absolute() or ".." in path.parts:
        raise BadArchive(f"{name!r} in it is outside its folder")
    return path


def unpack_zip(file: Path, folder: Path) -> None:
    """Unpack a zip. Raises `BadArchive`, and zipfile's errors."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if not members:
            raise BadArchive("there is nothing in it")
        for member in members:
            path_of(member.filename, is_folder=member.filename.endswith("/"))
            mode = member.external_attr >> 16  # zero if the zip wasn't created on Unix
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadArchive(f"{member.filename!r} in it is a link, which only a tar may have")
            if member.flag_bits & 1:
                raise BadArchive(f"{member.filename!r} in it is encrypted")
        for member in members:
            extracted = Path(archive.extract(member, folder))
            mode = member.external_attr >> 16
            if mode and not member.is_dir():
                extracted.chmod(mode & 0o755 | 0o600)  # as tarfile's filter does


if __name__ == "__main__":
    sys.exit(main())

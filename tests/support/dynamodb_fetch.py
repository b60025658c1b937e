"""Amazon's DynamoDB Local, fetched once and checked.

It is kept in ``$XDG_CACHE_HOME/pyanamo`` (``~/.cache/pyanamo``). Only the standard library is used,
so that ``make test`` can run this before it installs anything.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

# DynamoDB Local comes inside an npm package. A new version means new values for all of these.
NPM_PACKAGE = "amplify-dynamodb-simulator"
VERSION = "2.9.30"
TARBALL_SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
JAR_SHA256 = "454305e9bc3e6ebcca5b62569869e31563b8d7e346474e94557b2600702146c7"
JAVA_VERSION = 17

JAR = "DynamoDBLocal.jar"
CHECKSUMS = "SHA256SUMS"  # of every unpacked file, in the format of sha256sum(1)

FETCH_SECONDS = 600


class DynamoDBLocalError(Exception):
    """DynamoDB Local can't be fetched or run; the message says why, for a person to act on."""


@functools.cache
def fetch() -> Path:
    """Return the folder of an intact DynamoDB Local, after fetching it if need be."""
    check_java()
    folder = _folder()
    cache = folder.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if not _is_intact(folder):
                _download(folder)
    except OSError as error:
        raise DynamoDBLocalError(f"DynamoDB Local can't be kept in {cache}: {error}") from error
    return folder


def is_fetched() -> bool:
    """Whether an intact one is there already."""
    return _is_intact(_folder())


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pyanamo"
    return cache / f"dynamodb-local-{VERSION}"


@functools.cache
def check_java() -> None:
    """Raise an error unless a recent enough Java is on the PATH."""
    advice = (
        f"install Java {JAVA_VERSION} or newer"
        f" (Debian, Ubuntu: openjdk-{JAVA_VERSION}-jre-headless or a later one;"
        " macOS: brew install openjdk)"
    )
    try:
        command = ["java", "-version"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        raise DynamoDBLocalError(f"java, which runs DynamoDB Local, is missing: {advice}") from None
    match = re.search(r'version "(?:1\.)?(\d+)', output)  # "17.0.15", "21-ea", "1.8.0_292"
    if match is None or int(match[1]) < JAVA_VERSION:
        found = f"Java {match[1]}" if match else "of an unknown version"
        raise DynamoDBLocalError(f"java, which runs DynamoDB Local, is {found}: {advice}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time in; the system lifts the lock of a process that died."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_intact(folder: Path) -> bool:
    """Is every file in the folder as it was unpacked, and the jar the one we want?"""
    try:
        lines = (folder / CHECKSUMS).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        return expected.get(JAR) == JAR_SHA256 and all(
            _sha256(folder / name) == digest for name, digest in expected.items()
        )
    except (OSError, ValueError):
        return False


def _download(folder: Path) -> None:
    """Put DynamoDB Local into the folder in one step, in place of a broken one if there is any.

    The caller holds the lock, so whatever lies in the scratch folder is of a fetch that died.
    """
    scratch = folder.with_name("fetching")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        tarball = _npm_pack(scratch)
        _check_sha256(tarball, TARBALL_SHA256)
        with tarfile.open(tarball) as archive:
            # An older patch release of Python 3.10 knows no filters.
            archive.extraction_filter = getattr(
                tarfile, "data_filter", lambda member, _path: member
            )
            archive.extractall(scratch)
        emulator = scratch / "package" / "emulator"
        _check_sha256(emulator / JAR, JAR_SHA256)
        files = sorted(path for path in emulator.rglob("*") if path.is_file())
        sums = [f"{_sha256(path)}  {path.relative_to(emulator)}\n" for path in files]
        (emulator / CHECKSUMS).write_text("".join(sums))
        if folder.exists():
            shutil.rmtree(folder)
        emulator.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _npm_pack(folder: Path) -> Path:
    """Have npm download the package's tarball into the folder, and return its path."""
    package = f"{NPM_PACKAGE}@{VERSION}"
    command = ["npm", "pack", package, "--ignore-scripts", "--cache=npm"]
    command += ["--loglevel=error", "--logs-max=0", "--no-update-notifier"]
    try:
        subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=FETCH_SECONDS
        )
    except FileNotFoundError:
        raise DynamoDBLocalError(
            "npm, which fetches DynamoDB Local, is missing:"
            " install npm (Debian, Ubuntu: npm; macOS: brew install node)"
        ) from None
    except subprocess.TimeoutExpired:
        raise DynamoDBLocalError(
            f"npm did not fetch {package} within {FETCH_SECONDS} seconds"
        ) from None
    except subprocess.CalledProcessError as error:
        raise DynamoDBLocalError(
            f"npm could not fetch {package}:\n{error.stderr.strip()}"
        ) from None
    return folder / f"{NPM_PACKAGE}-{VERSION}.tgz"


def _check_sha256(path: Path, expected: str) -> None:
    digest = _sha256(path)
    if digest != expected:
        raise DynamoDBLocalError(
            f"{path.name} of {NPM_PACKAGE}@{VERSION} is not the file we trust:"
            f" its SHA-256 is {digest}, not {expected}"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

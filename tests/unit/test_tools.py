"""The tools that make installs: on a machine that has them, and on machines that lack some."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.programs import ROOT

COMMANDS = ("bwa", "samtools", "wgsim", "bcftools")
JAVA = "echo 'openjdk version \"21\"' >&2"
# With `install` it makes what the packages have; with `--download-only` it refuses.
APT_GET = """
echo "$*" >>FOLDER/apt-get.calls
[[ " $* " != *" install "* ]] && exit
[[ " $* " == *" --download-only "* ]] && { echo 'no network' >&2; exit 100; }
for name in bwa samtools wgsim bcftools; do printf '#!/bin/sh\\n' >FOLDER/bin/$name; done
/bin/chmod 755 FOLDER/bin/*
"""
RUN = "import os, runpy; os.geteuid ="
MODULE = "runpy.run_module('tests.support.tools', run_name='__main__')"
DOWNLOAD = """
for word; do [[ $word == -oDir::Cache=* ]] && cache=${word#*=}; done
[[ " $* " != *" --download-only "* ]] || : >"$cache/archives/bwa.deb"
"""
DPKG = """
[[ $1 == -x && $2 == *.deb ]] || exit 2
/bin/mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"
: >"$3/usr/lib/x86_64-linux-gnu/libhts.so.3"
printf '#!/bin/sh\necho "$LD_LIBRARY_PATH $*"\n' >"$3/usr/bin/bwa"
/bin/chmod 755 "$3/usr/bin/bwa"
"""
CHECKOUT = ("tests/__init__.py", "tests/support/__init__.py", "tests/support/tools.py")
CHECKOUT += ("tests/support/dynamodb_fetch.py",)
CHECKOUT += (
    "tests/support/iam_simulate/package.json",
    "tests/support/iam_simulate/package-lock.json",
)
NPM = """
[[ "$1 $2" == "ci --ignore-scripts" && -f package-lock.json ]] || exit 2
/bin/mkdir -p node_modules
: >node_modules/.package-lock.json
"""


@dataclass
class Machine:
    """A checkout, and a PATH with nothing but fakes."""

    folder: Path
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.folder / "bin"
        self.path.mkdir()
        for name in CHECKOUT:
            copy = self.folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)

    def has(self, name: str, code: str = "") -> None:
        """Put a command on the PATH."""
        (self.path / name).write_text(f"#!/bin/bash\n{code.replace('FOLDER', str(self.folder))}\n")
        (self.path / name).chmod(0o755)

    @property
    def apt_calls(self) -> list[str]:
        """What apt-get was called with."""
        calls = self.folder / "apt-get.calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def run(self, *names: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        """Install the tools of these names, as root or as a user who seems to be another."""
        return subprocess.run(
            [sys.executable, "-c", f"{RUN} lambda: {user}; {MODULE}", *names],
            cwd=self.folder,
            env={"PATH": str(self.path), "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that has nothing but `env`."""
    made = Machine(tmp_path)
    made.has("env", 'exec /usr/bin/env "$@"')
    return made


def test_nothing_is_done_where_all_is_there(machine: Machine) -> None:
    for name in COMMANDS:
        machine.has(name)
    machine.has("java", JAVA)
    machine.has("node")
    machine.has("npm")
    machine.has("apt-get", APT_GET)
    ran = machine.run("venv", *COMMANDS, "java", "node", "npm")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert machine.apt_calls == []


def test_all_that_is_missing_is_named_in_one_line(machine: Machine) -> None:
    """On a machine without apt-get."""
    machine.has("samtools")
    ran = machine.run(*COMMANDS)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "missing, and can't be installed here: bwa, wgsim, bcftools: install them"
        " (Debian, Ubuntu: apt-get install bcftools bwa samtools)\n"
    )


def test_the_simulator_is_installed_once_for_each_version(machine: Machine) -> None:
    """Without npm it is named."""
    assert "iam-simulate: install them (npm: @cloud-copilot/" in machine.run("iam-simulate").stderr
    machine.has("npm", NPM)
    ran = machine.run("iam-simulate")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("npm install @cloud-copilot/iam-simulate (below ")
    assert machine.run("iam-simulate").stdout == ""
    with (machine.folder / "tests/support/iam_simulate/package-lock.json").open("a") as lock:
        lock.write("\n")
    assert machine.run("iam-simulate").stdout == ran.stdout


@pytest.mark.parametrize("user", [0, 1000])
def test_packages_are_installed_at_once(machine: Machine, user: int) -> None:
    """With sudo, unless the user is root."""
    machine.has("apt-get", APT_GET)
    machine.has("sudo", 'echo "sudo $*" >>FOLDER/apt-get.calls; exec "$@"')
    ran = machine.run(*COMMANDS, user=user)
    assert ran.returncode == 0, ran.stderr
    sudo = "sudo " if user else ""
    assert ran.stdout == f"{sudo}apt-get install bcftools bwa samtools\n"
    install = "install -qq --yes --no-install-recommends bcftools bwa samtools"
    calls = [call for call in machine.apt_calls if not call.startswith("sudo ")]
    assert calls == ["update -qq", install]
    assert len(machine.apt_calls) == (4 if user else 2)


def test_a_download_that_fails(machine: Machine) -> None:
    """Without root and sudo packages are to be unpacked; apt-get's own words say why not."""
    machine.has("apt-get", APT_GET)
    ran = machine.run(*COMMANDS, user=1000)
    assert ran.returncode == 1
    assert ran.stdout.startswith("unpacking below ")
    assert ran.stderr.startswith("no network\nmissing, and can't be installed here: bwa, ")
    assert [call.split()[-1] for call in machine.apt_calls] == ["update", "samtools"]


def test_packages_are_unpacked_without_root_or_sudo(machine: Machine) -> None:
    """What is unpacked finds its libraries."""
    machine.has("apt-get", DOWNLOAD)
    machine.has("dpkg", DPKG)
    ran = machine.run("bwa", user=1000)
    assert (ran.returncode, ran.stderr) == (0, "")
    tools = machine.folder / "build/tools"
    said = subprocess.check_output([tools / "bin/bwa", "index", "a b"], text=True)
    assert said == f"{tools}/debian/usr/lib/x86_64-linux-gnu index a b\n"
    assert machine.run("bwa", user=1000).stdout == ""

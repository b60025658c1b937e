"""The repository's shell scripts and its Dockerfile, by the linters made for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.container import DOCKERFILE, ROOT

SHELLS = ("sh", "bash", "dash")
PIP = "python -m pip install -r requirements-dev.txt"


def linter(name: str, install: str) -> str:
    """Where a linter is; a failure that says how to install it if it isn't there."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"{name} is missing: {install}")
    return found


def is_shell_script(file: Path) -> bool:
    """Whether a file has a shell script's suffix, or its first line names a shell."""
    if file.suffix == ".sh":
        return True
    with file.open("rb") as opened:
        first = opened.readline(200)
    words = first.removeprefix(b"#!").replace(b"/", b" ").split()
    return first.startswith(b"#!") and any(shell.encode() in words for shell in SHELLS)


def shell_scripts() -> list[str]:
    """All that are in the repository, or are to be, links among them left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [
        str(file.relative_to(ROOT))
        for file in files
        if file.is_file() and not file.is_symlink() and is_shell_script(file)
    ]


def lint(*command: str) -> None:
    """Run a linter in the repository; what it finds is the failure's message."""
    ran = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_shellcheck_finds_nothing() -> None:
    scripts = shell_scripts()
    assert {".ci/run", "use_cases/example_docker/Fetch_and_Run.sh"} <= set(scripts)
    shellcheck = linter("shellcheck", f"{PIP}, or apt-get install shellcheck")
    lint(shellcheck, "--external-sources", "--severity=style", *scripts)


def test_hadolint_finds_nothing_and_ignores_nothing() -> None:
    hadolint = linter("hadolint", PIP)
    lint(hadolint, "--failure-threshold=style", "--disable-ignore-pragma", str(DOCKERFILE))
    assert not list(ROOT.glob(".hadolint.y*ml"))

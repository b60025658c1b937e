"""The container's image: what gets in, with which rights, and how it is started."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.container import DOCKERFILE, HOME, ROOT, context_of, copy_into, instructions

PINS = DOCKERFILE.with_name("requirements.txt")


def the(word: str) -> str:
    """The text of the one instruction of that word."""
    (found,) = (each.text for each in instructions() if each.word == word)
    return found


def step(program: str) -> str:
    """The one RUN instruction that begins with a program's name."""
    runs = (each.text for each in instructions() if each.word == "RUN")
    (found,) = (text for text in runs if text.startswith(program))
    return found


def required(file: Path) -> Iterator[Requirement]:
    """The lines of a requirements file."""
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            yield Requirement(line)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PyAnamo's folder in the image, after all steps."""
    image = tmp_path_factory.mktemp("image")
    copy_into(image)
    home = image / str(HOME)[1:]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = step("chmod").replace(str(HOME), str(home))
    subprocess.run(["sh", "-c", command], check=True, env={**os.environ, "PATH": path})
    return home


def test_the_entry_point_is_in_the_image_and_runs(home: Path) -> None:
    entry = json.loads(the("ENTRYPOINT"))
    assert entry == [str(HOME / "use_cases/example_docker/Fetch_and_Run.sh")]
    script = entry[0].replace(str(HOME), str(home))
    ran = subprocess.run([script], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "ARCHIVE is missing" in ran.stderr


def test_anybody_can_read_what_is_in_it_and_nobody_else_can_write(home: Path) -> None:
    files = [home, *home.rglob("*")]
    for file in files:
        if not file.is_symlink():
            mode = file.stat().st_mode
            wanted = 0o555 if file.is_dir() or mode & 0o100 else 0o444
            assert mode & 0o577 == wanted, f"{file} has mode {mode:o}"
            assert mode & 0o022 == 0, f"{file} has mode {mode:o}"
    assert [file for file in files if file.name == "Fetch_and_Run.sh" and os.access(file, os.X_OK)]
    assert list(home.glob("pyanamo/__pycache__/model.*.pyc"))  # a pilot can't make these itself


def test_the_image_has_what_pilots_and_operators_run(home: Path) -> None:
    for command in (["pyanamo.py"], ["import-items.py"], ["-m", "pyanamo"]):
        ran = subprocess.run(
            [sys.executable, *command, "--help"], cwd=home, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_nothing_else_gets_in(tmp_path: Path) -> None:
    wanted = ["pyanamo.py", "pyanamo/tables/sqlite.py", "use_cases/example_docker/unpack.py"]
    unwanted = [
        ".env",
        ".git/config",
        ".venv-test/bin/python",
        "build/demo.db",
        "credentials",
        "tests/conftest.py",
        "pyanamo/__pycache__/model.pyc",
        "use_cases/example_docker/.aws/credentials",
        "use_cases/example_docker/pyanamo.db",
        "use_cases/example_docker/pyanamo.db-wal",
    ]
    for name in wanted + unwanted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert context_of(tmp_path) == set(wanted)


def test_all_scripts_of_the_use_cases_get_in() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "use_cases", "pyanamo"], cwd=ROOT, check=True, capture_output=True
    )
    files = {Path(name) for name in listed.stdout.decode().split()}
    wanted = {
        str(file)
        for file in files
        if not file.is_relative_to("use_cases/aws") and not file.name.startswith(".")
    }
    assert wanted <= context_of(ROOT)


def test_it_runs_as_an_ordinary_user_in_a_folder_of_its_own() -> None:
    user, group = the("USER").split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    maker = step("groupadd")
    assert f"groupadd --gid {group} " in maker
    assert f"useradd --uid {user} --gid {group} " in maker
    assert re.search(rf"install .*--owner=pyanamo .*--mode=0755 {the('WORKDIR')}$", maker)
    words = [each.word for each in instructions()]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("RUN", "COPY"))


def test_it_stops_by_sigterm_and_has_no_health_check() -> None:
    words = {each.word for each in instructions()}
    assert the("STOPSIGNAL") == "SIGTERM"
    assert not words & {"HEALTHCHECK", "CMD", "ADD", "ARG", "EXPOSE", "SHELL"}


def test_the_base_is_a_python_without_the_holes_of_tarfile() -> None:
    """3.12.12 is the first 3.12 that has the fixes of CVE-2025-4517 and CVE-2025-8194."""
    version = re.fullmatch(r"python:3\.12\.(\d+)-slim-bookworm", the("FROM"))
    assert version
    assert int(version[1]) >= 12


def test_every_package_has_one_version() -> None:
    installed = re.findall(r'"(\S+?)=\S+?"', step("apt-get"))
    assert sorted(installed) == ["bcftools", "bwa", "samtools", "tabix"]
    assert f"-r {HOME}/{PINS.relative_to(ROOT)}" in step("python -m pip install")
    pins = {}
    for pin in required(PINS):
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        pins[pin.name.lower()] = specifier.version
    tried = [one for one in required(ROOT / "requirements-dev.txt") if one.name == "awscli"]
    for needed in (*required(ROOT / "requirements.txt"), *tried):
        assert needed.specifier.contains(pins[needed.name]), f"{needed}: {pins[needed.name]}"

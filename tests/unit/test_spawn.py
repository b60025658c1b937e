"""Starting a task's process: which program, and with which files."""

import os
from pathlib import Path

import pytest

from pyanamo.pilot.spawn import Environment, spawn
from tests.support.place import Place


def exit_code(name: str, *folders: Path) -> int:
    """Run a command with these folders on its PATH; its exit code."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        path = os.pathsep.join(map(str, folders))
        return spawn([name], Environment({b"PATH": os.fsencode(path)}), nothing, nothing).wait()
    finally:
        os.close(nothing)


def program(file: Path, code: int) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\nexit {code}\n")
    file.chmod(0o755)


def test_a_program_is_looked_for_again_when_it_has_gone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    program(one / "tool", 3)
    program(two / "tool", 4)
    assert exit_code("tool", tmp_path / "none", one, two) == 3
    (one / "tool").unlink()
    assert exit_code("tool", tmp_path / "none", one, two) == 4
    (two / "tool").chmod(0o644)
    with pytest.raises(PermissionError):
        exit_code("tool", tmp_path / "none", one, two)
    (two / "tool").unlink()
    with pytest.raises(FileNotFoundError):
        exit_code("tool", tmp_path / "none", one, two)
    program(one / "tool", 5)
    assert exit_code("tool", tmp_path / "none", one, two) == 5


def test_the_first_program_on_the_path_is_run(tmp_path: Path) -> None:
    """Also if it was put there just now."""
    one, two = tmp_path / "one", tmp_path / "two"
    program(two / "tool", 4)
    assert exit_code("tool", one, two) == 4
    program(one / "tool", 3)
    assert exit_code("tool", one, two) == 3


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "one" / "tool").mkdir(parents=True)
    program(tmp_path / "two" / "tool", 6)
    assert exit_code("tool", tmp_path / "one", tmp_path / "two") == 6


def test_a_task_has_no_files_but_the_first_three(local: Place) -> None:
    """Not even those that the pilot was started with. (3 is where bash reads the folder.)"""
    local.fill({"item": "bash -c 'for file in /proc/$$/fd/*; do echo ${file##*/}; done'"})
    pilot = local.start(prefix=["bash", "-c", 'exec "$@" 7</etc/passwd', "bash"])
    assert pilot.wait().counts["done"] == 1
    assert local.result("item").stdout.split() == ["0", "1", "2", "3"]

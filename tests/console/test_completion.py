"""The script with which a shell completes commands, flags and values."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pyanamo.console import command_line
from tests.support.programs import run_main


def script(shell: str) -> str:
    """What a user's shell reads."""
    printed = run_main(command_line.main, ["completion", shell], environment={})
    assert (printed.code, printed.stderr) == (0, "")
    return printed.stdout


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line."""
    words = [*shlex.split(line), ""] if line.endswith(" ") else shlex.split(line)
    asked = f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}"
    # The function that `complete -p` names, as bash calls it.
    call = f"$(complete -p {words[0].rpartition('/')[2]} | cut -d' ' -f3)"
    text = f"{script('bash')}\n{asked}\n{call}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    ran = subprocess.run(
        ["bash", "--norc", "-c", text], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pyanamo sta", ["status"]),
        ("pyanamo re", ["restart", "release"]),
        ("pyanamo restart --task-", ["--task-id", "--task-ids"]),
        ("pyanamo restart -t Align --state ", ["todo", "locked", "done", "failed", "held"]),
        ("pyanamo restart --state fa", ["failed"]),
        ("pyanamo hold --items na", ["names.txt"]),
        ("pyanamo hold --exit-code ", []),
        ("pyanamo submit --que", ["--queue"]),
        ("pyanamo completion ", ["bash", "zsh", "--help"]),
        ("pyanamo nothing --", []),
        ("pyanamo.py --log-f", ["--log-format"]),
        ("./pyanamo.py --log-format ", ["text", "json"]),
        ("pyanamo-pilot --log-dir log", ["logs"]),
        ("import-items.py --in", ["--input"]),
        ("pyanamo-import -i na", ["names.txt"]),
    ],
)
def test_bash(line: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "names.txt").touch()
    (tmp_path / "logs").mkdir()
    assert completed(line, tmp_path) == expected


def test_zsh_runs_the_same_script() -> None:
    """zsh itself isn't needed to test: it has a function that takes bash's scripts."""
    for_zsh, for_bash = script("zsh"), script("bash")
    assert for_zsh.endswith(for_bash)
    assert "autoload -U bashcompinit && bashcompinit\n" in for_zsh.removesuffix(for_bash)


def test_a_shell_that_is_not_known() -> None:
    refused = run_main(command_line.main, ["completion", "bsh"], environment={})
    assert refused.code == 2
    assert refused.stderr.startswith(
        "argument shell: 'bsh' is not one of bash, zsh; did you mean 'bash'? (see "
    )

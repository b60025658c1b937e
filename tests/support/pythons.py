"""The Pythons of this machine that PyAnamo is meant for.

    python -m tests.support.pythons

prints one command per line: for each version from 3.10 to 3.13 the first Python that works, from
the PATH or from pyenv.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

MINORS = range(10, 14)
PYENV = Path("~/.pyenv/versions").expanduser()


def pythons() -> Iterator[str]:
    """Find them, the oldest version first."""
    for minor in MINORS:
        name = f"python3.{minor}"
        of_pyenv = sorted(PYENV.glob(f"3.{minor}.*/bin/{name}"))
        for python in filter(None, (shutil.which(name), *map(str, of_pyenv))):
            if _works(python):
                yield python
                break


def _works(python: str) -> bool:
    """Whether it starts, and can make environments. One of pyenv's shims may do nothing."""
    command = [python, "-c", "import ensurepip, sqlite3, venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    print(*pythons(), sep="\n")

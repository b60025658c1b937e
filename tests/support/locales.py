"""A locale whose text isn't UTF-8, made for the tests: few machines have one."""

from __future__ import annotations

import subprocess
from pathlib import Path

LATIN_1 = "de_DE.ISO-8859-1"


def make_latin_1(folder: Path) -> dict[str, str]:
    """Make the locale in a folder; the environment of a program that is to have it."""
    subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / LATIN_1],
        check=True,
        capture_output=True,
    )
    return {"LOCPATH": str(folder), "LC_ALL": LATIN_1, "PYTHONUTF8": "0"}

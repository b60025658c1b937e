"""The fenced examples of a document, and how they are run as a reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import ROOT, SECONDS, Finished
from tests.support.warm import search_path

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A fenced block."""

    language: str  # empty for a shell's
    text: str


def examples(document: str) -> list[Example]:
    """All of a document's, in their order."""
    text = (ROOT / document).read_text()
    return [Example(*found.groups()) for found in _FENCED.finditer(text)]


def make_checkout(folder: Path) -> Path:
    """Fill a folder with all that examples use, for them to leave their files in."""
    for name in ("pyanamo", "pyanamo.py", "import-items.py", "use_cases", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_example(example: Example, folder: Path, environment: Mapping[str, str]) -> Finished:
    """Run one, as somebody who types it in; it ends at the first command that fails."""
    command = [sys.executable, "-c"] if example.language == "python" else ["bash", "-e", "-c"]
    with tempfile.TemporaryDirectory() as tools:
        ran = subprocess.run(
            [*command, example.text],
            cwd=folder,
            env={**os.environ, **environment, "PATH": search_path(Path(tools))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    return Finished(code=ran.returncode, stdout=ran.stdout, stderr=ran.stderr)

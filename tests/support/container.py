"""The container's image as far as it can be had without Docker, and Fetch_and_Run.sh in it.

The image is a folder, filled by the Dockerfile's own COPY instructions from what .dockerignore lets
in. Debian's and Python's packages are those of the machine that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from docker.utils.build import exclude_paths  # type: ignore[import-untyped]

from tests.support.pilots import Ended, PilotProcess
from tests.support.place import MARK, Place
from tests.support.programs import ROOT

DOCKERFILE = ROOT / "use_cases/example_docker/Dockerfile"
HOME = PurePosixPath("/opt/pyanamo")  # where the image has what .dockerignore lets in


@dataclass(frozen=True)
class Instruction:
    """One of a Dockerfile's, on one line."""

    word: str  # COPY
    text: str  # what follows it


def instructions() -> list[Instruction]:
    """All of the Dockerfile's, in their order; heredocs aren't known here."""
    lines = DOCKERFILE.read_text().splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", code)
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def context_of(folder: Path) -> set[str]:
    """The files of a folder that .dockerignore lets COPY see, relative to it."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    paths = set(exclude_paths(str(folder), patterns)) - {".dockerignore"}  # Docker's own, always
    return {path for path in paths if not (folder / path).is_dir()}


def copy_into(image: Path) -> None:
    """What the COPY instructions do; files get modes as of a checkout with a careless umask."""
    context = context_of(ROOT)
    for instruction in instructions():
        if instruction.word != "COPY":
            continue
        source, target = instruction.text.split()
        chosen = [path for path in context if source in (".", path)]
        assert chosen, f"COPY {source}: .dockerignore lets nothing of it in"
        for path in chosen:
            name = PurePosixPath(path).name if source == path else path
            copied = image / target.lstrip("/") / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copied, follow_symlinks=False)
            if not copied.is_symlink():
                copied.chmod(0o722 if os.access(ROOT / path, os.X_OK) else 0o622)


@dataclass(frozen=True)
class Container:
    """Fetch_and_Run.sh of an image, run in a place's folder."""

    image: Path
    place: Place

    @property
    def home(self) -> Path:
        """PyAnamo's folder in the image."""
        return self.image / str(HOME)[1:]

    @property
    def tools(self) -> Path:
        """A folder that comes first on its PATH."""
        return self.place.folder / "tools"

    def tool(self, name: str, text: str) -> None:
        """Make a stand-in for a program that it calls."""
        self.tools.mkdir(exist_ok=True)
        file = self.tools / name
        file.write_text(f"#!/bin/bash\n{text}\n")
        file.chmod(0o755)

    def serve(self, archive: Path | None) -> None:
        """Make a stand-in for `aws` that fetches this file, or fails; and writes down how."""
        fetch = "exit 1" if archive is None else f"cp -- '{archive}' \"${{@: -1}}\""
        self.tool("aws", f"printf '%s\\n' \"$@\" >'{self.place.folder}/aws.arguments'\n{fetch}")

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> PilotProcess:
        """Start it on the place's table; `environment` adds to its own, and takes away with ""."""
        path = (str(self.tools), str(Path(sys.executable).parent), os.environ["PATH"])
        script = self.home / "use_cases/example_docker/Fetch_and_Run.sh"
        settings = {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "PYANAMO_TABLE": self.place.table_name,
            "PYANAMO_LOCAL": str(self.place.store.local),
            MARK: self.place.mark,
        }
        del settings["AWS_DEFAULT_REGION"]  # AWS_REGION must be enough
        settings |= environment or {}
        process = PilotProcess([*prefix, str(script), *arguments], self.place.folder, settings)
        self.place.pilots.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> Ended:
        """Run it to its end."""
        return self.start(*arguments, environment=environment).wait()

    @property
    def left_behind(self) -> list[Path]:
        """The folders that it has made and not removed."""
        return sorted(self.place.folder.glob("PyAnamo.*"))


def the_error(ended: Ended, code: int) -> str:
    """What it said, which must be one line, before it ended with that code."""
    assert (ended.code, ended.stdout) == (code, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    return line

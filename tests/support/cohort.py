"""A tiny cohort for the variant-calling workflow, and its steps run as processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.programs import ROOT, Finished, finish

SCRIPTS = ROOT / "use_cases" / "example_docker"
TOOLS = ("bwa", "samtools", "bcftools", "wgsim")
SAMPLES = ("Sample1", "Sample2")


@dataclass
class Bench:
    """A cohort that is aligned, and folders for what is made of it, in one that is the test's."""

    folder: Path
    cohort: Path
    alignments: Path
    environment: dict[str, str] = field(default_factory=dict)  # beside the tests' own

    def __post_init__(self) -> None:
        self.scratch.mkdir()
        self.tools.mkdir()

    @property
    def scratch(self) -> Path:
        """Where the steps have their temporary files."""
        return self.folder / "scratch"

    @property
    def gvcfs(self) -> Path:
        """Where HaplotypeCaller has its results."""
        return self.folder / "gvcfs"

    @property
    def tools(self) -> Path:
        """A folder that is first on the PATH."""
        return self.folder / "tools"

    @property
    def left(self) -> list[str]:
        """The files and folders in the places for temporary files and for results, sorted."""
        found = [*self.scratch.rglob("*"), *self.gvcfs.rglob("*")]
        return sorted(str(path.relative_to(self.folder)) for path in found if path.is_file())

    @property
    def temporary(self) -> list[Path]:
        """What is left of temporary files and folders."""
        return [*self.scratch.iterdir(), *self.gvcfs.rglob(".part.*")]

    def start(
        self,
        script: str,
        *arguments: str | Path,
        prepare: Callable[[], None] | None = None,
        signals_as_they_are: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a step, in a process group of its own as a pilot does; `finish` is to be called."""
        path = (self.tools, Path(sys.executable).parent, os.environ["PATH"])
        environment = {
            "COHORT": str(self.cohort),
            "ALIGNMENTS": str(self.alignments),
            "GVCFS": str(self.gvcfs),
            "RESULTS": str(self.folder / "results"),
            "SCRATCH": str(self.scratch),
            "CALLER": "bcftools",
            "PATH": os.pathsep.join(map(str, path)),
        }
        return subprocess.Popen(
            ["bash", str(SCRIPTS / script), *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **environment, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            restore_signals=not signals_as_they_are,
            preexec_fn=prepare,
        )

    def run(self, script: str, *arguments: str | Path) -> Finished:
        """Run a step to its end."""
        return finish(self.start(script, *arguments))

    def call(self, sample: str, chromosomes: str) -> Finished:
        """Run HaplotypeCaller to its end."""
        return self.run("HaplotypeCaller", sample, chromosomes)

    def gvcf(self, sample: str, chromosome: str) -> Path:
        """Where the result of a call is."""
        return self.gvcfs / sample / f"{sample}.{chromosome}.g.vcf.gz"

    def copy_cohort(self) -> None:
        """Have a cohort and alignments of its own, to spoil them."""
        self.cohort = Path(shutil.copytree(self.cohort, self.folder / "cohort"))
        self.alignments = Path(shutil.copytree(self.alignments, self.folder / "alignments"))

    def stand_in(self, tool: str, script: str) -> None:
        """Put a script in the place of a tool; `$real` in it is the tool, where it is there."""
        file = self.tools / tool
        file.write_text(f"#!/bin/bash\nreal={shutil.which(tool)}\n{script}\n")
        file.chmod(0o755)

    def samtools(self, *arguments: str | Path, stdin: bytes | None = None) -> bytes:
        """What a command of samtools prints."""
        return tool("samtools", *arguments, stdin=stdin)


def tool(*command: str | Path, stdin: bytes | None = None) -> bytes:
    """What a command prints, which must succeed."""
    ran = subprocess.run([*map(str, command)], input=stdin, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def make_cohort(folder: Path | str, **settings: str) -> Finished:
    """Run make-cohort.sh, with settings for a tiny one unless others are given."""
    tiny = {"SAMPLES": str(len(SAMPLES)), "LENGTH": "3000", "PYTHON": sys.executable}
    ran = subprocess.Popen(
        ["bash", str(SCRIPTS / "make-cohort.sh"), str(folder)],
        env={**os.environ, **tiny, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return finish(ran)


def make_aligned_cohort(folder: Path) -> tuple[Path, Path]:
    """A tiny cohort and its alignments, made by the first step."""
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        pytest.fail(f"missing: {', '.join(missing)}: install bwa, samtools and bcftools")
    cohort, alignments = folder / "cohort", folder / "alignments"
    made = make_cohort(cohort)
    assert made.code == 0, made.stderr
    for sample in SAMPLES:
        environment = {"COHORT": str(cohort), "ALIGNMENTS": str(alignments)}
        ran = subprocess.run(
            ["bash", str(SCRIPTS / "align.sh"), sample],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith(f"PyAnamo:\t{sample}: ")
    return cohort, alignments


def true_snps(cohort: Path, sample: str, chromosome: str) -> set[str]:
    """The SNPs that a sample has, as `position ref alt`."""
    return _snps(cohort / "truth.vcf.gz", sample, chromosome)


def called_snps(gvcf: Path, sample: str, chromosome: str) -> set[str]:
    """The SNPs that were called."""
    return _snps(gvcf, sample, chromosome)


def _snps(vcf: Path, sample: str, chromosome: str) -> set[str]:
    only = ["-s", sample, "-t", chromosome]
    sites = tool("bcftools", "view", "-H", "-a", *only, vcf).decode().splitlines()
    fields = [line.split("\t") for line in sites]
    return {
        f"{position} {ref} {alt}"
        for _, position, _, ref, alt, *_, genotype in fields
        if "1" in genotype.split(":")[0] and len(ref) == len(alt) == 1
    }


def signal_and_finish(
    process: subprocess.Popen[bytes], number: int, *, whole_group: bool
) -> Finished:
    """Send a signal to a step, or to all its tools as well, as a pilot does; how it ended."""
    if whole_group:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    return finish(process)

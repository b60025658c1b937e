"""The README's examples, run as they stand, on both kinds of table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyanamo.tables import Store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

# What the examples' items come to, where there is no cohort for the HaplotypeCaller.
EXPECTED = {
    "Seq_Test_1": ("done", ""),
    "Seq_Test_2": ("done", ""),
    "Sample1_chr1-3": ("failed", ""),
    "Level_1_Time": ("done", ""),
    "Level_2_Time": ("done", ""),
    "Seq_Tests": ("done", "3/3"),
    "Sample1": ("failed", "0/3"),
    "Level_1_Difficulty_Time": ("done", "3/3"),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with all that the examples use, where they can leave their files."""
    for name in ("pyanamo", "pyanamo.py", "import-items.py", "use_cases", "requirements.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    mario = "SuperMarioPlayTimeOptimizer.sh"
    (tmp_path / mario).symlink_to(ROOT / mario)
    return tmp_path


def run_blocks(blocks: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run the blocks in one bash, as somebody who types them in; what they print on stdout."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_first_block_is_what_ci_runs() -> None:
    assert BLOCKS[0] == "make demo\nmake use-case\nmake test\n"
    ci = (ROOT / ".ci" / "run").read_text()
    assert "for target in test demo use-case bench-quick; do" in ci


@pytest.mark.parametrize("kind", ["embedded", "dynamodb"])
def test_every_other_block_works_as_it_stands(
    kind: str, checkout: Path, request: pytest.FixtureRequest, table_name: str
) -> None:
    environment = {}
    blocks = BLOCKS[1:]
    if kind == "dynamodb":  # what a reader with an AWS account leaves out
        environment["AWS_ENDPOINT_URL_DYNAMODB"] = request.getfixturevalue("dynamodb")
        blocks = [block.replace("export PYANAMO_LOCAL=pyanamo.db\n", "") for block in blocks]
        blocks = [block.replace("Example_Table", table_name) for block in blocks]
    printed = run_blocks(blocks, checkout, environment)
    assert "imported 5, already there 0" in printed
    assert "imported 3, already there 1" in printed
    assert "done 6, failed 2, released 0 in" in printed
    assert "done 0, failed 0, released 0 in" in printed
    rows = [line.split("\t") for line in printed.splitlines() if line.count("\t") > 5]
    assert {row[0]: (row[2], row[3]) for row in rows[1:]} == EXPECTED


def test_the_haplotype_caller_says_what_it_misses(checkout: Path) -> None:
    run_blocks(BLOCKS[1:], checkout, {})
    table = Store(local=checkout / "pyanamo.db").open("Example_Table")
    for name, tasks in {"Sample1_chr1-3": 1, "Sample1": 3}.items():
        item = table.get(name)
        assert item is not None
        assert item.reason == "exit code 1"
        assert len(item.results) == tasks
        for result in item.results.values():
            assert "missing, or not readable: build/use-case/cohort/reference.fa" in result.stderr
            assert "make-cohort.sh makes one" in result.stderr

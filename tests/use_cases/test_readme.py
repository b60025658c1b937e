"""The README's examples, run as they stand, on both kinds of table."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyanamo.tables import Store, WorkflowTable
from tests.support.warm import search_path

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
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, **environment, "PATH": search_path(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


FIRST_STEPS, INSTALL, MAKE, *USE = BLOCKS


def test_ci_runs_what_readers_run() -> None:
    assert MAKE == "make demo\nmake use-case\nmake test\n"
    ci = (ROOT / ".ci" / "run").read_text()
    assert "for target in test demo use-case bench-quick; do" in ci


def test_the_first_steps(checkout: Path) -> None:
    printed = run_blocks([FIRST_STEPS], checkout, {})
    assert "imported 6, already there 0" in printed
    assert "done 5, failed 1, released 0 in" in printed
    rows = [line.split("\t") for line in printed.splitlines() if line.count("\t") > 5]
    assert [row[2] for row in rows[1:]].count("done") == 5


def test_installing(checkout: Path) -> None:
    """Without the network: the packages are those of the environment that this test runs in."""
    make, enter, install = INSTALL.splitlines()
    assert enter == ". .venv/bin/activate"
    is_entered = "python -c 'import sys; assert sys.prefix != sys.base_prefix'"
    run_blocks([make, f"({enter}; {is_entered})", install], checkout, {})


def test_without_an_account(checkout: Path) -> None:
    """`make dynamodb` prints what to set, for a server that ends with it."""
    command = [sys.executable, "-m", "tests.support.dynamodb_local", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("export ")):
            lines.append(server.stdout.readline())
            assert lines[-1], "it has ended"
        steps = FIRST_STEPS.replace("export PYANAMO_LOCAL=pyanamo.db\n", "".join(lines[-2:]))
        printed = run_blocks([steps], checkout, {"PYANAMO_LOCAL": "unused.db"})
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert "done 5, failed 1, released 0 in" in printed
    assert not list(checkout.glob("*.db"))


@pytest.mark.parametrize("kind", ["embedded", "dynamodb"])
def test_the_examples_work_as_they_stand(
    kind: str, checkout: Path, request: pytest.FixtureRequest, table_name: str
) -> None:
    environment = {}
    blocks = USE
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
    items = [row for row in rows if len(row) == len(rows[0])]
    assert {row[0]: (row[2], row[3]) for row in items[1:]} == EXPECTED
    if kind == "embedded":
        check_haplotype_caller(Store(local=checkout / "pyanamo.db").open("Example_Table"))


def check_haplotype_caller(table: WorkflowTable) -> None:
    """It says what it misses."""
    for name, tasks in {"Sample1_chr1-3": 1, "Sample1": 3}.items():
        item = table.get(name)
        assert item is not None
        assert item.reason == "exit code 1"
        assert len(item.results) == tasks
        for result in item.results.values():
            assert "missing, or not readable: build/use-case/cohort/reference.fa" in result.stderr
            assert "make-cohort.sh makes one" in result.stderr

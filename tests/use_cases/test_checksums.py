"""Real work: checksums of Python's own library, against an independent computation of them."""

import hashlib
import json.tool
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "use_cases" / "checksums"
# A part of the standard library, of packages within packages: some 80 files.
SOURCE_PACKAGES = ("asyncio", "email", "json", "xml")


def run(*command: str | Path, environment: dict[str, str]) -> str:
    """Run a command that must succeed; its stdout."""
    ran = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("kind", ["embedded", "dynamodb"])
def test_every_checksum_is_right(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, table_name: str
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    library = Path(json.__file__).parent.parent
    for package in SOURCE_PACKAGES:
        for file in (library / package).rglob("*.py"):
            copy = source / file.relative_to(library)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    if kind == "dynamodb":
        where = {"AWS_ENDPOINT_URL_DYNAMODB": request.getfixturevalue("dynamodb")}
    else:
        where = {"PYANAMO_LOCAL": str(tmp_path / "table.db")}

    task_file = tmp_path / "tasks.txt"
    task_file.write_text(run(TOOLS / "make-task-file.py", source, out, environment=where))
    flags = ("-i", task_file, "-d", "//|", "-n", "//,")
    run("import-items.py", "-t", table_name, *flags, environment=where)
    printed = run("pyanamo.py", "-t", table_name, "-i", "2", "-n", "4", environment=where)

    folders = {file.parent for file in source.rglob("*.py")}
    assert printed.startswith(f"done {len(folders)}, failed 0, released 0 in")
    expected = {
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  ./{file.relative_to(source)}"
        for file in source.rglob("*.py")
    }
    assert {file.read_text().strip() for file in out.rglob("*.sha256")} == expected
    compressed = sorted(out.rglob("*.gz"))
    assert len(compressed) == len(expected)
    subprocess.run(["gzip", "-t", *compressed], check=True)

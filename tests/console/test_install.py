"""PyAnamo as pip installs it, and in a Python that has no other package."""

import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest

from pyanamo import __version__
from tests.support.programs import ROOT, Finished, finish
from tests.support.terminal import on_terminal

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
SCRIPTS = {"pyanamo-pilot": "pyanamo.py", "pyanamo-import": "import-items.py"}
TASK_FILE = """
itemID|TaskID|TaskScript|TaskArgs
good|Sample1|seq|1,2
bad|Sample2|false|
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which a person works."""

    folder: Path

    def program(self, name: str) -> list[str]:
        """The command for a program, installed or of the checkout."""
        first, *rest = name.split()
        if first in SCRIPTS.values():
            first, rest = "python", [str(ROOT / first)]
        return [str(self.folder / "bin" / first), *rest]

    def run(self, name: str, *arguments: str | Path, folder: Path = ROOT) -> Finished:
        """Run a program to its end."""
        return finish(
            subprocess.Popen(
                [*self.program(name), *map(str, arguments)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )


def make_environment(folder: Path) -> Environment:
    """A virtual environment without a package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return Environment(folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip makes of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    subprocess.run([*PIP, *build], check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Nothing but the standard library."""
    return make_environment(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """PyAnamo, without what it depends on."""
    environment = make_environment(tmp_path_factory.mktemp("installed"))
    python = str(environment.folder / "bin" / "python")
    install = ("--python", python, "install", "--no-deps", "--no-index", str(wheel))
    subprocess.run([*PIP, *install], check=True)
    return environment


# --- What is installed ----------------------------------------------------------------------------


def test_only_the_package_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = (ROOT / "pyanamo").rglob("*")
    sources = {path for path in package if path.suffix == ".py" or path.name == "py.typed"}
    assert files == {str(path.relative_to(ROOT)) for path in sources}
    assert "pyanamo/py.typed" in files


def test_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert metadata["Name"] == "pyanamo"
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata.get_all("Requires-Dist") == [line for line in lines if line[:1] != "#"]


@pytest.mark.parametrize("name", ["pyanamo", *SCRIPTS])
def test_the_installed_commands(installed: Environment, name: str, tmp_path: Path) -> None:
    version = installed.run(name, "--version", folder=tmp_path)
    assert version == Finished(code=0, stdout=f"pyanamo {__version__}\n", stderr="")
    told = installed.run(name, "--help", folder=tmp_path)
    assert told.stdout.startswith(f"usage: {name} [-h] ")


@pytest.mark.parametrize("name", ["python -m pyanamo", *SCRIPTS.values()])
def test_the_programs_of_the_checkout(bare: Environment, name: str) -> None:
    version = bare.run(name, "--version")
    assert version == Finished(code=0, stdout=f"pyanamo {__version__}\n", stderr="")
    assert bare.run(name, "--help").stdout.startswith(f"usage: {name} [-h] ")


# --- With the standard library only ---------------------------------------------------------------


@dataclass(frozen=True)
class Desk:
    """Where a person works on a table in a file, with programs of their own names."""

    environment: Environment
    folder: Path
    operator: str
    pilot: str
    importer: str

    def run(self, name: str, *arguments: str | Path) -> str:
        """What a program prints, which must do its job."""
        table = ("-t", "Step", "--local", self.folder / "table.db")
        ended = self.environment.run(name, *arguments, *table)
        assert ended.code == 0, ended.stderr
        return ended.stdout

    def rows(self, command: str, *arguments: str) -> list[list[str]]:
        """The rows that an operator's command prints."""
        printed = self.run(self.operator, command, *arguments)
        return [line.split("\t") for line in printed.splitlines()[1:]]


@pytest.fixture(params=["the commands", "the checkout"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A table in a file, on which a pilot has worked."""
    if request.param == "the commands":
        environment = request.getfixturevalue("installed")
        desk = Desk(environment, tmp_path, "pyanamo", "pyanamo-pilot", "pyanamo-import")
    else:
        environment = request.getfixturevalue("bare")
        desk = Desk(environment, tmp_path, "python -m pyanamo", "pyanamo.py", "import-items.py")
    (tmp_path / "tasks.txt").write_text(TASK_FILE)
    assert desk.run(desk.importer, "-i", tmp_path / "tasks.txt") == (
        "imported 2, already there 0\n"
    )
    assert desk.run(desk.pilot, "-i", "2").startswith("done 1, failed 1, released 0 in ")
    return desk


def test_looking_at_a_table_in_a_file(desk: Desk) -> None:
    ((*counts, _, _, _),) = desk.rows("status")
    assert counts == ["Step", "0", "0", "1", "1", "0", "3", "2"]
    assert desk.rows("samples") == [["Sample1", "2/2 done"], ["Sample2", "failed"]]
    assert sorted(row[0] for row in desk.rows("items")) == ["bad", "good"]
    assert ["itemID", "good"] in desk.rows("show", "good")
    assert desk.run(desk.operator, "logs", "good", "Task_1") == "1\n2\n"
    assert desk.run(desk.operator, "logs", "good", "Task_1", "--whole") == "1\n2\n"
    assert desk.rows("jobs") == []
    assert "good|Sample1|seq|1,2" in desk.run(desk.operator, "export", "--task-file")


def test_changing_a_table_in_a_file(desk: Desk) -> None:
    ((group, *_, restart, _),) = desk.rows("failures")
    file = desk.folder / "table.db"
    assert restart == f"{desk.operator} restart -t Step --local {file} --group {group}"
    assert desk.run(desk.operator, "restart", "--group", group) == "restarted 1\n"
    assert desk.run(desk.operator, "hold", "bad") == "held 1\n"
    assert desk.run(desk.operator, "unhold", "bad") == "put back 1\n"
    assert desk.run(desk.operator, "release") == "released 0\n"
    assert desk.run(desk.operator, "release", "--ended-jobs") == "released 0\n"
    assert desk.run(desk.operator, "delete", "bad", "--yes") == "deleted 1\n"
    assert desk.run(desk.operator, "create") == "Step exists already\n"
    assert desk.run(desk.operator, "drop", "--yes") == "dropped Step\n"


# --- What is missing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("python -m pyanamo", ["status", "-t", "Step"]),
        ("python -m pyanamo", ["capacity", "-t", "Step"]),
        ("python -m pyanamo", ["submit", "-t", "Step", "--queue", "Q", "--job-definition", "D"]),
        ("pyanamo.py", ["-t", "Step"]),
        ("pyanamo.py", ["-t", "Step", "--local", "no.db", "-b", "Bucket"]),
        ("import-items.py", ["-t", "Step", "-i", "use_cases/demo/single.txt"]),
    ],
)
def test_without_boto3(bare: Environment, name: str, arguments: list[str]) -> None:
    ended = bare.run(name, *arguments)
    assert ended == Finished(
        code=1,
        stdout="",
        stderr="boto3 is not installed, and DynamoDB, S3 and AWS Batch need it: "
        "python -m pip install boto3\n",
    )


@pytest.mark.parametrize("name", ["pyanamo", *SCRIPTS])
def test_the_installed_commands_without_boto3(installed: Environment, name: str) -> None:
    words = {"pyanamo": ["status"], "pyanamo-import": ["-i", "use_cases/demo/single.txt"]}
    ended = installed.run(name, *words.get(name, []), "-t", "Step")
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.endswith(": python -m pip install boto3\n")


def test_workflow_without_boto3(bare: Environment) -> None:
    program = """
import pyanamo
try:
    pyanamo.Workflow("Step")
except pyanamo.PyAnamoError as error:
    print(error)
"""
    ended = bare.run("python", "-c", program)
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith("boto3 is not installed")


def shown(command: list[str]) -> str:
    """What a command shows on a terminal."""
    with on_terminal(command, {"PYTHONPATH": str(ROOT)}) as terminal:
        assert terminal.end() == 0
    return terminal.shown


def test_columns_are_aligned_on_a_terminal_without_rich(desk: Desk) -> None:
    table = ["-t", "Step", "--local", str(desk.folder / "table.db")]
    program = [*desk.environment.program(desk.operator)]
    assert shown([*program, "samples", *table]) == (
        "TaskID   Step\nSample1  2/2 done\nSample2  failed\n"
    )
    status = shown([*program, "status", *table])
    assert re.match(r"Step +todo +locked +done +failed .*\nStep +0 +0 +1 +1 ", status)
    assert f"{desk.operator} restart -t Step --local " in shown([*program, "failures", *table])


def test_an_import_on_a_terminal_without_rich(bare: Environment, tmp_path: Path) -> None:
    lines = ["itemID|TaskID|TaskScript", *(f"item{number}|Group|true" for number in range(400))]
    (tmp_path / "tasks.txt").write_text("\n".join(lines))
    table = ["-t", "Step", "--local", str(tmp_path / "table.db")]
    command = [*bare.program("import-items.py"), "-i", str(tmp_path / "tasks.txt"), *table]
    assert shown(command) == "created table Step\nimported 400, already there 0\n"

"""The package in Python: what it offers, what it imports, what it says of itself."""

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import botocore
import pytest

import pyanamo
from pyanamo.account import Account
from pyanamo.aws import make_client
from tests.support.http_server import Answer, LocalServer, Request
from tests.support.programs import ROOT

HEAVY = {"boto3", "botocore", "rich"}
TASK_FILE = "itemID|TaskID|TaskScript\nitem|Group|true\n"


def imported(*command: str) -> set[str]:
    """The packages that a Python of the checkout has imported when it has ended well."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    modules = re.findall(r"^import time: .*\| +(\S+)$", ran.stderr, re.MULTILINE)
    return {module.partition(".")[0] for module in modules}


def test_the_face_has_what_it_lists() -> None:
    assert set(pyanamo.__all__) <= set(dir(pyanamo))
    for name in pyanamo.__all__:
        assert getattr(pyanamo, name) is not None
    assert pyanamo.Item.__name__ == "Item"
    assert issubclass(pyanamo.TableNotFound, pyanamo.PyAnamoError)


def test_the_face_has_all_kinds_of_errors() -> None:
    kinds = {kind.__name__ for kind in pyanamo.PyAnamoError.__subclasses__()}
    assert kinds - {"ConditionFailed"} <= set(pyanamo.__all__)


def test_the_face_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="module 'pyanamo' has no attribute 'Workflows'"):
        _ = pyanamo.Workflows


def test_the_face_imports_nothing_that_is_not_used() -> None:
    loaded = imported("-c", "import pyanamo; dir(pyanamo)")
    assert not loaded & {*HEAVY, "argparse", "dataclasses", "sqlite3"}
    assert "sqlite3" in imported("-c", "import pyanamo; pyanamo.Workflow('Step', local='no.db')")


@pytest.mark.parametrize("program", ["pyanamo.py", "import-items.py", "-m pyanamo"])
def test_help_imports_nothing_heavy(program: str) -> None:
    assert not imported(*program.split(), "--help") & HEAVY


def test_a_table_in_a_file_imports_nothing_heavy(tmp_path: Path) -> None:
    table = ("-t", "Step", "--local", str(tmp_path / "table.db"))
    (tmp_path / "tasks.txt").write_text(TASK_FILE)
    assert not imported("import-items.py", *table, "-i", str(tmp_path / "tasks.txt")) & HEAVY
    assert not imported("pyanamo.py", *table) & HEAVY
    for command in ("status", "failures", "jobs", "restart --name *", "export"):
        assert not imported("-m", "pyanamo", *command.split(), *table) & HEAVY


class Listening(LocalServer):
    """A DynamoDB that has no tables."""

    def __init__(self) -> None:
        super().__init__()
        self.agents: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.agents.append(request.headers["User-Agent"])
        return Answer(200, b'{"TableNames": []}', {"x-amzn-RequestId": "1"})


def test_requests_name_the_version() -> None:
    with Listening() as server:
        account = Account(region="us-east-1", endpoint_url=server.url)
        with closing(make_client("dynamodb", account)) as client:
            client.list_tables()
    assert server.agents == [f"PyAnamo/{pyanamo.__version__} Botocore/{botocore.__version__}"]

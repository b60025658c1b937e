"""DynamoDB Local for `make use-case`: a command gets one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.programs import ROOT


@pytest.mark.services
def test_a_command_gets_a_dynamodb_of_its_own() -> None:
    show = "import json, os; print(json.dumps(dict(os.environ))); raise SystemExit(7)"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.dynamodb_local", "run", sys.executable, "-c", show],
        cwd=ROOT,
        env={**os.environ, "PYANAMO_LOCAL": "x.db"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 7, ran.stderr
    environment = json.loads(ran.stdout)
    assert environment["AWS_ENDPOINT_URL_DYNAMODB"].startswith("http://127.0.0.1:")
    assert "PYANAMO_LOCAL" not in environment

"""A table of DynamoDB that has an index of our name, but isn't ours: no program uses it."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.definition import table_definition
from tests.support.commands import COMMANDS
from tests.support.operator import Operator


@pytest.fixture
def foreign(hosted: Operator, dynamodb: str) -> Operator:
    """An operator whose table has an index without our attributes."""
    definition = table_definition(hosted.table_name)
    definition["GlobalSecondaryIndexes"][0]["Projection"] = {"ProjectionType": "KEYS_ONLY"}
    boto3.client("dynamodb", endpoint_url=dynamodb).create_table(**definition)
    return hosted


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_it(foreign: Operator, name: str) -> None:
    told = foreign.types(name, *COMMANDS[name])
    assert (told.code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"table {foreign.table_name!r} ")
    assert "is not a PyAnamo table: " in told.stderr
    assert INDEX in told.stderr
    assert told.stderr.endswith("; name another table\n")
    assert told.stderr.count("\n") == 1


def test_nothing_is_imported(foreign: Operator, five: Path, dynamodb: str) -> None:
    for told in (foreign.imports("-i", five), foreign.types("create")):
        assert told.code == 1
        assert "is not a PyAnamo table: its index ItemStateIndex does not project " in told.stderr
        assert told.stderr.count("\n") == 1
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    assert client.scan(TableName=foreign.table_name)["Count"] == 0


def test_no_pilot_works_on_it(foreign: Operator) -> None:
    ended = foreign.run("-i", "3")
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert "is not a PyAnamo table: " in line

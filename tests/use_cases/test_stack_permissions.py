"""The permissions of the stack's roles: all are needed, and none gives more than it should.

A simulator of IAM judges the requests that pilots, tasks and operators make of moto's server, with
their conditions (tests/support/permissions.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pyanamo.model import ItemState
from pyanamo.tables.attributes import ONLY_IMPORTED
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection
from tests.support.makers import add, badly, claimed, ended, failed, nested, single
from tests.support.permissions import (
    credentials_of,
    enforced,
    recorded,
    role_with,
    running_enforcing_moto,
)
from tests.support.programs import ROOT, Finished
from tests.support.simulator import Request, Simulator
from tests.support.stack import ACCOUNT, TEACH, Document, Stack, as_list, create_stack, without

SOMEBODY = f"arn:aws:sts::{ACCOUNT}:assumed-role/role/test"
LARGE = "bash -c 'head -c 6000000 /dev/urandom | base64'"  # its log is uploaded in parts
# AWS checks these along with the scaling that an operator asks for (Application Auto Scaling User
# Guide, "Identity-based policy examples"); nobody asks for them.
CHECKED_ALONG = {
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricAlarm",
    "iam:CreateServiceLinkedRole",
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server writes what it has allowed."""
    return tmp_path_factory.mktemp("requests") / "allowed"


@pytest.fixture(scope="module")
def moto(record: Path) -> Iterator[str]:
    """The URL of a server."""
    with running_enforcing_moto(TEACH, record=record) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulator, for policies that nobody has in moto."""
    simulator = Simulator()
    yield simulator
    simulator.close()


@pytest.fixture
def stack(moto: str, table_name: str, record: Path) -> Stack:
    """A stack of this test's own, of which nothing is recorded yet."""
    record.write_text("")
    return create_stack(moto, table_name)


def pilots_client(stack: Stack, service: Any) -> Any:
    """A client with the permissions of the pilots' role."""
    credentials = credentials_of(stack.endpoint, stack.outputs["PilotRole"])
    session = boto3.session.Session(*credentials.values())
    return session.client(service, endpoint_url=stack.endpoint)


def run_pilot(stack: Stack, folder: Path, credentials: Mapping[str, str] | None = None) -> Finished:
    """Run a pilot to its end, with the permissions of the pilots' role unless others are given."""
    credentials = credentials or credentials_of(stack.endpoint, stack.outputs["PilotRole"])
    where = ("-t", stack.table, "-b", f"s3://{stack.bucket}/PyAnamo")
    with enforced(stack.endpoint):
        return stack.run(credentials, folder, str(ROOT / "pyanamo.py"), *where)


def assert_all_needed(
    simulator: Simulator, policies: Sequence[Document], made: Sequence[Request]
) -> None:
    """Without any one of the policies' permissions, one of the requests is denied."""
    assert all(simulator.allows(request, policies, SOMEBODY) for request in made)
    for permission in permissions(policies) - CHECKED_ALONG:
        less = [without(policy, permission) for policy in policies]
        denied = [one for one in made if not simulator.allows(one, less, SOMEBODY)]
        assert denied, f"{permission} is not needed"


def permissions(policies: Sequence[Document]) -> set[str]:
    """All actions that policies allow."""
    statements = (statement for policy in policies for statement in policy["Statement"])
    return {str(action) for statement in statements for action in as_list(statement["Action"])}


# --- Pilots and tasks ---------------------------------------------------------------------------


def test_a_pilot_and_its_tasks_need_all_their_permissions(
    stack: Stack, simulator: Simulator, record: Path, tmp_path: Path
) -> None:
    table = stack.opened()
    claimed(table, single("lost", "echo lost"), lease=-60)
    add(table, single("whole", LARGE), nested("parts", 2), single("fails", "false"))
    table.close()
    break_row(stack, "fails")
    assert run_pilot(stack, tmp_path).stdout[:7] == "done 3,"
    do_what_tasks_do(stack)
    assert_all_needed(simulator, [*stack.pilots_policies().values()], recorded(record))


def break_row(stack: Stack, item_id: str) -> None:
    """Have an item that isn't one any more, so that a pilot sets it aside."""
    stack.client("dynamodb").update_item(
        TableName=stack.table,
        Key={"itemID": {"S": item_id}},
        UpdateExpression="SET TaskScript = :number",
        ExpressionAttributeValues={":number": {"N": "1"}},
    )


def do_what_tasks_do(stack: Stack) -> None:
    """Read and write S3 as the scripts of the use case do."""
    stack.client("s3").put_object(Bucket=stack.bucket, Key="data/reads", Body=b"ACGT")
    s3 = pilots_client(stack, "s3")
    with enforced(stack.endpoint):
        assert s3.get_object(Bucket=stack.bucket, Key="data/reads")["Body"].read() == b"ACGT"
        assert s3.list_objects_v2(Bucket=stack.bucket, Prefix="data/")["KeyCount"] == 1
        for prefix in ("results", "PyAnamo"):
            there = {"Bucket": stack.bucket, "Key": f"{prefix}/large"}
            s3.put_object(**there, Body=b"")
            upload = s3.create_multipart_upload(**there)["UploadId"]
            s3.abort_multipart_upload(**there, UploadId=upload)


def test_tasks_change_no_scripts_and_no_data(stack: Stack) -> None:
    s3 = pilots_client(stack, "s3")
    with enforced(stack.endpoint):
        for key in ("scripts/a.tar.gz", "data/reads", "elsewhere"):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket=stack.bucket, Key=key, Body=b"")
        for prefix in ("", "PyAnamo/", "da"):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.list_objects_v2(Bucket=stack.bucket, Prefix=prefix)


# --- Commands are written by imports only -------------------------------------------------------


def setting(attribute: str) -> dict[str, Any]:
    """An update that changes an attribute of an item, as a task could send it."""
    return {
        "Key": {"itemID": {"S": "item"}},
        "UpdateExpression": f"SET {attribute} = :new",
        "ExpressionAttributeValues": {":new": {"S": "evil"}},
    }


Send = Callable[[Any, str], Any]
CHANGES: dict[str, Send] = {
    "its part": lambda db, t: db.update_item(TableName=t, **setting("TaskScript.Task_0")),
    "behind a name": lambda db, t: db.update_item(
        TableName=t, **setting("#s"), ExpressionAttributeNames={"#s": "TaskScript"}
    ),
    "as of old": lambda db, t: db.update_item(
        TableName=t,
        Key={"itemID": {"S": "item"}},
        AttributeUpdates={"TaskScript": {"Action": "PUT", "Value": {"S": "evil"}}},
    ),
    "taken away": lambda db, t: db.update_item(
        TableName=t, Key={"itemID": {"S": "item"}}, UpdateExpression="REMOVE TaskScript"
    ),
    "in a transaction": lambda db, t: db.transact_write_items(
        TransactItems=[{"Update": {"TableName": t, **setting("Reason")}}]
    ),
    "a whole item": lambda db, t: db.put_item(
        TableName=t, Item={"itemID": {"S": "item"}, "TaskScript": {"S": "evil"}}
    ),
    "by deletion": lambda db, t: db.delete_item(TableName=t, Key={"itemID": {"S": "item"}}),
    "by PartiQL": lambda db, t: db.batch_execute_statement(
        Statements=[
            {
                "Statement": f"INSERT INTO \"{t}\" VALUE {{'itemID': ?, 'TaskScript': ?}}",
                "Parameters": [{"S": "new"}, {"S": "evil"}],
            }
        ]
    ),
    **{
        name: lambda db, t, name=name: db.update_item(TableName=t, **setting(name))  # type: ignore[misc]
        for name in ONLY_IMPORTED
    },
}


def test_no_task_changes_a_command(stack: Stack) -> None:
    table = stack.opened()
    add(table, single("item", "true"))
    before = table.get("item")
    pilot = pilots_client(stack, "dynamodb")
    with enforced(stack.endpoint):
        for send in CHANGES.values():
            with pytest.raises(ClientError, match="not authorized to perform: dynamodb:"):
                send(pilot, stack.table)
    assert table.get("item") == before
    table.close()


def test_the_condition_can_be_turned_off(moto: str, table_name: str) -> None:
    stack = create_stack(moto, table_name, ProtectCommands="false")
    pilot = pilots_client(stack, "dynamodb")
    with enforced(stack.endpoint):
        pilot.update_item(TableName=stack.table, **setting("TaskScript"))


def test_a_pilot_says_what_the_condition_must_allow(stack: Stack, tmp_path: Path) -> None:
    """Where a policy is older than the pilot, and lacks an attribute."""
    table = stack.opened()
    add(table, single("item", "true"))
    table.close()
    (policy,) = (one for name, one in stack.pilots_policies().items() if name == "PilotPolicy")
    old = json.loads(json.dumps(policy).replace('"Lease_Expires", ', ""))
    assert old != policy
    role = role_with(stack.endpoint, stack.name, old)
    ran = run_pilot(stack, tmp_path, credentials_of(stack.endpoint, role))
    assert ran.code == 1
    line = ran.stderr.splitlines()[-1]
    assert "access denied to UpdateItem" in line
    assert "a condition on dynamodb:Attributes must allow all of: itemID, Attempts, " in line
    assert "Lease_Expires" in line


# --- Operators ----------------------------------------------------------------------------------


def test_an_operator_needs_all_permissions(
    stack: Stack,
    simulator: Simulator,
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = stack.policy(stack.outputs["OperatorPolicy"])
    role = role_with(stack.endpoint, stack.name, policy)
    credentials = credentials_of(stack.endpoint, role)
    fill_for_operators(stack, tmp_path)
    record.write_text("")
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    with enforced(stack.endpoint):
        use_all_verbs(stack)
        use_aws(stack)
        for command in commands_of_operators(stack):
            ran = stack.run(credentials, tmp_path, *command)
            assert ran.code == 0, ran.stderr
    assert_all_needed(simulator, [policy], recorded(record))


def fill_for_operators(stack: Stack, folder: Path) -> None:
    table = stack.opened()
    add(table, single("whole", LARGE))
    assert run_pilot(stack, folder).code == 0
    claimed(table, single("lost"), lease=-60)
    ended(table, single("bad"), failed({"Task_0": badly()}))
    add(table, single("more"))
    table.close()


def use_all_verbs(stack: Stack) -> None:
    with Workflow(stack.table) as steps:
        assert [status.total for status in steps.status()] == [4]
        assert steps.show("bad").state is ItemState.FAILED
        assert sum(map(len, steps.logs("whole"))) > 8_000_000
        assert [group.count for group in steps.failures()] == [1]
        assert steps.restart(Selection(names=("bad",))).changed == 1
        assert steps.release(Selection(names=("lost",))).changed == 1
        assert steps.delete(Selection(names=("more",))).changed == 1
        assert len(list(steps.export())) == 3


def use_aws(stack: Stack) -> None:
    """What use_cases/README.md does with the AWS CLI."""
    session = boto3.session.Session(
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        os.environ["AWS_SESSION_TOKEN"],
    )
    s3, batch, logs = map(session.client, ("s3", "batch", "logs"))
    for key in ("scripts/a.tar.gz", "data/large"):
        there = {"Bucket": stack.bucket, "Key": key}
        s3.put_object(**there, Body=b"")
        upload = s3.create_multipart_upload(**there)["UploadId"]
        s3.abort_multipart_upload(**there, UploadId=upload)
    s3.list_objects_v2(Bucket=stack.bucket, Prefix="results/")
    queue, definition = stack.outputs["Queue"], stack.outputs["JobDefinition"]
    job = batch.submit_job(jobName="pilot", jobQueue=queue, jobDefinition=definition)["jobId"]
    batch.describe_jobs(jobs=[job])
    batch.list_jobs(jobQueue=queue)
    batch.describe_job_definitions(jobDefinitionName=definition)
    batch.terminate_job(jobId=job, reason="test")
    group = stack.outputs["PilotLogs"]
    logs.filter_log_events(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName=group, logStreamName="pilot/default/0")


def commands_of_operators(stack: Stack) -> list[list[str]]:
    script, file = (str(ROOT / name) for name in ("import-items.py", "use_cases/demo/single.txt"))
    here = ("-t", stack.table)
    command = ("-m", "pyanamo")
    return [
        [script, *here, "-i", file],
        [script, *here, "-i", file, "--replace"],
        [*command, "tables"],
        [*command, "capacity", *here, "--autoscale", "5", "50", "70"],
        [*command, "capacity", *here, "--on-demand"],
        [*command, "drop", *here, "--yes"],
        [*command, "create", *here],
    ]


# --- A key of the data bucket -------------------------------------------------------------------


def test_a_key_of_the_data_bucket(
    moto: str, table_name: str, stack: Stack, simulator: Simulator
) -> None:
    """Which S3 asks for on behalf of those who read and write (KMS Developer Guide)."""
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a1b2c3d"
    keyed = create_stack(moto, f"{table_name}-2", DataBucket="cohort", DataBucketKey=key)
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        request = Request(action=action, resource=key)
        other = Request(action=action, resource=f"{key}4")
        for made, is_allowed in ((keyed, True), (stack, False)):
            operators = made.policy(made.outputs["OperatorPolicy"])
            for policies in ([*made.pilots_policies().values()], [operators]):
                assert simulator.allows(request, policies, SOMEBODY) is is_allowed
                assert not simulator.allows(other, policies, SOMEBODY)

"""Stacks made in moto from the CloudFormation template of use_cases/aws.

In moto, permissions hold: real pilots and commands run with the credentials of the stack's roles,
and what no policy allows is refused (tests/support/permissions.py tells what moto was taught for
that). What it can't show is checked in the document (test_stack_template.py): conditions of
policies, the policy of the bucket and its lifecycle, launch templates. What AWS Batch makes of a
job, neither can show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from pyanamo.model import ItemState
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection
from tests.support.makers import add, badly, claimed, ended, failed, nested, single
from tests.support.permissions import credentials_of, enforced, role_with, running_enforcing_moto
from tests.support.pilots import LOG_LINE
from tests.support.programs import ROOT, Finished
from tests.support.stack import (
    ACCOUNT,
    REGION,
    TEACH,
    Stack,
    as_list,
    create_stack,
    without,
)

HERE = f"{REGION}:{ACCOUNT}"

GONE_JOB = "0a1b2c3d-1111-2222-3333-444455556666"
LARGE = "bash -c 'head -c 6000000 /dev/urandom | base64'"  # its log is uploaded in parts


# --- A stack ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of a server."""
    with running_enforcing_moto(TEACH) as endpoint:
        yield endpoint


@pytest.fixture
def stack(moto: str, table_name: str) -> Stack:
    """A stack of this test's own."""
    return create_stack(moto, table_name)


def test_what_a_stack_has(moto: str, table_name: str) -> None:
    stack = create_stack(moto, table_name, OnDemandMaxvCPUs="16", WallTime="6h", Items="2")
    assert set(stack.outputs) == {
        *("TableName", "TableArn", "LogBucket", "PilotLogs", "Repository"),
        *("Queue", "JobDefinition", "PilotRole", "OperatorPolicy"),
    }
    batch = stack.client("batch")
    (queue,) = batch.describe_job_queues(jobQueues=[stack.outputs["Queue"]])["jobQueues"]
    order = [one["computeEnvironment"] for one in queue["computeEnvironmentOrder"]]
    machines = {
        one["computeEnvironmentArn"]: one["computeResources"]
        for one in batch.describe_compute_environments()["computeEnvironments"]
    }
    assert [(machines[arn]["type"], machines[arn]["allocationStrategy"]) for arn in order] == [
        ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED"),
        ("EC2", "BEST_FIT_PROGRESSIVE"),
    ]
    (job,) = batch.describe_job_definitions(jobDefinitionName=stack.outputs["JobDefinition"])[
        "jobDefinitions"
    ]
    container = job["containerProperties"]
    assert container["image"] == stack.outputs["Repository"] + ":latest"
    assert container["command"] == ["-", "--spot-notice"]
    assert container["jobRoleArn"] == stack.outputs["PilotRole"]
    assert container["logConfiguration"]["options"]["awslogs-group"] == stack.outputs["PilotLogs"]
    assert {one["name"]: str(one["value"]) for one in container["environment"]} == {
        "PYANAMO_TABLE": stack.table,
        "PYANAMO_ITEMS": "2",
        "PYANAMO_NESTS": "1",
        "PYANAMO_WALL_TIME": "6h",
        "S3_BUCKET": f"s3://{stack.bucket}/PyAnamo",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"


def test_spot_machines_only_unless_others_are_asked_for(stack: Stack) -> None:
    (queue,) = stack.client("batch").describe_job_queues(jobQueues=[stack.outputs["Queue"]])[
        "jobQueues"
    ]
    assert len(queue["computeEnvironmentOrder"]) == 1


def test_what_a_pilot_and_its_tasks_may_do(stack: Stack) -> None:
    """Exactly. Of the policy for tasks, as it is before anybody extends it."""
    table = f"arn:aws:dynamodb:{HERE}:table/{stack.table}"
    bucket = f"arn:aws:s3:::{stack.bucket}"
    below = [f"{bucket}/{prefix}/*" for prefix in ("scripts", "data", "results")]
    allowed = {
        name: [
            (as_list(statement["Action"]), as_list(statement["Resource"]))
            for statement in policy["Statement"]
        ]
        for name, policy in stack.pilots_policies().items()
    }
    assert allowed == {
        "PilotPolicy": [
            (["dynamodb:UpdateItem"], [table]),
            (["dynamodb:BatchGetItem"], [table]),
            (["dynamodb:Query"], [f"{table}/index/ItemStateIndex"]),
            (["s3:AbortMultipartUpload", "s3:PutObject"], [f"{bucket}/PyAnamo/*"]),
        ],
        "TaskPolicy": [
            (["s3:GetObject"], below),
            (["s3:AbortMultipartUpload", "s3:PutObject"], [f"{bucket}/results/*"]),
            (["s3:ListBucket"], [bucket]),
        ],
    }


def test_data_may_be_in_another_bucket(moto: str, table_name: str) -> None:
    stack = create_stack(moto, table_name, DataBucket="cohort", ArchivePrefix="team/scripts")
    statements = stack.pilots_policies()["TaskPolicy"]["Statement"]
    assert [as_list(statement["Resource"]) for statement in statements] == [
        [f"arn:aws:s3:::cohort/{prefix}/*" for prefix in ("team/scripts", "data", "results")],
        ["arn:aws:s3:::cohort/results/*"],
        ["arn:aws:s3:::cohort"],
    ]


# --- Pilots with the stack's role ---------------------------------------------------------------


def fill(stack: Stack) -> None:
    """An item of each kind, and one that a pilot took and lost."""
    table = stack.opened()
    claimed(table, single("lost", "echo lost"), lease=-60)
    add(table, single("whole", LARGE), nested("parts", 2))
    table.close()


def states(stack: Stack) -> dict[str, ItemState]:
    table = stack.opened()
    found = {row.item_id: row.state for row in table.summaries()}
    table.close()
    return found


def run_pilot(
    stack: Stack,
    credentials: dict[str, str],
    folder: Path,
    *,
    table: str = "",
    prefix: str = "PyAnamo",
) -> Finished:
    where = ("-t", table or stack.table, "-b", f"s3://{stack.bucket}/{prefix}")
    with enforced(stack.endpoint):
        script = str(ROOT / "pyanamo.py")
        return stack.run(credentials, folder, script, *where)


def test_a_pilot_does_its_job_and_an_operator_reads_its_log(
    stack: Stack,
    operator: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(stack)
    credentials = credentials_of(stack.endpoint, stack.outputs["PilotRole"])
    run = run_pilot(stack, credentials, tmp_path)
    assert (run.code, run.stdout[:7]) == (0, "done 3,")
    assert states(stack) == dict.fromkeys(["lost", "whole", "parts"], ItemState.DONE)
    assert f"PyAnamo/{stack.table}/whole/Task_0.1.stdout.gz" in stack.objects()
    with a_workflow_of(stack, operator, monkeypatch) as steps:
        size = steps.result("whole").stdout_bytes
        assert sum(map(len, steps.logs("whole"))) == size > 8_000_000


@pytest.mark.parametrize(
    "permission",
    ["dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:BatchGetItem", "s3:PutObject"],
)
def test_a_pilot_without_one_of_its_permissions(
    stack: Stack, tmp_path: Path, permission: str
) -> None:
    table = stack.opened()
    claimed(table, single("lost"), lease=-60)
    if permission != "dynamodb:BatchGetItem":  # which is for when nothing else is left
        add(table, single("waits"))
    table.close()
    before = states(stack)
    policies = [without(policy, permission) for policy in stack.pilots_policies().values()]
    name = permission.replace(":", "-")
    credentials = credentials_of(stack.endpoint, role_with(stack.endpoint, name, *policies))
    run = run_pilot(stack, credentials, tmp_path)
    assert_denied(run, permission)
    assert states(stack) == before
    assert list(tmp_path.iterdir()) == []


def assert_denied(run: Finished, permission: str) -> None:
    """It failed, with one line beside its log, which names what it may not do."""
    assert run.code == 1
    (line,) = (line for line in run.stderr.splitlines() if not LOG_LINE.fullmatch(line))
    operation = permission.partition(":")[2]
    assert f"access denied to {operation}" in line


def test_a_pilot_has_nothing_to_look_for_elsewhere(stack: Stack, tmp_path: Path) -> None:
    credentials = credentials_of(stack.endpoint, stack.outputs["PilotRole"])
    other_table = run_pilot(stack, credentials, tmp_path, table=f"{stack.table}-2")
    assert_denied(other_table, "dynamodb:Query")
    other_prefix = run_pilot(stack, credentials, tmp_path, prefix="Other")
    assert_denied(other_prefix, "s3:PutObject")


def test_a_pilot_can_not_import(stack: Stack, tmp_path: Path) -> None:
    credentials = credentials_of(stack.endpoint, stack.outputs["PilotRole"])
    with enforced(stack.endpoint):
        run = stack.run(credentials, tmp_path, *import_of(stack))
    assert_denied(run, "dynamodb:DescribeTable")
    assert states(stack) == {}


# --- Operators with the stack's policy ----------------------------------------------------------


@pytest.fixture
def operator(stack: Stack) -> dict[str, str]:
    """The credentials of somebody who has the operator's policy and no other."""
    policy = stack.policy(stack.outputs["OperatorPolicy"])
    return credentials_of(stack.endpoint, role_with(stack.endpoint, stack.name, policy))


def import_of(stack: Stack, *flags: str) -> list[str]:
    file = str(ROOT / "use_cases" / "demo" / "single.txt")
    return [str(ROOT / "import-items.py"), "-t", stack.table, "-i", file, *flags]


def test_an_operator_imports_looks_and_drops(
    stack: Stack, operator: dict[str, str], tmp_path: Path
) -> None:
    commands = [
        import_of(stack),
        import_of(stack, "--replace"),
        ["-m", "pyanamo", "status", "-t", stack.table],
        ["-m", "pyanamo", "tables"],
        ["-m", "pyanamo", "capacity", "-t", stack.table, "--read", "5", "--write", "5"],
        ["-m", "pyanamo", "drop", "-t", stack.table, "--yes"],
        ["-m", "pyanamo", "create", "-t", stack.table],
    ]
    with enforced(stack.endpoint):
        runs = [stack.run(operator, tmp_path, *command) for command in commands]
    assert [(one.code, one.stderr) for one in runs if one.code] == []
    assert stack.table in runs[2].stdout
    assert f"\n{stack.table}\t6\t0\t0\t0\t0\t6\n" in runs[3].stdout
    assert states(stack) == {}


def test_an_operator_has_all_verbs(
    stack: Stack, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of `python -m pyanamo`, called in Python, since so many processes take long."""
    table = stack.opened()
    claimed(table, single("lost"), lease=-60, pilot=f"{GONE_JOB}#1")
    ended(table, single("bad"), failed({"Task_0": badly()}))
    add(table, single("more"))
    table.close()
    more, lost = Selection(names=("more",)), Selection(names=("lost",))
    with a_workflow_of(stack, operator, monkeypatch) as steps:
        assert steps.create() == []
        assert [status.total for status in steps.status()] == [3]
        assert len(steps.samples().rows) == 1
        assert len(list(steps.items())) == 3
        assert steps.show("bad").state is ItemState.FAILED
        assert [group.count for group in steps.failures()] == [1]
        assert [held.job.job_id for held in steps.jobs()] == [GONE_JOB]
        assert steps.restart(Selection(names=("bad",))).changed == 1
        assert steps.hold(more).changed == 1
        assert steps.unhold(more).changed == 1
        assert steps.release(lost).changed == 1
        assert steps.delete(more).changed == 1
        assert len(list(steps.export())) == 2


@contextmanager
def a_workflow_of(
    stack: Stack, credentials: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workflow]:
    """The table, with these credentials; while it is open, nobody else has any rights."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    with enforced(stack.endpoint), Workflow(stack.table) as steps:
        yield steps


def test_an_operator_submits_to_the_stacks_queue_only(
    stack: Stack, operator: dict[str, str], moto: str
) -> None:
    batch = boto3.session.Session(*operator.values()).client("batch", endpoint_url=moto)
    job = {
        "jobName": "pilot",
        "jobQueue": stack.outputs["Queue"],
        "jobDefinition": stack.outputs["JobDefinition"],
    }
    with enforced(moto):
        job_id = batch.submit_job(**job)["jobId"]
        assert [one["jobId"] for one in batch.describe_jobs(jobs=[job_id])["jobs"]] == [job_id]
        batch.terminate_job(jobId=job_id, reason="test")
        batch.submit_job(**{**job, "jobDefinition": f"{job['jobDefinition']}:1"})
        others = [("jobQueue", "another"), ("jobDefinition", "another")]
        others.append(("jobDefinition", f"{job['jobDefinition']}-2:1"))
        for name, other in others:
            with pytest.raises(ClientError, match="not authorized to perform: batch:SubmitJob"):
                batch.submit_job(**{**job, name: other})


# --- The end of a stack -------------------------------------------------------------------------


def test_a_deleted_stack_leaves_the_table_and_the_bucket(stack: Stack) -> None:
    fill(stack)
    stack.client("s3").put_object(Bucket=stack.bucket, Key="PyAnamo/log", Body=b"log")
    cloudformation = stack.client("cloudformation")
    cloudformation.delete_stack(StackName=stack.name)
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName=stack.name)
    assert sorted(states(stack)) == ["lost", "parts", "whole"]
    assert stack.objects() == ["PyAnamo/log"]
    iam = stack.client("iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=stack.outputs["PilotRole"].rpartition("/")[2])

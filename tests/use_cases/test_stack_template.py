"""The document of the CloudFormation stack of use_cases/aws: what moto can't show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyanamo.tables.attributes import ONLY_IMPORTED, attribute_names
from pyanamo.tables.dynamodb.definition import table_definition
from tests.support.container import instructions
from tests.support.stack import TEMPLATE, Document, as_list, document

# What AWS can't allow for single resources (Service Authorization Reference).
FOR_ALL_RESOURCES = [
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "batch:DescribeJobDefinitions",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "dynamodb:ListTables",
]


@pytest.fixture(scope="module")
def template() -> Document:
    return document()


def properties(template: Document, name: str) -> Document:
    found: Document = template["Resources"][name]["Properties"]
    return found


def of_type(template: Document, kind: str) -> list[Document]:
    resources = template["Resources"].values()
    found = [one["Properties"] for one in resources if one["Type"] == f"AWS::{kind}"]
    assert found, f"no {kind}"
    return found


def test_cfn_lint_has_nothing_to_say() -> None:
    """All its rules, those for information included, and no metadata that turns any off."""
    assert "cfn-lint" not in TEMPLATE.read_text()
    linter = Path(sys.executable).with_name("cfn-lint")
    command = [linter, "--include-checks", "I", "--", TEMPLATE]
    run = subprocess.run(command, capture_output=True, text=True, cwd=TEMPLATE.parent)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_table_is_the_one_that_create_makes(template: Document) -> None:
    table = dict(properties(template, "Table"))
    assert table.pop("DeletionProtectionEnabled") == {"Fn::If": ["TableProtected", True, False]}
    recovery = table.pop("PointInTimeRecoverySpecification")
    assert table.pop("TableName") == {"Ref": "TableName"}
    expected = table_definition("any")
    expected.pop("TableName")
    assert table == expected
    assert recovery == {"PointInTimeRecoveryEnabled": {"Ref": "PointInTimeRecovery"}}
    assert template["Parameters"]["PointInTimeRecovery"]["AllowedValues"] == ["true", "false"]


def test_what_holds_results_outlives_the_stack(template: Document) -> None:
    """And is deleted all the same if the stack could never be made."""
    kept = [
        name
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate"
    ]
    assert kept == ["Table", "LogBucket", "LogBucketPolicy"]
    for name in kept:
        assert template["Resources"][name]["UpdateReplacePolicy"] == "Retain"


def test_nothing_is_allowed_by_a_wildcard(template: Document) -> None:
    statements = [
        statement.get("Fn::If", [None, statement])[1]
        for kind in ("IAM::Policy", "IAM::ManagedPolicy")
        for policy in of_type(template, kind)
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    everywhere: list[str | Document] = []
    for statement in statements:
        actions = as_list(statement["Action"])
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions if "*" in str(action)]
        if "*" in as_list(statement["Resource"]):
            everywhere += actions
    assert everywhere == FOR_ALL_RESOURCES
    for role in of_type(template, "IAM::Role"):  # nothing by the way
        assert "Policies" not in role


def test_pilots_may_write_what_no_import_writes(template: Document) -> None:
    """All attributes of an item that are there, but those that stay as an import wrote them."""
    statement = properties(template, "PilotPolicy")["PolicyDocument"]["Statement"][0]
    condition, given, otherwise = statement["Condition"]["Fn::If"]
    assert (condition, otherwise) == ("CommandsProtected", {"Ref": "AWS::NoValue"})
    allowed = given["ForAllValues:StringEquals"]["dynamodb:Attributes"]
    assert set(allowed) >= {*attribute_names()} - set(ONLY_IMPORTED)
    assert not set(allowed) & set(ONLY_IMPORTED)
    assert statement["Action"] == "dynamodb:UpdateItem"


def test_roles_are_for_their_services_only(template: Document) -> None:
    trusted = {}
    for name in ("PilotRole", "MachineRole"):
        (statement,) = properties(template, name)["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        trusted[name] = (statement["Principal"], statement.get("Condition"))
    own_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert trusted == {
        "PilotRole": ({"Service": "ecs-tasks.amazonaws.com"}, own_account),
        "MachineRole": ({"Service": {"Fn::Sub": "ec2.${AWS::URLSuffix}"}}, None),
    }


def test_the_bucket_is_private_and_encrypted(template: Document) -> None:
    bucket = properties(template, "LogBucket")
    block = bucket["PublicAccessBlockConfiguration"]
    assert len(block) == 4
    assert set(block.values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (policy,) = of_type(template, "S3::BucketPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["Bucket"] == {"Ref": "LogBucket"}
    assert statement == {
        "Sid": "EncryptedConnectionsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [
            {"Fn::GetAtt": ["LogBucket", "Arn"]},
            {"Fn::Sub": "${LogBucket.Arn}/*"},
        ],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_logs_and_parts_of_uploads_expire(template: Document) -> None:
    """Logs only: data and results in the same bucket stay."""
    logs, parts = properties(template, "LogBucket")["LifecycleConfiguration"]["Rules"]
    assert (logs["Status"], parts["Status"]) == ("Enabled", "Enabled")
    assert (logs["Prefix"], logs["ExpirationInDays"]) == ("PyAnamo/", {"Ref": "LogDays"})
    assert "Prefix" not in parts
    days = parts["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
    assert days == {"Ref": "IncompleteUploadDays"}
    assert properties(template, "PilotLogs")["RetentionInDays"] == {"Ref": "PilotLogDays"}
    assert properties(template, "Repository")["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_a_pilot_that_a_restart_helps_starts_again(template: Document) -> None:
    """And no other: AWS Batch takes the first rule that matches, and retries if none does."""
    assert properties(template, "PilotJob")["RetryStrategy"] == {
        "Attempts": 10,
        "EvaluateOnExit": [
            {"OnStatusReason": "Host EC2*", "Action": "RETRY"},
            {"OnStatusReason": "Task failed to start*", "Action": "RETRY"},
            {"OnExitCode": "75", "Action": "RETRY"},
            {"OnExitCode": "143", "Action": "RETRY"},
            {"OnReason": "*", "Action": "EXIT"},
        ],
    }


def test_machines_let_nobody_in_and_containers_see_the_spot_notice(template: Document) -> None:
    """AWS Batch runs containers in the machine's own network, so they are no hop further away."""
    assert "SecurityGroupIngress" not in properties(template, "MachineSecurityGroup")
    data = properties(template, "MachineTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    user_data, variables = data["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert user_data.startswith("MIME-Version: 1.0\nContent-Type: multipart/mixed;")
    assert "\necho ECS_CONTAINER_STOP_TIMEOUT=60s >> /etc/ecs/ecs.config\n" in user_data
    assert "\n${RejectTasks}\n" in user_data
    condition, *commands = variables["RejectTasks"]["Fn::If"]
    assert condition == "TasksReadMetadata"
    (user,) = (one.text.partition(":")[0] for one in instructions() if one.word == "USER")
    assert commands == [
        "",
        "iptables --insert OUTPUT --destination 169.254.169.254 --match owner"
        f" --uid-owner {user} --jump REJECT",
    ]


def test_a_change_of_the_stack_stops_no_pilot(template: Document) -> None:
    """Nor does its end take permissions from one that still runs."""
    for name in ("SpotMachines", "OnDemandMachines"):
        machines = properties(template, name)
        assert machines["UpdatePolicy"] == {
            "TerminateJobsOnUpdate": False,
            "JobExecutionTimeoutMinutes": 7200,
        }
        assert machines["ComputeResources"]["UpdateToLatestImageVersion"] is True
        assert template["Resources"][name]["DependsOn"] == ["PilotPolicy", "TaskPolicy"]


def test_machines_are_there_only_while_they_are_needed(template: Document) -> None:
    for machines in of_type(template, "Batch::ComputeEnvironment"):
        assert machines["ComputeResources"]["MinvCpus"] == 0
        assert "ServiceRole" not in machines  # its own, without which it can't change them in place
        assert machines["ReplaceComputeEnvironment"] is False

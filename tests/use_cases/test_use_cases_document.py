"""The commands of use_cases/README.md, typed in from its top to its end.

AWS is moto's server here, with the document's own stacks in it. What it doesn't do is done by the
test: it runs what AWS Batch was told to run, as the pilots' role and with its permissions alone,
from the files of the image. Two programs are stand-ins: Docker writes down how it is called, and
`aws`, of pilots and tasks only, copies quickly (tests/support/copier.py).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.container import HOME, copy_into
from tests.support.copier import Copier
from tests.support.documents import examples
from tests.support.moto_server import set_moto
from tests.support.permissions import credentials_of, enforced, running_enforcing_moto
from tests.support.programs import ROOT, SECONDS, Finished, finish
from tests.support.stack import REGION, TEACH, template_for_moto
from tests.support.warm import search_path

DOCUMENT = ROOT / "use_cases" / "README.md"
EXAMPLES = [example.text for example in examples("use_cases/README.md")]
STEPS = ("Align", "Call", "Merge")

# The commands that stand in its sentences aren't run here, and why.
NOT_RUN = {
    "make use-case": "a target of the Makefile, which .ci/run runs",
    "bash use_cases/example_docker/make-cohort.sh build/use-case/cohort": "make use-case does it",
    "python -m pip install -r requirements.txt": "test_readme.py runs it",
    "python -m pyanamo status -t Align Call Merge --watch": "it goes on until Ctrl-C",
    "aws ec2 create-default-vpc": "there is one",
    "aws iam add-user-to-group": "without a user there is nothing to add",
    "aws iam remove-user-from-group": "nor to remove",
}

DIGEST = "sha256:" + "0123456789abcdef" * 4
# An image may have been pushed to other repositories too.
DOCKER = f"""
[[ $1 != login ]] || cat >/dev/null
[[ $1 != inspect ]] || printf '%s\\n' "other/image@sha256:0" "${{4%:*}}@{DIGEST}" ""
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of a server with an empty account."""
    with running_enforcing_moto(TEACH) as endpoint:
        yield endpoint


class Reader:
    """Somebody who types the examples in, in their order, in one shell."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder / "checkout"
        self.endpoint = endpoint
        self._waiting = iter(EXAMPLES)
        self._make_checkout()
        tools = folder / "tools"
        tools.mkdir()
        docker = f'echo "$*" >>{folder}/docker.calls\n{DOCKER}'
        (tools / "docker").write_text(f"#!/bin/bash\n{docker}")
        (tools / "docker").chmod(0o755)
        self.docker_calls = folder / "docker.calls"
        self.environment = {
            **os.environ,
            "PATH": search_path(tools),
            "AWS_ENDPOINT_URL": endpoint,
            "CHROMOSOMES": "chr1",
        }
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):  # the document sets these
            del self.environment[name]

    def _make_checkout(self) -> None:
        """What the examples use, with a template that moto understands, and the tiny cohort."""
        cases = self.folder / "use_cases"
        cases.mkdir(parents=True)
        for name in ("pyanamo", "pyanamo.py", "import-items.py", "requirements.txt"):
            (self.folder / name).symlink_to(ROOT / name)
        # No link: what copies of it change must not be the original.
        shutil.copytree(ROOT / "use_cases" / "example_docker", cases / "example_docker")
        (cases / "aws").mkdir()
        template = json.dumps(template_for_moto(self.endpoint))
        (cases / "aws" / "template.yaml").write_text(template)
        settings = {"SAMPLES": "2", "LENGTH": "3000", "CHROMOSOMES": "chr1"}
        subprocess.run(
            ["bash", "use_cases/example_docker/make-cohort.sh", "build/use-case/cohort"],
            cwd=self.folder,
            env={**os.environ, **settings, "PYTHON": sys.executable},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def next(self, begin: str) -> str:
        """What the next example prints on stdout; it must begin so, and each command succeed."""
        text = next(self._waiting, "")
        assert text.startswith(begin), f"{begin!r} is expected, the next example is\n{text}"
        # What it sets, functions included, is exported for the next one.
        session = self.folder.parent / "session"
        script = f"set -a\n{text}\nenv -0 >{shlex.quote(str(session))}"
        ran = subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * SECONDS,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}\n{ran.stderr}"
        entries = session.read_text().split("\0")
        self.environment = dict(entry.split("=", 1) for entry in entries if entry)
        return ran.stdout

    def is_through(self) -> bool:
        """Whether all examples have been typed in."""
        return next(self._waiting, None) is None

    def client(self, service: Any) -> Any:
        """A client of a service of this account."""
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION)

    def output(self, step: str, name: str) -> str:
        """An output of a step's stack."""
        stacks = self.client("cloudformation").describe_stacks(StackName=f"pyanamo-{step}")
        found = {one["OutputKey"]: one["OutputValue"] for one in stacks["Stacks"][0]["Outputs"]}
        value: str = found[name]
        return value


class Machine:
    """Runs one pilot of a job, as AWS Batch does, with the image's files."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self._reader = reader
        self._image = folder / "image"
        self._folder = folder / "work"
        self._folder.mkdir()
        copy_into(self._image)
        self.copier = Copier(reader.endpoint)
        tools = folder / "machine"
        tools.mkdir()
        self.copier.make_tool(tools)
        self._path = os.pathsep.join((str(tools), reader.environment["PATH"]))

    def run(self, step: str, job_id: str) -> Finished:
        """Run it to its end."""
        batch = self._reader.client("batch")
        (job,) = batch.describe_jobs(jobs=[job_id])["jobs"]
        definitions = batch.describe_job_definitions(jobDefinitionName=f"pyanamo-{step}-pilot")
        definition = max(definitions["jobDefinitions"], key=lambda one: one["revision"])
        container = definition["containerProperties"]
        told = [*container["environment"], *job["container"]["environment"]]
        environment = {
            "PATH": self._path,
            "AWS_ENDPOINT_URL": self._reader.endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._reader.endpoint,  # 404: no Spot notice
            **credentials_of(self._reader.endpoint, container["jobRoleArn"]),
            # For an empty parameter moto has [].
            **{one["name"]: str(one["value"] or "") for one in told},
        }
        program = self._image / str(HOME)[1:] / "use_cases/example_docker/Fetch_and_Run.sh"
        with enforced(self._reader.endpoint):
            return finish(
                subprocess.Popen(
                    [str(program), *job["container"]["command"]],
                    cwd=self._folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )


def test_what_is_not_run_is_listed() -> None:
    prose = re.sub(r"^```.*?^```$", "", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL)
    quoted = {" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)}
    commands = {text for text in quoted if re.match(r"(aws|bash|docker|make|python) ", text)}
    assert commands == set(NOT_RUN)


@pytest.mark.timeout(400)  # a whole workflow, and a process of Python for each `aws`
def test_from_an_empty_account_to_a_cohort_and_back(moto: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path, moto)
    machine = Machine(reader, tmp_path)
    make_first_stack(reader)
    push_image(reader)
    make_stacks(reader)
    make_operators(reader)
    fill(reader)
    with machine.copier.serving():
        align(reader, machine)
        call_and_merge(reader, machine)
    clean_up(reader)
    assert reader.is_through()


def make_first_stack(reader: Reader) -> None:
    assert '"Account": "123456789012"' in reader.next("unset PYANAMO_LOCAL")
    vpc, subnets = reader.next("VPC=").split()
    (default,) = reader.client("ec2").describe_vpcs()["Vpcs"]
    assert vpc == default["VpcId"]
    assert len(subnets.split(",")) == len(reader.client("ec2").describe_subnets()["Subnets"])
    reader.next("aws iam create-service-linked-role")
    reader.next("template=use_cases/aws/template.yaml\noutput() {")
    repository, data = (reader.output("Align", name) for name in ("Repository", "LogBucket"))
    assert (reader.environment["REPOSITORY"], reader.environment["DATA"]) == (repository, data)


def make_stacks(reader: Reader) -> None:
    reader.next("aws cloudformation deploy")
    image = reader.environment["IMAGE"]
    definitions = reader.client("batch").describe_job_definitions()["jobDefinitions"]
    images = {
        one["jobDefinitionName"]: one["containerProperties"]["image"]
        for one in sorted(definitions, key=lambda one: one["revision"])
    }
    assert images == {f"pyanamo-{step}-pilot": image for step in STEPS}
    assert reader.client("dynamodb").list_tables()["TableNames"] == list(STEPS)


def push_image(reader: Reader) -> None:
    reader.next("aws ecr get-login-password")
    repository = reader.environment["REPOSITORY"]
    assert reader.environment["IMAGE"] == f"{repository}@{DIGEST}"
    image = f"{repository}:latest"
    dockerfile = "use_cases/example_docker/Dockerfile"
    assert reader.docker_calls.read_text().splitlines() == [
        f"login --username AWS --password-stdin {image.partition('/')[0]}",
        f"build --platform linux/amd64 -f {dockerfile} -t {image} .",
        f"push {image}",
        f"inspect --format {{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}} {image}",
    ]
    assert (ROOT / dockerfile).is_file()


def make_operators(reader: Reader) -> None:
    reader.next("aws iam create-group")
    attached = reader.client("iam").list_attached_group_policies(GroupName="pyanamo-operators")
    assert {one["PolicyArn"] for one in attached["AttachedPolicies"]} == {
        reader.output(step, "OperatorPolicy") for step in STEPS
    }


def fill(reader: Reader) -> None:
    reader.next("aws s3 cp --recursive")
    printed = reader.next("bash use_cases/example_docker/make-task-files.sh").splitlines()
    assert [line for line in printed if line.startswith("imported")] == [
        "imported 2, already there 0",
        "imported 2, already there 0",
        "imported 1, already there 0",
    ]
    # For section 9.
    bucket, reads = reader.environment["DATA"], "data/cohort/reads/Sample2_2.fastq.gz"
    reader.client("s3").delete_object(Bucket=bucket, Key=reads)


def align(reader: Reader, machine: Machine) -> None:
    dry, job_id = reader.next("python -m pyanamo submit -t Align").strip().rsplit("\n", 1)
    assert reader.environment["ARCHIVE"] in dry
    ended = machine.run("Align", job_id)
    assert ended.stdout.startswith("done 1, failed 1, "), ended.stderr
    printed = reader.next("python -m pyanamo samples")
    assert printed.startswith(
        "TaskID\tAlign\tCall\tMerge\n"
        "Cohort\t\t\ttodo\nSample1\tdone\t0/1 todo\t\nSample2\tfailed\t0/1 todo\t\n"
    )
    assert job_id in printed
    printed = reader.next("python -m pyanamo failures")
    assert "python -m pyanamo restart -t Align" in printed
    assert "data/cohort/reads/Sample2_2.fastq.gz" in printed
    printed = reader.next("aws s3 cp --recursive --only-show-errors build/use-case/cohort/reads")
    restarted, job_id = printed.splitlines()
    assert restarted == "restarted 1"
    ended = machine.run("Align", job_id)
    assert ended.stdout.startswith("done 1, failed 0, "), ended.stderr


def call_and_merge(reader: Reader, machine: Machine) -> None:
    job_id = reader.next("python -m pyanamo submit -t Call").strip()
    ended = machine.run("Call", job_id)
    assert ended.stdout.startswith("done 2, failed 0, "), ended.stderr
    leave_jobs_waiting(reader.endpoint)
    job_id = reader.next("python -m pyanamo submit -t Merge").strip()
    ended = machine.run("Merge", job_id)
    assert ended.stdout.startswith("done 1, failed 0, "), ended.stderr
    counts = reader.next("aws s3 cp --recursive").splitlines()
    assert [line.split("\t")[0] for line in counts] == ["sample", "Sample1", "Sample2"]


def leave_jobs_waiting(endpoint: str) -> None:
    """From now on jobs stay as they are submitted."""
    set_moto(endpoint, "config", {"batch": {"use_docker": True}})
    transition = {"progression": "manual", "times": 1_000_000}
    setting = {"model_name": "batch::job", "transition": transition}
    set_moto(endpoint, "state-manager/set-transition", setting)


def clean_up(reader: Reader) -> None:
    reader.next("for step in Align Call Merge; do\n    for job in")
    batch = reader.client("batch")
    for step in STEPS:  # those of Align and Call had ended
        listed = batch.list_jobs(
            jobQueue=f"pyanamo-{step}-pilots", filters=[{"name": "JOB_NAME", "values": ["*"]}]
        )["jobSummaryList"]
        expected = {"no longer wanted"} if step == "Merge" else {None}
        assert {job.get("statusReason") for job in listed} == expected
    buckets = reader.next("BUCKETS=").split()
    assert len(buckets) == len(STEPS)
    assert reader.client("dynamodb").list_tables()["TableNames"] == list(STEPS)
    found = [one["Name"] for one in reader.client("s3").list_buckets()["Buckets"]]
    assert sorted(found) == sorted(buckets)
    reader.next("python -m pyanamo drop")
    assert reader.client("dynamodb").list_tables()["TableNames"] == []
    assert reader.client("s3").list_buckets()["Buckets"] == []
    assert reader.client("ecr").describe_repositories()["repositories"] == []
    assert reader.client("iam").list_groups()["Groups"] == []
    policies = reader.client("iam").list_policies(Scope="Local")["Policies"]
    assert [one["AttachmentCount"] for one in policies] == [0, 0, 0]  # moto leaves them there
    assert (
        reader.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])[
            "StackSummaries"
        ]
        == []
    )
    assert reader.client("logs").describe_log_groups()["logGroups"] == []

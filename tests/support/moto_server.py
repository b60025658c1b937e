"""Moto's server, a stand-in for AWS, run for the tests in a process of its own.

One server plays every service that moto knows. Its URL is for a client or, in the environment
variables `AWS_ENDPOINT_URL_BATCH` and the like, for everything below. Tests that share one share
what is in it: each makes its own things, under its own names.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from tests.support.programs import ROOT

# It takes any port that is free, tells which, and lasts until its stdin ends: when the tests close
# it, or when they die, however they do.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


JOBS_SUCCEED = {"batch": {"use_docker": False}}  # jobs of AWS Batch do, at once


@contextmanager
def running_moto(before: str = "") -> Iterator[str]:
    """A server; its URL. `before` is Python that it runs first."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-c", before + _SERVER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the tests
        ) as process,
    ):
        try:
            assert process.stdout is not None
            port = process.stdout.readline().decode().strip()
            if not port:
                errors.seek(0)
                raise RuntimeError(f"moto's server can't be started:\n{errors.read().decode()}")
            endpoint = f"http://127.0.0.1:{port}"
            set_moto(endpoint, "config", JOBS_SUCCEED)
            yield endpoint
        finally:
            process.kill()  # nothing of it is worth keeping


def set_moto(endpoint: str, setting: str, value: object) -> None:
    """Change a setting of the server: `config`, `state-manager/set-transition` ..."""
    request = urllib.request.Request(
        f"{endpoint}/moto-api/{setting}",
        data=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()


def make_queue(endpoint: str) -> str:
    """Make a queue in moto's Batch, and a job definition of its name."""
    batch = boto3.client("batch", endpoint_url=endpoint)
    iam = boto3.client("iam", endpoint_url=endpoint)
    name = f"test-{uuid.uuid4()}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", serviceRole=role
    )
    batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}],
    )
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={"image": "busybox", "vcpus": 1, "memory": 64, "command": ["true"]},
    )
    return name


def submit_job(endpoint: str, queue: str, **arguments: Any) -> str:
    """Submit a job to such a queue; its id."""
    answer = boto3.client("batch", endpoint_url=endpoint).submit_job(
        jobName="pilot", jobQueue=queue, jobDefinition=queue, **arguments
    )
    job_id: str = answer["jobId"]
    return job_id

"""Fetch_and_Run.sh, run from the image's files: what it fetches, becomes, and refuses."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import stat
import time
import uuid
from pathlib import Path

import boto3
import pytest

from pyanamo.model import ItemState
from tests.support.archives import COUNT, make_steps, make_tar, make_zip, member
from tests.support.container import HOME, Container, the_error
from tests.support.pilots import PilotProcess
from tests.support.processes import unshared
from tests.support.s3 import FaultyS3
from tests.support.waiting import wait_until

URI = "s3://bucket/scripts/steps"


# --- What it does -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar", ".zip"])
def test_tasks_find_their_scripts_in_the_archive(container: Container, suffix: str) -> None:
    place = container.place
    archive = make_steps(place.folder, suffix)
    container.serve(archive)
    place.fill({"one": "bash steps/count.sh 2 'a  b'", "nested": ["count.sh 1", "count.sh 2"]})
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest().upper()
    # With PIPELINE a script is found by its name; but not one that can't be executed.
    ended = container.run(URI + suffix, PYANAMO_ARCHIVE_SHA256=checksum)
    assert ended.counts == {"done": 1, "failed": 1, "released": 0, "lost": 0}
    (left,) = container.left_behind
    assert place.item("one").results["Task_0"].stdout == f"{left}/scripts\n1\n2\n<a  b>\n"
    assert place.item("nested").reason == "command not found: count.sh"
    assert [path.name for path in left.iterdir()] == ["scripts"]  # the archive has gone
    assert place.item("one").made_with["Archive_SHA256"] == checksum.lower()
    *flags, uri, _ = (place.folder / "aws.arguments").read_text().splitlines()
    assert uri == URI + suffix
    assert flags == ["s3", "cp", "--only-show-errors"]


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_script_of_the_archive_is_on_the_path(container: Container, suffix: str) -> None:
    place = container.place
    make = make_zip if suffix == ".zip" else make_tar
    container.serve(make(place.folder / f"made{suffix}", member("count", COUNT, mode=0o777)))
    place.fill({"one": "count 1", "two": ["count 1", "count 2"]})
    assert container.run(URI + suffix).counts["done"] == 2
    mode = (container.left_behind[0] / "scripts/count").stat().st_mode
    assert stat.S_IMODE(mode) == 0o755  # nobody else may write to it
    checksum = hashlib.sha256((place.folder / f"made{suffix}").read_bytes()).hexdigest()
    assert place.item("two").made_with["Archive_SHA256"] == checksum  # though nobody expects one


def test_the_aws_cli_and_s3(container: Container, moto: str) -> None:
    place = container.place
    bucket = f"bucket-{uuid.uuid4()}"
    client = boto3.client("s3", endpoint_url=moto)
    client.create_bucket(Bucket=bucket)
    client.upload_file(str(make_steps(place.folder)), bucket, "scripts/a b.tar.gz")
    place.fill({"one": "bash steps/count.sh 2000"})
    where = {"AWS_ENDPOINT_URL_S3": moto, "S3_BUCKET": f"s3://{bucket}/PyAnamo"}
    ended = container.run(f"s3://{bucket}/scripts/a b.tar.gz", **where)
    assert (ended.code, ended.counts["done"]) == (0, 1), ended.stderr
    assert "Completed" not in ended.stderr  # the CLI's progress
    logs = client.list_objects_v2(Bucket=bucket, Prefix="PyAnamo/")["Contents"]
    assert [log["Key"] for log in logs if log["Key"].endswith("one/Task_0.1.stdout.gz")]

    ended = container.run(f"s3://{bucket}/other.tar.gz", **where)
    assert (ended.code, ended.stdout) == (1, "")
    *said, line = ended.stderr.splitlines()
    assert "404" in "".join(said)
    assert f"s3://{bucket}/other.tar.gz can't be fetched" in line


def test_without_an_archive_the_scripts_are_the_images(container: Container) -> None:
    place = container.place
    place.fill(
        {
            "by path": "bash use_cases/SuperMarioPlayTimeOptimizer.sh 1 Easy",
            "on top": "bash SuperMarioPlayTimeOptimizer.sh 1 Easy",
            "by name": "unpack.sh",
            "writes": "touch result",
        }
    )
    script = container.home / "use_cases/example_docker/unpack.sh"
    script.write_text("#!/bin/bash\n")
    script.chmod(0o755)
    before = sorted(path for path in container.image.rglob("*") if path.suffix != ".pyc")
    assert container.run("-").counts == {"done": 4, "failed": 0, "released": 0, "lost": 0}
    script.unlink()
    before.remove(script)
    after = sorted(path for path in container.image.rglob("*") if path.suffix != ".pyc")
    assert after == before


ALL = {
    "PYANAMO_ITEMS": "2",
    "PYANAMO_NESTS": "3",
    "PYANAMO_WALL_TIME": "90 m",
    "S3_BUCKET": "s3://logs/a b",
    "AWS_REGION": "eu-west-1",
}


@pytest.mark.parametrize(
    ("environment", "flags"),
    [
        (ALL, ["-i", "2", "-n", "3", "-w", "90 m", "-b", "s3://logs/a b", "-r", "eu-west-1"]),
        (dict.fromkeys(ALL, ""), []),
    ],
    ids=["given", "empty"],
)
def test_the_pilots_command_line(
    container: Container, environment: dict[str, str], flags: list[str]
) -> None:
    place = container.place
    container.tool("python", 'printf "%s\\0" "$PWD" "$PIPELINE" "$@"')
    more = ["--task-timeout", "2 h", "--log-dir", " a  b*", ""]
    ended = container.start("-", *more, environment=environment).wait()
    folder, pipeline, script, *arguments = ended.stdout.split("\0")[:-1]
    home = container.home
    assert folder == f"{container.left_behind[0]}/scripts"
    assert (pipeline, script) == (f"{home}/use_cases/example_docker", f"{home}/pyanamo.py")
    assert arguments == ["-t", place.table_name, *flags, *more]


@pytest.mark.parametrize(("given", "told"), [({}, "eu-west-1"), ({"AWS_DEFAULT_REGION": "a"}, "a")])
def test_tasks_know_the_region(container: Container, given: dict[str, str], told: str) -> None:
    """Also the AWS CLI v1 and boto3, which don't read AWS_REGION."""
    place = container.place
    container.serve(make_steps(place.folder))
    fetches = (container.tools / "aws").read_text()
    container.tool("aws", f"{fetches}\necho $AWS_DEFAULT_REGION >region")
    place.fill({"one": "printenv AWS_DEFAULT_REGION AWS_REGION"})
    assert container.run(URI + ".tar.gz", AWS_REGION="eu-west-1", **given).counts["done"] == 1
    assert place.item("one").results["Task_0"].stdout == f"{told}\neu-west-1\n"
    assert (place.folder / "region").read_text() == f"{told}\n"


def test_a_pipeline_that_is_given_stays(container: Container) -> None:
    container.tool("python", 'printf %s "$PIPELINE"')
    assert container.run("-", PIPELINE="/else where").stdout == "/else where"


# --- Stop signals -------------------------------------------------------------------------------


def start_stoppable(container: Container, is_process_1: bool) -> tuple[PilotProcess, int, Path]:
    """Start it; what to wait for, what to signal, and the file that says that it is busy."""
    ready = container.place.folder / "ready"
    prefix = unshared() if is_process_1 else []
    pilot = container.start(URI + ".tar.gz", environment={"READY": str(ready)}, prefix=prefix)
    wait_until(ready.exists, "it is busy")
    return pilot, pilot.children[0].pid if is_process_1 else pilot.pid, ready


@pytest.mark.parametrize("is_process_1", [False, True])
def test_the_pilot_is_the_same_process_and_gets_the_signal(
    container: Container, is_process_1: bool
) -> None:
    place = container.place
    container.serve(make_steps(place.folder))
    place.fill({"one": "hang"})
    pilot, pid, _ = start_stoppable(container, is_process_1)
    assert f"{HOME}/pyanamo.py" in Path(f"/proc/{pid}/cmdline").read_text()
    assert place.item("one").state is ItemState.LOCKED
    signalled = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    assert pilot.wait(20).code == 143
    assert time.monotonic() - signalled < 20
    item = place.item("one")
    assert (item.state, item.token, item.attempts) == (ItemState.TODO, "", 0)
    assert item.history[-1].reason == "stopped by SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("program", ["aws", "sha256sum", "python"])
def test_a_signal_before_there_is_a_pilot(
    container: Container, program: str, number: signal.Signals
) -> None:
    archive = make_steps(container.place.folder)
    container.serve(archive)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    # While it fetches, checks, unpacks; what it calls doesn't heed the signal.
    container.tool(program, 'trap "" TERM INT; touch "$READY"; while :; do sleep 0.05; done')
    is_process_1 = program == "aws"
    ready = container.place.folder / "ready"
    settings = {"READY": str(ready), "PYANAMO_ARCHIVE_SHA256": checksum}
    prefix = unshared() if is_process_1 else []
    process = container.start(URI + ".tar.gz", environment=settings, prefix=prefix)
    wait_until(ready.exists, f"it runs {program}")
    signalled = time.monotonic()
    os.kill(process.children[0].pid if is_process_1 else process.pid, number)
    ended = process.wait(10)
    assert time.monotonic() - signalled < 5
    assert (ended.code, ended.stdout, ended.stderr) == (128 + number, "", "")
    assert container.left_behind == []


# --- What it refuses ----------------------------------------------------------------------------

SHA = {"PYANAMO_ARCHIVE_SHA256": "12345"}


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {}, "ARCHIVE is missing"),
        ([""], {}, "ARCHIVE is ''"),
        (["--spot-notice"], {}, "ARCHIVE is '--spot-notice'"),
        (["scripts.tar.gz"], {}, "ARCHIVE is 'scripts.tar.gz'"),
        (["s3://bucket/scripts.rar"], {}, "ARCHIVE is 's3://bucket/scripts.rar'"),
        (["s3://bucket/.zip"], {}, "ARCHIVE is 's3://bucket/.zip'"),
        (["-"], {"PYANAMO_TABLE": ""}, "PYANAMO_TABLE is not set"),
        ([URI + ".zip"], {"PYANAMO_ITEMS": "x"}, "PYANAMO_ITEMS is 'x'"),
        ([URI + ".zip"], {"PYANAMO_NESTS": "0"}, "PYANAMO_NESTS is '0'"),
        ([URI + ".zip"], SHA, "PYANAMO_ARCHIVE_SHA256 is '12345'"),
        (["-"], {"PYANAMO_ARCHIVE_SHA256": "0" * 64}, "but ARCHIVE is -"),
    ],
)
def test_wrong_usage(
    container: Container, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    container.serve(None)
    assert said in the_error(container.run(*arguments, **environment), 2)
    assert container.left_behind == []
    assert not container.place.has("aws.arguments")


def test_an_archive_that_cannot_be_fetched(container: Container) -> None:
    container.serve(None)
    line = the_error(container.run(URI + ".tgz"), 1)
    assert f"{URI}.tgz can't be fetched" in line
    assert "s3:GetObject" in line
    assert container.left_behind == []


NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.mark.parametrize(
    ("answer", "environment", "code", "said"),
    [
        ((503, "SlowDown"), {}, 75, "(503)"),
        ((500, "InternalError"), {}, 75, "(500)"),
        (None, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, 75, "Could not connect"),
        (None, NO_CREDENTIALS, 75, "Unable to locate credentials"),
        ((403, "AccessDenied"), {}, 1, "(403)"),
    ],
)
def test_what_passes_is_tried_again(
    container: Container,
    moto: str,
    answer: tuple[int, str] | None,
    environment: dict[str, str],
    code: int,
    said: str,
) -> None:
    """By AWS Batch, which the exit code tells (EX_TEMPFAIL); with the AWS CLI's own messages."""
    with FaultyS3(moto, lambda _method, _path: answer) as proxy:
        where = {"AWS_ENDPOINT_URL_S3": proxy.url, "AWS_MAX_ATTEMPTS": "1", **environment}
        ended = container.run(URI + ".tar.gz", **where)
    *before, line = ended.stderr.splitlines()
    assert (ended.code, ended.stdout) == (code, ""), ended.stderr
    assert said in "".join(before)
    assert f"{URI}.tar.gz can't be fetched" in line
    assert ("for the moment" in line) is (code == 75)
    assert container.left_behind == []


@pytest.mark.parametrize(("archive", "missing"), [(URI + ".zip", "aws"), ("-", "python")])
def test_a_program_that_is_missing(container: Container, archive: str, missing: str) -> None:
    container.tool("python" if missing == "aws" else "aws", "exit 1")
    for name in ("bash", "dirname"):
        (container.tools / name).symlink_to(f"/bin/{name}")
    prefix = ["/usr/bin/env", f"PATH={container.tools}"]
    line = the_error(container.start(archive, prefix=prefix).wait(), 1)
    assert f"{missing} is missing: it isn't on the PATH" in line
    assert container.left_behind == []


def test_another_checksum(container: Container) -> None:
    archive = make_steps(container.place.folder)
    container.serve(archive)
    container.place.fill({"one": "true"})
    line = the_error(container.run(URI + ".tar.gz", PYANAMO_ARCHIVE_SHA256="0" * 64), 1)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"{URI}.tar.gz has the SHA-256 {found}, but PYANAMO_ARCHIVE_SHA256 is {'0' * 64}" in line
    assert container.left_behind == []
    assert container.place.item("one").history == ()


def test_a_folder_that_cannot_be_written_to(container: Container) -> None:
    elsewhere = ["bash", "-c", 'cd /proc && exec "$0" "$@"']
    ended = container.start("-", prefix=elsewhere).wait()
    assert (ended.code, ended.stdout) == (1, "")
    assert "no folder can be made in /proc" in ended.stderr


def test_no_space(container: Container) -> None:
    place = container.place
    many = member("zeros", bytes(1_000_000))
    container.serve(make_tar(place.folder / "made.tar.gz", many))
    small = place.folder / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=100k none {shlex.quote(str(small))} && cd {small} && "$0" "$@"'
    prefix = [*unshared(), "bash", "-c", f"{mount}; code=$?; ls -A {small}; exit $code"]
    ended = container.start(URI + ".tar.gz", prefix=prefix).wait()
    line = the_error(ended, 1)  # nothing is left behind: ls says nothing
    assert f"{URI}.tar.gz can't be unpacked: No space left on device" in line

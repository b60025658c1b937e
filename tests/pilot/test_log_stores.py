"""Whole logs in S3 and in a folder, and what becomes of them where storing fails."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyanamo.model import ItemState
from tests.support.logs import Bucket, file_of, log_file, other_stream
from tests.support.pilots import Ended
from tests.support.place import Place
from tests.support.s3 import FaultyS3

# --- In the bucket and the folder ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "prefix"),
    [
        (["-b", "BUCKET"], "PyAnamo"),
        (["-b", "s3://BUCKET/their/prefix"], "their/prefix"),
        (["-b", "s3://BUCKET/their/", "-k", "my key"], "my key"),
        (["-b", "s3://BUCKET", "-k", ""], "PyAnamo"),
    ],
)
def test_where_logs_are_in_the_bucket(
    local: Place, bucket: Bucket, flags: list[str], prefix: str
) -> None:
    script = local.script("print", "seq 1000; seq 2000 >&2; exit $((2 - PYANAMO_ATTEMPT))")
    local.fill({"single": script, "nested": ["true", script]})
    ended = local.run("--retries", "1", *(flag.replace("BUCKET", bucket.name) for flag in flags))
    assert ended.code == 0
    first = ended.stderr.splitlines()[0]
    assert first.endswith(
        " INFO short output stays in the item, longer output goes to "
        f"s3://{bucket.name}/{prefix}/{local.table_name}/"
    )

    keys = [
        f"{prefix}/{local.table_name}/{task}.{attempt}.{stream}.gz"
        for task in ("nested/Task_1", "single/Task_0")
        for attempt in (1, 2)
        for stream in ("stderr", "stdout")
    ]
    assert bucket.logs() == keys
    for item_id, task in (("single", "Task_0"), ("nested", "Task_1")):
        uri = local.result(item_id, task).log_uri
        assert uri == f"s3://{bucket.name}/{prefix}/{local.table_name}/{item_id}/{task}.2.stdout.gz"
        assert bucket.log(uri).splitlines() == [b"%d" % number for number in range(1, 1001)]
        assert len(bucket.log(other_stream(uri)).splitlines()) == 2000
    head = bucket.client.head_object(Bucket=bucket.name, Key=keys[0])
    assert head["ContentType"] == "application/gzip"


def test_an_empty_bucket_counts_as_not_given(local: Place, tmp_path: Path) -> None:
    local.fill({"item": "seq 1000"})
    assert local.run("-b", "", "-k", "", "--log-dir", tmp_path / "logs").code == 0
    file = tmp_path / "logs" / local.table_name / "item" / "Task_0.1.stdout.gz"
    assert file_of(local.result().log_uri) == file
    assert gzip.decompress(file.read_bytes()).endswith(b"\n999\n1000\n")


NAMES = [
    "a b", "a+b", "a%20b", "a/b", "a%2Fb", "/a", "a/", "a\\b", "..", ".", "...", "../a", "../../a",
    "a'b", 'a"b', "ä", "a\u0308", "%C3%A4", "日本", "a\nb", "a\tb", "~", "%7E", "-", "*",
    "x" * 2048, "x" * 2047 + "y", "x" * 200, "x" * 201, "é" * 1024,
    "Task_0.1.stdout.gz", ".write-check",
]  # fmt: skip


@pytest.mark.parametrize("to_bucket", [True, False], ids=["bucket", "folder"])
def test_awkward_names_stay_apart_and_in_their_folder(
    local: Place, bucket: Bucket, tmp_path: Path, to_bucket: bool
) -> None:
    logs = local.folder / "here" / "logs"
    print_name = local.script("print", 'printf "%s" "$PYANAMO_ITEM_ID"; head -c 1001 /dev/zero')
    local.fill(dict.fromkeys(NAMES, print_name))
    flags = ["-b", bucket.name] if to_bucket else ["--log-dir", logs]
    assert local.run("-i", "2", *flags).code == 0

    uris = {name: local.result(name).log_uri for name in NAMES}
    for name, uri in uris.items():
        log = bucket.log(uri) if to_bucket else log_file(uri)
        assert log == name.encode() + b"\0" * 1001
    if to_bucket:
        assert len(bucket.logs()) == len(NAMES)
        for key in bucket.logs():
            assert re.fullmatch(
                rf"PyAnamo/{local.table_name}/[\w.~%-]+/Task_0\.1\.stdout\.gz", key, re.ASCII
            )
            assert len(key) <= 1024
    else:
        files = {path for path in tmp_path.rglob("*.gz*") if path.is_file()}
        assert files == {file_of(uri) for uri in uris.values()}
        assert all(path.parents[2] == logs for path in files)


# --- When storing fails -------------------------------------------------------------------------


def logs_refused(
    times: float, status: int = 500, code: str = "InternalError"
) -> Callable[[str, str], tuple[int, str] | None]:
    """Refuse so many uploads of logs. The check at the start goes through."""
    left = times

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        nonlocal left
        if method == "PUT" and ".gz" in path and left > 0:
            left -= 1
            return status, code
        return None

    return refuse


def test_an_upload_that_fails_twice(local: Place, bucket: Bucket, moto: str) -> None:
    local.fill({"item": "seq 10000"})
    with FaultyS3(moto, logs_refused(2)) as proxy:
        local.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = local.run("-b", bucket.name, hasty=True)
    assert len(proxy.refused) == 2
    assert ended.code == 0
    assert " WARNING " not in ended.stderr
    assert bucket.log(local.result().log_uri).endswith(b"\n10000\n")


@pytest.mark.parametrize(
    ("status", "code", "tries"), [(500, "InternalError", 10), (403, "AccessDenied", 1)]
)
def test_an_upload_that_always_fails(
    local: Place, bucket: Bucket, moto: str, status: int, code: str, tries: int
) -> None:
    local.fill({"good": "seq 10000", "bad": ["false", "bash -c 'seq 10000; exit 3'"]})
    with FaultyS3(moto, logs_refused(float("inf"), status, code)) as proxy:
        local.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = local.run("-b", bucket.name, hasty=True)
    assert ended.code == 0
    assert len(proxy.refused) == 2 * tries
    assert local.item("good").state is ItemState.DONE
    assert local.item("bad").reason == "exit code 1"
    assert local.result("bad", "Task_1").exit_code == 3
    for item_id, task in (("good", "Task_0"), ("bad", "Task_1")):
        uri = local.result(item_id, task).log_uri
        folder = local.folder / "pyanamo-logs" / local.table_name / item_id
        assert file_of(uri) == folder / f"{task}.1.stdout.gz"
        assert log_file(uri).endswith(b"\n10000\n")
        (warning,) = (line for line in ended.stderr.splitlines() if uri in line)
        assert re.search(f" WARNING itemID={item_id} .*task={task} ", warning)
    assert bucket.logs() == []


def test_a_log_that_the_bucket_refuses_goes_to_the_log_folder(
    local: Place, bucket: Bucket, moto: str, tmp_path: Path
) -> None:
    local.fill({"item": "seq 10000"})
    with FaultyS3(moto, logs_refused(float("inf"), 403, "AccessDenied")) as proxy:
        local.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        local.run("-b", bucket.name, "--log-dir", tmp_path / "logs")
    assert file_of(local.result().log_uri).is_relative_to(tmp_path / "logs")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["-b", "no-such-bucket"], "bucket 'no-such-bucket' is not there"),
        (["--log-dir", "table.db"], "the log folder table.db is not a folder"),
    ],
)
def test_logs_have_no_place(local: Place, bucket: Bucket, flags: list[str], says: str) -> None:
    local.fill({"item": "true"})
    assert_nothing_is_started(local, local.run(*flags), says)


def test_no_access_to_the_bucket(local: Place, bucket: Bucket, moto: str) -> None:
    local.fill({"item": "true"})
    with FaultyS3(moto, lambda method, path: (403, "AccessDenied")) as proxy:
        local.environment["AWS_ENDPOINT_URL_S3"] = proxy.url
        ended = local.run("-b", bucket.name)
    assert_nothing_is_started(local, ended, f"bucket '{bucket.name}' in us-east-1 .*access denied")


def test_s3_is_not_there(local: Place) -> None:
    local.fill({"item": "true"})
    local.environment["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1"
    ended = local.run("-b", "logs", hasty=True)
    assert_nothing_is_started(local, ended, "S3 can't be reached at http://127.0.0.1:1")


def test_no_credentials_for_the_bucket(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table needs none: what needs them is named, and what to do without."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    local.fill({"item": "true"})
    says = "^no AWS credentials for bucket 'logs': .*, or keep logs in a folder with --log-dir inst"
    assert_nothing_is_started(local, local.run("-b", "logs"), says)


def assert_nothing_is_started(local: Place, ended: Ended, says: str) -> None:
    assert ended.code == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert re.search(says, line)
    item = local.item("item")
    assert (item.state, item.attempts) == (ItemState.TODO, 0)


def test_a_bucket_without_a_name_is_wrong_usage(local: Place) -> None:
    local.fill({"item": "true"})
    assert local.run("-b", "s3:///prefix").code == 2

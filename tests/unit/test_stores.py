"""Whole logs: their names, and what is stored in a folder and in S3."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyanamo.account import Account
from pyanamo.errors import PyAnamoError
from pyanamo.output import bucket
from pyanamo.output.bucket import PART_BYTES, LogBucket
from pyanamo.output.stores import LogFolder, LogName, gzipped, safe_name
from tests.support.output import pattern, texts
from tests.support.s3 import FaultyS3

# --- Names --------------------------------------------------------------------------------------

AWKWARD = [
    "a b", "a+b", "a%20b", "a/b", "a%2Fb", "a\\b", "..", ".", "...", "../a", "%2E%2E", "a'b", 'a"b',
    "ä", "a\u0308", "%C3%A4", "a\nb", "a\tb", "~", "%7E", "x" * 2048, "x" * 2047 + "y", "é" * 1024,
    "x" * 200, "x" * 201,
]  # fmt: skip


@given(texts, texts)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(texts.filter(bool) | st.sampled_from(AWKWARD))
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    safe = safe_name(name)
    assert set(safe) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-%~")
    assert safe.strip(".")
    assert len(safe) <= 200


def test_a_name_that_was_cut_is_no_other_names() -> None:
    cut = safe_name("x" * 2048)
    assert safe_name(cut) != cut
    names = [LogName("T", name, "Task_0", 1).path("stdout") for name in AWKWARD]
    assert len(set(names)) == len(AWKWARD)


# --- The stores ---------------------------------------------------------------------------------


@given(st.lists(st.binary()))
def test_gzipped(chunks: list[bytes]) -> None:
    assert gzip.decompress(b"".join(gzipped(iter(chunks)))) == b"".join(chunks)


def test_a_folder_is_made_and_logs_are_written_over(tmp_path: Path) -> None:
    store = LogFolder(tmp_path / "other" / ".." / "new" / "logs")
    store.check("Step")
    for text in (b"old", b"new"):
        uri = store.keep("Step/a%20b/Task_0.1.stdout.gz", lambda text=text: iter([text]))  # type: ignore[misc]
    file = tmp_path / "new/logs/Step/a%20b/Task_0.1.stdout.gz"
    assert uri == file.as_uri()
    assert gzip.decompress(file.read_bytes()) == b"new"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_the_address_of_a_log_has_its_folder_as_it_was_named(tmp_path: Path) -> None:
    """Other machines may have the folder elsewhere, below the same name."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "logs"
    link.symlink_to(tmp_path / "real")
    assert LogFolder(link).keep("a.gz", lambda: iter([b"x"])) == (link / "a.gz").as_uri()


def test_a_log_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def content() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PyAnamoError, match="No space left on device"):
        LogFolder(tmp_path).keep("a", content)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        PyAnamoError, match=r"log folder .*file/logs can't be written to: Not a dir"
    ):
        LogFolder(tmp_path / "file" / "logs").check("Step")


@pytest.fixture
def client(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of S3, where there is a bucket `stores`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    client = boto3.client("s3")
    client.create_bucket(Bucket="stores")
    return client


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_an_upload_of_any_size(client: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "gzipped", iter)
    content = pattern(size)
    pieces = [content[at : at + 100_000] for at in range(0, size, 100_000)]
    uri = LogBucket("stores", "any").keep(f"size/{size}", lambda: iter(pieces))
    assert uri == f"s3://stores/any/size/{size}"
    answer = client.get_object(Bucket="stores", Key=f"any/size/{size}")
    assert answer["Body"].read() == content
    assert answer["ContentType"] == "application/gzip"


def test_a_log_that_may_not_be_there(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 says 403 of a missing key to those who may not list the bucket."""
    with FaultyS3(moto, lambda _method, _path: (403, "AccessDenied")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        with pytest.raises(
            PyAnamoError, match=r"access denied to GetObject .*the key does not exist"
        ):
            list(bucket.read_object("s3://stores/x", Account()))


def test_a_large_upload_that_fails_leaves_no_parts(
    client: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(method: str, path: str) -> tuple[int, str] | None:
        return (403, "AccessDenied") if "partNumber=2" in path else None

    with FaultyS3(moto, refuse) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        with pytest.raises(PyAnamoError, match="access denied"):
            LogBucket("stores", "fails").keep("x", lambda: iter([os.urandom(2 * PART_BYTES)]))
    assert len(proxy.refused) == 1
    assert "Uploads" not in client.list_multipart_uploads(Bucket="stores")
    assert "Contents" not in client.list_objects_v2(Bucket="stores", Prefix="fails")

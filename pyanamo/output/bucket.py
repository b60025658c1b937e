"""Whole logs in an S3 bucket."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pyanamo.account import Account
from pyanamo.aws import Client, make_client, make_session, translated_errors
from pyanamo.errors import UsageError
from pyanamo.output.stores import Content, gzipped, safe_name

if TYPE_CHECKING:
    from boto3.session import Session

DEFAULT_PREFIX = "PyAnamo"
CONTENT_TYPE = "application/gzip"
CHECK_NAME = ".write-check"
# Amazon S3 User Guide, "General purpose bucket naming rules"; an access point has an ARN.
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|arn:.+")
PART_BYTES = 5 * 1024 * 1024  # S3's minimum for a part; an upload has at most 10,000 parts (52 GB)


class LogBucket:
    """Keeps logs in an S3 bucket, below a prefix."""

    def __init__(self, bucket: str, prefix: str, account: Account = Account()) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._account = account
        self._lock = threading.Lock()
        # Workers inherit the session with S3's API description, which is large and slow to load.
        self._session: Session | None = None
        self._client: Client | None = None

    def check(self, table: str) -> None:
        """Write an empty object, to check that the bucket exists and is writable."""
        key = f"{self._prefix}/{table}/{CHECK_NAME}"
        client = self._own_client()
        with translated_errors(client, f"bucket {self._bucket!r}"):
            client.put_object(Bucket=self._bucket, Key=key, Body=b"")
        client.close()
        self._client = None  # each process makes its own client

    def where(self, table: str) -> str:
        """Return the address of the table's logs."""
        return f"s3://{self._bucket}/{self._prefix}/{safe_name(table)}/"

    def keep(self, path: str, content: Content) -> str:
        """Upload a log in parts; the SDK retries failed requests."""
        key = f"{self._prefix}/{path}"
        client = self._own_client()
        with translated_errors(client, f"bucket {self._bucket!r}"):
            self._upload(client, key, _parts(gzipped(content())))
        return f"s3://{self._bucket}/{key}"

    def _upload(self, client: Client, key: str, parts: Iterator[bytearray]) -> None:
        """Write an object from its parts, with one part in memory at a time."""
        where = {"Bucket": self._bucket, "Key": key}
        first = next(parts)
        if len(first) < PART_BYTES:
            client.put_object(**where, Body=first, ContentType=CONTENT_TYPE)
            return
        upload = client.create_multipart_upload(**where, ContentType=CONTENT_TYPE)["UploadId"]
        try:
            sent = [self._send_part(client, key, upload, 1, first)]
            for number, part in enumerate(filter(None, parts), start=2):
                sent.append(self._send_part(client, key, upload, number, part))
            client.complete_multipart_upload(
                **where, UploadId=upload, MultipartUpload={"Parts": sent}
            )
        except BaseException:
            with suppress(Exception):  # the parts of an incomplete upload cost money
                client.abort_multipart_upload(**where, UploadId=upload)
            raise

    def _send_part(
        self, client: Client, key: str, upload: str, number: int, part: bytearray
    ) -> dict[str, str | int]:
        """Send one part; return its entry for the request that completes the upload."""
        answer = client.upload_part(
            Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _own_client(self) -> Client:
        with self._lock:  # nested tasks are threads
            if self._session is None:
                self._session = make_session(self._account)
            if self._client is None:
                self._client = make_client("s3", self._account, session=self._session)
            return self._client


def bucket_of(name: str, key: str | None, account: Account) -> LogBucket:
    """Return the bucket for `-b` (`NAME` or `s3://NAME/PREFIX`) and `-k` (the prefix)."""
    bucket, _, own_prefix = name.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"-b {name!r} is not a bucket: give NAME or s3://NAME/PREFIX")
    if not _BUCKET_NAME.fullmatch(bucket):
        raise UsageError(
            f"-b {name!r}: {bucket!r} can't be a bucket's name: 3 to 63 lower-case letters, "
            "digits, '-' and '.', with a letter or digit at both ends"
        )
    prefix = (key or own_prefix or DEFAULT_PREFIX).strip("/") or DEFAULT_PREFIX
    if prefix != prefix.encode(errors="replace").decode():
        raise UsageError(f"the prefix {prefix!r} is not UTF-8, as S3 requires")
    return LogBucket(bucket, prefix, account)


def _parts(pieces: Iterator[bytes]) -> Iterator[bytearray]:
    """Yield parts of `PART_BYTES` and a shorter last one. All of them share one buffer."""
    part = bytearray()
    for piece in pieces:
        part += piece
        while len(part) >= PART_BYTES:
            rest = part[PART_BYTES:]
            del part[PART_BYTES:]
            yield part
            part[:] = rest
    yield part


def read_object(uri: str, account: Account) -> Iterator[bytes]:
    """Yield the content of an S3 object in chunks, by its `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = make_client("s3", account)
    with translated_errors(client, f"the log {uri}"):
        yield from client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(PART_BYTES)

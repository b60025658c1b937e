"""Whole logs in a bucket of S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from boto3.s3.transfer import TransferConfig

from pyanamo.aws import Client, make_client, translated_errors
from pyanamo.errors import UsageError
from pyanamo.logstore import Content, gzipped

DEFAULT_PREFIX = "PyAnamo"
CONTENT_TYPE = "application/gzip"
CHECK_NAME = ".write-check"
PART_BYTES = 8 * 1024 * 1024  # of an upload; S3 takes 10,000 parts, 80 GB


class LogBucket:
    """Logs in a bucket of S3, below a prefix."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        region: str | None = None,
        profile: str | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._make_client: Callable[[], Client] = partial(
            make_client, "s3", region=region, profile=profile
        )
        self._client: Client | None = None

    def check(self, table: str) -> None:
        """Write an empty object: the bucket is there, and one may write to it."""
        key = f"{self._prefix}/{table}/{CHECK_NAME}"
        with translated_errors(self._own_client(), f"bucket {self._bucket!r}"):
            self._own_client().put_object(Bucket=self._bucket, Key=key, Body=b"")
        self._client = None  # each process makes its own

    def keep(self, path: str, content: Content) -> str:
        """Stream a log to its object; the SDK tries parts that fail again."""
        key = f"{self._prefix}/{path}"
        client = self._own_client()
        with translated_errors(client, f"bucket {self._bucket!r}"):
            client.upload_fileobj(
                _Stream(gzipped(content())),
                self._bucket,
                key,
                ExtraArgs={"ContentType": CONTENT_TYPE},
                Config=TransferConfig(
                    multipart_threshold=PART_BYTES,
                    multipart_chunksize=PART_BYTES,
                    use_threads=False,
                ),
            )
        return f"s3://{self._bucket}/{key}"

    def _own_client(self) -> Client:
        if self._client is None:
            self._client = self._make_client()
        return self._client


def bucket_of(name: str, key: str | None, *, region: str | None, profile: str | None) -> LogBucket:
    """The bucket that `-b` and `-k` name: `name`, or `s3://name/prefix`."""
    bucket, _, own_prefix = name.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"-b {name!r} names no bucket: give NAME or s3://NAME/PREFIX")
    prefix = (key or own_prefix or DEFAULT_PREFIX).strip("/") or DEFAULT_PREFIX
    return LogBucket(bucket, prefix, region=region, profile=profile)


class _Stream:
    """Pieces as something to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = bytearray()

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end: S3 takes no small parts but the last.

        Without a size, all that is left: the SDK asks so once it has had less than it wanted.
        """
        everything = size < 0
        while everything or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        taken = bytes(self._rest if everything else self._rest[:size])
        del self._rest[: len(taken)]
        return taken


def read_object(uri: str, *, region: str | None, profile: str | None) -> Iterator[bytes]:
    """What an object of S3 has, a chunk at a time, by its `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = make_client("s3", region=region, profile=profile)
    with translated_errors(client, f"the log {uri}"):
        yield from client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(PART_BYTES)

"""Read the logs of tasks from where a `Log_URI` says that they are."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit


@dataclass(frozen=True)
class Bucket:
    """A bucket of a test's own."""

    name: str
    client: Any

    def logs(self, prefix: str = "") -> list[str]:
        """The keys of all logs, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key for key in keys if not key.endswith("/.write-check"))

    def log(self, uri: str) -> bytes:
        """The whole log that a `Log_URI` names."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert bucket == self.name
        return gzip.decompress(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())


def file_of(uri: str) -> Path:
    """The file that a `Log_URI` names."""
    parts = urlsplit(uri)
    assert parts.scheme == "file"
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def log_file(uri: str) -> bytes:
    """The whole log of a file that a `Log_URI` names."""
    return gzip.decompress(file_of(uri).read_bytes())


def other_stream(uri: str) -> str:
    """The `Log_URI` of stderr's log."""
    return uri.replace(".stdout.gz", ".stderr.gz")

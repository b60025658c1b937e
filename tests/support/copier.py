"""A quick `aws s3 cp` of single files, for tests with many: the real one takes half a second each.

What fetches and writes is a thread of the test, with the credentials of the process that asks.
"""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from tests.support.stack import REGION

_ASK = """#!/bin/bash
[[ $* == "s3 cp --only-show-errors "* ]] || { echo "not known here: aws $*" >&2; exit 252; }
exec 3<>/dev/tcp/127.0.0.1/PORT
who=("$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_SESSION_TOKEN")
printf '%s\n' "${who[@]}" "$PWD" "${@: -2}" >&3
read -r problem <&3
[[ -z $problem ]] || { echo "$problem" >&2; exit 1; }
"""


class Copier(socketserver.ThreadingTCPServer):
    """Copies between S3 and files, with the permissions of those who ask."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), CopyRequest)
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}  # by the id of the key

    def client(self, key: str, secret: str, token: str) -> Any:
        """A client of S3 with these credentials."""
        if key not in self._clients:
            session = boto3.session.Session(key, secret, token, REGION)
            self._clients[key] = session.client("s3", endpoint_url=self._endpoint)
        return self._clients[key]

    def make_tool(self, folder: Path) -> None:
        """Make the `aws` that asks this, in a folder for the PATH."""
        file = folder / "aws"
        file.write_text(_ASK.replace("PORT", str(self.server_address[1])))
        file.chmod(0o755)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It answers."""
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class CopyRequest(socketserver.StreamRequestHandler):
    """One `aws s3 cp`, whose answer is a line: empty where all is well."""

    def handle(self) -> None:
        key, secret, token, folder, source, target = (
            self.rfile.readline().decode().rstrip("\n") for _ in range(6)
        )
        assert isinstance(self.server, Copier)
        s3 = self.server.client(key, secret, token)
        fetch = source.startswith("s3://")
        bucket, _, name = (source if fetch else target)[len("s3://") :].partition("/")
        file = os.path.join(folder, target if fetch else source)
        try:
            if fetch:
                s3.download_file(bucket, name, file)
            else:
                s3.upload_file(file, bucket, name)
        except (ClientError, S3UploadFailedError) as error:
            self.wfile.write(" ".join(f"{error}".split()).encode())
        self.wfile.write(b"\n")

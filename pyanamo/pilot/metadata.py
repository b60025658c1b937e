"""Ask the services that tell a machine or a container about itself."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping

MACHINE = "http://169.254.169.254"  # EC2's instance metadata service
MOST_BYTES = 1_000_000  # of an answer
TOKEN_PATH = "latest/api/token"
TTL_HEADER, TOKEN_HEADER = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"


def machine_service() -> str:
    """Return the address of EC2's instance metadata service."""
    return os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", MACHINE).rstrip("/")


def fetch(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, timeout: float
) -> str:
    """Return what a service answers. Raises `OSError`, `ValueError` and `HTTPException`."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
    # Don't use a proxy: the service is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as answer:
        text: str = answer.read(MOST_BYTES).decode()
        return text

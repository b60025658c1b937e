"""What a pilot is called: its name, written and read.

A pilot in AWS Batch is called `JOBID#ATTEMPT`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

# Where a machine of EC2 tells its id without a request: the firmware (Nitro), and cloud-init.
EC2_FILES = (
    Path("/sys/devices/virtual/dmi/id/board_asset_tag"),
    Path("/var/lib/cloud/data/instance-id"),
)


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# An array job's child has its index behind a colon, a node of a multi-node job behind a '#'.
_PILOT = re.compile(rf"({_UUID}(?::\d+|#\d+)?)#(\d+)", re.IGNORECASE)


def pilot_name(
    environment: Mapping[str, str] = os.environ, files: tuple[Path, ...] = EC2_FILES
) -> str:
    """The `InstanceID`: AWS Batch job id and attempt, EC2 instance id, or host and process id.

    AWS Batch sets the two variables (AWS Batch User Guide, "AWS Batch job environment variables");
    the id of an array job's child has its index behind a colon.
    """
    if job := environment.get("AWS_BATCH_JOB_ID"):
        return f"{job}#{environment.get('AWS_BATCH_JOB_ATTEMPT', '1')}"
    for file in files:
        try:
            name = file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith("i-"):
            return name
    return f"{socket.gethostname()}-{os.getpid()}"


def runs_in_batch(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether AWS Batch started this pilot."""
    return bool(environment.get("AWS_BATCH_JOB_ID"))


def job_id_of(instance_id: str) -> str | None:
    """The AWS Batch job of the pilot with that `InstanceID`; None for a pilot outside of Batch."""
    parts = pilot_job(instance_id)
    return parts[0] if parts else None


def pilot_job(instance_id: str) -> tuple[str, int] | None:
    """A pilot's job id, and the number of its attempt; None for a pilot outside of Batch."""
    found = _PILOT.fullmatch(instance_id)
    return (found[1], int(found[2])) if found else None

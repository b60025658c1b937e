"""The name of a pilot: how it is made, and what it tells.

The name of a pilot in AWS Batch is `JOBID#ATTEMPT`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from pyanamo.text import readable_text

# Files in which an EC2 instance finds its id: the firmware's (Nitro), and cloud-init's.
EC2_FILES = (
    Path("/sys/devices/virtual/dmi/id/board_asset_tag"),
    Path("/var/lib/cloud/data/instance-id"),
)

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# A child of an array job has `:INDEX` after its id, a node of a multi-node job `#INDEX`.
_PILOT = re.compile(rf"({_UUID}(?::\d+|#\d+)?)#(\d+)", re.IGNORECASE)


def pilot_name(
    environment: Mapping[str, str] = os.environ, files: tuple[Path, ...] = EC2_FILES
) -> str:
    """Return the `InstanceID` of this process: the first of these three that there is.

    AWS Batch job id and attempt (AWS Batch User Guide, "AWS Batch job environment variables"); EC2
    instance id; host name and process id.
    """
    if job := environment.get("AWS_BATCH_JOB_ID"):
        return readable_text(f"{job}#{environment.get('AWS_BATCH_JOB_ATTEMPT', '1')}")
    return ec2_instance(files) or readable_text(f"{socket.gethostname()}-{os.getpid()}")


def ec2_instance(files: tuple[Path, ...] = EC2_FILES) -> str:
    """Return the id of this EC2 instance; empty if this isn't one."""
    for file in files:
        try:
            name = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith("i-"):
            return name
    return ""


def runs_in_batch(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether AWS Batch started this pilot."""
    return bool(environment.get("AWS_BATCH_JOB_ID"))


def job_id_of(instance_id: str) -> str | None:
    """Return the AWS Batch job id in an `InstanceID`; None for a pilot outside of Batch."""
    parts = pilot_job(instance_id)
    return parts[0] if parts else None


def pilot_job(instance_id: str) -> tuple[str, int] | None:
    """Return the job id and the attempt in an `InstanceID`; None for a pilot outside of Batch."""
    found = _PILOT.fullmatch(instance_id)
    return (found[1], int(found[2])) if found else None

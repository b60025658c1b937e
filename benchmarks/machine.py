"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.support.dynamodb_fetch import JAR, fetch


def describe() -> dict[str, str]:
    """The machine and the versions, for a person."""
    return {
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "boto3": version("boto3"),
        "botocore": version("botocore"),
        "DynamoDB Local": _dynamodb_local(),
    }


def _dynamodb_local() -> str:
    """What the server says of its version; raises `DynamoDBLocalError` where it isn't to be had."""
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", JAR, "-version"]
    ran = subprocess.run(command, cwd=fetch(), capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def _processor() -> str:
    """The processor's name, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()

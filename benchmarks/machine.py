"""Describe the machine and the versions that figures were measured with."""

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
    """Return the properties of the machine and the versions, for people."""
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
    """Return the server's version. Raises `DynamoDBLocalError` if it can't be fetched."""
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", JAR, "-version"]
    ran = subprocess.run(command, cwd=fetch(), capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def _processor() -> str:
    """Return the processor's name, or its architecture if the name is unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()

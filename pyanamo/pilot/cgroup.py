"""The files of this process's control group (cgroups(7))."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cgroup_files(
    controller: str,
    v2: str,
    v1: str,
    *,
    groups: Path = CGROUPS,
    membership: Path = MEMBERSHIP,
) -> Iterator[Path]:
    """Where a file of a controller may be, the likeliest place first.

    `v2` and `v1` are its names in the two versions. In a container our group is the root.
    """
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield groups / path.lstrip("/") / v2
            if controller in controllers.split(","):
                yield groups / controller / path.lstrip("/") / v1
    yield groups / v2
    yield groups / controller / v1

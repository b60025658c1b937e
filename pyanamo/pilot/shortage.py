"""What the machine is short of, when it is, and what would cure it.

A shortage is never a task's failure: the task waits for its turn, fewer run at a time, or the item
is given back.
"""

from __future__ import annotations

import errno
import logging
import mmap
import resource
import tempfile
from contextlib import suppress

from pyanamo.pilot.cgroup import cgroup_files

log = logging.getLogger(__name__)

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: of a worker that ends for a shortage

# Open files of a process: its own (standard streams, the table's files or connections, what is
# open for a moment); for each worker, which workers inherit from their pilot; and for each task
# (two pipes, two temporary files, a handle of its process, and what starting it takes).
OWN_FILES, FILES_OF_A_WORKER, FILES_OF_A_TASK = 32, 3, 11

KINDS = FILES, PROCESSES, MEMORY, DISK = (
    "open files",
    "processes or threads",
    "memory",
    "disk space",
)


class Shortage(Exception):
    """The machine has none left of something that PyAnamo needs for itself; says what, and why."""

    def __init__(self, what: str, limit: str) -> None:
        super().__init__(
            f"no more {what} available ({limit}): raise the limit, or lower -i or -n"
            if limit
            else f"no more {what} available: lower -i or -n"
        )
        self.what = what


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage that an error tells of; None if it tells of something else."""
    if isinstance(error, Shortage):
        return error
    if isinstance(error, MemoryError):
        return Shortage(MEMORY, "")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return Shortage(PROCESSES, _process_limits())
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.EMFILE:
        return Shortage(FILES, f"ulimit -n is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}")
    if error.errno == errno.ENFILE:
        return Shortage(FILES, "this machine's limit, /proc/sys/fs/file-max, is reached")
    if error.errno == errno.EAGAIN:
        return Shortage(PROCESSES, _process_limits())
    if error.errno == errno.ENOMEM:
        return Shortage(MEMORY, "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = tempfile.tempdir or "the temporary folder"  # `gettempdir` would try to write to it
        return Shortage(DISK, f"in {folder}, see TMPDIR")
    return None


def tell(shortage: Shortage) -> None:
    """Tell the log of a shortage, once for each kind in a pilot and its workers."""
    kind = KINDS.index(shortage.what)
    if not _told[kind]:
        _told[kind] = 1
        log.warning("%s", shortage)


_told = mmap.mmap(-1, len(KINDS))  # shared by the processes that are forked later


def allow_files(items: int, nests: int) -> tuple[int, int]:
    """Raise the limit of open files as far as needed; the `-i` and `-n` that it is enough for.

    These are the ones given, or less if there can't be files for that many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _files_for(items, nests)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return items, nests
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft >= needed:
        return items, nests
    spare = soft - OWN_FILES
    fewer_items = max(1, min(items, (spare - FILES_OF_A_TASK) // FILES_OF_A_WORKER))
    fewer_nests = (spare - fewer_items * FILES_OF_A_WORKER) // FILES_OF_A_TASK
    fewer_nests = max(1, min(nests, fewer_nests))
    instead = f"using -i {fewer_items} -n {fewer_nests} instead; "
    log.warning(
        "-i %d -n %d needs up to %d open files per process, but ulimit -n is %d: "
        "%sraise the limit (ulimit -n %d)",
        items,
        nests,
        needed,
        soft,
        "" if (fewer_items, fewer_nests) == (items, nests) else instead,
        needed,
    )
    return fewer_items, fewer_nests


def _files_for(items: int, nests: int) -> int:
    """How many open files a process of the pilot needs at most."""
    return OWN_FILES + items * FILES_OF_A_WORKER + nests * FILES_OF_A_TASK


def check_processes(items: int, nests: int) -> None:
    """Warn if there can't be as many processes and threads as `-i` and `-n` may need."""
    threads = nests + 2 if nests > 1 else 2  # a worker's main thread and that of its lease aside
    needed = 2 + items * (threads + nests + 1)
    limits = {name: limit for name, limit in _limits_of_processes().items() if limit < needed}
    if limits:
        told = ", ".join(f"{name} is {limit}" for name, limit in limits.items())
        log.warning(
            "-i %d -n %d may need %d processes and threads, but %s: fewer tasks may run at a time; "
            "raise the limit to run more",
            items,
            nests,
            needed,
            told,
        )


def _process_limits() -> str:
    return ", ".join(f"{name} is {limit}" for name, limit in _limits_of_processes().items())


def _limits_of_processes() -> dict[str, int]:
    """How many processes and threads there can be: of this user, and of the control group."""
    limits = {}
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        limits["ulimit -u"] = soft
    for file in cgroup_files("pids", "pids.max", "pids.max"):
        with suppress(OSError, ValueError):
            limits["pids.max"] = int(file.read_text())  # "max" is no number
            break
    return limits

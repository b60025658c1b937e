"""What the machine is short of, when it is, and what would cure it.

A shortage is never a task's failure: the task waits for its turn, fewer run at a time, or the item
is given back.
"""

from __future__ import annotations

import errno
import logging
import resource
from contextlib import suppress

from pyanamo.pilot.cgroup import cgroup_files

log = logging.getLogger(__name__)

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: of a worker that ends for a shortage

# Open files that a process has beside those of its tasks: standard streams, logs, the table's
# files or connections, and those that are open for a moment.
OWN_FILES = 40
# For each task: two pipes, two temporary files, its process's handle, and what starting it takes.
FILES_OF_A_TASK = 11
FILES_OF_A_WORKER = 4  # in the pilot

_PROCESSES = "processes or threads"


class Shortage(Exception):
    """The machine has none left of something that PyAnamo needs for itself; says what, and why."""


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage that an error tells of; None if it tells of something else."""
    if isinstance(error, Shortage):
        return error
    if isinstance(error, MemoryError):
        return Shortage("no memory is left: lower -i or -n")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return Shortage(_too_few(_PROCESSES, _process_limits()))
    known = {
        errno.EMFILE: (
            "open files",
            f"ulimit -n is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}",
        ),
        errno.ENFILE: ("open files", "see /proc/sys/fs/file-max"),
        errno.EAGAIN: (_PROCESSES, _process_limits()),
        errno.ENOMEM: ("memory", ""),
        errno.ENOSPC: ("disk space", "for temporary files: see TMPDIR"),
        errno.EDQUOT: ("disk space", "your quota is used up"),
    }
    if isinstance(error, OSError) and error.errno in known:
        return Shortage(_too_few(*known[error.errno]))
    return None


def tell(shortage: Shortage) -> None:
    """Tell the log of a shortage, once for each kind in a process."""
    if str(shortage) not in _told:
        _told.add(str(shortage))
        log.warning("%s", shortage)


_told: set[str] = set()


def allow_files(items: int, nests: int) -> int:
    """Raise this process's limit of open files as far as needed; how many tasks an item may run.

    That is `nests`, or fewer if there can't be files for that many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OWN_FILES + max(items * FILES_OF_A_WORKER, nests * FILES_OF_A_TASK)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return nests
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft >= needed:
        return nests
    possible = max(1, min(nests, (soft - OWN_FILES) // FILES_OF_A_TASK))
    log.warning(
        "-i %d -n %d needs up to %d open files in a process, and ulimit -n is %d: each item runs "
        "at most %d tasks at a time; raise the limit for more",
        items,
        nests,
        needed,
        soft,
        possible,
    )
    return possible


def check_processes(items: int, nests: int) -> None:
    """Warn if there can't be as many processes and threads as `-i` and `-n` may need."""
    threads = nests + 2 if nests > 1 else 2  # a worker's main thread and that of its lease aside
    needed = 2 + items * (threads + nests + 1)
    limits = {name: limit for name, limit in _limits_of_processes().items() if limit < needed}
    if limits:
        told = ", ".join(f"{name} is {limit}" for name, limit in limits.items())
        log.warning(
            "-i %d -n %d may need %d processes and threads, and %s: fewer tasks run at a time; "
            "raise the limit for more",
            items,
            nests,
            needed,
            told,
        )


def _too_few(what: str, limit: str) -> str:
    where = f" ({limit})" if limit else ""
    return f"no more {what} can be had{where}: raise the limit, or lower -i or -n"


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

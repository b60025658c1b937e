"""Ask the warm server for a process; as a program, be `python` for a shell.

`warm.py` says what it is for. This file imports little, for a shell starts it for each command.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

OURS = ("pyanamo.py", "import-items.py")


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter and the imports read of their environment, but for PYTHONPATH."""
    names = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "HOME")  # botocore's caches are in HOME
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(names) and name != "PYTHONPATH"
    }


def ask(
    server: str,
    words: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    *,
    is_session: bool,
    files: Sequence[int],
) -> tuple[socket.socket, int]:
    """Have the server start a process; the connection that will tell its end, and its number."""
    path = environment.get("PYTHONPATH")
    request = {
        "words": list(words),
        "folder": folder,
        "environment": dict(environment),
        "is_session": is_session,
        "path": [path] if path else [],
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(server)
    socket.send_fds(connection, [b"\n"], files)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return connection, read_number(connection)


def read_number(connection: socket.socket) -> int:
    """Read one of the server's answers."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        assert byte, "the warm server has ended"
        line += byte
    return int(line)


def _is_ours(words: Sequence[str], server: str) -> bool:
    """Whether a fork can run this as an interpreter would."""
    is_program = words[:2] == ("-m", "pyanamo") or os.path.basename(words[0]) in OURS
    with open(f"{server}.environment") as file:
        return is_program and read_at_start(os.environ) == json.load(file)


def main(python: str, server: str, *words: str) -> None:
    """Run what a shell has called `python` with these words; end as it does."""
    if not _is_ours(words, server):
        os.execv(python, [python, *words])
    here = os.getcwd()
    connection, pid = ask(server, words, here, os.environ, is_session=False, files=(0, 1, 2))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: os.kill(pid, received))
    code = read_number(connection)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])

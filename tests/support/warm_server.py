"""Start Python programs in forks of a process that has imported what they need.

`warm.py` runs this module, and says what it is for. A request is a connection with the files for
stdin, stdout and stderr, and a line of JSON. The answers are lines: the number of the process, and
how it ended.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import time
import types
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A program, as `subprocess.Popen` would start it."""

    words: list[str]  # without the interpreter: -c CODE, -m MODULE or SCRIPT, and arguments
    folder: str
    environment: dict[str, str]
    is_session: bool
    path: list[str]  # what PYTHONPATH adds


def warm_up() -> None:
    """Import the package, and all that a client of AWS needs. Makes no request."""
    import boto3

    import pyanamo
    from tests.support.service_models import keep_service_models

    keep_service_models()
    for module in pkgutil.walk_packages(pyanamo.__path__, "pyanamo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    session = boto3.Session("x", "x", region_name="us-east-1")
    for service in ("dynamodb", "s3", "batch", "sts"):
        session.client(service)
    del session
    gc.collect()
    gc.freeze()


def serve(listener: socket.socket) -> Request:
    """Serve until stdin ends; return in each child what it is to run."""
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([sys.stdin, listener, woken], [], [])
        if sys.stdin in ready:
            sys.exit()
        if woken in ready:
            woken.recv(4096)
            _tell_ends(running)
        if listener in ready:
            connection, _ = listener.accept()
            files, request = _read(connection)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (listener, woken, wakes, connection, *running.values()):
                    end.close()
                _take_place(files, request)
                return request
            for file in files:
                os.close(file)
            running[pid] = connection
            _tell(connection, pid)


def _read(connection: socket.socket) -> tuple[list[int], Request]:
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    data = b""
    while not data.endswith(b"\n"):
        data += connection.recv(65536)
    return files, Request(**json.loads(data))


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as connection:
            _tell(connection, os.waitstatus_to_exitcode(status))


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody may wait for it
        connection.sendall(f"{number}\n".encode())


def _take_place(files: list[int], request: Request) -> None:
    """Become the process that was asked for."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    if request.is_session:
        os.setsid()
        if os.isatty(0):  # opened by the first process, it becomes the session's terminal
            os.close(os.open(os.ttyname(0), os.O_RDWR))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    _show_environment()
    time.tzset()
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    sys.stdin = open(0, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    sys.stdout = _output(1, encoding, errors or "strict")
    sys.stderr = _output(2, encoding, "backslashreplace")
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)


def _output(number: int, encoding: str, errors: str) -> io.TextIOWrapper:
    file = open(number, "wb", closefd=False)  # noqa: SIM115
    is_line_buffered = number == 2 or file.isatty()
    return io.TextIOWrapper(file, encoding, errors, line_buffering=is_line_buffered)


def _show_environment() -> None:
    """Have /proc/PID/environ show the new one: programs and tests find processes by it."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    block = b"".join(b"%s=%s\0" % entry for entry in os.environb.items())
    assert len(block) <= end - start, "the environment is too large for a warm start"
    ctypes.memmove(start, block.ljust(end - start, b"\0"), end - start)


def run(request: Request) -> None:
    """Run the program as the interpreter does."""
    first, *rest = request.words
    if first == "-c":
        code, *rest = rest
        sys.argv = ["-c", *rest]
        sys.path[:0] = ["", *request.path]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(main))
    elif first == "-m":
        module, *rest = rest
        sys.argv = [module, *rest]
        sys.path[:0] = [os.getcwd(), *request.path]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        sys.path[:0] = [os.path.dirname(os.path.realpath(first)), *request.path]
        runpy.run_path(first, run_name="__main__")


def listening(path: str) -> socket.socket:
    """A socket at a path, for requests."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    return listener


def end_quickly(codes: list[int]) -> None:
    """End with the code, if there is one: don't take apart what the server has imported."""
    if codes:
        with contextlib.suppress(OSError, ValueError):  # the interpreter tells of it
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])


def main() -> None:
    """Serve, and in each child run what it is to run."""
    codes: list[int] = []
    atexit.register(end_quickly, codes)  # before all others, for it is to be the last that runs
    warm_up()
    del sys.path[0]
    listener = listening(sys.argv[1])
    print("ready", flush=True)
    request = serve(listener)
    try:
        run(request)
        codes.append(0)
    except SystemExit as ended:
        is_code = ended.code is None or isinstance(ended.code, int)
        codes.append(int(ended.code or 0) if is_code else 1)
        raise


if __name__ == "__main__":
    main()

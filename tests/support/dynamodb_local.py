"""Amazon's DynamoDB Local: fetched once, checked, and run for the tests.

    python -m tests.support.dynamodb_local fetch

fetches it into ``$XDG_CACHE_HOME/pyanamo`` (``~/.cache/pyanamo``), unless an intact one is there
already, and says in one line what is missing on this machine.

    python -m tests.support.dynamodb_local run COMMAND [ARGUMENT ...]

runs a command with an empty one, which its environment names (AWS_ENDPOINT_URL_DYNAMODB), and exits
as the command does. In a test:

    with DynamoDBLocal() as server:
        boto3.client("dynamodb", endpoint_url=server.endpoint)

Only the standard library is used, so that ``make test`` can run this before it installs anything.
"""

import argparse
import contextlib
import functools
import http.client
import os
import queue
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from tests.support.dynamodb_fetch import JAR, DynamoDBLocalError, fetch

# A small heap, the garbage collector and the compiler that start fast: on two cores, shared with
# the tests, these flags gave both the quickest start and the least processor time per request.
JVM_FLAGS = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Below the ports that systems hand out to outgoing connections, so that no client takes the
# server's port (or, retrying, connects to itself) while the server is stopped for a restart.
PORTS = range(18_000, 32_000)

START_SECONDS = 60
STOP_SECONDS = 10


class DynamoDBLocal:
    """One DynamoDB Local server, for clients on this machine.

    It keeps its tables in memory or, with ``data_dir``, in a file there that outlives it. Without
    ``port`` it picks a free one at its first start, and keeps it: after ``stop`` (or ``kill``),
    ``start`` starts it again at the same endpoint. All clients see the same tables, whatever their
    credentials and region.
    """

    def __init__(self, port: int | None = None, data_dir: str | Path | None = None) -> None:
        self.data_dir = None if data_dir is None else Path(data_dir).resolve()
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = _free_port()
        return self._port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What programs need in their environment to use the server."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
            # The SDK insists on them; the server takes any. They keep the real ones out of it.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
        }

    @property
    def pid(self) -> int:
        """The server's process, to freeze it, say; an error unless it was started."""
        if self._process is None:
            raise DynamoDBLocalError("DynamoDB Local is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server, and return as soon as it answers."""
        if self._process is not None:
            raise DynamoDBLocalError("DynamoDB Local is running already")
        if not _is_free(self.port):
            raise DynamoDBLocalError(f"port {self.port} is in use: DynamoDB Local can't have it")
        folder = fetch()
        try:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115 - kill() closes it
            self._process = _spawn(self._command(), cwd=folder, output=self._output)
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the server, if it runs: ask it to, and make it after a while."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the server, if it runs, at once and without a goodbye, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def __enter__(self) -> "DynamoDBLocal":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        if self.data_dir is None:
            storage = ["-inMemory"]
        else:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            storage = ["-dbPath", str(self.data_dir)]
        return [
            "java",
            *JVM_FLAGS,
            "-Djava.library.path=DynamoDBLocal_lib",
            *("-jar", JAR),
            *("-port", str(self.port)),
            *storage,
            "-sharedDb",
            "-disableTelemetry",
        ]

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None:
                raise DynamoDBLocalError(f"DynamoDB Local ended at its start:\n{self._said()}")
            if time.monotonic() > deadline:
                raise DynamoDBLocalError(
                    f"DynamoDB Local did not answer within {START_SECONDS} seconds:\n{self._said()}"
                )
            time.sleep(0.05)

    def _said(self) -> str:
        """What the server printed, its last words if that is a lot."""
        assert self._output is not None
        self._output.seek(0)
        return self._output.read().decode(errors="replace").strip()[-4000:]


def _free_port() -> int:
    # The system's randomness, as several test processes may well have seeded Python's alike.
    for port in random.SystemRandom().sample(PORTS, 100):
        if _is_free(port):
            return port
    raise DynamoDBLocalError(f"no port is free from {PORTS.start} to {PORTS.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: connections that a stopped one left behind don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    """Does an HTTP server answer at the port? (To this, DynamoDB Local says 400 Bad Request.)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


def _spawn(command: list[str], *, cwd: Path, output: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a process that Linux kills when ours ends, whatever ends ours.

    Linux does so when the *thread* that started the process ends. The thread that asks for the
    server may be a short-lived one, so another starts it, and lasts as long as the server does.
    """
    guard = _death_guard()
    started: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()

    def start_and_wait() -> None:
        try:
            process = subprocess.Popen(
                [*guard, *command],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DDB_LOCAL_TELEMETRY": "0"},  # -disableTelemetry isn't enough
                # Ctrl-C is for the tests, which stop the server when they have cleaned up.
                start_new_session=bool(guard),
            )
        except OSError as error:
            started.put(error)
        else:
            started.put(process)
            process.wait()

    threading.Thread(target=start_and_wait, name="dynamodb-local", daemon=True).start()
    process = started.get()
    if isinstance(process, OSError):
        raise DynamoDBLocalError(f"DynamoDB Local can't be started: {process}") from process
    return process


@functools.cache
def _death_guard() -> tuple[str, ...]:
    """The command that has a process die with its parent, or nothing where there is none."""
    guard = ("setpriv", "--pdeathsig", "KILL")
    try:
        subprocess.run([*guard, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return guard


def _run(command: list[str]) -> int:
    """Run a command with a server of its own; its exit code."""
    with DynamoDBLocal() as server:
        environment = {**os.environ, **server.environment}
        environment.pop("PYANAMO_LOCAL", None)  # would put the tables into a file
        environment.pop("AWS_SESSION_TOKEN", None)
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except OSError as error:
            raise DynamoDBLocalError(f"can't run {command[0]}: {error}") from error


def _serve() -> int:
    """Run a server until Ctrl-C, and print how to use it."""
    with DynamoDBLocal() as server, contextlib.suppress(KeyboardInterrupt):
        words = " ".join(f"{name}={value}" for name, value in server.environment.items())
        print("DynamoDB Local is running, and forgets its tables when it ends. To use it, type")
        print("this in another terminal (Ctrl-C here ends it):")
        print(f"\nunset PYANAMO_LOCAL\nexport {words}", flush=True)
        threading.Event().wait()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Amazon's DynamoDB Local, for PyAnamo's tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch it, unless that is done already, and check it")
    commands.add_parser("serve", help="run one until Ctrl-C, and print how to use it")
    run = commands.add_parser("run", help="run a command with one that is empty at first")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND [ARGUMENT ...]")
    args = parser.parse_args()
    try:
        if args.command == "run":
            return _run(args.arguments or run.error("a command is needed"))
        if args.command == "serve":
            return _serve()
        folder = fetch()
    except DynamoDBLocalError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"DynamoDB Local is ready in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

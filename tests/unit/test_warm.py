"""A warm start makes the same process as an interpreter's start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.programs import ROOT, Finished, finish

ABOUT = """
import os, signal, sys
print(ascii(sys.argv), __name__, sys.path, sys.flags.isolated)
print(os.getcwd(), os.getsid(0) == os.getpid(), ascii(sorted(os.environ.items())))
entries = open("/proc/self/environ", "rb").read().split(b"\\0")
print(sorted(filter(None, entries)))
print([signal.getsignal(number) for number in (2, 13, 15, 17)])
print(sorted(os.listdir("/proc/self/fd")), sys.stdin.read())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.line_buffering, stream.isatty())
"""
ENDS = {
    "its end": "print('x')",
    "a code": "import sys; print('x'); sys.exit(3)",
    "a message": "import sys; sys.exit('what is wrong')",
    "an exit handler": "import atexit; atexit.register(print, 'over')",
    "a thread": "import threading, time; "
    "threading.Thread(target=lambda: (time.sleep(0.1), print('over'))).start()",
    "a signal": "import os; print('x', flush=True); os.kill(os.getpid(), 15)",
    "at once": "import os; os._exit(5)",
}


def run(code: str, folder: Path, *, is_warm: bool) -> Finished:
    start = warm.popen if is_warm else subprocess.Popen
    process = start(
        [sys.executable, "-c", code, "one", "zwölf"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ODD": "a\udcffb=\n"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert (type(process) is not subprocess.Popen) == is_warm
    return finish(process, b"input")


def test_what_it_is(tmp_path: Path) -> None:
    assert run(ABOUT, tmp_path, is_warm=True) == run(ABOUT, tmp_path, is_warm=False)


@pytest.mark.parametrize("end", ENDS)
def test_how_it_ends(tmp_path: Path, end: str) -> None:
    assert run(ENDS[end], tmp_path, is_warm=True) == run(ENDS[end], tmp_path, is_warm=False)


@pytest.mark.parametrize(
    "variable", ["PYTHONPATH", "PYTHONUTF8", "PYTHONUNBUFFERED", "LC_ALL", "LANG", "HOME"]
)
def test_what_an_interpreter_reads_starts_one(tmp_path: Path, variable: str) -> None:
    process = warm.popen(
        [sys.executable, "-c", "pass"], cwd=tmp_path, env={**os.environ, variable: "1"}
    )
    assert type(process) is subprocess.Popen
    process.wait()

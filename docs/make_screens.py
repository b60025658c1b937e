"""Make the README's pictures: a pilot, and what `status`, `samples` and `failures` show.

    python docs/make_screens.py

It fills four small steps in a temporary file, lets pilots work on them for some seconds, and writes
docs/pilot.svg, docs/status.svg, docs/samples.svg and docs/failures.svg.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from pyanamo.console import screen  # noqa: E402
from pyanamo.console.command_line import main as pyanamo  # noqa: E402
from pyanamo.model import ItemState  # noqa: E402
from pyanamo.workflow import Workflow  # noqa: E402
from tests.support.terminal import on_terminal  # noqa: E402

STEPS = ("Align", "Call", "Merge")
SAMPLES = [f"Sample{number}" for number in range(1, 11)]
CHROMOSOMES = ",".join(f"chr{number}" for number in range(1, 9))
WIDTH, LINES = 100, 12  # of the pictures; of the pilot's
AT_WORK_SECONDS = 60.0

# What a step's programs might be: some take long, some fail.
PROGRAM = """#!/bin/bash
case "${0##*/} $*" in
  "align Sample7") echo "align: Sample7.fastq.gz: not in gzip format" >&2; exit 3 ;;
  "call Sample"[25]" chr6") echo "call: no reads of $1 in $2" >&2; exit 4 ;;
  "call Sample9 chr"[3-8] | "merge Sample4") sleep 60 ;;
esac
sleep 0.3
"""
TASK_FILES = {
    "Align": ["itemID|TaskID|TaskScript"]
    + [f"{name}_align|{name}|align {name}" for name in SAMPLES],
    "Call": ["itemID|TaskID|TaskScript|TaskArgs"]
    + [f"{name}_call|{name}|call {name}|{CHROMOSOMES}" for name in SAMPLES],
    "Merge": ["itemID|TaskID|TaskScript"]
    + [f"{name}_merge|{name}|merge {name}" for name in ("Sample1", "Sample3", "Sample4")],
}


def fill(folder: Path) -> None:
    """Import the steps' items, and make their programs."""
    for step, lines in TASK_FILES.items():
        program = folder / step.lower()
        program.write_text(PROGRAM)
        program.chmod(0o755)
        file = folder / f"{step}.txt"
        file.write_text("\n".join(lines) + "\n")
        importer = [sys.executable, str(ROOT / "import-items.py"), "-t", step, "-i", str(file)]
        nested = ["-n", ","] if step == "Call" else []
        subprocess.run([*importer, *nested], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def pilots(folder: Path) -> Iterator[None]:
    """A pilot at work on every step."""
    running = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "pyanamo.py"), "-q", "-t", step, "-i", "2"],
            cwd=folder,
            env={**os.environ, "PIPELINE": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        for step in STEPS
    ]
    try:
        yield
    finally:
        for pilot in running:
            pilot.terminate()
        for pilot in running:
            pilot.wait()


def wait_for_long_tasks() -> None:
    """Wait until nothing is left but what takes long."""
    deadline = time.monotonic() + AT_WORK_SECONDS
    with Workflow(*STEPS, local=os.environ["PYANAMO_LOCAL"]) as steps:
        while sum(status.items[ItemState.TODO] for status in steps.status()):
            if time.monotonic() > deadline:
                raise SystemExit("the pilots are too slow for the pictures")
            time.sleep(0.2)


def take(command: str, *flags: str, watches: bool = False) -> None:
    """Write the picture of a command; one that watches is stopped as a person stops it."""
    with screen.recorded(WIDTH) as console:
        if watches:

            def stop() -> None:
                console.export_text(clear=True)  # what it shows in the end is the picture
                os.kill(os.getpid(), signal.SIGINT)

            threading.Timer(2.0, stop).start()
        pyanamo([command, "-t", *STEPS, *flags])
    typed = " ".join(("python -m pyanamo", command, "-t", *STEPS, *flags))
    file = ROOT / "docs" / f"{command}.svg"
    console.save_svg(str(file), title=typed)
    print(file.relative_to(ROOT))


def take_pilot(folder: Path) -> None:
    """Write the picture of a pilot on a terminal, in the middle of its work."""
    rows = [f"Sample{number}|Sample{number}|align Sample{number}" for number in range(1, 61)]
    file = folder / "First_Steps.txt"
    file.write_text("\n".join(("itemID|TaskID|TaskScript", *rows)) + "\n")
    table = ("-t", "First_Steps")
    importer = [sys.executable, str(ROOT / "import-items.py"), *table, "-i", str(file)]
    subprocess.run(importer, check=True, stdout=subprocess.DEVNULL)
    pilot = [sys.executable, str(ROOT / "pyanamo.py"), *table, "-i", "4"]
    environment = {"PIPELINE": str(folder), "TERM": "xterm-256color"}
    with on_terminal(pilot, environment, WIDTH) as terminal:
        terminal.wait_for("Sample7 ")
        terminal.wait_for("failed in")
        terminal.wait_for("of 60 done", times=30)
        shown = terminal.shown
    # The last line is drawn again and again, each time from its beginning.
    lines = [line.rpartition("\r")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for line in lines[-LINES:]:
        console.print(Text.from_ansi(line), soft_wrap=True)
    picture = ROOT / "docs" / "pilot.svg"
    console.save_svg(str(picture), title=f"python pyanamo.py {' '.join(table)} -i 4")
    print(picture.relative_to(ROOT))


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYANAMO_LOCAL"] = str(folder / "pyanamo.db")
        fill(folder)
        take_pilot(folder)
        with pilots(folder):
            wait_for_long_tasks()
            take("status", "--watch", watches=True)
            take("samples")
            take("failures")


if __name__ == "__main__":
    main()

"""The live line: how far the pilot is, below its log on a terminal.

Each log line, of the pilot or of a worker, is one write: it erases the live line and draws it again
below. So lines are never mixed, and workers need not log through their pilot. Only the pilot
updates the live line, from its own loop: no thread may run while it forks workers.
"""

from __future__ import annotations

import io
import mmap
import os
import select
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from pyanamo.pilot.standing import GAP, Standing, fitting
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.workers import Workers
from pyanamo.tables import Count

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_BYTES = 4096  # of the live line, with its colours
LEAST_SECONDS = 0.1  # from one drawing to the next
_BEGIN_LINE, _ERASE_REST = "\r", "\x1b[K"


class Screen:
    """A terminal with a last line that stays below all else that is written to it.

    It is shared with processes that are forked later.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = mmap.mmap(-1, LONGEST_BYTES)
        self.console = _console_of(stream)  # None if lines can't be redrawn, or rich isn't there

    @property
    def has_colours(self) -> bool:
        """Whether it has colours, and they are wanted (NO_COLOR)."""
        console = self.console
        return console is not None and console.color_system is not None and not console.no_color

    def write(self, text: str) -> None:
        """Write whole lines above the last line. To be called once for each log record."""
        # Another process may be changing the last line: then it is wrong until it is drawn again.
        last = self._shown[:].rstrip(b"\0").decode(errors="replace")
        self._stream.write(f"{_BEGIN_LINE}{_ERASE_REST}{text}{last}" if last else text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def show(self, line: str) -> None:
        """Replace the last line; nothing is left of it if it is empty."""
        encoded = line.encode()
        self._shown[:] = encoded[:LONGEST_BYTES].ljust(LONGEST_BYTES, b"\0")
        with suppress(OSError):  # the terminal is gone
            # One that is halted (Ctrl-S) must not halt the pilot.
            if select.select([], [self._stream], [], 0)[1]:
                self._stream.write(f"{_BEGIN_LINE}{line}{_ERASE_REST}")
                self._stream.flush()

    @property
    def columns(self) -> int:
        """How many columns the terminal has."""
        with suppress(OSError):
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        return 80


class _Paper(io.StringIO):
    """What rich draws on for a terminal: the terminal itself may be halted, or gone."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._encoding = terminal.encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's encoding, by which rich chooses its characters."""
        return self._encoding

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return True


def _console_of(terminal: TextIO) -> Console | None:
    if find_spec("rich") is None:
        return None
    from rich.console import Console

    console = Console(file=_Paper(terminal), highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


class LiveLine:
    """Draws how far a pilot is as the last line of a terminal."""

    def __init__(
        self,
        screen: Screen,
        console: Console,
        *,
        workers: Workers,
        walltime: WallTime,
        started: float,  # monotonic clock
        total: Count | None,  # what the table has for this pilot, if known
    ) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._screen = screen
        self._console = console
        self._workers = workers
        self._shared = workers.shared
        self._walltime = walltime
        self._started = started
        self._total = total
        self._draw_at = 0.0  # monotonic clock
        self._bar = BarColumn()
        self._texts = [TextColumn("{task.fields[before]}"), TextColumn("{task.fields[after]}")]
        self._progress = Progress(console=console, auto_refresh=False)
        self._task = self._progress.add_task("", before="", after="")

    def refresh(self) -> None:
        """Draw the line anew, unless that was done just before."""
        now = time.monotonic()
        if now >= self._draw_at:
            self._draw_at = now + LEAST_SECONDS
            self._screen.show(self._drawn(self._standing(now)))

    def clear(self) -> None:
        """Erase the line."""
        self._screen.show("")

    def _standing(self, now: float) -> Standing:
        busy = self._workers.busy
        nested = [self._shared.nested_progress(worker) for worker in busy]
        summary = self._workers.tally.summary
        return Standing(
            total=self._total,
            done=summary.done,
            failed=summary.failed,
            running=len(busy),
            nested=nested,
            tasks_ended=self._shared.tasks_ended,
            seconds=now - self._started,
            time_left=self._walltime.left,
        )

    def _drawn(self, standing: Standing) -> str:
        """The line, with the terminal's colours."""
        # Some columns less: the terminal may show a ^C, and what follows in the last one differs.
        self._console.width = self._screen.columns - 3
        parts, bar = fitting(standing.parts(self._workers.table), self._console.width)
        before, after = (
            GAP.join(part.markup for part in parts if part.after_bar is is_after)
            for is_after in (False, True)
        )
        total = standing.known_total
        self._bar.bar_width = bar
        has_bar = bar and total is not None
        self._progress.columns = (
            (self._texts[0], self._bar, self._texts[1]) if has_bar else tuple(self._texts)
        )
        self._progress.update(
            self._task,
            total=total,
            completed=standing.done + standing.failed,
            before=f"{before} ",  # and one between columns
            after=f" {after}" if has_bar else after,
        )
        with self._console.capture() as captured:
            self._console.print(self._progress.get_renderable(), soft_wrap=True)
        return captured.get().rstrip("\n")

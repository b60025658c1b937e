"""Output of tasks, for tests of what is kept of it."""

from __future__ import annotations

from hypothesis import strategies as st

from pyanamo.output.capture import TaskOutput

texts = st.text(st.characters(exclude_categories=["Cs"]))


def pattern(size: int) -> bytes:
    """Bytes that differ from place to place, printable ones."""
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


def output_of(stdout: bytes, stderr: bytes = b"") -> TaskOutput:
    """What a task has printed."""
    output = TaskOutput(limit=0)
    output.stdout.results.feed(stdout)
    output.stderr.results.feed(stderr)
    return output

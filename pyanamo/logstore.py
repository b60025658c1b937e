"""Where whole logs are kept: what such a place does, and a folder as one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pyanamo.errors import PyAnamoError
from pyanamo.gzipping import gzipped

Content = Callable[[], Iterator[bytes]]  # a log from its beginning, each time it is called


class LogStore(Protocol):
    """Keeps logs, gzipped, by their relative paths."""

    def check(self, table: str) -> None:
        """Raise a `PyAnamoError` if the logs of that table can't be written."""

    def keep(self, path: str, content: Content) -> str:
        """Write a log over what is there, and tell its URI. Raises a `PyAnamoError`."""


class LogFolder:
    """Logs in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, table: str) -> None:
        """Make the folder, and see whether one may write to it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise PyAnamoError(
                f"the log folder {self._folder} can't be written to: {error.strerror}"
            ) from error

    def keep(self, path: str, content: Content) -> str:
        """Write a log; it has its name only once it is whole."""
        file = (self._folder / path).absolute()
        scratch = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as target:
                for chunk in gzipped(content()):
                    target.write(chunk)
            scratch.replace(file)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise PyAnamoError(f"the log {file} can't be written: {error.strerror}") from error
        return file.as_uri()

"""The errors that users see.

A message says what is wrong, with the value, and what to do. The command lines print the message
of any `PyAnamoError` and exit with its `exit_code`. Any other exception is a bug.
"""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Mapping, Sequence
from resource import RLIMIT_NOFILE, getrlimit
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyanamo.workflow import Changed


class PyAnamoError(Exception):
    """The program could not do its job."""

    exit_code = 1
    changed: Changed | None = None  # what an operator's change had done before the error came
    is_answered = False  # whether the command's JSON has it


class UsageError(PyAnamoError):
    """The command line asks for something impossible."""

    exit_code = 2


class OutputError(PyAnamoError):
    """What the program prints can't be written."""


class TaskFileError(PyAnamoError):
    """A task file has mistakes. The message has one line per mistake."""


class ItemNotFound(PyAnamoError):
    """No item matches, or an item has no such task."""

    exit_code = 4
    names: Sequence[str] = ()  # that no item has


class DamagedItem(PyAnamoError):
    """A row of a table is not an item: somebody else has written it, or a part of it."""

    def __init__(
        self, table: str, row: Mapping[str, Any], attribute: str, value: Any, expected: str
    ) -> None:
        """`expected` is what the value should be; it is empty if the attribute isn't there."""
        self.table = table
        self.row = row
        self.item_id = row.get("itemID")
        self.attribute = attribute
        self.value = value
        name = repr(self.item_id) if isinstance(self.item_id, str) else _SHORT.repr(self.item_id)
        shown = f"{_SHORT.repr(value)}, not {expected}" if expected else "missing"
        self.reason = f"{_shown(attribute)} is {shown}"
        where = f"table {table!r}: " if table else ""
        super().__init__(
            f"{where}item {name} is damaged: {self.reason}; repair the row, or delete the item"
        )


class StoreUnusable(PyAnamoError):
    """The store can't be used as it is, and no later try will succeed until somebody mends it."""


class TableNotFound(StoreUnusable):
    """The workflow table isn't there."""


class AccessDenied(PyAnamoError):
    """The store refuses access: no credentials, expired ones, or no permission."""


class StoreUnavailable(PyAnamoError):
    """The store can't be reached, or can't answer now. A later try may succeed."""


def in_words(error: OSError) -> str:
    """What an error of a file says, and what to do if the machine is short of something."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason}: make room on its disk"
    if error.errno == errno.EMFILE:
        return f"{reason} (ulimit -n is {getrlimit(RLIMIT_NOFILE)[0]}): raise the limit"
    return reason


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 3


def _shown(attribute: str) -> str:
    """The name of an attribute on one line: that of a nested one is what somebody has written."""
    return attribute if attribute.isprintable() and len(attribute) < 100 else _SHORT.repr(attribute)

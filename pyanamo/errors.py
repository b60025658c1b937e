"""The errors that users see.

A message says what is wrong, with the value, and what to do. The command lines print the message
of any `PyAnamoError` and exit with its `exit_code`. Any other exception is a bug.
"""

from __future__ import annotations


class PyAnamoError(Exception):
    """The program could not do its job."""

    exit_code = 1


class UsageError(PyAnamoError):
    """The command line asks for something impossible."""

    exit_code = 2


class TaskFileError(PyAnamoError):
    """A task file has mistakes. The message has one line per mistake."""


class TableNotFound(PyAnamoError):
    """The workflow table isn't there."""


class ItemNotFound(PyAnamoError):
    """No item matches, or an item has no such task."""


class AccessDenied(PyAnamoError):
    """The store refuses access: no credentials, expired ones, or no permission."""


class StoreUnavailable(PyAnamoError):
    """The store can't be reached, or can't answer now. A later try may succeed."""

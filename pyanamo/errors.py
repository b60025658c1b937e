"""What can go wrong, said so that an operator can act on it.

Each message says what is wrong, with the value, and what to do. The command lines turn any
`PyAnamoError` into that one message and its `exit_code`; anything else is a bug.
"""

from __future__ import annotations


class PyAnamoError(Exception):
    """The program could not do its job."""

    exit_code = 1


class UsageError(PyAnamoError):
    """The command line asks for something that can't be."""

    exit_code = 2


class TaskFileError(PyAnamoError):
    """A task file has mistakes: one line each."""


class TableNotFound(PyAnamoError):
    """The workflow table isn't there."""


class ItemNotFound(PyAnamoError):
    """No item, or no task of an item, has that name; or none is meant."""


class AccessDenied(PyAnamoError):
    """The store refuses us: no credentials, expired ones, or no permission."""


class StoreUnavailable(PyAnamoError):
    """The store can't be reached, or can't answer just now. It may pass."""

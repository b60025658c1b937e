"""PyAnamo: a workflow step's to-do list in a table, worked through by many pilots at once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyanamo.errors import (
    AccessDenied,
    DamagedItem,
    ItemNotFound,
    OutputError,
    PyAnamoError,
    StoreUnavailable,
    StoreUnusable,
    TableNotFound,
    TaskFileError,
    UsageError,
)

if TYPE_CHECKING:
    from pyanamo.model import Item, ItemState
    from pyanamo.workflow import Selection, Workflow

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "DamagedItem",
    "Item",
    "ItemNotFound",
    "ItemState",
    "OutputError",
    "PyAnamoError",
    "Selection",
    "StoreUnavailable",
    "StoreUnusable",
    "TableNotFound",
    "TaskFileError",
    "UsageError",
    "Workflow",
    "__version__",
]

# Imported when they are first used: a pilot starts without what a workflow needs.
_MODULES = {
    "Item": "pyanamo.model",
    "ItemState": "pyanamo.model",
    "Selection": "pyanamo.workflow",
    "Workflow": "pyanamo.workflow",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

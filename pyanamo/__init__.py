"""PyAnamo: a workflow step's to-do list in a table, worked through by many pilots at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyanamo.workflow import Workflow as Workflow
    from pyanamo.workflow.selection import Selection as Selection

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Workflow` and `Selection`, once somebody asks: the pilot does without what they need."""
    if name == "Workflow":
        from pyanamo.workflow import Workflow

        return Workflow
    if name == "Selection":
        from pyanamo.workflow.selection import Selection

        return Selection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The operator's side in Python: look at a workflow's steps, and change what must run again."""

from pyanamo.workflow.selection import Selection
from pyanamo.workflow.workflow import Changed, Found, Workflow

__all__ = ["Changed", "Found", "Selection", "Workflow"]

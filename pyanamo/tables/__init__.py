"""Tables: the to-do list of a workflow step, in a SQLite file or in DynamoDB."""

from pyanamo.tables.store import Store
from pyanamo.tables.table import Added, Count, WorkflowTable
from pyanamo.tables.transitions import Amended

__all__ = ["Added", "Amended", "Count", "Store", "WorkflowTable"]

"""Tables: the to-do list of a workflow step, in a SQLite file or in DynamoDB."""

from pyanamo.tables.store import Store
from pyanamo.tables.table import Added, Amended, WorkflowTable

__all__ = ["Added", "Amended", "Store", "WorkflowTable"]

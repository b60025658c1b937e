"""PyAnamo: a workflow step's to-do list in a table, worked through by many pilots at once."""

__version__ = "0.1.0"

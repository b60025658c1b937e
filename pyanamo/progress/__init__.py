"""How far a workflow is. No I/O.

All is computed from rows of the index, in one pass over them. Rows that are read while pilots run
are no picture of one moment: an item that changes its state meanwhile may be seen twice, or not at
all.
"""

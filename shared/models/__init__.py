"""What the tables hold and the faces take and give, one module per domain.

A table's row model is named ``<Thing>Row`` and matches its table column for column: a test compares both ways. What a
face takes (``<Thing>Input``) and gives (``<Thing>Output``) are models of their own beside it. Limits on what is taken
stand on those, for a row may be older than a limit.
"""

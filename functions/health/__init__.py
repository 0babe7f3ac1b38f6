"""Health: whether this installation's parts answer, and how late it is."""

"""Leaving with everything: the rows and objects of one user, or of the whole installation, in plain files.

``rows`` reads tables as JSON, one row a line; ``files`` writes such files so that what was interrupted goes on where it
stopped; ``export`` is the whole of it.
"""

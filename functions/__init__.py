"""One folder per capability. Each has its faces, ``api.py`` and ``worker.py``, which are what AWS calls."""

import gc

# Loading a face makes some 80,000 objects that all stay. At Python's own threshold the collector would look through
# them a hundred times before the first request, for nothing: 5 % of a cold start.
gc.set_threshold(10_000)

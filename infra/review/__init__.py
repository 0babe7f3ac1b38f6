"""``millrace review``: whether a database and its buckets are what this checkout says they should be.

What should be is ``expected.json``, made by ``make reference`` (``snapshot``): every migration is applied to an empty
Postgres, the catalogue is read after each, and what is there in the end is written down with the migration it came
from. So the migrations stay the one source of truth, and a review of production needs no second database. What is there
is read by the same statements (``catalogue``), the difference told object by object (``drift``) with what restores it
(``remedy``); ``rows`` holds the row models to their tables, ``buckets`` the stores to ``infra/buckets.yml``. ``review``
puts it together and ``report`` writes it for people.
"""

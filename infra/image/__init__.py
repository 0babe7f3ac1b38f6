"""Functions that fit no zip: what the image of each is made of, and the Dockerfile that makes it.

``tree`` gathers the same files that a package would hold, in folders that become the image's layers: what other people
wrote, models, our own code, in the order of how seldom they change. ``Dockerfile`` puts them on Lambda's Python. It is
``python -m infra.image`` that gathers them, there and on any machine, for the machine that is asked for: wheels are
fetched and never built.
"""

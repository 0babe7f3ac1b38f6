"""From the code to what Lambda is given: one zip per face, with what that face needs and nothing else.

A face is a function of ``serverless.yml``. What it needs is read from its code (``closure``), pinned by the lock
(``distributions``), fetched for a target by uv without building anything (``build``), relieved of what never runs
(``trim``), compiled to bytecode (``bytecode``) and written so that the same content gives the same bytes (``archive``).
``measure`` starts what was built for this machine.
"""

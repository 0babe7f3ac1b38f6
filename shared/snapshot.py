"""What a function must not have in common with its copies, when Lambda restores it from a snapshot (SnapStart).

Every copy begins with the snapshot's memory, so also with the state of ``random``, from which we and libraries draw how
long to wait before trying again: copies that fail together would come back together. What must be unguessable never
comes from there, but from the system, whose source Lambda keeps apart. Source: AWS Lambda Developer Guide, "Handling
uniqueness with Lambda SnapStart" and "Implement code before or after Lambda function snapshots".
"""

from __future__ import annotations

import random

from snapshot_restore_py import register_after_restore  # type: ignore[import-untyped]


def prepare() -> None:
    """Have what is drawn from ``random`` be each copy's own."""
    register_after_restore(random.seed)

"""Stored files that start workflows."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Row, UtcDatetime


class StorageTriggerRow(Row):
    """New objects of a bucket, by prefix and suffix, start a workflow."""

    table = "storagetrigger"

    id: UUID
    owner_id: UUID
    workflow_id: UUID
    bucket: str
    prefix: str
    suffix: str
    is_active: bool
    created_at: UtcDatetime

"""Stored files, and the triggers by which they start workflows."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.models.api import Input, Output, Patch
from shared.models.base import Row, UtcDatetime

Bucket = Literal["ocr-documents", "rag-files", "user-uploads", "workflow-attachments", "code-executions"]

#: What a trigger hears of: objects that came to be or were replaced, objects that went, or both.
Events = Literal["created", "removed", "both"]


class StorageTriggerRow(Row):
    """Objects of a bucket, chosen by prefix, suffix and filter, start a workflow when they come or go."""

    table = "storagetrigger"

    id: UUID
    owner_id: UUID
    workflow_id: UUID
    bucket: str
    prefix: str
    suffix: str
    is_active: bool
    created_at: UtcDatetime
    filter_expression: str | None
    events: str
    last_error: str | None
    last_error_at: UtcDatetime | None


class StorageTriggerInput(Input):
    """A new storage trigger for a workflow: it hears of objects under `<your user id>/` in the bucket."""

    bucket: Bucket = Field(examples=["ocr-documents"])
    prefix: str = Field(default="", max_length=500, examples=["invoices/"])
    """How the rest of the object's name begins."""
    suffix: str = Field(default="", max_length=100, examples=[".pdf"])
    """How it ends."""
    filter_expression: str | None = Field(
        default=None, min_length=1, max_length=4096, examples=["trigger.payload.size < 10000000"]
    )
    """CEL over `trigger`, as the run sees it; only where it is true, a run starts."""
    events: Events = "created"
    """Whether it hears of objects that were stored, that were removed, or both."""
    is_active: bool = True


class StorageTriggerPatch(Patch):
    """What changes in a storage trigger."""

    nullable = frozenset({"filter_expression"})

    prefix: str | None = Field(default=None, max_length=500)
    suffix: str | None = Field(default=None, max_length=100)
    filter_expression: str | None = Field(default=None, min_length=1, max_length=4096)
    events: Events | None = None
    is_active: bool | None = None


class StorageTriggerOutput(Output):
    """A storage trigger."""

    id: UUID
    workflow_id: UUID
    bucket: str
    prefix: str
    suffix: str
    filter_expression: str | None
    events: Events
    is_active: bool
    created_at: UtcDatetime
    last_error: str | None
    """Why the filter last gave neither true nor false, so that nothing was started."""
    last_error_at: UtcDatetime | None

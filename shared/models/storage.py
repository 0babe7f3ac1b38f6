"""Stored files that start workflows."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.models.api import Input, Output, Patch
from shared.models.base import Row, UtcDatetime

Bucket = Literal["ocr-documents", "rag-files", "user-uploads", "workflow-attachments", "code-executions"]


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


class StorageTriggerInput(Input):
    """A new storage trigger for a workflow: it hears of objects under `<your user id>/` in the bucket."""

    bucket: Bucket = Field(examples=["ocr-documents"])
    prefix: str = Field(default="", max_length=500, examples=["invoices/"])
    """How the rest of the object's name begins."""
    suffix: str = Field(default="", max_length=100, examples=[".pdf"])
    """How it ends."""
    is_active: bool = True


class StorageTriggerPatch(Patch):
    """What changes in a storage trigger."""

    prefix: str | None = Field(default=None, max_length=500)
    suffix: str | None = Field(default=None, max_length=100)
    is_active: bool | None = None


class StorageTriggerOutput(Output):
    """A storage trigger."""

    id: UUID
    workflow_id: UUID
    bucket: str
    prefix: str
    suffix: str
    is_active: bool
    created_at: UtcDatetime

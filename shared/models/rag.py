"""Retrieval: indexes, documents, queries, fine-tuning."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class RagIndexRow(Row):
    """A collection of documents to ask."""

    table = "ragindex"

    id: UUID
    name: str
    vector_db_type: str
    owner_id: UUID
    created_at: UtcDatetime


class RagDocumentRow(Row):
    """A document of an index. ``embedding`` is the old form: a JSON array."""

    table = "ragdocument"

    id: UUID
    index_id: UUID
    content: str
    document_metadata: Json | None
    embedding: Json | None
    created_at: UtcDatetime
    owner_id: UUID | None


class RagQueryRow(Row):
    """A question put to an index, and its answer."""

    table = "ragquery"

    id: UUID
    index_id: UUID
    query_text: str
    results: Json | None
    latency_ms: int
    created_at: UtcDatetime
    owner_id: UUID | None


class RagSwitchLogRow(Row):
    """Which engine a query was routed to, and why."""

    table = "ragswitchlog"

    id: UUID
    query_id: UUID | None
    routing_decision: str
    routing_reason: str
    created_at: UtcDatetime
    owner_id: UUID | None


class RagFinetuneJobRow(Row):
    """A fine-tuning job on an index."""

    table = "ragfinetunejob"

    id: UUID
    index_id: UUID
    status: str
    config: Json | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None


class RagFinetuneDatasetRow(Row):
    """A data set of a fine-tuning job."""

    table = "ragfinetunedataset"

    id: UUID
    job_id: UUID
    dataset_url: str
    created_at: UtcDatetime
    owner_id: UUID | None

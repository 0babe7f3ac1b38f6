"""Document reading."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class OcrJobRow(Row):
    """A document to be read."""

    table = "ocrjob"

    id: UUID
    document_url: str
    engine: str
    status: str
    result: Json | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None


class OcrDocumentRow(Row):
    """The file of a job."""

    table = "ocrdocument"

    id: UUID
    job_id: UUID
    file_url: str
    file_type: str
    document_metadata: Json | None
    created_at: UtcDatetime
    owner_id: UUID | None


class OcrResultRow(Row):
    """What was read."""

    table = "ocrresult"

    id: UUID
    job_id: UUID
    extracted_text: str
    structured_data: Json | None
    confidence_score: float | None
    created_at: UtcDatetime
    owner_id: UUID | None

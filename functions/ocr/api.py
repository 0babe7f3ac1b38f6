"""The HTTP face of document reading: asks for jobs, tells of them, and imports nothing that reads a document."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse

from functions.ocr import jobs, results
from shared.doorbell import doorbell
from shared.models.api import Cursor, Limit, Page
from shared.models.ocr import (
    BatchInput,
    ExtractInput,
    OcrBatch,
    OcrFields,
    OcrResult,
    OcrStatus,
    OcrSummary,
    OcrTables,
    OcrUpload,
    ReprocessInput,
)
from shared.scopes import Scope
from shared.settings import (
    CapabilitySettings,
    DatabaseSettings,
    DoorbellSettings,
    IdentitySettings,
    JobSettings,
    LimitSettings,
    OutboundSettings,
    StorageSettings,
)
from shared.storage import storage
from shared.tenant import Tenant
from shared.web import StrictRoute, allow, asgi_handler, create_app, problems


class Settings(
    CapabilitySettings,
    DatabaseSettings,
    DoorbellSettings,
    IdentitySettings,
    JobSettings,
    LimitSettings,
    OutboundSettings,
    StorageSettings,
):
    """What this function is told."""


router = APIRouter(route_class=StrictRoute, tags=["ocr"])

Reader = Annotated[Tenant, allow(Scope.OCR_READ)]
Writer = Annotated[Tenant, allow(Scope.OCR_WRITE)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for this request: asked again, it is answered with the same jobs.",
    ),
]
Status = Literal["queued", "running", "completed", "failed", "cancelled"]


def _deployed() -> frozenset[str]:
    return CapabilitySettings.load().deployed


@router.post("/upload", summary="Bring a file")
def upload(caller: Writer) -> OcrUpload:
    """Files go to the storage. What is stored in `ocr-documents` is read by itself."""
    return OcrUpload(
        upload="/api/v1/storage/upload",
        body={"bucket": "ocr-documents", "filename": "invoice.pdf", "size": 12345, "media_type": "application/pdf"},
        then="Follow what that answers. The stored file is read by itself: look for it in GET /api/v1/ocr/jobs.",
    )


@router.post("/extract", status_code=202, summary="Read a document", responses=problems(404, 413, 429))
def extract(caller: Writer, new: ExtractInput, idempotency_key: IdempotencyKey = None) -> OcrStatus:
    """A job that reads one document: a stored file of yours, or an address.

    A document that was read before, with the same content and in the same way, is not read again.
    """
    [id_] = jobs.extract(caller, doorbell(), [new], idempotency_key, _deployed())
    return jobs.read_status(caller, id_)


@router.post("/batch", status_code=202, summary="Read many documents", responses=problems(404, 413, 429))
def batch(caller: Writer, new: BatchInput, idempotency_key: IdempotencyKey = None) -> OcrBatch:
    """A job for each document, 1 to 100; for all of them, or for none."""
    return OcrBatch(jobs=jobs.extract(caller, doorbell(), new.inputs(), idempotency_key, _deployed()))


@router.get("/jobs", summary="List jobs")
def list_jobs(
    caller: Reader,
    status: Annotated[Status | None, Query()] = None,
    cursor: Annotated[Cursor | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Page[OcrSummary]:
    """The caller's jobs, newest first, a page at a time: those asked for, those of stored files and those of runs."""
    return jobs.list_jobs(caller, status, cursor, limit)


@router.get("/status/{job_id}", summary="How a job stands", responses=problems(404))
def status(caller: Reader, job_id: UUID) -> OcrStatus:
    """One job: its progress in pages while it runs, and why it failed if it did."""
    return jobs.read_status(caller, job_id)


@router.get(
    "/result/{job_id}",
    summary="What was read",
    response_model=OcrResult | OcrTables | OcrFields,
    responses={
        **problems(404, 409),
        200: {"content": {"text/plain": {}, "text/markdown": {}, "text/csv": {}}},
    },
)
def result(
    caller: Reader,
    job_id: UUID,
    format: Annotated[results.Format, Query(description="How it is told.")] = "json",  # noqa: A002
    table: Annotated[int, Query(ge=0, le=10_000, description="Of `csv`: which table, from 0.")] = 0,
) -> OcrResult | OcrTables | OcrFields | Response:
    """What a completed job read: JSON with every box, Markdown, text, its tables (one also as CSV) or its fields."""
    match format:
        case "json":
            return results.read_json(caller, storage(), job_id)
        case "tables":
            return results.read_tables(caller, storage(), job_id)
        case "fields":
            return results.read_fields(caller, storage(), job_id)
        case "markdown":
            return _plain(results.read_markdown(caller, storage(), job_id), "text/markdown")
        case "csv":
            return _plain(results.read_csv(caller, storage(), job_id, table), "text/csv")
        case "text":
            return _plain(results.read_text(caller, storage(), job_id), "text/plain")


@router.post("/cancel/{job_id}", summary="Cancel a job", responses=problems(404, 409))
def cancel(caller: Writer, job_id: UUID) -> OcrStatus:
    """The job and its parts end at once; whoever reads stops at the next page. A run that waits for it is told."""
    return jobs.cancel(caller, doorbell(), job_id)


@router.post("/process/{job_id}", status_code=202, summary="Read a document again", responses=problems(404, 413, 429))
def process(caller: Writer, job_id: UUID, wishes: ReprocessInput, idempotency_key: IdempotencyKey = None) -> OcrStatus:
    """A new job for the document of an earlier one, with another engine or other options; the earlier one stays."""
    id_ = jobs.reprocess(caller, doorbell(), job_id, wishes, idempotency_key, _deployed())
    return jobs.read_status(caller, id_)


def _plain(text: str, media_type: str) -> Response:
    return PlainTextResponse(text, media_type=media_type)


app = create_app("Documents", "/api/v1/ocr", router, description="Text, tables and fields out of documents.")
handler = asgi_handler(app)

"""Jobs as their owners see them: made, looked at, listed, cancelled, done again. Needs none of what reading needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from functions.ocr import routing
from functions.ocr.source import LANDING, place_of
from shared import jobs, statements
from shared.doorbell import Doorbell
from shared.errors import Invalid, NotFound, Unavailable
from shared.models.api import Page, page_of, read_cursor
from shared.models.ocr import (
    ExtractInput,
    OcrProgress,
    OcrStatus,
    OcrSummary,
    ReprocessInput,
    Routing,
)
from shared.tenant import Tenant

SQL = statements.load("ocr")
KIND = "ocr"


def extract(
    caller: Tenant, bell: Doorbell, documents: list[ExtractInput], key: str | None, deployed: frozenset[str]
) -> list[UUID]:
    """A job for each document, or for none of them; the same ``key`` gives the same jobs.

    Raises :class:`NotFound` for a file in another's folder, :class:`~shared.outbound.BlockedAddress` for an address
    that may not be called, :class:`Invalid` for an engine that is not here, :class:`Unavailable` without a worker.
    """
    _needs_worker(deployed)
    for document in documents:
        routing.route(document.engine, document.document_metadata)
        _check_place(caller, document)
    return jobs.request_all(caller, bell, KIND, [document.input() for document in documents], key)


def reprocess(
    caller: Tenant, bell: Doorbell, id_: UUID, wishes: ReprocessInput, key: str | None, deployed: frozenset[str]
) -> UUID:
    """A new job for the document of job ``id_``; what the wishes do not say is as it was then."""
    _needs_worker(deployed)
    earlier = jobs.read(caller, KIND, id_)
    kept = {name: earlier.input[name] for name in ("options", "asked") if name in earlier.input}
    input_ = {"document": place_of(earlier.input), **kept, "reprocesses": str(id_), "anew": True}
    said = wishes.asked()
    if wishes.model_fields_set & {"engine", "document_metadata"}:
        input_["asked"] = said["asked"]
    if "options" in wishes.model_fields_set:
        input_["options"] = said["options"]
    routing.wishes(input_)
    return jobs.request(caller, bell, KIND, input_, key)


def read_status(caller: Tenant, id_: UUID) -> OcrStatus:
    """How one job stands."""
    job = jobs.read(caller, KIND, id_)
    place = place_of(job.input)
    return OcrStatus(
        id=job.id,
        status=job.status,
        document=place.get("url") or f"{place.get('bucket')}/{place.get('key')}",
        routing=_routing(job.input),
        progress=OcrProgress.model_validate(job.progress or {}),
        parts=job.parts,
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        execution_id=job.execution_id,
        reprocesses=job.input.get("reprocesses"),
    )


def list_jobs(caller: Tenant, status: str | None, cursor: str | None, limit: int) -> Page[OcrSummary]:
    """The caller's jobs, newest first, a page at a time."""
    at, before = read_cursor(cursor, datetime, UUID)
    rows = caller.call(SQL["list_jobs"], {"status": status, "at": at, "before": before, "limit": limit + 1})
    return page_of(OcrSummary, rows, limit, "started_at", "id")


def cancel(caller: Tenant, bell: Doorbell, id_: UUID) -> OcrStatus:
    """Cancel a job with its parts; how it stands then."""
    jobs.read(caller, KIND, id_)  # of this kind, and the caller's
    jobs.cancel(caller, bell, id_)
    return read_status(caller, id_)


def _routing(input_: dict[str, Any]) -> Routing:
    try:
        return routing.wishes(input_)
    except Invalid as error:  # a run's step may ask for what is not here: its job fails, and can be looked at
        return Routing(asked=input_["asked"]["engine"], engine="none", reason=error.detail)


def _check_place(caller: Tenant, document: ExtractInput) -> None:
    if document.url is not None:
        from shared import outbound  # only who reads from the internet pays for it

        outbound.check_url(document.url)
        return
    folder = f"{caller.user_id}/"
    key = document.key or ""
    if not key.startswith(folder) or (document.bucket == "user-uploads" and key.startswith(folder + LANDING)):
        raise NotFound("There is no such file, or it is not yours.", remedy="A file's key begins with your own id.")


def _needs_worker(deployed: frozenset[str]) -> None:
    if KIND not in deployed:
        raise Unavailable(
            "Nothing here reads documents: the capability `ocr` is not deployed.",
            remedy="On a laptop: `make install-ocr`, and start again. On AWS: name it in MILLRACE_CAPABILITIES.",
        )

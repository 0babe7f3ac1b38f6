"""What a job ended with, in each format. Needs none of what reading needs."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal
from uuid import UUID

from functions.ocr.document import Document
from functions.ocr.outcome import rows_of
from shared import payloads, statements
from shared.database import dump_json
from shared.errors import Conflict, NotFound
from shared.models.ocr import FieldOutput, OcrFields, OcrResult, OcrTables, TableOutput
from shared.storage import Storage
from shared.tenant import Tenant

SQL = statements.load("ocr")

Format = Literal["json", "markdown", "text", "tables", "csv", "fields"]

#: What one answer holds of a document, below the 6 MB of a function's answer; a larger one has an address.
ANSWER_BYTES = 4 * 1024 * 1024
ADDRESS_SECONDS = 900


def read_json(caller: Tenant, storage: Storage, id_: UUID) -> OcrResult:
    """All of it, or where it is to be had."""
    row = _ended(caller, id_)
    kept = row["structured_data"]
    document, url = None, None
    if payloads.is_reference(kept) and kept[payloads.MARK].get("bytes", 0) > ANSWER_BYTES:
        place = payloads.locate(caller.user_id, kept[payloads.MARK].get("sha256"))
        url = storage.signed_url(*place, expires_in=ADDRESS_SECONDS)
    else:
        document = payloads.resolve(storage, caller.user_id, kept)
    return OcrResult(
        job_id=id_,
        engine=row["engine"],
        confidence=row["confidence_score"],
        summary=row["summary"],
        document=document,
        document_url=url,
    )


def read_text(caller: Tenant, storage: Storage, id_: UUID) -> str:
    """The plain text, a form feed between two pages."""
    return _bounded(_document(caller, storage, id_).text)


def read_markdown(caller: Tenant, storage: Storage, id_: UUID) -> str:
    """The text with its headings, lists and tables."""
    return _bounded(_document(caller, storage, id_).markdown)


def read_tables(caller: Tenant, storage: Storage, id_: UUID) -> OcrTables:
    """Every table, as rows of texts."""
    return OcrTables(job_id=id_, tables=_tables(_document(caller, storage, id_)))


def read_csv(caller: Tenant, storage: Storage, id_: UUID, number: int) -> str:
    """One table, counted from 0 through the whole document, as CSV (RFC 4180)."""
    tables = _tables(_document(caller, storage, id_))
    if number >= len(tables):
        raise NotFound(f"The document has {len(tables)} tables; table {number} is not one of them.")
    written = io.StringIO()
    csv.writer(written).writerows(tables[number].rows)
    return _bounded(written.getvalue())


def read_fields(caller: Tenant, storage: Storage, id_: UUID) -> OcrFields:
    """Every field, with the box of its value."""
    found = [
        FieldOutput(
            page=page.number,
            name=field.name,
            value=field.value,
            key=field.key,
            normalised=field.normalised,
            confidence=field.confidence,
            box=list(field.box),
        )
        for page in _document(caller, storage, id_).pages
        for field in page.fields
    ]
    return OcrFields(job_id=id_, fields=found)


def _tables(document: Document) -> list[TableOutput]:
    return [
        TableOutput(page=page.number, number=number, rows=rows_of(table))
        for page in document.pages
        for number, table in enumerate(page.tables)
    ]


def _document(caller: Tenant, storage: Storage, id_: UUID) -> Document:
    return Document.model_validate(payloads.resolve(storage, caller.user_id, _ended(caller, id_)["structured_data"]))


def _ended(caller: Tenant, id_: UUID) -> dict[str, Any]:
    rows = caller.call(SQL["read_result"], {"id": id_})
    if not rows:
        raise NotFound("There is no such job, or it is not yours.")
    [row] = rows
    if row["result_id"] is not None and row["status"] == "completed":
        return row
    if row["status"] in ("queued", "running"):
        raise Conflict(
            f"The job is {row['status']}; it has no result yet.",
            remedy="Ask for its status, and come again.",
            retry_after=2,
        )
    said = f" {row['error_message']}" if row["error_message"] else ""
    raise Conflict(f"The job {'was cancelled' if row['status'] == 'cancelled' else 'failed'}.{said}")


def _bounded(text: str) -> str:
    if len(dump_json(text)) > ANSWER_BYTES:
        raise Conflict(
            "The text is too large for one answer.", remedy="Ask for `format=json`, which gives its address."
        )
    return text

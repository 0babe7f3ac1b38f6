"""What a job ends with: what the run's next step is given, what is kept of the document, and what a list shows.

``millrace.keep_ocr_job`` takes this apart: ``output`` stays with the job, the rest goes to ``ocrjob``, ``ocrdocument``
and ``ocrresult`` in the same transaction. Rows stay small: what is large goes to a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from functions.ocr.document import Document, Table
from shared.database import dump_json
from shared.errors import TooLarge
from shared.models.ocr import Routing
from shared.payloads import Payloads

#: Characters of the text in `ocrresult`, where it can be searched; the document has all of it.
TEXT_CHARACTERS = 1_000_000

#: What is left out of a step's output that is too large, in this order.
DISPENSABLE = ("markdown", "tables", "fields", "values", "text", "pages")

#: What is left out of a document that is too large to be kept.
WITHOUT_WORDS = "Words and their boxes were left out, for the document is too large with them; its lines have theirs."


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of the file that was read."""

    media_type: str
    sha256: str
    bytes: int
    fingerprint: str  #: of content, options and engines


def outcome(
    job: str, owner: UUID, document: Document, read: Read, routing: Routing, keep: Payloads, *, output_bytes: int
) -> dict[str, Any]:
    """What a job ends with that read ``document``."""
    engines = sorted({page.engine for page in document.pages if page.engine is not None})
    engine = "+".join(engines) or "none"
    summary = {
        "engine": engine,
        "pages": len(document.pages),
        "confidence": round(document.confidence, 4),
        "characters": len(document.text),
        "tables": sum(len(page.tables) for page in document.pages),
        "fields": sum(len(page.fields) for page in document.pages),
        "routing": routing.model_dump(mode="json"),
        "notes": list(document.notes),
    }
    output = _bounded({"job_id": job, **summary, **_content(document)}, output_bytes)
    return {
        "engine": engine,
        "confidence": summary["confidence"],
        "summary": summary,
        "output": keep.keep(owner, output, len(dump_json(output))),
        "text": document.text[:TEXT_CHARACTERS],
        "structured": _structured(document, owner, keep),
        "document": {
            "media_type": read.media_type,
            "sha256": read.sha256,
            "bytes": read.bytes,
            "pages": document.page_count,
            "fingerprint": read.fingerprint,
        },
    }


def again(job: str, owner: UUID, earlier: dict[str, Any], routing: Routing, keep: Payloads) -> dict[str, Any]:
    """What a job ends with whose document was read before: ``earlier`` is a row of ``find_ocr_result``."""
    of = str(earlier["job_id"])
    told = {"routing": routing.model_dump(mode="json"), "reused_from": of}
    output = {**keep.resolve(owner, earlier["output"]), **told, "job_id": job}
    return {
        "engine": earlier["engine"],
        "confidence": earlier["confidence"],
        "summary": {**earlier["summary"], **told},
        "output": keep.keep(owner, output, len(dump_json(output))),
        "text": earlier["text"],
        "structured": earlier["structured"],
        "document": earlier["document"],
    }


def rows_of(table: Table) -> list[list[str]]:
    """A table's texts, every row as wide as the widest; a cell that spans stands where it begins."""
    cells = [cell for row in table.rows for cell in row]
    height = max((cell.row + cell.row_span for cell in cells), default=0)
    width = max((cell.column + cell.column_span for cell in cells), default=0)
    rows = [[""] * width for _ in range(height)]
    for cell in cells:
        rows[cell.row][cell.column] = cell.text
    return rows


def _content(document: Document) -> dict[str, Any]:
    values: dict[str, str] = {}
    for page in document.pages:
        for found in page.fields:
            values.setdefault(found.key or found.name, found.normalised or found.value)
    return {
        "text": document.text,
        "markdown": document.markdown,
        "tables": [{"page": page.number, "rows": rows_of(table)} for page in document.pages for table in page.tables],
        "fields": [
            {"page": page.number, **field.model_dump(mode="json", exclude={"box", "name_box"})}
            for page in document.pages
            for field in page.fields
        ],
        "values": values,
        "pages": [
            {
                "number": page.number,
                "width": page.width,
                "height": page.height,
                "unit": page.unit,
                "rotation": page.rotation,
                "engine": page.engine,
                "source": page.source,
                "confidence": page.confidence,
            }
            for page in document.pages
        ],
        "page_count": len(document.pages),
    }


def _bounded(output: dict[str, Any], limit: int) -> dict[str, Any]:
    left_out: list[str] = []
    for name in DISPENSABLE:
        if len(dump_json(output)) <= limit:
            break
        if not output[name]:
            continue
        output = {**output, name: None, "left_out": (left_out := [*left_out, name])}
    return output


def _structured(document: Document, owner: UUID, keep: Payloads) -> Any:
    value = document.to_json()
    try:
        return keep.keep(owner, value, len(dump_json(value)))
    except TooLarge:
        value["notes"] = [*value["notes"], WITHOUT_WORDS]
        for page in value["pages"]:
            for block in page["blocks"]:
                for line in block["lines"]:
                    line["words"] = []
        return keep.keep(owner, value, len(dump_json(value)))

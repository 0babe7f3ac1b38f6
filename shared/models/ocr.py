"""Document reading: the rows, what callers and workflow nodes ask for, and what they are told."""

from __future__ import annotations

from typing import Any, Literal, Self
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from shared.models.api import Input, Output
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
    fingerprint: str | None


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


# Asking ---------------------------------------------------------------------------------------------------------------


class Hints(BaseModel):
    """What is known of a document before it is read: the words by which the old system chose an engine.

    Those of that system that choose nothing, and any others, are accepted and mean nothing.
    """

    model_config = ConfigDict(extra="ignore")

    structured_json_required: bool = False
    layout: str | None = Field(default=None, max_length=100)
    handwriting_detected: bool = False
    heavy_pdf_or_image: bool = Field(
        default=False, validation_alias=AliasChoices("heavy_pdf_or_image", "heavy_pdf", "heavy_image")
    )
    region: str | None = Field(default=None, max_length=100)
    latency_ms: float | None = Field(default=None, ge=0)


class OcrOptions(Input):
    """How a document is read; the defaults suit most."""

    text_layer: Literal["auto", "never", "only"] = "auto"
    """A PDF's own text: `auto` takes it where it is sound, `never` recognises every page, `only` recognises none."""
    tables: bool = True
    """Whether tables are looked for."""
    fields: bool = True
    """Whether fields (a name and its value) are looked for."""


class Wishes(Input):
    """How a document is to be read."""

    engine: str | None = Field(default=None, min_length=1, max_length=100, examples=["auto"])
    """`auto`, `rapidocr`, `tesseract` or `text_layer`; or an engine of the old system, which is mapped to one of these.

    One that has nothing like it here (`google_vision`) is refused.
    """
    document_metadata: Hints = Field(
        default_factory=Hints, validation_alias=AliasChoices("document_metadata", "metadata")
    )
    """What is known of it; it chooses the engine where none is named."""
    options: OcrOptions = Field(default_factory=OcrOptions)

    def asked(self) -> dict[str, Any]:
        """What a job's input holds of this."""
        return {
            "options": self.options.model_dump(mode="json"),
            "asked": {
                "engine": self.engine,
                "metadata": self.document_metadata.model_dump(mode="json", exclude_defaults=True),
            },
        }


class ExtractInput(Wishes):
    """A document to be read: a stored file of yours (`bucket` and `key`), or an address on the public internet."""

    bucket: Literal["ocr-documents", "rag-files", "user-uploads", "workflow-attachments", "code-executions"] = (
        "ocr-documents"
    )
    """Where the file is stored."""
    key: str | None = Field(default=None, min_length=1, max_length=1024)
    """Its key, beginning with your id."""
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        examples=["https://example.com/invoice.pdf"],
        validation_alias=AliasChoices("url", "document_url"),
    )
    """`http` or `https`."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.key is None) == (self.url is None):
            raise ValueError("give either `key` (and `bucket`) or `url`")
        return self

    def input(self) -> dict[str, Any]:
        """The job's input."""
        place = {"url": self.url} if self.url is not None else {"bucket": self.bucket, "key": self.key}
        return {"document": place, **self.asked()}


class BatchInput(Input):
    """Documents to be read, 1 to 100, each by a job of its own. All are taken in, or none."""

    documents: list[ExtractInput | str] = Field(
        min_length=1,
        max_length=100,
        examples=[["https://example.com/invoice.pdf"]],
        validation_alias=AliasChoices("documents", "document_urls", "urls"),
    )
    """Each as `POST /extract` takes it, or an address alone."""

    def inputs(self) -> list[ExtractInput]:
        """All in full."""
        return [ExtractInput(url=each) if isinstance(each, str) else each for each in self.documents]


class ReprocessInput(Wishes):
    """How to read the document of an earlier job this time; what is not said is as it was then."""


# Being told -----------------------------------------------------------------------------------------------------------


class Routing(Output):
    """Which engine was chosen, and why."""

    asked: str | None = None
    """The engine that was named, if one was; else the one that the old system would have chosen."""
    engine: str
    """What it is read with: `auto`, `rapidocr`, `tesseract` or `text_layer`."""
    reason: str


class OcrProgress(Output):
    """How far a job is."""

    pages: int | None = None
    """Of the whole document; null until it was looked at."""
    pages_done: int = 0


class OcrStatus(Output):
    """How a job stands."""

    id: UUID
    status: str
    """`queued`, `running`, `completed`, `failed` or `cancelled`."""
    document: str
    """Its address, or bucket and key."""
    routing: Routing
    progress: OcrProgress
    parts: int | None
    """Into how many page ranges, read at the same time, it was split."""
    error: dict[str, Any] | None
    """Why it failed: `kind` for programs, `message` for people."""
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    completed_at: UtcDatetime | None
    execution_id: UUID | None
    """The run that waits for it, if one does."""
    reprocesses: UUID | None = None
    """The job whose document this one reads again."""


class OcrSummary(Output):
    """A job in a list."""

    id: UUID
    document_url: str
    engine: str
    status: str
    result: Json | None
    """Of a completed one: pages, confidence, how many tables and fields, the routing."""
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None


class OcrBatch(Output):
    """The jobs of a batch, in the order of its documents."""

    jobs: list[UUID]


class OcrUpload(Output):
    """How a file becomes a document that is read: two requests elsewhere."""

    upload: str
    """Where to ask for the way to bring it."""
    body: dict[str, Any]
    """What to send there."""
    then: str


class OcrResult(Output):
    """What was read."""

    job_id: UUID
    engine: str
    confidence: float | None
    summary: Json
    document: Json | None
    """`text`, `markdown` and `pages` with blocks, lines, words, tables and fields, each with its box; null when it is
    too large for one answer."""
    document_url: str | None
    """Where the document is to be had when it is too large for one answer; for 15 minutes."""


class TableOutput(Output):
    """A table that was found."""

    page: int
    number: int
    """Of this table on its page, from 0."""
    rows: list[list[str]]


class FieldOutput(Output):
    """A name and its value."""

    page: int
    name: str
    """As the page has it."""
    value: str
    key: str | None
    """What it is, where that is known: `invoice_number`, `date`, `due_date`, `total`, `iban` and so on."""
    normalised: str | None
    """The value as programs want it, where there is one way to read it: a date in ISO 8601, an amount as a decimal."""
    confidence: float
    box: list[float]
    """Of the value: x0, y0, x1, y1 on the upright page."""


class OcrTables(Output):
    """All tables of a document."""

    job_id: UUID
    tables: list[TableOutput]


class OcrFields(Output):
    """All fields of a document."""

    job_id: UUID
    fields: list[FieldOutput]

"""What reading a document gives: pages of blocks, lines and words with their boxes, tables, fields, text and Markdown.

These models are the contract between the reader, what finds tables and fields in a page, what renders it, and the job
that keeps it as JSON; they need nothing but pydantic, so the API face may use them too.

Boxes are ``(x0, y0, x1, y1)`` with the origin at the top left of the page *as it is shown upright*: a page that was
scanned upside down has the boxes of the turned page. ``Page.unit`` tells whether they are PDF points or pixels of the
image as it was given. Confidence runs from 0 to 1; a text layer is what its author wrote and counts as 1.

    tables.find(page, image) -> list[Table]     image: a Pillow picture of the upright, levelled page,
                                                or None; one unit of the page is image.width / page.width of its pixels
    fields.find(page) -> list[Field]
    markdown.render(document) -> str
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import pydantic

#: x0, y0, x1, y1 in the page's unit
Box = tuple[float, float, float, float]
Confidence = Annotated[float, pydantic.Field(ge=0, le=1)]
EngineName = Literal["text_layer", "rapidocr", "tesseract"]
#: Between two pages of a document's plain text, as `pdftotext` does it.
PAGE_BREAK = "\f"


class Part(pydantic.BaseModel):
    """Base of everything found: frozen, and silent about what a later version adds."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Word(Part):
    """What stands between two spaces."""

    text: str
    box: Box
    confidence: Confidence


class Line(Part):
    """Words side by side, left to right."""

    text: str
    box: Box
    confidence: Confidence
    words: tuple[Word, ...] = ()
    #: Height of the letters (the font's size in a text layer, the box's height in a scan), in the page's unit.
    size: float = 0.0


class Block(Part):
    """Lines that belong together: a paragraph, or a heading of level 1 to 6."""

    kind: Literal["paragraph", "heading", "list"] = "paragraph"
    level: int = 0
    box: Box
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The lines, one under the other."""
        return "\n".join(line.text for line in self.lines)


class Cell(Part):
    """One cell of a table. ``row`` and ``column`` count from 0."""

    text: str
    box: Box
    row: int
    column: int
    row_span: int = 1
    column_span: int = 1


class Table(Part):
    """Rows of cells, from top to bottom; a cell that spans is named once, where it begins."""

    box: Box
    rows: tuple[tuple[Cell, ...], ...]


class Field(Part):
    """A name and its value as the page shows them: `Total: 12.00`."""

    name: str
    value: str
    box: Box  #: of the value
    name_box: Box | None = None  #: None where the value itself showed what it is: an IBAN, an e-mail address
    confidence: Confidence
    #: What is named, where that is known: invoice_number, date, due_date, total, iban, … (``fields.KINDS``); on a page
    #: one field of each.
    key: str | None = None
    #: The value as programs want it, where there is one way to read it: a date in ISO 8601, an amount as a decimal.
    normalised: str | None = None


class Attempt(Part):
    """One try at a page: by which engine, how sure it was, and why it was made."""

    engine: EngineName
    score: float
    reason: str


class Page(Part):
    """One page, upright."""

    number: int  #: counts from 1
    width: float
    height: float
    unit: Literal["point", "pixel"]
    #: Clockwise degrees (0, 90, 180, 270) by which the page as it was given was turned to stand upright.
    rotation: int = 0
    #: Degrees by which the lines of a scan that lay askew lean clockwise. Boxes are those of the levelled page: turned
    #: back by as much around its centre, its size kept.
    skew: float = 0.0
    engine: EngineName | None = None  #: whose text this is; nobody's on an empty page
    source: Literal["text_layer", "raster"]
    confidence: Confidence
    #: Why this engine's text was taken, in words.
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    blocks: tuple[Block, ...] = ()  #: in reading order
    tables: tuple[Table, ...] = ()
    fields: tuple[Field, ...] = ()

    @property
    def lines(self) -> Iterator[Line]:
        """All lines in reading order."""
        return (line for block in self.blocks for line in block.lines)

    @property
    def words(self) -> Iterator[Word]:
        """All words in reading order."""
        return (word for line in self.lines for word in line.words)

    @property
    def text(self) -> str:
        """The blocks in reading order, an empty line between two."""
        return "\n\n".join(block.text for block in self.blocks)


class Document(Part):
    """Pages that were read, of a document that may have more (a range was asked for)."""

    media_type: str  #: what its bytes are
    page_count: int  #: of the whole document
    pages: tuple[Page, ...]
    markdown: str = ""
    #: What a person should know: a wrong extension, a name of an engine that is not here, a page made smaller.
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The pages' text, a form feed between two."""
        return PAGE_BREAK.join(page.text for page in self.pages)

    @property
    def confidence(self) -> float:
        """Mean over the pages, each weighed by its text's length; 0 for a document without text."""
        weights = [len(page.text) for page in self.pages]
        weighed = sum(page.confidence * weight for page, weight in zip(self.pages, weights, strict=True))
        return weighed / sum(weights) if sum(weights) else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values; ``Document.model_validate`` reads it back."""
        return {**self.model_dump(mode="json"), "text": self.text, "confidence": round(self.confidence, 4)}


def joined(parts: Sequence[Document]) -> Document:
    """One document of the page ranges that were read apart, by page number; a page read twice counts once."""
    first = parts[0]
    pages = {page.number: page for part in parts for page in part.pages}
    ordered = sorted((part for part in parts if part.pages), key=lambda part: part.pages[0].number)
    return first.model_copy(
        update={
            "pages": tuple(pages[number] for number in sorted(pages)),
            "markdown": "\n\n".join(part.markdown for part in ordered if part.markdown),
            "notes": tuple(dict.fromkeys(note for part in ordered for note in part.notes)),
        }
    )

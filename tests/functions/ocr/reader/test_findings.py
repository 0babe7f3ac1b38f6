"""Tables, fields and Markdown come with the pages, from text layers and from pictures, unless they are not wanted."""

from __future__ import annotations

from tests.functions.ocr.reader import documents
from tests.functions.ocr.reader.conftest import Read

ROWS = [("Article", "Pieces", "Price"), ("Paper", "4", "12.00"), ("Glue", "11", "3.50"), ("Wire rope", "2", "120.00")]
CONTENT = b"".join(
    documents.text([cell], x=x, y=600 - 24 * index)
    for index, row in enumerate(ROWS)
    for cell, x in zip(row, (80, 300, 430), strict=True)
)
FIELDS = documents.text(["Invoice number: 2026-117", "Total: 135.50"], y=700)
RULES = b"".join(b"70 %d m 520 %d l S\n" % (y, y) for y in range(520, 640, 24)) + b"".join(
    b"%d 520 m %d 616 l S\n" % (x, x) for x in (70, 290, 420, 520)
)


def test_of_a_text_layer_with_and_without_rules(read: Read) -> None:
    for content in (FIELDS + CONTENT, FIELDS + CONTENT + RULES):
        document = read(documents.pdf(content))
        [page] = document.pages
        assert page.source == "text_layer"
        [table] = page.tables
        assert [tuple(cell.text for cell in row) for row in table.rows] == ROWS
        assert [(field.name, field.value) for field in page.fields] == [
            ("Invoice number", "2026-117"),
            ("Total", "135.50"),
        ]
        assert "| Wire rope | 2 | 120.00 |" in document.markdown


def test_of_a_picture(read: Read) -> None:
    document = read(documents.pdf(FIELDS + CONTENT + RULES), text_layer="never")
    [page] = document.pages
    assert page.source == "raster"
    [table] = page.tables
    assert [tuple(cell.text for cell in row) for row in table.rows] == ROWS
    assert [field.value for field in page.fields] == ["2026-117", "135.50"]


def test_not_when_they_are_not_wanted(read: Read) -> None:
    [page] = read(documents.pdf(FIELDS + CONTENT + RULES), tables=False, fields=False).pages
    assert (page.tables, page.fields) == ((), ())

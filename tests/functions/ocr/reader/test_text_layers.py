"""A PDF's own text: taken where it is sound, with boxes, sizes and order; without recognition."""

from __future__ import annotations

import pytest

from functions.ocr.document import Document, Page
from functions.ocr.engines.rapid import Rapid
from tests.functions.ocr.reader import documents
from tests.functions.ocr.reader.conftest import Read
from tests.functions.ocr.reader.documents import LINES


@pytest.fixture(autouse=True)
def no_recognition(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("recognised")

    monkeypatch.setattr(Rapid, "read", read)


def test_lines_words_and_their_boxes(read: Read) -> None:
    [page] = read(documents.pdf(documents.text(LINES))).pages
    assert [line.text for line in page.lines] == list(LINES)
    assert (page.source, page.engine, page.unit, page.confidence) == ("text_layer", "text_layer", "point", 1.0)
    assert (page.width, page.height) == (612, 792)
    first = next(page.words)
    assert first.text == "The"
    left, top, right, bottom = first.box
    assert left == 72
    assert 72 < right < 95
    assert top < 792 - 700 < bottom, "the baseline is inside the box, counted from the top"


def test_larger_lines_are_headings_and_gaps_part_paragraphs(read: Read) -> None:
    content = (
        documents.text(["Quarterly report"], size=24)
        + documents.text(LINES[:3], y=640)
        + documents.text(["Outlook"], y=560, size=17)
        + documents.text(LINES[3:], y=530)
    )
    [page] = read(documents.pdf(content)).pages
    assert [(block.kind, block.level, len(block.lines)) for block in page.blocks] == [
        ("heading", 1, 1),
        ("paragraph", 0, 3),
        ("heading", 2, 1),
        ("paragraph", 0, 3),
    ]


def test_columns_are_read_one_after_the_other_below_a_heading_over_both(read: Read) -> None:
    left = [f"left column line {n} of the page" for n in range(8)]
    right = [f"right column line {n} of it too" for n in range(8)]
    content = (
        documents.text(["A heading that runs over both of the columns of this page"], x=72, y=740, size=18)
        + documents.text(right, x=330)
        + documents.text(left, x=72)
    )
    [page] = read(documents.pdf(content)).pages
    assert [line.text for line in page.lines][1:] == left + right


def test_cells_of_a_row_stay_one_line(read: Read) -> None:
    rows = [("Paper", "4", "12.00"), ("Glue", "11", "3.50"), ("Wire rope", "2", "120.00"), ("Nails", "900", "9.10")]
    content = b"".join(
        documents.text([cell], x=x, y=700 - 20 * index)
        for index, row in enumerate(rows)
        for cell, x in zip(row, (72, 300, 450), strict=True)
    )
    [page] = read(documents.pdf(content)).pages
    assert [line.text for line in page.lines] == [" ".join(row) for row in rows]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_page_is_read_as_viewers_show_it(read: Read, rotate: int) -> None:
    """Text that was set to be upright on the turned page is upright: nothing is left to be turned."""
    turned = {0: "1 0 0 1 72 600", 90: "0 1 -1 0 100 72", 180: "-1 0 0 -1 540 100", 270: "0 -1 1 0 500 700"}[rotate]
    lines = " T* ".join(f"({line}) Tj" for line in LINES)
    [page] = read(documents.pdf(f"BT /F1 12 Tf 15 TL {turned} Tm {lines} ET".encode(), rotate=rotate)).pages
    assert page.rotation == 0
    assert [line.text for line in page.lines] == list(LINES)
    assert (page.width > page.height) == (rotate in (90, 270))
    _all_inside(page)


def test_text_that_runs_up_a_page_turns_it(read: Read) -> None:
    lines = " T* ".join(f"({line}) Tj" for line in LINES)
    [page] = read(documents.pdf(f"BT /F1 12 Tf 15 TL 0 1 -1 0 100 72 Tm {lines} ET".encode())).pages
    assert page.rotation == 90
    assert [line.text for line in page.lines] == list(LINES)
    assert (page.width, page.height) == (792, 612)
    _all_inside(page)


def test_a_page_range_and_progress(settings: object) -> None:
    from functions.ocr import reader

    told: list[tuple[int, int, int]] = []
    data = documents.pdf(*(documents.text([f"This is page number {n} of the book"]) for n in range(1, 8)))
    document = reader.read(data, pages=range(3, 6), progress=lambda page, n, of: told.append((page.number, n, of)))
    assert [page.number for page in document.pages] == [3, 4, 5]
    assert document.page_count == reader.page_count(data) == 7
    assert told == [(3, 1, 3), (4, 2, 3), (5, 3, 3)]
    assert document.text.split("\f")[0] == "This is page number 3 of the book"


def test_a_blank_page_and_one_with_three_letters_are_what_they_are(read: Read) -> None:
    blank, short = read(documents.pdf(b"", documents.text(["Yes"]))).pages
    assert (blank.engine, blank.text, blank.reason) == (None, "", "the page is blank")
    assert (short.engine, short.text) == ("text_layer", "Yes")


def test_json_and_back(read: Read) -> None:
    document = read(documents.pdf(documents.text(LINES)))
    told = document.to_json()
    assert told["text"] == document.text
    assert told["confidence"] == 1
    assert Document.model_validate(told) == document


def test_what_was_filled_into_a_form_is_read(read: Read) -> None:
    shown = documents.stream(
        b"/Tx BMC BT /F1 12 Tf 2 4 Td (Ivan Berg) Tj ET EMC",
        b"/Type /XObject /Subtype /Form /BBox [0 0 300 20] /Resources << /Font << /F1 5 0 R >> >>",
    )
    field = (
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (Ivan Berg) /Rect [190 696 490 716] /F 4"
        b" /AP << /N 11 0 R >> /DA (/F1 12 Tf) >>"
    )
    content = documents.text(["Name of the buyer:"]) + documents.text(LINES, y=600)
    [page] = read(documents.pdf(content, extra=[field, shown], annotations=b"10 0 R")).pages
    assert next(page.lines).text == "Name of the buyer: Ivan Berg"


def test_items_are_a_list(read: Read) -> None:
    [page] = read(documents.pdf(documents.text(["* wooden boxes", "* paper and glue", "* wire"]))).pages
    assert [block.kind for block in page.blocks] == ["list"]


def test_a_picture_that_is_too_large_does_not_take_the_text_along(read: Read) -> None:
    logo = documents.image_object(35_000, 35_000, bytes(1000))
    content = documents.text(LINES) + b"q 40 0 0 40 500 720 cm /I1 Do Q"
    [page] = read(documents.pdf(content, extra=[logo])).pages
    assert [line.text for line in page.lines] == list(LINES)


def test_no_pages_asked_for_are_none_read(read: Read) -> None:
    document = read(documents.pdf(documents.text(LINES)), pages=range(5, 9))
    assert (document.page_count, document.pages) == (1, ())


def test_ligatures_are_taken_apart_and_lone_surrogates_never_leave(read: Read) -> None:
    cmap = documents.stream(
        b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"2 beginbfchar <41> <FB01> <42> <D83D> endbfchar endcmap end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 10 0 R >>"
    lines = ["plain letters around Anish them", "and many more of them so that B counts little", *LINES]
    [page] = read(documents.pdf(documents.text(lines), fonts=[font], extra=[cmap]), text_layer="only").pages
    page.text.encode()  # a lone surrogate could not be
    assert "finish" in page.text


def _all_inside(page: Page) -> None:
    for word in page.words:
        x0, y0, x1, y1 = word.box
        assert 0 <= x0 < x1 <= page.width
        assert 0 <= y0 < y1 <= page.height

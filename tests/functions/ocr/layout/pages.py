"""Pages written out as text: where the columns of a monospaced picture are, there the boxes are."""

from __future__ import annotations

import re

from functions.ocr.document import Block, Document, Line, Page, Table, Word
from functions.ocr.layout import enclosing

#: A letter's width and a line's height in the page's unit.
WIDTH, HEIGHT = 6.0, 10.0


def page(picture: str, *tables: Table) -> Page:
    """A page with a line for each line of ``picture``, in one block."""
    lines = []
    for row, text in enumerate(picture.strip("\n").splitlines()):
        words = [
            Word(text=m[0], box=(m.start() * WIDTH, row * 14.0, m.end() * WIDTH, row * 14.0 + HEIGHT), confidence=1)
            for m in re.finditer(r"\S+", text)
        ]
        if words:
            lines.append(line(words))
    block = Block(box=enclosing(line.box for line in lines), lines=tuple(lines))
    return Page(
        number=1,
        width=1000,
        height=1000,
        unit="point",
        source="text_layer",
        confidence=1,
        blocks=(block,),
        tables=tables,
    )


def line(words: list[Word]) -> Line:
    """Words side by side."""
    box = enclosing(word.box for word in words)
    return Line(text=" ".join(w.text for w in words), box=box, confidence=1, words=tuple(words), size=HEIGHT)


def document(*pages: Page) -> Document:
    """Pages as a document."""
    return Document(media_type="application/pdf", page_count=len(pages), pages=pages)


def texts(table: Table) -> list[list[str]]:
    """A table's texts by row."""
    return [[cell.text for cell in row] for row in table.rows]

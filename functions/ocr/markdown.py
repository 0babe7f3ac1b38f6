"""A document as Markdown: headings, paragraphs, lists, and tables as pipes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from functions.ocr.document import Block, Box, Document, Page, Table

#: What would be read as markup where it stands.
_MARKUP = re.compile(r"([\\`*_\[\]<>|])")


def render(document: Document) -> str:
    """The pages' blocks and tables in reading order; a rule between two pages."""
    return "\n\n---\n\n".join("\n\n".join(_parts(page)) for page in document.pages)


def _parts(page: Page) -> Iterator[str]:
    left = list(page.tables)
    for block in page.blocks:
        inside = [table for table in page.tables if _within(block.box, table.box)]
        if not inside:
            yield _block(block)
        for table in inside:
            if table in left:
                left.remove(table)
                yield _table(table)
    yield from (_table(table) for table in left)


def _block(block: Block) -> str:
    lines = [_MARKUP.sub(r"\\\1", line.text) for line in block.lines]
    if block.kind == "heading":
        return f"{'#' * max(1, min(block.level, 6))} {' '.join(lines)}"
    if block.kind == "list":
        return "\n".join(f"- {line.lstrip('•-–* ')}" for line in lines)
    return "\n".join(lines)


def _table(table: Table) -> str:
    width = max((cell.column + cell.column_span for row in table.rows for cell in row), default=0)
    height = max((cell.row + cell.row_span for row in table.rows for cell in row), default=0)
    grid = [[""] * width for _ in range(height)]
    for row in table.rows:
        for cell in row:
            grid[cell.row][cell.column] = _MARKUP.sub(r"\\\1", cell.text).replace("\n", "<br>")
    lines = [f"| {' | '.join(cells)} |" for cells in grid]
    return "\n".join([*lines[:1], f"|{'---|' * width}", *lines[1:]])


def _within(box: Box, table: Box) -> bool:
    """Whether the box's middle lies in the table."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return table[0] <= x <= table[2] and table[1] <= y <= table[3]

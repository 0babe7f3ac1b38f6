"""A document as Markdown: headings, paragraphs, lists, GitHub's tables, a rule between two pages.

Every word of the text stands in it. What Markdown would take for markup is escaped, so that a page that says `# not a
heading` or `a | b` says it still.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from functions.ocr.document import Block, Box, Document, Line, Page, Table

#: Between two pages.
PAGE_RULE = "\n\n---\n\n"
#: What is markup wherever it stands,
_ANYWHERE = re.compile(r"([\\`*_\[\]<>|~&])")
#: and what is only at a line's beginning: headings, quotes, lists, rules, setext underlines, fences.
_AT_START = re.compile(r"^(\s*)([#+\-=])")
_NUMBERED = re.compile(r"^(\s*\d{1,9})([.)])(?=\s|$)")
#: A list's own mark, which Markdown's replaces.
_BULLET = re.compile(r"^\s*[•◦▪‣·*\-\u2013\u2014]\s+(?=\S)")


def render(document: Document) -> str:
    """The pages' blocks and tables in reading order."""
    return PAGE_RULE.join("\n\n".join(_parts(page)) for page in document.pages)


def _parts(page: Page) -> Iterator[str]:
    """The blocks, with each table where its first line stands. A table without a line of its own comes last."""
    shown: set[int] = set()
    told = [{word for row in table.rows for cell in row for word in cell.text.split()} for table in page.tables]
    for block in page.blocks:
        outside: list[Line] = []
        for line in block.lines:
            number = _table_of(line, page.tables, told)
            if number is None:
                outside.append(line)
                continue
            if outside:
                yield _block(block, outside)
                outside = []
            if number not in shown:
                shown.add(number)
                yield _table(page.tables[number])
        if outside:
            yield _block(block, outside)
    yield from (_table(table) for number, table in enumerate(page.tables) if number not in shown)


def _table_of(line: Line, tables: Sequence[Table], told: Sequence[set[str]]) -> int | None:
    """The table in which all of a line stands: every word of it is in a cell. ``told``: the words of each table."""
    for number, table in enumerate(tables):
        if _within(line.box, table.box) and told[number].issuperset(line.text.split()):
            return number
    return None


def _within(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _block(block: Block, lines: Sequence[Line]) -> str:
    texts = [line.text.strip() for line in lines]
    if block.kind == "heading":
        return f"{'#' * max(1, min(block.level, 6))} {' '.join(escaped(text) for text in texts)}"
    if block.kind == "list" or (len(texts) > 1 and all(_BULLET.match(text) for text in texts)):
        return "\n".join(f"- {escaped(_BULLET.sub('', text))}" for text in texts)
    return "\n".join(escaped(text) for text in texts)


def escaped(text: str) -> str:
    """One line of text that Markdown shows as it is."""
    text = _ANYWHERE.sub(r"\\\1", text)
    text = _AT_START.sub(r"\1\\\2", text)
    return _NUMBERED.sub(r"\1\\\2", text)


def _table(table: Table) -> str:
    """Pipes. Markdown has no spans: a cell that spans stands where it begins, and what it covers is empty."""
    cells = [cell for row in table.rows for cell in row]
    width = max((cell.column + cell.column_span for cell in cells), default=1)
    height = max((cell.row + cell.row_span for cell in cells), default=1)
    grid = [[""] * width for _ in range(height)]
    for cell in cells:
        grid[cell.row][cell.column] = "<br>".join(escaped(line) for line in cell.text.splitlines())
    lines = [f"| {' | '.join(row)} |" for row in grid]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])

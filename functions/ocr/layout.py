"""From pieces of text to lines and blocks in reading order, the same for a text layer and for recognised text.

A piece is what a detector boxes or what stands together on a PDF's line: it never crosses a column's gutter, and the
cells of a table's row are pieces of their own. Boxes are those of the levelled page. A page is cut at a vertical gutter
only where both sides are columns of long lines, so that a table stays whole; what then stands side by side is one line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Literal

from functions.ocr.document import Block, Box, Line, Word

#: A gutter between columns is wider than this many line heights,
GUTTER = 1.5
#: and the pieces left and right of it are on average longer than this many of their heights: else it is a table.
LONG = 9.0
#: One piece in so many may lie across a gutter.
MOST_ACROSS = 4
#: Two pieces are on one line when they share more than this part of the lower one's height.
SAME_LINE = 0.5
#: A paragraph ends where the next line begins more than this many line heights below.
PARAGRAPH_GAP = 0.9
#: Lines whose letters differ by more than this factor in size are not one paragraph.
SIZE_STEP = 1.2
#: How the items of a list begin; a dash alone could be a minus.
ITEM = re.compile(r"[\u2022\u25e6\u25aa\u25cf\u2023\u2043\u2013*-] +\D")
#: In a text layer, a line is a heading when its letters are this much larger than most,
HEADING_STEP = 1.15
#: and it is not longer than this.
HEADING_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that stand together on one line of a levelled page."""

    words: tuple[Word, ...]
    box: Box
    size: float

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def scaled(self, factor: float) -> Piece:
        """The same on a page of another unit."""
        words = tuple(word.model_copy(update={"box": scaled(word.box, factor)}) for word in self.words)
        return Piece(words, scaled(self.box, factor), self.size * factor)


def scaled(box: Box, factor: float) -> Box:
    """A box in another unit, to a hundredth."""
    x0, y0, x1, y1 = (round(edge * factor, 2) for edge in box)
    return x0, y0, x1, y1


def enclosing(boxes: Iterable[Box]) -> Box:
    """The smallest box around ``boxes``."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def columns(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces as regions in reading order.

    A gutter with columns on both sides parts them, left before right, each looked at again. Pieces that lie across it
    (a heading over both columns) part the page into bands, read one after the other.
    """
    middle = _gutter(pieces)
    if middle is None:
        return [list(pieces)]
    regions: list[list[Piece]] = []
    left: list[Piece] = []
    right: list[Piece] = []
    across: list[Piece] = []
    for piece in [*sorted(pieces, key=lambda piece: piece.box[1] + piece.box[3]), None]:
        if piece is None or piece.box[0] < middle < piece.box[2]:
            for side in (left, right):
                if side:
                    regions += columns(side)
            left, right = [], []
            if piece is not None:
                across.append(piece)
            continue
        if across:
            regions.append(across)
            across = []
        (left if piece.box[2] <= middle else right).append(piece)
    return [*regions, across] if across else regions


def _gutter(pieces: Sequence[Piece]) -> float | None:
    """The middle of the widest gutter that the fewest pieces lie across, with a column on either side, if there is one.

    Between two neighbouring edges of pieces, how many lie across is the same: runs of such stretches are looked at.
    """
    if len(pieces) < 4:
        return None
    least = GUTTER * median(piece.size for piece in pieces)
    edges = sorted({edge for piece in pieces for edge in (piece.box[0], piece.box[2])})
    starts, ends = sorted(piece.box[0] for piece in pieces), sorted(piece.box[2] for piece in pieces)
    over = [bisect_right(starts, edge) - bisect_right(ends, edge) for edge in edges[:-1]]
    for crossing in range(len(pieces) // MOST_ACROSS + 1):
        gaps = []
        for open_, run in groupby(range(len(over)), key=lambda index: over[index] <= crossing):
            if open_:
                stretch = list(run)
                gaps.append((edges[stretch[-1] + 1] - edges[stretch[0]], edges[stretch[0]], edges[stretch[-1] + 1]))
        for width, first, last in sorted(gaps, reverse=True):
            if width < least:
                break
            left = [piece for piece in pieces if piece.box[2] <= (first + last) / 2]
            right = [piece for piece in pieces if piece.box[0] >= (first + last) / 2]
            if _is_column(left) and _is_column(right) and len(left) + len(right) >= len(pieces) - crossing:
                return (first + last) / 2
    return None


def _is_column(pieces: Sequence[Piece]) -> bool:
    lengths = [(piece.box[2] - piece.box[0]) / max(piece.size, 1e-6) for piece in pieces]
    return len(pieces) > 1 and sum(lengths) / len(lengths) > LONG


def rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of one region as rows from top to bottom, each from left to right."""
    grouped: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.box[1] + piece.box[3]):
        if grouped and _beside(piece, grouped[-1]):
            grouped[-1].append(piece)
        else:
            grouped.append([piece])
    return [sorted(row, key=lambda piece: piece.box[0]) for row in grouped]


def _beside(piece: Piece, row: Sequence[Piece]) -> bool:
    """Whether a piece stands in a row: most of the lower of both is beside the other."""
    top, bottom = median(other.box[1] for other in row), median(other.box[3] for other in row)
    shared = min(piece.box[3], bottom) - max(piece.box[1], top)
    return shared > SAME_LINE * min(piece.box[3] - piece.box[1], bottom - top)


def line(row: Sequence[Piece]) -> Line:
    """One line of the pieces that stand side by side."""
    words = tuple(word for piece in row for word in piece.words)
    letters = sum(len(word.text) for word in words)
    return Line(
        text=" ".join(word.text for word in words),
        box=enclosing(piece.box for piece in row),
        confidence=sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0,
        words=words,
        size=round(max(piece.size for piece in row), 2),
    )


def blocks(pieces: Sequence[Piece], *, headings: bool = False) -> tuple[Block, ...]:
    """The pieces as blocks in reading order.

    ``headings``: whether sizes are exact (a text layer), so that larger lines may be called headings.
    """
    if not pieces:
        return ()
    body = _body_size(pieces)
    made: list[Block] = []
    for region in columns(pieces):
        paragraph: list[Line] = []
        above: list[Piece] = []
        for row in rows(region):
            if paragraph and not _continues(above, row):
                made.append(_block(paragraph, body, headings))
                paragraph = []
            paragraph.append(line(row))
            above = row
        made.append(_block(paragraph, body, headings))
    return tuple(made)


def _body_size(pieces: Sequence[Piece]) -> float:
    """The size that most letters have."""
    by_size: dict[float, int] = {}
    for piece in pieces:
        by_size[round(piece.size, 1)] = by_size.get(round(piece.size, 1), 0) + len(piece.text)
    return max(by_size, key=lambda size: by_size[size])


def _continues(above: Sequence[Piece], row: Sequence[Piece]) -> bool:
    upper, lower = (max(piece.size for piece in pieces) for pieces in (above, row))
    gap = min(piece.box[1] for piece in row) - max(piece.box[3] for piece in above)
    return gap <= PARAGRAPH_GAP * min(upper, lower) and max(upper, lower) <= SIZE_STEP * min(upper, lower)


def _block(lines: Sequence[Line], body: float, headings: bool) -> Block:
    size = max(line.size for line in lines)
    short = sum(len(line.text) for line in lines) <= HEADING_CHARACTERS
    box = enclosing(line.box for line in lines)
    if headings and short and size >= HEADING_STEP * body:
        level = 1 if size >= 1.7 * body else 2 if size >= 1.35 * body else 3
        return Block(kind="heading", level=level, box=box, lines=tuple(lines))
    kind: Literal["list", "paragraph"] = "list" if all(ITEM.match(line.text) for line in lines) else "paragraph"
    return Block(kind=kind, box=box, lines=tuple(lines))

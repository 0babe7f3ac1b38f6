"""Tables on a page: by their rules where the page's picture shows a grid, else by columns that line up.

A grid is found in the picture: long horizontal and vertical strokes that touch. Its cells are what the rules enclose,
so that a cell without a rule inside spans. Where there is no grid, rows that follow one another, each of two or more
pieces that stand apart, are a table when the pieces keep to columns. Two columns of running text are none, nor is a
list of `label: value`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from functions.ocr import cells
from functions.ocr.cells import Segment
from functions.ocr.document import Box, Cell, Line, Page, Table
from functions.ocr.layout import enclosing

if TYPE_CHECKING:
    from PIL import Image

#: Rows farther apart than this many letter sizes are not of one table.
ROW_GAP = 2.6
#: A row of one piece, with a table's rows before and after it, goes on with the cell above when it is as near as this.
CONTINUED = 1.0
#: Two columns make a table from so many rows on; more columns from two rows on.
LEAST_ROWS = 3
#: Cells longer than this many letters on average are running text.
PROSE = 38
#: Share of a column's cells that must line up, at the left, the middle or the right,
ALIGNED = 0.6
#: to within this many letter sizes.
ASKEW = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page and its pieces."""

    line: Line
    segments: list[Segment]

    @property
    def size(self) -> float:
        return self.segments[0].size


def find(page: Page, image: Image.Image | None = None) -> list[Table]:
    """The page's tables from top to bottom. ``image``: the upright, levelled page, in which rules are looked for."""
    lines = list(page.lines)
    found: list[Table] = []
    if image is not None and lines and page.width > 0 and page.height > 0:
        from functions.ocr import grids

        found = [table for grid in grids.find(image, page.width) if (table := grids.filled(grid, page.words))]
    free = [line for line in lines if not any(_inside(line.box, table.box) for table in found)]
    rows = [Row(line, segments) for line in free if (segments := cells.of(line))]
    found.extend(table for run in _runs(rows) if (table := _aligned(run)))
    return sorted(found, key=lambda table: (table.box[1], table.box[0]))


def _inside(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that may be a table: near to one another, and of pieces apart, save those that go on with a cell."""
    run: list[Row] = []
    for row in rows:
        if run and not _follows(run[-1], row):
            yield from _trimmed(run)
            run = []
        if run or len(row.segments) > 1:
            run.append(row)
    yield from _trimmed(run)


def _follows(above: Row, row: Row) -> bool:
    gap = row.line.box[1] - above.line.box[3]
    if not -0.6 * row.size <= gap <= ROW_GAP * min(row.size, above.size):
        return False
    if len(row.segments) == 1:
        return len(above.segments) > 1 and gap <= CONTINUED * row.size and _below_one(row.segments[0], above.segments)
    return True


def _below_one(segment: Segment, above: Sequence[Segment]) -> bool:
    """Whether a piece begins under a cell and ends before the next cell begins."""
    ends = [*(right.box[0] for right in above[1:]), above[-1].box[2] + above[-1].size]
    return any(
        cell.box[0] - cell.size <= segment.box[0] and segment.box[2] <= end
        for cell, end in zip(above, ends, strict=True)
    )


def _trimmed(run: list[Row]) -> Iterator[list[Row]]:
    """Without rows of one piece at its end; and cut where the number of pieces says that another table begins."""
    while run and len(run[-1].segments) == 1:
        run = run[:-1]
    if run:
        yield run


def _columns(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Left and right of each column: what is left when the corridors that few rows' pieces cross are cut away."""
    full = [row for row in rows if len(row.segments) > 1]
    steps: Counter[float] = Counter()  # at each edge: how many rows' pieces begin there, less those that end
    for row in full:
        for left, right in _merged(row.segments):
            steps[left] += 1
            steps[right] -= 1
    usual = median(len(row.segments) for row in full)
    best: list[tuple[float, float]] = []
    for crossing in (0, len(full) // 8, len(full) // 4):
        columns: list[tuple[float, float]] = []
        covered, begun = 0, 0.0
        for edge in sorted(steps):
            before, covered = covered, covered + steps[edge]
            if before <= crossing < covered:
                begun = edge
            elif covered <= crossing < before:
                columns.append((begun, edge))
        if len(columns) > len(best):
            best = columns
        if len(best) >= usual:
            break
    return best


def _merged(segments: Sequence[Segment]) -> list[tuple[float, float]]:
    """Left and right of a row's pieces; those that overlap count as one."""
    spans: list[tuple[float, float]] = []
    for segment in segments:
        left, right = segment.box[0], segment.box[2]
        if spans and left <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], right))
        else:
            spans.append((left, right))
    return spans


def _aligned(rows: list[Row]) -> Table | None:
    """The rows as a table, if their pieces keep to columns."""
    columns = _columns(rows)
    full = [row for row in rows if len(row.segments) > 1]
    if len(columns) < 2 or len(full) < (LEAST_ROWS if len(columns) == 2 else 2):
        return None
    segments = [segment for row in full for segment in row.segments]
    if sum(len(segment.text) for segment in segments) > PROSE * len(segments):
        return None
    if len(columns) == 2 and 2 * sum(row.segments[0].text.endswith(":") for row in full) > len(full):
        return None
    placed: list[list[tuple[int, int, Segment]]] = []
    for row in rows:
        here = [(*_span(segment, columns), segment) for segment in row.segments]
        if len(row.segments) == 1 and placed:
            placed[-1].extend(here)
        else:
            placed.append(here)
    while placed and len({first for first, _, _ in placed[-1]}) == 1:
        placed.pop()
    if len(placed) < 2 or not _keeps(placed, columns, median(segment.size for segment in segments)):
        return None
    return _table(placed)


def _span(segment: Segment, columns: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """First and last column that a piece stands in; the nearest one when it stands in none."""
    x0, _, x1, _ = segment.box
    over = [n for n, (left, right) in enumerate(columns) if min(x1, right) - max(x0, left) > 0.1 * segment.size]
    if over:
        return over[0], over[-1]
    middle = (x0 + x1) / 2
    nearest = min(range(len(columns)), key=lambda n: abs(sum(columns[n]) / 2 - middle))
    return nearest, nearest


def _keeps(
    placed: Sequence[Sequence[tuple[int, int, Segment]]], columns: Sequence[tuple[float, float]], size: float
) -> bool:
    """Whether most pieces of each column line up: at the left, the middle or the right."""
    for column in range(len(columns)):
        boxes = [s.box for row in placed for first, last, s in row if first == last == column]
        if len(boxes) < 2:
            continue
        best = 0
        for places in ([b[0] for b in boxes], [b[2] for b in boxes], [(b[0] + b[2]) / 2 for b in boxes]):
            usual = median(places)
            best = max(best, sum(abs(place - usual) <= ASKEW * size for place in places))
        if best < ALIGNED * len(boxes):
            return False
    return True


def _table(placed: Sequence[Sequence[tuple[int, int, Segment]]]) -> Table:
    rows = []
    for number, row in enumerate(placed):
        held: dict[int, tuple[int, list[Segment]]] = {}
        for first, last, segment in row:
            clash = next((column for column, (end, _) in held.items() if column <= first <= end), None)
            if clash is None:
                held[first] = (last, [segment])
            else:
                end, segments = held[clash]
                held[clash] = (max(end, last), [*segments, segment])
        taken = -1
        made = []
        for column in sorted(held):
            end, segments = held[column]
            column = max(column, taken + 1)
            taken = max(end, column)
            text = " ".join(segment.text for segment in segments)
            box = enclosing(segment.box for segment in segments)
            made.append(Cell(text=text, box=box, row=number, column=column, column_span=taken - column + 1))
        rows.append(tuple(made))
    return Table(box=enclosing(cell.box for row in rows for cell in row), rows=tuple(rows))

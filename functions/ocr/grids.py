"""Grids of rules in a page's picture, by OpenCV's morphology: what long, straight strokes enclose are cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from functions.ocr.document import Box, Cell, Table, Word

if TYPE_CHECKING:
    from PIL import Image

Mask = NDArray[np.uint8]

#: Pictures are looked at in at most this width: rules do not need more.
WIDTH = 1600
#: A stroke is a rule from this part of the picture's width on (letters are shorter),
STROKE = 1 / 45
#: and a row lower than this many pixels of the picture looked at holds no text.
LEAST_CELL = 8
#: A rule stands between two cells when it covers this part of the side they share.
COVERED = 0.6
#: A grid of more cells than this is hatching.
MOST_CELLS = 4000


@dataclass(frozen=True)
class Grid:
    """Where a grid's rules run, in the page's unit, and which of the sides between neighbours have none."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    open_right: frozenset[tuple[int, int]]  #: row and column of cells without a rule at their right
    open_below: frozenset[tuple[int, int]]


def find(image: Image.Image, page_width: float) -> list[Grid]:
    """The grids of at least two cells; ``page_width``: the picture's width in the page's unit."""
    import cv2

    grey: Mask = np.asarray(image.convert("L"))
    scale = min(1.0, WIDTH / grey.shape[1])
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    if np.median(grey) < 128:
        grey = 255 - grey
    ink = np.asarray(
        cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 25, 12), np.uint8
    )
    least = max(20, round(grey.shape[1] * STROKE))
    across = _strokes(ink, least, 1)
    down = _strokes(ink, 1, least)
    both = cv2.dilate(cv2.bitwise_or(across, down), np.ones((3, 3), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(both)
    unit = page_width / grey.shape[1]
    found = []
    for label, (x, y, width, height, _) in enumerate(boxes[1:count], start=1):
        if width < 2 * least or height < 2 * LEAST_CELL:
            continue
        part = slice(y, y + height), slice(x, x + width)
        own = labels[part] == label
        grid = _grid(across[part] * own, down[part] * own)
        if grid:
            found.append(_placed(grid, x, y, unit))
    return found


def _strokes(ink: Mask, width: int, height: int) -> Mask:
    """What of the ink is part of a stroke of at least that size; a gap of a few pixels does not end it."""
    import cv2

    bridge = np.ones((1, 3) if width > height else (3, 1), np.uint8)
    closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, bridge)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (width, height))
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel), np.uint8)


def _rules(profile: NDArray[np.int64], least: int) -> list[float]:
    """Middles of the runs of ``profile`` that are at least ``least``; those nearer than a cell are one rule."""
    on = np.concatenate(([0], (profile >= least).astype(np.int8), [0]))
    edges = np.flatnonzero(np.diff(on))
    places: list[float] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        middle = (float(first) + float(last) - 1) / 2
        if not places or middle - places[-1] >= LEAST_CELL:
            places.append(middle)
    return places


def _grid(across: Mask, down: Mask) -> Grid | None:
    height, width = across.shape
    ys = _rules(np.count_nonzero(across, axis=1), max(12, width // 12))
    xs = _rules(np.count_nonzero(down, axis=0), max(12, height // 12))
    rows, columns = len(ys) - 1, len(xs) - 1
    if rows < 1 or columns < 1 or rows * columns < 2 or rows * columns > MOST_CELLS:
        return None
    right, below = set(), set()
    for row in range(rows):
        for column in range(columns):
            top, bottom, left, end = round(ys[row]), round(ys[row + 1]), round(xs[column]), round(xs[column + 1])
            side = down[top + 2 : bottom - 1, max(0, end - 3) : end + 4]
            if column + 1 < columns and side.any(axis=1).mean() < COVERED:
                right.add((row, column))
            floor = across[max(0, bottom - 3) : bottom + 4, left + 2 : end - 1]
            if row + 1 < rows and floor.any(axis=0).mean() < COVERED:
                below.add((row, column))
    return Grid(tuple(xs), tuple(ys), frozenset(right), frozenset(below))


def _placed(grid: Grid, x: int, y: int, unit: float) -> Grid:
    xs, ys = tuple((place + x) * unit for place in grid.xs), tuple((place + y) * unit for place in grid.ys)
    return Grid(xs, ys, grid.open_right, grid.open_below)


def filled(grid: Grid, words: Iterable[Word]) -> Table | None:
    """The table that the grid and the words in it make; None when there are words in fewer than two of its cells."""
    spans = _spans(grid)
    texts: dict[tuple[int, int], list[str]] = {}
    for word in words:
        x, y = (word.box[0] + word.box[2]) / 2, (word.box[1] + word.box[3]) / 2
        row, column = _between(grid.ys, y), _between(grid.xs, x)
        if row is not None and column is not None:
            texts.setdefault(spans[row, column][:2], []).append(word.text)
    if len(texts) < 2:
        return None
    rows = []
    for row in range(len(grid.ys) - 1):
        made = []
        for column in range(len(grid.xs) - 1):
            top, left, high, wide = spans[row, column]
            if (top, left) == (row, column):
                box: Box = (grid.xs[left], grid.ys[top], grid.xs[left + wide], grid.ys[top + high])
                text = " ".join(texts.get((row, column), ()))
                made.append(Cell(text=text, box=box, row=row, column=column, row_span=high, column_span=wide))
        rows.append(tuple(made))
    return Table(box=(grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1]), rows=tuple(rows))


def _between(places: Sequence[float], at: float) -> int | None:
    return next((n for n in range(len(places) - 1) if places[n] <= at < places[n + 1]), None)


def _spans(grid: Grid) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """For each field of the grid the cell that covers it: its row, column, height and width in fields."""
    rows, columns = len(grid.ys) - 1, len(grid.xs) - 1
    spans: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    for row in range(rows):
        for column in range(columns):
            if (row, column) in spans:
                continue
            wide = 1
            while (row, column + wide - 1) in grid.open_right and (row, column + wide) not in spans:
                wide += 1
            high = 1
            while all((row + high - 1, column + n) in grid.open_below for n in range(wide)) and not any(
                (row + high, column + n) in spans for n in range(wide)
            ):
                high += 1
            for down in range(high):
                for across in range(wide):
                    spans[row + down, column + across] = (row, column, high, wide)
    return spans

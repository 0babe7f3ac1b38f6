"""Which engine's text is taken for a picture, and why: the order of tries, each told.

1. rapidocr, which turns and levels the page;
2. where that is unsure or finds nothing: rapidocr on the picture at twice its size;
3. still unsure: Tesseract, which takes the page for columns, then for one block of lines.

The surest reading is kept, unless it has much less text than another: to be sure of a few words is not to read a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from functions.ocr import raster
from functions.ocr.document import Attempt
from functions.ocr.engines import SURE, Reading, tesseract
from functions.ocr.engines.rapid import Rapid
from functions.ocr.engines.tesseract import Tesseract
from functions.ocr.errors import Unreadable
from functions.ocr.options import Options
from functions.ocr.rotation import upright

if TYPE_CHECKING:
    from PIL import Image

#: A reading with fewer letters than this share of the longest's is not a reading of the page.
ENOUGH = 0.6
#: A picture is enlarged to at most this many pixels.
ENLARGED_PIXELS = 12_000_000


class Engines:
    """The engines of this process, each loaded when it is first needed."""

    def __init__(self, threads: int = 0, tessdata: Path | None = None) -> None:
        self._threads, self._tessdata = threads, tessdata

    @cached_property
    def rapid(self) -> Rapid:
        return Rapid(self._threads)

    @cached_property
    def tesseract(self) -> Tesseract | None:
        """Nothing where it is not installed: it is only the second opinion."""
        return Tesseract(self._tessdata) if tesseract.is_installed(self._tessdata) else None


class Tries:
    """The readings of one picture so far."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._until = now, now() + seconds
        self.attempts: list[Attempt] = []
        self._readings: list[Reading] = []

    def made(self, reading: Reading, reason: str) -> None:
        self._readings.append(reading)
        self.attempts.append(Attempt(engine=reading.engine, score=round(reading.score, 4), reason=reason))

    @property
    def best(self) -> Reading:
        most = max(reading.letters for reading in self._readings)
        return max(
            (reading for reading in self._readings if reading.letters >= ENOUGH * most),
            key=lambda reading: reading.score,
        )

    @property
    def go_on(self) -> bool:
        """Whether another way is worth a try."""
        return self.best.score < SURE and self._now() < self._until


def recognise(
    image: Image.Image, options: Options, engines: Engines, seconds: float
) -> tuple[Reading | None, str, tuple[Attempt, ...]]:
    """The text of a page's picture, why this one, and all tries. Raises :class:`Unreadable` without an engine.

    After ``seconds``, no other way is tried: a try itself cannot be ended.
    """
    if raster.is_blank(image):
        return None, "the page is blank", ()
    tries = Tries(seconds)
    if options.engine == "tesseract":
        _by_tesseract(image, engines, tries)
    else:
        _by_rapidocr(image, engines, tries)
        if options.engine == "auto" and tries.go_on and engines.tesseract is not None:
            _second_opinion(image, tries.best, engines.tesseract, tries)
    best = tries.best
    reason = next(a.reason for a in tries.attempts if a.engine == best.engine and a.score == round(best.score, 4))
    if len(tries.attempts) > 1:
        reason = f"{reason}; surest of {len(tries.attempts)} tries"
    return (best if best.letters else None), reason, tuple(tries.attempts)


def _by_rapidocr(image: Image.Image, engines: Engines, tries: Tries) -> None:
    tries.made(engines.rapid.read(image), "the page is a picture")
    if tries.go_on and 4 * image.width * image.height <= ENLARGED_PIXELS:
        why = "at twice its size, as the first try was unsure" if tries.best.letters else "at twice its size"
        enlarged = engines.rapid.read(image.resize((2 * image.width, 2 * image.height)))
        tries.made(scaled(enlarged, 0.5), why)


def _second_opinion(image: Image.Image, first: Reading, engine: Tesseract, tries: Tries) -> None:
    turned = upright(image, first.rotation, first.skew)
    for layout in ("page", "block"):
        reading = engine.read(turned, layout)
        tries.made(
            replace(reading, rotation=first.rotation, skew=first.skew),
            "a second opinion, as the first engine was unsure"
            if layout == "page"
            else "a second opinion, the page taken for one block of lines",
        )
        if not tries.go_on:
            return


def _by_tesseract(image: Image.Image, engines: Engines, tries: Tries) -> None:
    """As it was asked for. Which side is up is found by trying, where the page reads badly."""
    if engines.tesseract is None:
        raise Unreadable("no_engine", "Tesseract is not installed here: run `make install-ocr` where npm is.")
    for rotation in (0, 180, 90, 270):
        reading = engines.tesseract.read(upright(image, rotation, 0.0))
        tries.made(
            replace(reading, rotation=rotation), f"asked for, turned by {rotation}°" if rotation else "asked for"
        )
        if not tries.go_on:
            return
    best = tries.best
    again = engines.tesseract.read(upright(image, best.rotation, 0.0), "block")
    tries.made(replace(again, rotation=best.rotation), "asked for, the page taken for one block of lines")


def scaled(reading: Reading, factor: float) -> Reading:
    """The reading with its boxes on a picture of another size."""
    return replace(reading, pieces=tuple(piece.scaled(factor) for piece in reading.pieces))

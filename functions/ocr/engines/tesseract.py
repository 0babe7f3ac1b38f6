"""Tesseract through tesserocr: the second opinion, English only.

Its model comes from npm (`make install-ocr`), compressed; it is unpacked for the moment that Tesseract reads it. The
picture is handed over upright: without its orientation model, Tesseract does not find out by itself.
"""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from functions.ocr.document import Word
from functions.ocr.engines import Reading, score
from functions.ocr.layout import Piece, enclosing

if TYPE_CHECKING:
    from PIL import Image

#: The model of `make install-ocr`.
MODEL = Path(__file__).parent.parent / "node_modules/@tesseract.js-data/eng/4.0.0_best_int/eng.traineddata.gz"
#: Told to it, or it breaks tables and small print (CER 0.68 instead of 0 on a ruled table).
DPI = 300
#: Words less sure than this are pictures taken for text.
LEAST_CONFIDENCE = 0.3
#: A gap of this many line heights parts cells of a row.
GAP = 1.5

Layout = Literal["page", "block"]


def is_installed(tessdata: Path | None) -> bool:
    """Whether both the library and its model are here."""
    try:
        import tesserocr  # noqa: F401  # only whether it is there
    except ImportError:
        return False
    return MODEL.is_file() if tessdata is None else (tessdata / "eng.traineddata").is_file()


class Tesseract:
    """One engine with the English model loaded. Not to be used by two threads at once."""

    def __init__(self, tessdata: Path | None = None) -> None:
        if tessdata is not None:
            self._engine = _start(tessdata)
            return
        with tempfile.TemporaryDirectory(prefix="millrace-tessdata-") as folder:
            with gzip.open(MODEL) as packed, (Path(folder) / "eng.traineddata").open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            self._engine = _start(Path(folder))

    def read(self, image: Image.Image, layout: Layout = "page") -> Reading:
        """The text of an upright picture, taken for a page with columns or for one block of lines."""
        import tesserocr

        engine = self._engine
        engine.SetPageSegMode(tesserocr.PSM.AUTO if layout == "page" else tesserocr.PSM.SINGLE_BLOCK)
        engine.SetImage(image.convert("L"))
        engine.SetSourceResolution(DPI)
        try:
            engine.Recognize()
            pieces = tuple(_pieces(engine.GetIterator()))
        finally:
            engine.Clear()
        return Reading("tesseract", pieces, score(pieces))


def _start(folder: Path) -> Any:
    import tesserocr

    return tesserocr.PyTessBaseAPI(path=str(folder), lang="eng", oem=tesserocr.OEM.LSTM_ONLY)


def _pieces(found: Any) -> Iterator[Piece]:
    """The words that an iterator of results walks over, those close together on a line as one piece."""
    import tesserocr

    held: list[Word] = []
    for word in tesserocr.iterate_level(found, tesserocr.RIL.WORD) if found is not None else ():
        if word.Empty(tesserocr.RIL.WORD):
            continue
        text = (word.GetUTF8Text(tesserocr.RIL.WORD) or "").strip()
        box = word.BoundingBox(tesserocr.RIL.WORD)
        confidence = min(max(word.Confidence(tesserocr.RIL.WORD) / 100, 0.0), 1.0)
        starts = word.IsAtBeginningOf(tesserocr.RIL.TEXTLINE)
        if held and (starts or (box and box[0] - held[-1].box[2] > GAP * _height(held))):
            yield _piece(held)
            held = []
        if text and box and math.isfinite(confidence) and confidence >= LEAST_CONFIDENCE:
            held.append(Word(text=text, box=tuple(float(edge) for edge in box), confidence=confidence))
    if held:
        yield _piece(held)


def _height(words: list[Word]) -> float:
    return max(word.box[3] - word.box[1] for word in words)


def _piece(words: list[Word]) -> Piece:
    box = enclosing(word.box for word in words)
    return Piece(tuple(words), box, box[3] - box[1])

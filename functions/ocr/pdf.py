"""PDF documents: what they are, their own text, and their pages as pictures; by pypdfium2.

pdfium keeps global state and must never be entered by two threads at once, not even for two documents: every call here
is made under one lock, and a page's text or picture is copied out before the lock is let go.
"""

from __future__ import annotations

import ctypes
import math
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from functions.ocr.document import Box, Word
from functions.ocr.errors import Unreadable
from functions.ocr.layout import Piece, enclosing, rows
from functions.ocr.raster import WORKING_PIXELS, Picture
from shared.settings import ReaderSettings

#: A text layer with fewer letters than this is a stamp on a scan, not the page's text.
LEAST_LETTERS = 16
#: A page with less is read from its picture when one covers it: a scan with a line of text set upon it.
FEW_LETTERS = 200
#: Share of letters that may be replacement, private-use or control characters, or have no way to Unicode.
WORST_SHARE = 0.05
#: A page whose pictures cover this much of it is a scan.
SCAN_COVER = 0.7
#: On a scan, text that spans less than this share of the page's height is a stamp or a footer.
LEAST_HEIGHT = 0.25
#: A page with a shorter side, in points, is none.
LEAST_SIDE = 1.0
#: What is drawn on a page is looked at as far as this.
MOST_OBJECTS = 10_000

#: Share of letters and digits, leader dots left out, below which the text is gibberish.
LEAST_READABLE = 0.5
#: Share of vowels among Latin letters below which it is; English has 0.4, lists of codes 0.2.
LEAST_VOWELS = 0.12
#: Letters of one page that are read; a page that has more is not a page of text.
MOST_LETTERS = 200_000
#: A wider gap than this many letter sizes parts two words,
WORD_GAP = 0.3
#: and one than this parts two pieces: cells of a row, columns.
PIECE_GAP = 1.2
#: Coordinates beyond this (in points) are a broken matrix.
FARTHEST = 1e6

HYPHEN = 0x02  #: pdfium's sign for a hyphen that ends a line
#: Kinds of what is drawn beside letters.
DRAWN = (pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING)
REPLACEMENT = "\ufffd"

_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class TextLayer:
    """A page's own text. ``fault`` says why it is not the page's text, ``doubt`` why it may not be all of it."""

    pieces: tuple[Piece, ...]
    width: float
    height: float
    rotation: int
    letters: int
    drawn: bool  #: whether there is anything but letters: rules, pictures
    fault: str = ""
    doubt: str = ""


class Pdf:
    """An open PDF. Raises :class:`Unreadable` for what cannot be opened."""

    media_type = "application/pdf"

    def __init__(self, data: bytes, settings: ReaderSettings) -> None:
        self._dpi, self._limit = settings.ocr_dpi, settings.ocr_image_pixels
        with _lock:
            # pdfium leaves its last error standing when a PDF has no pages: a known one is put there first.
            pdfium.FPDF_LoadDocument(b"", None)
            try:
                self._document = pypdfium2.PdfDocument(data)
            except pypdfium2.PdfiumError as error:
                raise _refused(error) from None
            self.page_count = len(self._document)
        if self.page_count == 0:
            self.close()
            raise _no_pages()

    def close(self) -> None:
        with _lock:
            self._document.close()

    @contextmanager
    def _page(self, number: int) -> Iterator[Any]:
        with _lock:
            try:
                page = self._document[number - 1]
            except pypdfium2.PdfiumError:
                raise Unreadable("damaged", f"Page {number} of the PDF cannot be read: the file is damaged.") from None
            try:
                # What was filled into a form, and notes set upon the page, are no part of its text until they are
                # merged into it; the file itself stays as it is.
                if pdfium.FPDFPage_GetAnnotCount(page) > 0:
                    pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
                    page.close()
                    page = self._document[number - 1]
                yield page
            finally:
                page.close()

    def text_layer(self, number: int) -> TextLayer:
        """The text that page ``number`` (from 1) carries itself."""
        with self._page(number) as page:
            return _text_layer(page)

    def picture(self, number: int, dpi: int | None = None) -> Picture:
        """Page ``number`` drawn, at no more pixels than recognition uses however large the page says it is."""
        with self._page(number) as page:
            width, height = page.get_size()
            if not (LEAST_SIDE <= width < FARTHEST and LEAST_SIDE <= height < FARTHEST):
                raise Unreadable("damaged", f"Page {number} has an impossible size: {width:g} x {height:g} points.")
            for image in _objects(page, pdfium.FPDF_PAGEOBJ_IMAGE):
                across, down = image.get_px_size()
                if across * down > self._limit:
                    raise Unreadable(
                        "too_large",
                        f"Page {number} holds a picture of {across:,} x {down:,} pixels; {self._limit:,} are read at "
                        f"most. Scan it at 300 dpi.",
                    )
            scale = min((dpi or self._dpi) / 72, math.sqrt(WORKING_PIXELS / (width * height)))
            try:
                bitmap = page.render(scale=scale, rev_byteorder=True)
            except (pypdfium2.PdfiumError, ctypes.ArgumentError, ValueError, MemoryError) as error:
                raise Unreadable("damaged", f"Page {number} of the PDF cannot be drawn: {error}.") from None
            try:
                return Picture(bitmap.to_pil().convert("RGB"), width, height)
            finally:
                bitmap.close()


def _refused(error: Exception) -> Unreadable:
    code = getattr(error, "err_code", None)
    if code == pdfium.FPDF_ERR_PASSWORD:
        return Unreadable("encrypted", "The PDF is encrypted: store it again without a password.")
    if code == pdfium.FPDF_ERR_SECURITY:
        return Unreadable("encrypted", "The PDF is encrypted in a way that is not read: store it without a password.")
    if code == pdfium.FPDF_ERR_FILE:  # what was put there
        return _no_pages()
    return Unreadable("damaged", "The PDF is damaged or cut off: it cannot be opened.")


def _no_pages() -> Unreadable:
    return Unreadable("no_pages", "The PDF has no pages.")


@dataclass(frozen=True, slots=True)
class _Letter:
    text: str
    box: Box
    size: float
    angle: float


def _text_layer(page: Any) -> TextLayer:
    place, width, height = _placing(page)
    textpage = page.get_textpage()
    try:
        letters, faulty = _letters(textpage.raw, place, page.get_rotation())
    finally:
        textpage.close()
    shown = [letter for letter in letters if letter]
    leans = Counter(round(letter.angle / 90) % 4 for letter in shown)
    turn = -leans.most_common(1)[0][0] % 4 if leans else 0
    if turn:  # the text itself runs up, down or backwards: the page is read turned
        back, width, height = _turned(turn, width, height)
        letters = [letter and replace(letter, box=back(letter.box)) for letter in letters]
    pieces = tuple(_pieces(_words(letters)))
    fault, doubt = _fault(shown, faulty), ""
    drawn = any(True for _ in _objects(page, *DRAWN))
    if len(shown) < LEAST_LETTERS and not drawn:
        fault = ""  # few letters or none, and nothing else drawn: they are all there is
    elif not fault and _scan_cover(page) >= SCAN_COVER and (len(shown) < FEW_LETTERS or _low(pieces, height)):
        doubt = "the page is a scan with little text set upon it"
    return TextLayer(pieces, width, height, 90 * turn, len(shown), drawn, fault, doubt)


def _objects(page: Any, *kinds: int) -> Iterator[Any]:
    """What is drawn on a page of these kinds, as far as MOST_OBJECTS."""
    return islice(page.get_objects(filter=list(kinds), max_depth=5), MOST_OBJECTS)


def _scan_cover(page: Any) -> float:
    """Share of the page that its largest picture covers."""
    left, bottom, right, top = page.get_bbox()
    largest = 0.0
    for image in _objects(page, pdfium.FPDF_PAGEOBJ_IMAGE):
        x0, y0, x1, y1 = image.get_bounds()
        across, down = min(x1, right) - max(x0, left), min(y1, top) - max(y0, bottom)
        largest = max(largest, max(across, 0) * max(down, 0))
    return float(largest / max((right - left) * (top - bottom), 1e-6))


def _low(pieces: tuple[Piece, ...], height: float) -> bool:
    """Whether the text takes up little of the page's height: a footer."""
    box = enclosing(piece.box for piece in pieces)
    return box[3] - box[1] < LEAST_HEIGHT * height


def _placing(page: Any) -> tuple[Callable[[Box], Box], float, float]:
    """How a box of the page's own space (origin bottom left, unturned) lies on the page as viewers show it."""
    left, bottom, right, top = page.get_bbox()
    width, height = right - left, top - bottom

    def upright(box: Box) -> Box:
        return box[0] - left, top - box[3], box[2] - left, top - box[1]

    turn = page.get_rotation() // 90 % 4
    if not turn:
        return upright, width, height
    turned, width, height = _turned(turn, width, height)
    return lambda box: turned(upright(box)), width, height


def _turned(turn: int, width: float, height: float) -> tuple[Callable[[Box], Box], float, float]:
    """A page turned clockwise by ``turn`` quarters (1, 2 or 3): where its boxes go, and its new size."""
    if turn == 1:
        return lambda box: (height - box[3], box[0], height - box[1], box[2]), height, width
    if turn == 2:
        return lambda box: (width - box[2], height - box[3], width - box[0], height - box[1]), width, height
    return lambda box: (box[1], width - box[2], box[3], width - box[0]), height, width


def _letters(textpage: Any, place: Callable[[Box], Box], rotation: int) -> tuple[list[_Letter | None], int]:
    """Each letter in the order of the file, ``None`` where a word ends; and how many have no way to Unicode."""
    loose, matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    letters: list[_Letter | None] = []
    faulty = 0
    for index in range(min(pdfium.FPDFText_CountChars(textpage), MOST_LETTERS)):
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        text = "-" if code == HYPHEN else _character(code)
        if not text or text.isspace():
            letters.append(None)
            continue
        if not pdfium.FPDFText_GetLooseCharBox(textpage, index, loose):
            continue
        box = (loose.left, loose.bottom, loose.right, loose.top)
        if not all(abs(edge) < FARTHEST for edge in box):
            continue
        faulty += pdfium.FPDFText_HasUnicodeMapError(textpage, index) == 1
        angle = math.degrees(max(pdfium.FPDFText_GetCharAngle(textpage, index), 0.0)) + rotation
        pdfium.FPDFText_GetMatrix(textpage, index, matrix)
        size = pdfium.FPDFText_GetFontSize(textpage, index) * math.hypot(matrix.c, matrix.d)
        letters.append(_Letter(text, place(box), size if 0 < size < FARTHEST else box[3] - box[1], angle))
    return letters, faulty


def _character(code: int) -> str:
    """A letter as text that JSON and Postgres can hold; ligatures (`fi` as one sign) are taken apart."""
    if code == 0 or 0xFFFE <= code <= 0xFFFF:
        return ""
    if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        return REPLACEMENT
    if 0xFB00 <= code <= 0xFB06:
        return unicodedata.normalize("NFKC", chr(code))
    return chr(code)


def _words(letters: list[_Letter | None]) -> Iterator[tuple[Word, float]]:
    """Words with their letters' size, in the order of the file. A gap parts words also where the file has no space."""
    held: list[_Letter] = []
    for letter in [*letters, None]:
        if held and (letter is None or _apart(held[-1], letter)):
            text = "".join(letter.text for letter in held)
            yield Word(text=text, box=enclosing(letter.box for letter in held), confidence=1.0), held[0].size
            held = []
        if letter is not None:
            held.append(letter)


def _apart(before: _Letter, letter: _Letter) -> bool:
    size = max(before.size, letter.size)
    across = letter.box[0] - before.box[2]
    down = abs((letter.box[1] + letter.box[3]) - (before.box[1] + before.box[3])) / 2
    return across > WORD_GAP * size or across < -size or down > 0.6 * size


def _pieces(words: Iterator[tuple[Word, float]]) -> Iterator[Piece]:
    """Words side by side and close together as pieces."""
    singles = [Piece((word,), word.box, size) for word, size in words]
    for row in rows(singles):
        held: list[Piece] = []
        for single in row:
            if held and single.box[0] - held[-1].box[2] > PIECE_GAP * min(single.size, held[-1].size):
                yield _piece(held)
                held = []
            held.append(single)
        yield _piece(held)


def _piece(singles: list[Piece]) -> Piece:
    words = tuple(word for single in singles for word in single.words)
    return Piece(words, enclosing(word.box for word in words), max(single.size for single in singles))


def _fault(letters: list[_Letter], faulty: int) -> str:
    """Why a text layer's letters are not what the page shows, or nothing."""
    count = len(letters)
    if count < LEAST_LETTERS:
        return "the page has hardly any text of its own" if count else "the page has no text of its own"
    if count >= MOST_LETTERS:
        return "the page's own text is longer than is read"
    kinds = Counter(unicodedata.category(letter.text[0]) for letter in letters)
    odd = sum(kinds[kind] for kind in ("Cc", "Cn", "Co", "Cs"))
    odd += sum(letter.text == REPLACEMENT for letter in letters)
    if max(odd, faulty) > WORST_SHARE * count:
        return "its fonts do not say which letters they show"
    readable = sum(kinds[kind] for kind in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd"))
    leaders = sum(letter.text in "._-" for letter in letters)
    if readable < LEAST_READABLE * (count - leaders):
        return "its fonts show other letters than they say: most would be signs"
    latin = [letter.text.lower() for letter in letters if letter.text.isascii() and letter.text.isalpha()]
    vowels = sum(text in "aeiouy" for text in latin)
    if len(latin) >= FEW_LETTERS and vowels < LEAST_VOWELS * len(latin):
        return "its fonts show other letters than they say: hardly any would be a vowel"
    return ""

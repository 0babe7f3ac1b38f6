"""Reading a document: bytes in, a document with text, Markdown and pages out. Knows no job, no bucket and no HTTP.

    from functions.ocr import reader
    from functions.ocr.options import Options

    document = reader.read(data, "application/pdf", Options())
    document.text, document.markdown, document.pages[0].blocks

A page's own text is taken where it is sound; otherwise the page is read from its picture. Pages are read one at a time
and their pictures let go, so that a long document takes no more memory than its largest page. A page that cannot be
read in a document of several is left empty with its reason, and noted; where it is the only one, the document is
refused.

The network is never used. What may crash or hang in C libraries takes this process along: see ``engines``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from functions.ocr import fields, layout, markdown, sniffing, tables
from functions.ocr.document import Block, Document, Page
from functions.ocr.engines import Reading
from functions.ocr.errors import Unreadable
from functions.ocr.options import Options
from functions.ocr.pdf import Pdf, TextLayer
from functions.ocr.raster import Picture, Pictures
from functions.ocr.recognition import Engines, recognise, scaled
from functions.ocr.rotation import upright
from shared.settings import ReaderSettings

if TYPE_CHECKING:
    from PIL import Image

#: Told after each page: the page, how many of those asked for are read, and how many there are.
Progress = Callable[[Page, int, int], None]

#: What recognition finds must be this much more than a text layer in doubt, to go before it.
MORE = 1.2
#: Resolution at which a page with text of its own is drawn to look for rules.
RULES_DPI = 110
#: What senders say who do not know.
_NO_CLAIM = ("", "application/octet-stream", "binary/octet-stream")

# The engines are not made for two threads, and two pages at once would take the memory of two.
_turn = threading.Lock()


def page_count(data: bytes, media_type: str = "", settings: ReaderSettings | None = None) -> int:
    """How many pages a document has. Raises :class:`Unreadable`."""
    with closing(_open(data, settings or ReaderSettings.load())) as source:
        return source.page_count


def read(
    data: bytes,
    media_type: str = "",
    options: Options | None = None,
    *,
    pages: range | None = None,
    progress: Progress | None = None,
    settings: ReaderSettings | None = None,
) -> Document:
    """The document, or those of its pages whose numbers (from 1) are in ``pages``. Raises :class:`Unreadable`.

    ``media_type`` is what the sender says; what the bytes say counts, and a difference is noted.
    """
    settings = settings or ReaderSettings.load()
    with closing(_open(data, settings)) as source:
        wanted = _within(pages, source.page_count)
        notes = _claim(media_type, source.media_type)
        found: list[Page] = []
        for page in _read_pages(source, wanted, options or Options(), settings, notes):
            found.append(page)
            if progress:
                progress(page, len(found), len(wanted))
        document = Document(
            media_type=source.media_type, page_count=source.page_count, pages=tuple(found), notes=tuple(notes)
        )
        return document.model_copy(update={"markdown": markdown.render(document)})


def _open(data: bytes, settings: ReaderSettings) -> Pdf | Pictures:
    if len(data) > settings.ocr_document_bytes:
        most = f"{settings.ocr_document_bytes:,}"
        raise Unreadable("too_large", f"The file has {len(data):,} bytes; {most} are read at most. Split it.")
    media_type = sniffing.media_type(data)
    source = Pdf(data, settings) if media_type == Pdf.media_type else Pictures(data, media_type, settings)
    if source.page_count > settings.ocr_pages:
        source.close()
        raise Unreadable(
            "too_many_pages",
            f"The document has {source.page_count:,} pages; {settings.ocr_pages:,} are read at most. Split it.",
        )
    return source


def _within(pages: range | None, count: int) -> list[int]:
    """Of the page numbers asked for, those that there are."""
    return [number for number in range(1, count + 1) if pages is None or number in pages]


def _claim(said: str, is_: str) -> list[str]:
    said = said.partition(";")[0].strip().lower()
    if said in _NO_CLAIM or said == is_ or (said, is_) == ("image/jpg", "image/jpeg"):
        return []
    return [f"The file was sent as {said}, but is {is_}: it was read as what it is."]


def _read_pages(
    source: Pdf | Pictures, wanted: Sequence[int], options: Options, settings: ReaderSettings, notes: list[str]
) -> Iterator[Page]:
    engines = _engines(settings.ocr_threads, settings.ocr_tessdata)
    for number in wanted:
        try:
            with _turn:
                if isinstance(source, Pdf):
                    page = _pdf_page(source, number, options, engines, settings)
                else:
                    page = _picture_page(source, number, options, engines, settings)
        except Unreadable as fault:
            if source.page_count == 1 or fault.kind not in ("damaged", "too_large"):
                raise
            notes.append(f"Page {number} was not read. {fault.message}")
            page = Page(
                number=number, width=0, height=0, unit="pixel", source="raster", confidence=0, reason=fault.message
            )
        yield page


@lru_cache(maxsize=1)
def _engines(threads: int, tessdata: Path | None) -> Engines:
    return Engines(threads, tessdata)


def _picture_page(source: Pictures, number: int, options: Options, engines: Engines, settings: ReaderSettings) -> Page:
    picture = source.picture(number)
    if options.text_layer == "only":
        return _page_of(number, picture, "pixel", None, "pictures have no text of their own")
    return _recognised(number, picture, "pixel", options, engines, settings)


def _pdf_page(source: Pdf, number: int, options: Options, engines: Engines, settings: ReaderSettings) -> Page:
    layer = source.text_layer(number)
    own = _own_text(number, layer)
    if options.text_layer == "only" or (options.text_layer == "auto" and not layer.fault and not layer.doubt):
        return _own_findings(source, own, layer, options)
    page = _recognised(number, source.picture(number), "point", options, engines, settings)
    if options.text_layer == "never":
        return page
    why = layer.fault or layer.doubt
    if not layer.fault and sum(len(word.text) for word in page.words) < MORE * layer.letters:
        told = {"reason": f"though {why}, recognition finds no more than it", "attempts": page.attempts}
        return _own_findings(source, own.model_copy(update=told), layer, options)
    return page.model_copy(update={"reason": f"{why}: {page.reason}"})


def _own_text(number: int, layer: TextLayer) -> Page:
    sound = not layer.fault
    return Page(
        number=number,
        width=round(layer.width, 2),
        height=round(layer.height, 2),
        unit="point",
        rotation=layer.rotation if sound else 0,
        engine="text_layer" if sound and layer.pieces else None,
        source="text_layer",
        confidence=1.0 if sound and layer.pieces else 0.0,
        reason=layer.fault or ("the page has text of its own" if layer.pieces else "the page is blank"),
        blocks=layout.blocks([piece.scaled(1) for piece in layer.pieces], headings=True) if sound else (),
    )


def _own_findings(source: Pdf, page: Page, layer: TextLayer, options: Options) -> Page:
    """Tables and fields of a page with text of its own. It is drawn only where rules may be on it."""
    image = None
    if options.tables and layer.drawn and page.blocks:
        # A page that cannot be drawn (it holds a picture that is too large) has text all the same.
        with suppress(Unreadable):
            image = upright(source.picture(page.number, RULES_DPI).image, page.rotation, 0.0)
    return _findings(page, image, options)


def _findings(page: Page, image: Image.Image | None, options: Options) -> Page:
    """The page with its tables and its names with values. ``image``: the page upright and level, if there is one."""
    if options.tables and page.blocks:
        page = page.model_copy(update={"tables": tuple(tables.find(page, image))})
    if options.fields and page.blocks:
        page = page.model_copy(update={"fields": tuple(fields.find(page))})
    return page


def _recognised(
    number: int, picture: Picture, unit: str, options: Options, engines: Engines, settings: ReaderSettings
) -> Page:
    reading, reason, attempts = recognise(picture.image, options, engines, settings.ocr_page_seconds)
    page = _page_of(number, picture, unit, reading, reason)
    image = upright(picture.image, reading.rotation, reading.skew) if reading and options.tables else None
    return _findings(page.model_copy(update={"attempts": attempts}), image, options)


def _page_of(number: int, picture: Picture, unit: str, reading: Reading | None, reason: str) -> Page:
    """The page of a reading, its boxes in the unit of the page as it was given."""
    lying = reading is not None and reading.rotation in (90, 270)
    width, height = (picture.height, picture.width) if lying else (picture.width, picture.height)
    blocks: tuple[Block, ...] = ()
    if reading is not None:
        across = picture.image.height if lying else picture.image.width
        blocks = layout.blocks(scaled(reading, width / across).pieces)
    return Page.model_validate(
        {
            "number": number,
            "width": width,
            "height": height,
            "unit": unit,
            "rotation": reading.rotation if reading else 0,
            "skew": round(reading.skew, 2) if reading else 0.0,
            "engine": reading.engine if reading else None,
            "source": "raster",
            "confidence": round(reading.score, 4) if reading else 0.0,
            "reason": reason,
            "blocks": blocks,
        }
    )

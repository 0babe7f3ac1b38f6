"""Reading a document: bytes in, a document with text, Markdown and pages out. Knows no job, no bucket and no HTTP.

    from functions.ocr import reader
    from functions.ocr.options import Options

    document = reader.read(data, "application/pdf", Options())
    document.text, document.markdown, document.pages[0].blocks

A page's own text is taken where it is sound; otherwise the page is read from its picture. Pages are read one at a time
and their pictures let go, so that a long document takes no more memory than its largest page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from functions.ocr import layout, pdf
from functions.ocr.document import Document, Page
from functions.ocr.errors import Unreadable
from functions.ocr.options import Options
from shared.settings import ReaderSettings

#: Told after each page: the page, and how many of the asked-for pages are read and how many there are.
Progress = Callable[[Page, int, int], None]


def page_count(data: bytes, media_type: str, settings: ReaderSettings | None = None) -> int:
    """How many pages a document has. Raises :class:`Unreadable`."""
    _bounded(data, settings or ReaderSettings.load())
    with closing(pdf.Pdf(data)) as document:
        return document.page_count


def read(
    data: bytes,
    media_type: str,
    options: Options | None = None,
    *,
    pages: range | None = None,
    progress: Progress | None = None,
    settings: ReaderSettings | None = None,
) -> Document:
    """The document, or those of its pages whose numbers (from 1) are in ``pages``. Raises :class:`Unreadable`."""
    settings = settings or ReaderSettings.load()
    _bounded(data, settings)
    found: list[Page] = []
    with closing(pdf.Pdf(data)) as document:
        wanted = [number for number in pages or range(1, document.page_count + 1) if number <= document.page_count]
        for page in _pages(document, wanted, options or Options()):
            found.append(page)
            if progress:
                progress(page, len(found), len(wanted))
        return Document(media_type=pdf.MEDIA_TYPE, page_count=document.page_count, pages=tuple(found))


def _bounded(data: bytes, settings: ReaderSettings) -> None:
    if not data:
        raise Unreadable("empty", "The file is empty.")
    if len(data) > settings.ocr_document_bytes:
        raise Unreadable(
            "too_large", f"The file has {len(data):,} bytes; {settings.ocr_document_bytes:,} are read at most."
        )


def _pages(document: pdf.Pdf, wanted: list[int], options: Options) -> Iterator[Page]:
    for number in wanted:
        layer = document.text_layer(number)
        yield Page(
            number=number,
            width=layer.width,
            height=layer.height,
            unit="point",
            rotation=layer.rotation,
            engine="text_layer",
            source="text_layer",
            confidence=1.0,
            reason=layer.fault or "the page has text of its own",
            blocks=layout.blocks(layer.pieces, headings=True),
        )

"""What cannot be read is refused with a kind and a sentence; the reader lives on."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import closing

import pytest
from PIL import Image

from functions.ocr import raster
from functions.ocr.errors import Unreadable
from functions.ocr.pdf import Pdf
from shared.settings import ReaderSettings
from tests.functions.ocr.reader import documents
from tests.functions.ocr.reader.conftest import Read
from tests.functions.ocr.reader.documents import LINES, pdf, stored, text, written

PAGE = pdf(text(LINES))
PICTURE = written()


def png_header(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says how large it is, and holds nearly nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    """A small JPEG whose frame header says that it is large."""
    data = bytearray(stored(Image.new("L", (16, 16)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_header(width: int, height: int) -> bytes:
    """A TIFF directory that says how large its one compressed strip unpacks."""
    strip = zlib.compress(bytes(1000))
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, len(strip)),
    ]
    body = b"II*\x00" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHI", tag, kind, count) + (
            struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0)
        )
    return body + struct.pack("<I", 0)


def webp_header(width: int, height: int) -> bytes:
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (width - 1).to_bytes(3, "little")
    chunk += (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


REFUSED = {
    "empty": (b"", "empty", "The file is empty."),
    "random bytes": (b"\x93\x02 not a document \x00\xff" * 30, "unsupported", "none of PDF, PNG, JPEG"),
    "an Office document": (b"PK\x03\x04" + bytes(60), "unsupported", "store it as a PDF"),
    "HEIC": (b"\x00\x00\x00\x18ftypheic" + bytes(60), "unsupported", "store it as JPEG"),
    "encrypted PDF": (documents.encrypted_pdf(), "encrypted", "store it again without a password"),
    "PDF without pages": (pdf(), "no_pages", "no pages"),
    "cut PDF": (PAGE[:120], "damaged", "cut off"),
    "cut PNG": (stored(PICTURE)[:400], "damaged", "cut off"),
    "cut JPEG": (stored(PICTURE, "JPEG")[:3000], "damaged", "cut off"),
    "cut TIFF": (stored(PICTURE, "TIFF")[:5000], "damaged", "cut off"),
    "cut WebP": (stored(PICTURE, "WEBP")[:300], "damaged", "cut off"),
    "cut GIF": (stored(PICTURE, "GIF")[:20], "damaged", "cut off"),
    "cut BMP": (stored(PICTURE, "BMP")[:200], "damaged", "cut off"),
    "35,000 pixels, PNG": (png_header(35_000, 35_000), "too_large", "35,000 x 35,000 pixels"),
    "35,000 pixels, JPEG": (jpeg_header(35_000, 35_000), "too_large", "35,000 x 35,000 pixels"),
    "35,000 pixels, TIFF": (tiff_header(35_000, 35_000), "too_large", "35,000 x 35,000 pixels"),
    "16,000 pixels, WebP": (webp_header(16_000, 16_000), "too_large", "16,000 x 16,000 pixels"),
    "PNG bomb": (
        png_header(60_000, 60_000, zlib.compress(bytes(50_000_000))),
        "too_large",
        "60,000 x 60,000 pixels",
    ),
    "PDF with a picture of 35,000 pixels": (
        pdf(
            b"q 400 0 0 400 0 0 cm /I1 Do Q",
            extra=[documents.image_object(35_000, 35_000, bytes(1000))],
        ),
        "too_large",
        "holds a picture of 35,000 x 35,000 pixels",
    ),
    "PDF of no size": (pdf(b"0 0 9 9 re f", box="0 0 0.001 0.001"), "damaged", "impossible size"),
    "5,000 pages": (pdf(*[b""] * 5000), "too_many_pages", "5,000 pages; 2,000 are read at most. Split it."),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(read: Read, what: str) -> None:
    data, kind, said = REFUSED[what]
    with pytest.raises(Unreadable) as refused:
        read(data, "application/pdf")
    assert (refused.value.kind, said in refused.value.message) == (kind, True), refused.value.message
    assert read(PAGE).text, "and the next is read"


def test_too_many_bytes(read: Read) -> None:
    with pytest.raises(Unreadable) as refused:
        read(PAGE, ocr_document_bytes=500)
    assert refused.value.kind == "too_large"
    assert "500 are read at most" in refused.value.message


def test_a_page_of_three_hundred_metres_is_drawn_small(settings: ReaderSettings) -> None:
    """The size that a page claims is not the size at which it is drawn."""
    with closing(Pdf(pdf(b"0 0 900000 10 re f", box="0 0 900000 900000"), settings)) as huge:
        picture = huge.picture(1)
    assert picture.width == 900_000
    assert picture.image.width * picture.image.height <= raster.WORKING_PIXELS * 1.01


def test_a_png_that_is_less_than_it_says_is_damaged(read: Read) -> None:
    with pytest.raises(Unreadable) as refused:
        read(png_header(3000, 3000, zlib.compress(bytes(1000))))
    assert refused.value.kind == "damaged"


def test_one_bad_page_of_several_is_left_empty_and_noted(read: Read) -> None:
    good = written(LINES[:1], paper=(640, 120), at=(20, 30))
    file = stored(good, "TIFF", save_all=True, append_images=[good.copy()], compression="tiff_deflate")
    broken = bytearray(file)
    # Spoil the second page's first strip.
    second = Image.open(io.BytesIO(file))
    second.seek(1)
    start = second.tag_v2[273][0]
    broken[start : start + 40] = b"\xff" * 40
    document = read(bytes(broken))
    assert document.pages[0].text == LINES[0]
    assert document.pages[1].text == ""
    assert document.notes[0].startswith("Page 2 was not read. The picture is damaged")


def test_nothing_is_decoded_that_is_too_large(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header decides: a bomb is refused without a pixel of it unpacked."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    monkeypatch.setattr(raster, "_prepared", never)
    with pytest.raises(Unreadable):
        read(png_header(60_000, 60_000))

"""What a file is, by its first bytes: its name and what its sender called it are only hints."""

from __future__ import annotations

from functions.ocr.errors import Unreadable

#: A PDF's header may stand after other bytes (ISO 32000-1, implementation note 13).
PDF_WITHIN = 1024

#: What is often stored by mistake, and what to do about it.
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Office document: store it as a PDF",
    b"\xd0\xcf\x11\xe0": "an old Office document: store it as a PDF",
    b"{\\rtf": "an RTF document: store it as a PDF",
    b"%!PS": "PostScript: store it as a PDF",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000: store it as PNG or JPEG",
    b"\x1f\x8b": "a gzip archive: unpack it first",
}


def media_type(data: bytes) -> str:
    """The media type of a document that is read. Raises :class:`Unreadable` for anything else."""
    if not data:
        raise Unreadable("empty", "The file is empty.")
    head = data[:16]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "image/tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if b"%PDF-" in data[:PDF_WITHIN]:
        return "application/pdf"
    if head[:2] == b"BM" and len(data) > 26 and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return "image/bmp"
    known = next((what for start, what in _FOREIGN.items() if data.startswith(start)), "")
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"avi"):
        known = "a HEIC or AVIF picture: store it as JPEG"
    raise Unreadable(
        "unsupported",
        f"The file is {known}." if known else "The file is none of PDF, PNG, JPEG, WebP, TIFF, BMP and GIF.",
    )

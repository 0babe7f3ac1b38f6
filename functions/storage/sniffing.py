"""What a file is, from its bytes: never from what its sender says.

Signatures are the library ``filetype``'s: pure Python that reads the first bytes only, where ``libmagic`` would be a
binary to deploy. It says nothing of text, and takes text that begins with a short signature (``BM``, ``MZ``) for the
format; so text is told first, here, and of what kind: HTML by the tags of the MIME Sniffing Standard (7.1), SVG
and XML by their root, JSON by reading it. Office files are told by the names in their archive.
"""

from __future__ import annotations

import json
import re

#: How much of the beginning and of the end of a file is looked at.
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024

UNKNOWN = "application/octet-stream"
HTML, SVG, XML, JSON, PLAIN = "text/html", "image/svg+xml", "application/xml", "application/json", "text/plain"
OLE = "application/x-ole-storage"
ZIP = "application/zip"
PDF = "application/pdf"

#: What text can be found to be.
TEXTS = frozenset({HTML, SVG, XML, JSON, PLAIN})

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_BINARY = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # the standard's "binary data bytes"
_BEFORE_ROOT = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!doctype\s+(?!html)[^<>\[]*(?:\[.*?\])?[^<>]*>)", re.S | re.I)
_HTML = re.compile(
    r"\s*<(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[\s>]", re.I
)
_ROOT = re.compile(r"\s*<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_OFFICE = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_ENTRY, _LISTED = b"PK\x03\x04", b"PK\x01\x02"  # APPNOTE.TXT, 4.3.7 and 4.3.12


def sniff(head: bytes, tail: bytes = b"", size: int | None = None) -> str:
    """The media type of a file that begins with ``head`` and ends with ``tail`` and has ``size`` bytes.

    ``application/octet-stream`` for what is not recognised. A file that fits into ``head`` needs no ``tail``.
    """
    whole = size is None or size <= len(head)
    if head.lstrip(b"\0\t\n\r\f ").startswith(b"%PDF-"):
        return PDF
    if (text := _text(head, whole)) is not None:
        return _kind_of_text(text, whole)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):  # [MS-CFB], 2.2
        return OLE
    import filetype

    guess = filetype.guess(head)
    found = str(guess.mime) if guess is not None else UNKNOWN
    return _office(head, tail) if found == ZIP else found


def _text(head: bytes, whole: bool) -> str | None:
    """The beginning as text; None when it is none."""
    encoding, data = "utf-8", head
    for mark, name in _BOMS:
        if head.startswith(mark):
            encoding, data = name, head[len(mark) :]
            break
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # The end of a piece may be in the middle of a character, which has at most four bytes.
        if whole or len(data) - error.start >= 4:
            return None
        text = data[: error.start].decode(encoding)
    return None if _BINARY.search(text) else text


def _kind_of_text(text: str, whole: bool) -> str:
    if text.startswith("{\\rtf"):
        return "application/rtf"
    if text.startswith("%!PS"):
        return "application/postscript"
    rest = text
    while (found := _BEFORE_ROOT.match(rest)) is not None:
        rest = rest[found.end() :]
    if _HTML.match(rest):
        return HTML
    root = _ROOT.match(rest)
    if root is not None:
        name = root[1].lower()
        if name == "svg":
            return SVG
        if name == "html":
            return HTML
        if rest is not text or not whole or text.rstrip().endswith(">"):
            return XML
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, whole)
    return PLAIN


def _json(text: str, whole: bool) -> str:
    if not whole:  # what goes on is not looked at: it begins like JSON
        return JSON if re.match(r'\s*(?:\{\s*"|\[\s*(?:[\[{"\d\-]|true|false|null))', text) else PLAIN
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return PLAIN
    return JSON


def _office(head: bytes, tail: bytes) -> str:
    """What an archive is, from the names in it: those at its beginning, and those in its directory at the end."""
    names = [*_names(head, _ENTRY, 26, 30), *_names(tail or head, _LISTED, 28, 46)]
    if b"[Content_Types].xml" in names:
        for folder, media_type in _OFFICE:
            if any(name.startswith(folder) for name in names):
                return media_type
    return ZIP


def _names(data: bytes, signature: bytes, length_at: int, name_at: int) -> list[bytes]:
    found: list[bytes] = []
    at = data.find(signature)
    while at >= 0 and len(found) < 5000:
        size = int.from_bytes(data[at + length_at : at + length_at + 2], "little")
        found.append(data[at + name_at : at + name_at + size])
        at = data.find(signature, at + 4)
    return found

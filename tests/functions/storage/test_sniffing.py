"""What a file is, is told from its bytes; a name or an announcement may only agree."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.storage.media_types import admitted, settle
from functions.storage.sniffing import HEAD_BYTES, JSON, PLAIN, TAIL_BYTES, TEXTS, UNKNOWN, sniff

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"%PDF-1.4\n%\xe2\xe3", "application/pdf"),
        (b"\r\n%PDF-1.4 all of it text", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
        (b"GIF89a\x01\0\x01\0\x80", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0", "image/webp"),
        (b"II*\0\x08\0\0\0" + bytes(8), "image/tiff"),
        (b"BM\x9a\0\0\0\0\0\0\0", "image/bmp"),
        (b"\x1f\x8b\x08\0", "application/gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "application/x-ole-storage"),
        (b"{\\rtf1\\ansi }", "application/rtf"),
        (b"%!PS-Adobe-3.0", "application/postscript"),
        (b"", PLAIN),
        (b"words", PLAIN),
        ("grüße".encode(), PLAIN),
        (b"\xef\xbb\xbfwords", PLAIN),
        ("<svg>".encode("utf-16"), "image/svg+xml"),
        (b"gr\xfc\xdfe", UNKNOWN),  # Latin-1: not text that we know how to read
        (b"words\0", UNKNOWN),
        (b'{"a": [1, 2]}', JSON),
        (b"[1, 2]", JSON),
        (b"[1, 2", PLAIN),
        (b"[" * 60_000, PLAIN),
        (b"[citation needed]", PLAIN),
        (b"<!DOCTYPE html><p>", "text/html"),
        (b"  <HTML>", "text/html"),
        (b"<!-- <svg> --><script>", "text/html"),
        (b"<?xml version='1.0'?><html xmlns='x'/>", "text/html"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg:svg xmlns:svg='x'/>", "image/svg+xml"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD' 'x' [<!ENTITY a 'b'>]><svg/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><invoice/>", "application/xml"),
        (b"<invoice><n>1</n></invoice>\n", "application/xml"),
        (b"<3 you", PLAIN),
        (b"a < b and b > c", PLAIN),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bytes_tell_the_kind(data: bytes, media_type: str) -> None:
    assert sniff(data) == media_type


@pytest.mark.parametrize("folder", ["word", "xl", "ppt", "other"])
def test_an_office_file_is_told_by_what_is_in_it_wherever_that_stands(folder: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("media/large.bin", bytes(200_000))
        archive.writestr(f"{folder}/document.xml", "<x/>")
        archive.writestr("[Content_Types].xml", "<Types/>")
    data = packed.getvalue()
    found = sniff(data[:HEAD_BYTES], data[-TAIL_BYTES:], len(data))
    expected = {"word": "wordprocessingml.document", "xl": "spreadsheetml.sheet", "ppt": "presentationml.presentation"}
    assert found.endswith(expected.get(folder, "application/zip"))


def test_a_long_text_is_told_by_its_beginning() -> None:
    for text, media_type in [
        ("é" * 70_000, PLAIN),
        ('{"a": "' + "é" * 70_000, JSON),
        ("<a><b>" + "x" * 70_000, "text/html"),
    ]:
        for cut in (HEAD_BYTES, HEAD_BYTES - 1):
            assert sniff(text.encode()[:cut], b"", len(text.encode())) == media_type
    assert sniff(b"<invoice>" + b"x" * HEAD_BYTES, b"", 10**6) == "application/xml"


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_something(head: bytes, tail: bytes) -> None:
    for size in (len(head), len(head) + len(tail), 10**9):
        assert "/" in sniff(head, tail, size)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_text_never_passes_for_an_image(text: str) -> None:
    for name in ("x.png", "x.jpg", "x.gif", "x.webp", "x.tif", "x.bmp", "x.pdf"):
        found = sniff(text.encode())
        if found in TEXTS:
            assert settle(found, name, None)[1] is not None


@pytest.mark.parametrize(
    ("found", "filename", "declared", "media_type", "fine"),
    [
        ("image/png", "a.png", None, "image/png", True),
        ("image/png", "a.PNG", "image/png", "image/png", True),
        ("image/jpeg", "a.jpeg", "image/jpg", "image/jpeg", True),
        ("image/jpeg", "a.jpe", "image/pjpeg", "image/jpeg", True),
        ("image/tiff", "a.tiff", None, "image/tiff", True),
        ("image/png", "a.jpg", None, "image/png", False),
        ("image/png", "a", "image/jpeg", "image/png", False),
        ("image/png", "a", "application/octet-stream", "image/png", True),
        ("image/png", "a.txt", None, "image/png", False),
        ("image/png", "a.html", None, "image/png", False),
        (UNKNOWN, "a.png", None, UNKNOWN, False),
        (UNKNOWN, "a.pdf", None, UNKNOWN, False),
        (UNKNOWN, "a.mp3", None, UNKNOWN, True),
        (UNKNOWN, "a.bin", None, UNKNOWN, True),
        (UNKNOWN, "a.dat", "application/x-own", UNKNOWN, True),
        (UNKNOWN, "a", "image/png", UNKNOWN, False),
        (UNKNOWN, "a.csv", None, UNKNOWN, False),
        (PLAIN, "a.csv", "text/csv", "text/csv", True),
        (PLAIN, "a.csv", "text/plain", "text/csv", True),
        (PLAIN, "a", "text/csv", "text/csv", True),
        (PLAIN, "a", "text/html", PLAIN, False),
        (PLAIN, "a.html", None, "text/html", True),
        ("text/html", "a.txt", None, PLAIN, True),
        ("text/html", "a", "text/plain", "text/html", False),
        ("text/html", "a.svg", None, "text/html", False),
        ("image/svg+xml", "a.svg", "image/svg+xml", "image/svg+xml", True),
        ("image/svg+xml", "a.xml", "text/xml", "application/xml", True),
        (JSON, "a.json", "text/json", JSON, True),
        (PLAIN, "a.json", None, PLAIN, False),
        ("application/x-ole-storage", "a.doc", "application/msword", "application/msword", True),
        ("application/x-ole-storage", "a.docx", None, "application/x-ole-storage", False),
        (DOCX, "a.docx", None, DOCX, True),
        (DOCX, "a.doc", None, DOCX, False),
        ("application/zip", "a.docx", None, "application/zip", False),
        ("application/zip", "a.zip", "application/x-zip-compressed", "application/zip", True),
        ("application/zip", "a.jar", "application/java-archive", "application/zip", True),
    ],
)
def test_a_name_and_an_announcement_agree_or_contradict(
    found: str, filename: str, declared: str | None, media_type: str, fine: bool
) -> None:
    settled, wrong = settle(found, filename, declared)
    assert (settled, wrong is None) == (media_type, fine), wrong


def test_a_bucket_of_images_takes_no_svg() -> None:
    assert admitted("image/png", ("image/*",))
    assert not admitted("image/svg+xml", ("image/*",))
    assert admitted("text/csv", ("application/pdf", "text/*"))
    assert not admitted("application/zip", ("application/pdf", "text/*"))
    assert admitted("anything/at-all", ())

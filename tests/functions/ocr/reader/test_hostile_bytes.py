"""Whatever the bytes, reading ends, and raises nothing but Unreadable."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.ocr.engines.rapid import Rapid
from functions.ocr.errors import Unreadable
from tests.functions.ocr.reader import documents
from tests.functions.ocr.reader.conftest import Read
from tests.functions.ocr.reader.documents import LINES, image_object, pdf, stored, text, written

SMALL = written(LINES[:1], paper=(320, 60), size=12, at=(10, 20))
SEEDS = {
    "pdf": pdf(text(LINES), extra=[image_object(8, 8, bytes(64))]),
    "scan": pdf(b"q 400 0 0 400 0 0 cm /I1 Do Q", extra=[image_object(*SMALL.size, SMALL.convert("L").tobytes())]),
    "form": pdf(
        text(LINES),
        extra=[
            b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /Rect [90 96 490 116] /F 4 /AP << /N 11 0 R >> >>",
            documents.stream(b"BT /F1 9 Tf (Ivan) Tj ET", b"/Type /XObject /Subtype /Form /BBox [0 0 300 20]"),
        ],
        annotations=b"10 0 R",
    ),
    "encrypted": documents.encrypted_pdf(),
    "png": stored(SMALL),
    "jpeg": stored(SMALL, "JPEG"),
    "webp": stored(SMALL, "WEBP"),
    "tiff": stored(SMALL, "TIFF", save_all=True, append_images=[SMALL], compression="tiff_lzw"),
    "gif": stored(SMALL, "GIF"),
    "bmp": stored(SMALL, "BMP"),
}
MAGIC = (
    b"",
    b"%PDF-1.7\n",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"II*\x00",
    b"GIF89a",
    b"RIFF\x00\x01\x00\x00WEBP",
)


@pytest.fixture(autouse=True)
def eyes_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is everything before recognition, which sees pixels only."""
    from functions.ocr.engines import Reading

    monkeypatch.setattr(Rapid, "read", lambda *_: Reading("rapidocr", (), 0.0))
    monkeypatch.setattr("functions.ocr.engines.tesseract.is_installed", lambda _: False)


def survives(read: Read, data: bytes) -> None:
    with suppress(Unreadable):
        read(data, ocr_pages=50).to_json()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(magic=st.sampled_from(MAGIC), data=st.binary(max_size=400))
def test_arbitrary_bytes(read: Read, magic: bytes, data: bytes) -> None:
    survives(read, magic + data)


@pytest.mark.parametrize("seed", SEEDS)
def test_real_files_with_bytes_changed(read: Read, seed: str) -> None:
    for data in changed(seed, 30):
        survives(read, data)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_hundreds_of_them(read: Read, seed: str) -> None:
    for data in changed(seed, 600):
        survives(read, data)


def changed(seed: str, times: int) -> Iterator[bytes]:
    """A real file with some of its bytes replaced, removed, repeated or made extreme; the same ones each time."""
    chance = random.Random(seed)
    for _ in range(times):
        data = bytearray(SEEDS[seed])
        for _ in range(chance.choice((1, 3, 20))):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randrange(1, 60)]
                case 2:
                    data[at:at] = data[: chance.randrange(1, 60)]
                case _:
                    data[at : at + 4] = chance.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff"))
            if not data:
                break
        yield bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_real_files_cut_anywhere(read: Read, seed: str) -> None:
    whole = SEEDS[seed]
    for part in range(1, 20):
        survives(read, whole[: len(whole) * part // 20])

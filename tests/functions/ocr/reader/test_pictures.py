"""Pictures of every format, whichever way up, are read; what was odd about them is noted."""

from __future__ import annotations

import pytest
from PIL import Image

from functions.ocr.document import Document
from tests.functions.ocr.reader.conftest import Read
from tests.functions.ocr.reader.documents import LINES, stored, written

SHORT = LINES[:2]
SMALL = (620, 150)


def small(**how: object) -> Image.Image:
    return written(SHORT, paper=SMALL, at=(20, 25), size=24, **how)  # type: ignore[arg-type]


def lines(document: Document, page: int = 0) -> list[str]:
    return [line.text for line in document.pages[page].lines]


def test_a_jpeg(read: Read) -> None:
    document = read(stored(small(), "JPEG"), "image/jpeg")
    assert lines(document) == list(SHORT)
    assert (document.media_type, document.notes) == ("image/jpeg", ())


def test_words_lie_where_they_were_written(read: Read) -> None:
    [page] = read(stored(small()), "image/png").pages
    assert (page.width, page.height, page.unit, page.source, page.engine) == (620, 150, "pixel", "raster", "rapidocr")
    assert page.confidence > 0.95
    assert [line.text for line in page.lines] == list(SHORT)
    from PIL import ImageFont

    font = ImageFont.load_default(24)
    for number, line in enumerate(page.lines):
        at = 0
        for word in line.words:
            x = 20 + font.getlength(line.text[:at])
            assert abs(word.box[0] - x) < 10, word
            assert abs(word.box[2] - x - font.getlength(word.text)) < 10, word
            assert word.box[1] < 25 + number * 1.7 * 24 + 14 < word.box[3]
            at += len(word.text) + 1


def test_each_page_of_a_tiff_with_its_own_rotation(read: Read) -> None:
    second = written(LINES[2:4], paper=SMALL, at=(20, 25), size=24).transpose(Image.Transpose.ROTATE_180)
    document = read(stored(small(), "TIFF", save_all=True, append_images=[second]), "image/tiff")
    assert document.page_count == 2
    assert lines(document) == list(SHORT)
    assert lines(document, 1) == list(LINES[2:4])
    assert [page.rotation for page in document.pages] == [0, 180]


def test_a_camera_held_sideways(read: Read) -> None:
    """EXIF says how to hold the picture: its size and boxes are those of the held one, and nothing was turned by us."""
    exif = Image.Exif()
    exif[0x0112] = 6
    [page] = read(stored(small().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)).pages
    assert [line.text for line in page.lines] == list(SHORT)
    assert (page.width, page.height, page.rotation) == (620, 150, 0)


@pytest.mark.parametrize(("turn", "skew"), [(90, 0), (270, 4)])
def test_a_page_lying_on_its_side(read: Read, turn: int, skew: int) -> None:
    """Also when it does not lie straight: it is turned by a quarter, and the rest is its skew."""
    picture = written().rotate(turn - skew, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    [page] = read(stored(picture)).pages
    assert page.rotation == turn
    assert page.skew == pytest.approx(skew, abs=0.4)
    assert [line.text for line in page.lines] == list(LINES)
    assert (page.width, page.height) == (picture.height, picture.width)
    assert all(0 <= word.box[0] < word.box[2] <= page.width for word in page.words)


def test_a_page_that_lay_askew(read: Read) -> None:
    [page] = read(stored(written().rotate(-4, Image.Resampling.BICUBIC, expand=True, fillcolor="white"))).pages
    assert [line.text for line in page.lines] == list(LINES)
    assert page.skew == pytest.approx(4, abs=0.3)
    tops = [line.box[1] for line in page.lines]
    assert all(line.box[3] - line.box[1] < 40 for line in page.lines), "boxes are level"
    assert tops == sorted(tops)


def test_a_wrong_name_is_noted_and_does_no_harm(read: Read) -> None:
    document = read(stored(small(), "PNG"), "application/pdf")
    assert lines(document) == list(SHORT)
    assert document.notes == ("The file was sent as application/pdf, but is image/png: it was read as what it is.",)


def test_a_blank_page_is_blank(read: Read) -> None:
    [page] = read(stored(Image.new("L", (600, 800), 250))).pages
    assert (page.text, page.engine, page.reason, page.attempts) == ("", None, "the page is blank", ())


def test_a_long_strip_is_read_to_its_end(read: Read) -> None:
    said = [f"{line.split()[0]} {n} {line.split()[-1]}" for n, line in enumerate(LINES * 4)]
    [page] = read(stored(written(said, paper=(330, len(said) * 41 + 80), at=(30, 40), size=24))).pages
    assert page.height > 2.5 * page.width
    assert [line.text for line in page.lines] == said

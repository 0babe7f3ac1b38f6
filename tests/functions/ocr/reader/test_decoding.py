"""Every format and kind of pixel becomes the same grey or coloured picture, upright and not too large."""

from __future__ import annotations

from contextlib import closing

import pytest
from PIL import Image, ImageChops, ImageStat

from functions.ocr import raster, sniffing
from functions.ocr.raster import Picture, Pictures
from shared.settings import ReaderSettings
from tests.functions.ocr.reader.documents import stored, written

WHITE_PAPER = written(mode="L")


def decoded(data: bytes, settings: ReaderSettings, page: int = 1) -> Picture:
    with closing(Pictures(data, sniffing.media_type(data), settings)) as pictures:
        return pictures.picture(page)


def unlike(picture: Picture, other: Image.Image) -> float:
    """Mean difference of the pixels, of 255."""
    return float(ImageStat.Stat(ImageChops.difference(picture.image.convert("L"), other.convert("L"))).mean[0])


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_every_format(settings: ReaderSettings, format_: str) -> None:
    data = stored(WHITE_PAPER, format_)
    assert sniffing.media_type(data) == raster.FORMATS[format_]
    assert unlike(decoded(data, settings), WHITE_PAPER) < 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_pixel(settings: ReaderSettings, mode: str) -> None:
    deep = mode == "I;16"
    picture = (
        WHITE_PAPER.convert("I").point(lambda value: value * 257).convert("I;16") if deep else WHITE_PAPER.convert(mode)
    )
    found = decoded(stored(picture, "TIFF"), settings)
    assert found.image.mode in ("L", "RGB")
    assert unlike(found, WHITE_PAPER) < 4


def test_light_letters_on_nothing_get_a_dark_ground(settings: ReaderSettings) -> None:
    seen = written(mode="RGBA", ground=(0, 0, 0, 0), ink=(255, 255, 255, 255))
    assert unlike(decoded(stored(seen), settings), ImageChops.invert(WHITE_PAPER)) < 3


def test_dark_letters_on_nothing_get_a_light_ground(settings: ReaderSettings) -> None:
    seen = written(mode="RGBA", ground=(0, 0, 0, 0), ink=(0, 0, 0, 255))
    assert unlike(decoded(stored(seen), settings), WHITE_PAPER) < 3


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_how_a_camera_was_held(settings: ReaderSettings, orientation: int, turn: Image.Transpose, format_: str) -> None:
    exif = Image.Exif()
    exif[raster.ORIENTATION] = orientation
    found = decoded(stored(WHITE_PAPER.transpose(turn), format_, exif=exif), settings)
    assert (found.width, found.height) == WHITE_PAPER.size
    assert unlike(found, WHITE_PAPER) < 4


def test_the_first_picture_of_an_animation(settings: ReaderSettings) -> None:
    data = stored(WHITE_PAPER, "GIF", save_all=True, append_images=[Image.new("L", WHITE_PAPER.size)])
    with closing(Pictures(data, "image/gif", settings)) as pictures:
        assert pictures.page_count == 1
    assert unlike(decoded(data, settings), WHITE_PAPER) < 2


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_what_is_larger_than_is_used_is_made_smaller(settings: ReaderSettings, format_: str) -> None:
    found = decoded(stored(Image.new("L", (8000, 6000), 200), format_), settings)
    assert (found.width, found.height) == (8000, 6000)
    assert found.image.width * found.image.height <= raster.WORKING_PIXELS * 1.01
    assert found.image.width / found.image.height == pytest.approx(8 / 6, rel=0.01)


def test_blank_is_told_from_faint() -> None:
    assert raster.is_blank(Image.new("RGB", (600, 800), (250, 250, 245)))
    assert not raster.is_blank(written(ink=(190, 190, 190)))

"""A scanned invoice, made here: drawn with Pillow, askew on the glass, with the dust and the noise of a scanner."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

#: A4 at 150 dpi.
WIDTH, HEIGHT = 1240, 1754
SKEW_DEGREES = 2.4
QUALITY = 70

SENDER = ["Basalt & Sons", "Millstones since 1871", "Quarry Lane 4, 56727 Mayen"]
FIELDS = [
    ("Invoice number", "2026-0417"),
    ("Invoice date", "2026-11-20"),
    ("Customer number", "10482"),
    ("Due date", "2026-12-04"),
]
ITEMS = [
    ("Item", "Quantity", "Price", "Amount"),
    ("Millstone, basalt, 90 cm", "2", "1,450.00", "2,900.00"),
    ("Dressing the furrows", "4", "85.00", "340.00"),
    ("Delivery", "1", "120.00", "120.00"),
]
TOTALS = [("Subtotal", "3,360.00"), ("VAT 19 %", "638.40"), ("Total", "3,998.40 EUR")]


def scan(seed: int = 1871) -> bytes:
    """The invoice as a JPEG. The same seed gives the same bytes."""
    from PIL import Image, ImageChops, ImageFilter

    chance = random.Random(seed)  # noqa: S311  (dust, not a secret)
    page = draw().rotate(SKEW_DEGREES, resample=Image.Resampling.BICUBIC, fillcolor=244)
    page = page.filter(ImageFilter.GaussianBlur(0.6))
    noise = Image.frombytes("L", page.size, chance.randbytes(WIDTH * HEIGHT)).point(lambda value: value // 12)
    page = ImageChops.subtract(page, noise)
    for _ in range(250):  # dust
        page.putpixel((chance.randrange(WIDTH), chance.randrange(HEIGHT)), chance.randrange(60, 160))
    written = io.BytesIO()
    page.save(written, "JPEG", quality=QUALITY, dpi=(150, 150))
    return written.getvalue()


def draw() -> Image.Image:
    """The invoice as it left the printer."""
    from PIL import Image, ImageDraw

    page = Image.new("L", (WIDTH, HEIGHT), 250)
    pen = ImageDraw.Draw(page)
    pen.text((110, 120), SENDER[0], font=_font(46), fill=20)
    for number, line in enumerate(SENDER[1:]):
        pen.text((110, 190 + 36 * number), line, font=_font(24), fill=40)
    pen.text((110, 360), "INVOICE", font=_font(56), fill=15)
    for number, (name, value) in enumerate(FIELDS):
        pen.text((110, 480 + 48 * number), f"{name}: {value}", font=_font(28), fill=25)
    columns, top, high = (110, 640, 800, 960, 1130), 760, 60
    for row in range(len(ITEMS) + 1):
        pen.line([(columns[0], top + high * row), (columns[-1], top + high * row)], fill=60, width=2)
    for column in columns:
        pen.line([(column, top), (column, top + high * len(ITEMS))], fill=60, width=2)
    for row, texts in enumerate(ITEMS):
        for column, text in zip(columns[:-1], texts, strict=True):
            pen.text((column + 14, top + high * row + 15), text, font=_font(26), fill=25)
    for number, (name, value) in enumerate(TOTALS):
        pen.text((720, 1060 + 50 * number), f"{name}: {value}", font=_font(30), fill=20)
    pen.text((110, 1300), "Please transfer the total to our account within 14 days.", font=_font(24), fill=40)
    return page


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)  # a face that Pillow brings along, so that it looks alike everywhere

"""The corpus: pages of ten classes, written and spoiled by a seeded generator, so every run reads the same pages.

Each class is a function from a page's index to a `Sample`; the index also chooses fonts, sizes and damage, so that a
class covers its range evenly instead of by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
from PIL import Image

from bench.ocr import damage, prose
from bench.ocr.fonts import ALL, MONO, SANS, SERIF, font
from bench.ocr.sheet import BLACK, Colour, Font, Sheet, height, wrapped

#: Of every class but "fonts", which has one a font.
PAGES = 6
SEED = 20261122


@dataclass(frozen=True)
class Sample:
    """One page as a file, and the text that stands on it."""

    name: str
    kind: str
    data: bytes
    media_type: str
    text: str


def _letter(rng: Random, face: str, size: int, lines: int = 24, width: int = 1240) -> Sheet:
    """A letter-like page: a heading, paragraphs, a margin."""
    body, head = font(face, size), font(face, int(size * 1.5), bold=True)
    margin = 100
    sheet = Sheet(width, int(margin * 2 + lines * height(body) + 2.5 * height(head)))
    y = margin + sheet.write(margin, margin, prose.sentence(rng)[:34].rsplit(" ", 1)[0], head) * 1.4
    while y < sheet.height - margin - 2 * height(body):
        y = sheet.paragraph(margin, y, width - 2 * margin, prose.paragraph(rng, 3), body) + height(body) * 0.7
    return sheet


def _finished(kind: str, n: int, sheet: Sheet, image: Image.Image | None = None, quality: int | None = None) -> Sample:
    data, media_type = damage.encoded(image or sheet.image, quality)
    return Sample(f"{kind}-{n + 1}", kind, data, media_type, sheet.text)


def clean(n: int) -> Sample:
    """Crisp text at 150 to 200 dpi."""
    rng = Random(SEED + n)
    return _finished("clean", n, _letter(rng, ALL[n * 3 % 10], (26, 28, 32)[n % 3]))


def noisy(n: int) -> Sample:
    """Soft, grainy, specked."""
    rng, grains = Random(SEED + 100 + n), np.random.default_rng(SEED + 100 + n)
    sheet = _letter(rng, ALL[(n * 3 + 1) % 10], (28, 32, 36)[n % 3])
    return _finished("noisy", n, sheet, damage.noise(sheet.image, grains, 1 + n * 0.2), 70)


def skewed(n: int) -> Sample:
    """Fed askew by one to eight degrees."""
    rng = Random(SEED + 200 + n)
    sheet = _letter(rng, ALL[(n * 3 + 2) % 10], (26, 30)[n % 2])
    return _finished("skewed", n, sheet, damage.skew(sheet.image, (1.5, -3, 4.5, -6, 7, -8)[n % 6]))


def rotated(n: int) -> Sample:
    """Lying on a side or upside down, as scanned: a little grain."""
    rng, grains = Random(SEED + 300 + n), np.random.default_rng(SEED + 300 + n)
    sheet = _letter(rng, ALL[(n * 3) % 10], (28, 32)[n % 2])
    image = damage.quarter_turns(damage.noise(sheet.image, grains, 0.5), (90, 180, 270)[n % 3])
    return _finished("rotated", n, sheet, image, 85)


def two_columns(n: int) -> Sample:
    """A journal's page: a heading over two columns of narrow lines."""
    rng = Random(SEED + 400 + n)
    face, size = (SERIF + SANS)[n % 8], (22, 24, 26)[n % 3]
    body, head = font(face, size), font(face, size * 2, bold=True)
    gutter, margin = (36, 48, 64)[n % 3], 90
    width = 1300
    column = (width - 2 * margin - gutter) / 2
    sheet = Sheet(width, 1500)
    top = margin + sheet.write(margin, margin, prose.sentence(rng)[:30].rsplit(" ", 1)[0], head) * 1.5
    for left in (margin, margin + column + gutter):
        y = top
        for _ in range(3):
            y = sheet.paragraph(left, y, column, prose.paragraph(rng, 4), body) + height(body) * 0.7
    image = damage.noise(sheet.image, np.random.default_rng(SEED + n), 0.5) if n % 2 else None
    return _finished("two columns", n, sheet, image)


#: A table's columns: where its text stands, its title, whether it is set flush right.
COLUMNS = (
    (90, "Item", False),
    (200, "Description", False),
    (640, "Qty", True),
    (860, "Price", True),
    (1110, "Amount", True),
)
#: The upright rules between them.
EDGES = (80, 190, 560, 660, 880, 1120)


def table(n: int) -> Sample:
    """An order list: ruled all over, ruled under its rows, or with every other row shaded."""
    rng = Random(SEED + 500 + n)
    face, size = (SANS + SERIF)[(n * 3) % 8], (24, 28)[n % 2]
    body, bold = font(face, size), font(face, size, bold=True)
    rows, step = 12, height(body) * 1.5
    sheet = Sheet(1200, int(340 + (rows + 2) * step))
    title = f"Order {prose.code(rng)} of {prose.date(rng)}"
    y = 90 + sheet.write(90, 80, title, font(face, size + 12, bold=True)) * 1.5
    for row in range(rows):
        top = y + row * step
        _ruled(sheet, n % 3, row, top, step)
        cells = [
            str(1000 + rng.randint(1, 8999)),
            rng.choice(prose.GOODS),
            str(rng.randint(1, 48)),
            prose.amount(rng, 90),
            prose.amount(rng),
        ]
        if row == 0:
            cells = [title for _, title, _ in COLUMNS]
        for (x, _, right), cell in zip(COLUMNS, cells, strict=True):
            sheet.write(x, top + step * 0.18, cell, bold if row == 0 else body, right=right, said=False)
        sheet.said.append(" ".join(cells))
    sheet.write(90, y + rows * step + 30, f"Total due: {prose.amount(rng, 9000)} EUR by {prose.date(rng)}", body)
    return _finished("table", n, sheet)


def _ruled(sheet: Sheet, style: int, row: int, top: float, step: float) -> None:
    """A row's rules or shade."""
    if style == 0:
        for left, right in pairwise(EDGES):
            sheet.draw.rectangle((left, top, right, top + step), outline=BLACK, width=2)
    elif style == 1:
        sheet.draw.line((EDGES[0], top + step, EDGES[-1], top + step), fill=(90, 90, 90), width=2)
    elif row % 2:
        sheet.draw.rectangle((EDGES[0], top, EDGES[-1], top + step), fill=(228, 232, 240))


def receipt(n: int) -> Sample:
    """A till's slip in narrow type, lying a little askew, grainy."""
    rng, grains = Random(SEED + 600 + n), np.random.default_rng(SEED + 600 + n)
    body = font(MONO[n % 2], (24, 26, 28)[n % 3])
    step, width = height(body), 640
    goods = rng.sample(prose.GOODS, 9)
    sheet = Sheet(width, int(step * 25))
    y = 40.0
    shop = rng.choice(("CORNER STORE", "HARBOUR KIOSK", "GREEN GROCER"))
    for line in (shop, *prose.address(rng)[1:], prose.date(rng)):
        sheet.draw.text((width / 2, y), line, font=body, fill=BLACK, anchor="ma")
        sheet.said.append(line)
        y += step
    y += step / 2
    total = 0.0
    for good in goods:
        price = rng.uniform(0.5, 40)
        total += round(price, 2)
        y = _pair(sheet, y, good, f"{price:.2f}", body)
    sheet.draw.line((40, y + step / 3, width - 40, y + step / 3), fill=BLACK, width=2)
    y += step * 0.8
    for label, value in (("TOTAL EUR", f"{total:.2f}"), ("VAT 20%", f"{total / 6:.2f}"), ("CARD", f"{total:.2f}")):
        y = _pair(sheet, y, label, value, body)
    sheet.write(40, y + step, f"Receipt {prose.code(rng)}", body)
    sheet.write(40, y + step * 2, "Thank you for your visit!", body)
    image = damage.skew(damage.noise(sheet.image, grains, 0.7 + n * 0.1), (2, -1.5, 1)[n % 3])
    return _finished("receipt", n, sheet, image, 80)


def _pair(sheet: Sheet, y: float, label: str, value: str, face: Font) -> float:
    """A label on the left, its value on the right; where the next line begins."""
    sheet.write(40, y, label, face, said=False)
    sheet.write(sheet.width - 40, y, value, face, right=True, said=False)
    sheet.said.append(f"{label} {value}")
    return y + height(face)


def photo(n: int) -> Sample:
    """A phone's picture of a page: perspective, uneven light, few pixels, JPEG."""
    rng, grains = Random(SEED + 700 + n), np.random.default_rng(SEED + 700 + n)
    sheet = _letter(rng, ALL[(n * 3 + 1) % 10], (28, 32)[n % 2], lines=20)
    return _finished("photo", n, sheet, damage.photograph(sheet.image, grains, 0.8 + n * 0.12), 55 - 4 * n)


#: Of an interface: its paper, ink, faint ink and title bar.
DARK: tuple[Colour, ...] = ((30, 31, 34), (222, 224, 228), (150, 154, 160), (43, 45, 48))
LIGHT: tuple[Colour, ...] = ((250, 250, 252), (32, 33, 36), (96, 100, 106), (232, 234, 238))


def interface(n: int) -> Sample:
    """A screenshot: a list of settings in 12 to 15 pixel type, dark or light."""
    rng = Random(SEED + 800 + n)
    size, dark = (12, 13, 14, 15)[n % 4], n % 2 == 0
    body, head = font(SANS[n % 4], size), font(SANS[n % 4], size + 5, bold=True)
    paper, ink, faint, bar = DARK if dark else LIGHT
    sheet = Sheet(900, 640, paper)
    sheet.draw.rectangle((0, 0, 900, 40), fill=bar)
    sheet.write(20, 10, f"{rng.choice(('Project', 'Account', 'Workspace'))} settings", head, ink)
    y = 60.0
    while y < 560:
        label = " ".join(rng.choice(words) for words in (QUALITIES, SETTINGS))
        size_in_mb, person = f"{rng.randint(1, 99)} MB", prose.name(rng)
        value = rng.choice((prose.code(rng), prose.date(rng), size_in_mb, "Enabled", person, "user@example.com"))
        sheet.write(20, y, label, body, ink, said=False)
        sheet.write(420, y, value, body, ink, said=False)
        sheet.said.append(f"{label} {value}")
        for line in wrapped(prose.sentence(rng), body, 840)[:1]:
            sheet.write(20, y + height(body) * 1.1, line, body, faint)
        y += height(body) * 2.8
    return _finished("small UI text", n, sheet)


QUALITIES = ("Default", "Maximum", "Last", "Primary", "Shared", "Automatic", "Hidden", "Remote")
SETTINGS = (
    "upload size",
    "owner",
    "review date",
    "branch",
    "cache limit",
    "time zone",
    "sign-in method",
    "export format",
)


def ten_fonts(n: int) -> Sample:
    """One page a font, at a size between a footnote's and a body's, with slight grain."""
    rng, grains = Random(SEED + 900 + n), np.random.default_rng(SEED + 900 + n)
    sheet = _letter(rng, ALL[n], (22, 24, 27)[n % 3])
    return _finished("ten fonts", n, sheet, damage.noise(sheet.image, grains, 0.4), 85)


CLASSES: dict[str, tuple[int, Callable[[int], Sample]]] = {
    "clean": (PAGES, clean),
    "noisy": (PAGES, noisy),
    "skewed": (PAGES, skewed),
    "rotated": (PAGES, rotated),
    "two columns": (PAGES, two_columns),
    "table": (PAGES, table),
    "receipt": (PAGES, receipt),
    "photo": (PAGES, photo),
    "small UI text": (PAGES, interface),
    "ten fonts": (len(ALL), ten_fonts),
}


def samples(classes: list[str], pages: int | None) -> Iterator[Sample]:
    """The pages of ``classes``, at most ``pages`` of each: the first of every class, then the second, and so on."""
    most = max(CLASSES[kind][0] for kind in classes)
    for n in range(min(most, pages or most)):
        for kind in classes:
            count, make = CLASSES[kind]
            if n < count:
                yield make(n)

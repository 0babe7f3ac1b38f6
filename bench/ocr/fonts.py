"""The ten fonts of the pages, by npm from packages that carry them as files (`bench/ocr/package-lock.json` pins them).

Fontsource ships each font as WOFF2, which Pillow's FreeType opens as it is; PyPI has no like collection, and what an
operating system has installed differs from machine to machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont

FOLDER = Path(__file__).parent / "node_modules" / "@fontsource"
SANS = ("arimo", "inter", "lato", "open-sans")
SERIF = ("eb-garamond", "libre-baskerville", "roboto-slab", "tinos")
MONO = ("courier-prime", "jetbrains-mono")
ALL = SANS + SERIF + MONO


@cache
def font(name: str, size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """``name`` at ``size`` pixels."""
    path = FOLDER / name / "files" / f"{name}-latin-{700 if bold else 400}-normal.woff2"
    if not path.exists():
        raise SystemExit(f"The font {name} is missing: make install-bench (it needs npm) brings it.")
    return ImageFont.truetype(path, size)

"""A page's picture as it is shown upright: turned by quarters, then levelled around its centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def upright(image: Image.Image, rotation: int, skew: float) -> Image.Image:
    """The picture turned clockwise by ``rotation`` (0, 90, 180, 270) and back by the ``skew`` of its lines, in degrees.

    Levelling keeps the size; the corners that come free take the ground's colour.
    """
    from PIL import Image

    turn = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
    if rotation in turn:
        image = image.transpose(turn[rotation])
    if skew:
        ground = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        image = image.rotate(skew, Image.Resampling.BICUBIC, fillcolor=ground)
    return image

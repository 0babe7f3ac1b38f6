"""What happens to a page on its way to us: noise, a crooked feed, the wrong way round, a hasty photograph."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def _from(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def noise(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """A poor scan: soft, grainy, specked, on greyish paper. ``strength`` 1 is usual, 2 is bad."""
    pixels = cv2.GaussianBlur(_from(image), (0, 0), 0.5 + 0.35 * strength).astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True) * 0.82 + 30
    grey += rng.normal(0, 14 * strength, grey.shape)
    speck = rng.random(grey.shape)
    grey[speck < 0.004 * strength] = 20
    grey[speck > 1 - 0.004 * strength] = 245
    return Image.fromarray(np.clip(np.repeat(grey, 3, axis=2), 0, 255).astype(np.uint8))


def skew(image: Image.Image, degrees: float) -> Image.Image:
    """Fed askew; the page grows so that nothing is cut off."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=image.getpixel((2, 2)))


def quarter_turns(image: Image.Image, degrees: int) -> Image.Image:
    """Lying on its side or upside down: 90, 180 or 270 degrees."""
    return image.rotate(degrees, expand=True)


def photograph(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """From a phone at an angle, on a dark table: perspective, uneven light, low resolution, blur, JPEG."""
    pixels = _from(image)
    height, width = pixels.shape[:2]
    lean = rng.uniform(0.01, 0.05 * strength, (4, 2)) * (width, height)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    warp = cv2.getPerspectiveTransform(corners, (corners + lean * inward).astype(np.float32))
    shot = cv2.warpPerspective(pixels, warp, (width, height), borderValue=(52, 44, 40)).astype(np.float32)
    sideways, downwards = np.linspace(1, rng.uniform(0.62, 0.8), width), np.linspace(1, rng.uniform(0.8, 0.95), height)
    shot = cv2.GaussianBlur(shot * sideways[None, :, None] * downwards[:, None, None], (0, 0), 0.6 + 0.4 * strength)
    small = cv2.resize(shot, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small += rng.normal(0, 4 * strength, small.shape)
    return Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int | None) -> tuple[bytes, str]:
    """The file's bytes and its media type: a PNG, or a JPEG of ``quality``."""
    buffer = BytesIO()
    if quality is None:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), "image/jpeg"

"""Pictures: what they are by their first bytes, and their pages ready to be recognised; by Pillow.

Nothing is decoded before its size is known from the header and allowed. What a decoder raises about bytes from outside,
whatever its type, means that the bytes are damaged.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.ocr.errors import Unreadable
from shared.settings import ReaderSettings

if TYPE_CHECKING:
    from PIL import Image

#: Media types by the name that Pillow has for the format.
FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}
#: Most pixels of the picture that is recognised: A4 at 300 dpi. A larger one is made smaller.
WORKING_PIXELS = 2480 * 3508
#: EXIF's tag for how a camera was held.
ORIENTATION = 0x0112
#: A picture whose lightest and darkest parts differ by less (of 255) has nothing on it.
LEAST_CONTRAST = 24
#: Mean lightness (of 255) above which what is drawn on nothing was meant for a dark ground.
LIGHT = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """A page's picture in grey or colour, and the page's size in its own unit, as a viewer shows it."""

    image: Image.Image
    width: float
    height: float


class Pictures:
    """An image file; a TIFF may have many pages. Of an animation the first picture is the page."""

    def __init__(self, data: bytes, media_type: str, settings: ReaderSettings) -> None:
        from PIL import Image

        # Pillow's own limit warns of what we allow and is the same for all of a process: ours is a setting.
        Image.MAX_IMAGE_PIXELS = None
        self.media_type = media_type
        self._limit = settings.ocr_image_pixels
        if media_type == FORMATS["WEBP"]:
            self._allow(*_webp_size(data))  # its decoder takes the memory when it is opened
        [self._format] = [name for name, media in FORMATS.items() if media == media_type]
        self._data = data
        self._image = self._opened()
        self.page_count = 1
        if media_type == FORMATS["TIFF"]:
            with _decoding():
                self.page_count = int(getattr(self._image, "n_frames", 1))

    def _opened(self) -> Image.Image:
        """The file with its header read, its size allowed."""
        from PIL import Image

        with _decoding():
            image = Image.open(io.BytesIO(self._data), formats=[self._format])
        self._allow(*image.size)
        return image

    def close(self) -> None:
        self._image.close()

    def picture(self, number: int) -> Picture:
        """Page ``number`` (from 1), made smaller where it has more pixels than recognition uses."""
        if self.page_count == 1:
            # Opened for itself, so that what was decoded is let go before the page is recognised.
            with self._opened() as image, _decoding():
                return _prepared(image)
        with _decoding():
            self._image.seek(number - 1)
        self._allow(*self._image.size)
        with _decoding():
            return _prepared(self._image.copy())

    def _allow(self, width: int, height: int) -> None:
        if width * height > self._limit:
            raise Unreadable(
                "too_large",
                f"The picture has {width:,} x {height:,} pixels; {self._limit:,} are read at most. Make it smaller: "
                f"300 dpi are enough for print.",
            )
        if width < 1 or height < 1:
            raise Unreadable("damaged", "The picture has no pixels.")


_lock = threading.Lock()


@contextmanager
def _decoding() -> Iterator[None]:
    # What decoders warn of (a corrupt EXIF block, say) is the file's fault, not ours. The filter is the process's.
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Unreadable:
            raise
        except MemoryError:
            raise Unreadable("too_large", "The picture takes more memory than there is: make it smaller.") from None
        except Exception as error:
            raise Unreadable(
                "damaged", f"The picture is damaged or cut off: {error or type(error).__name__}."
            ) from error


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by a WebP file's first chunk (RFC 9649)."""
    try:
        kind = data[12:16]
        if kind == b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        if kind == b"VP8L":
            [packed] = struct.unpack_from("<I", data, 21)
            return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    except struct.error:
        raise Unreadable("damaged", "The picture is cut off.") from None


def _prepared(image: Image.Image) -> Picture:
    from PIL import Image

    given = image.size
    if image.format == "JPEG":
        # The decoder itself makes it smaller, by whole factors: neither time nor memory for pixels that are not used.
        factor = _shrinking(*given)
        image.draft(None, (math.ceil(given[0] * factor), math.ceil(given[1] * factor)))
    image.load()
    orientation = image.getexif().get(ORIENTATION, 1)
    plain = working(_plain(image))
    if plain is image:
        plain = image.copy()  # the file is closed before its picture is let go
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    if turn is None:
        return Picture(plain, *given)
    return Picture(plain.transpose(turn), *(given if orientation < 5 else given[::-1]))


def working(image: Image.Image) -> Image.Image:
    """A picture of at most ``WORKING_PIXELS``."""
    from PIL import Image

    factor = _shrinking(*image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BOX if factor < 0.5 else Image.Resampling.LANCZOS)


def _shrinking(width: int, height: int) -> float:
    return min(1.0, math.sqrt(WORKING_PIXELS / (width * height)))


def _plain(image: Image.Image) -> Image.Image:
    """In grey or colour with eight bits and nothing seen through."""
    from PIL import Image

    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):  # more than eight bits: spread what there is
        values = image.convert("F")
        low, high = (float(edge) for edge in values.getextrema())  # type: ignore[arg-type]  # of one band
        scale = 255 / (high - low) if high > low else 0.0
        return values.point(lambda value: value * scale - low * scale).convert("L")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        alpha = seen.getchannel("A")
        histogram = seen.convert("L").histogram(alpha.point(lambda value: 255 if value > 127 else 0))
        lightness = sum(value * count for value, count in enumerate(histogram)) / max(sum(histogram), 1)
        covered = sum(alpha.histogram()[128:]) / (image.width * image.height)
        ground = Image.new("RGB", image.size, "black" if lightness > LIGHT and covered < 0.5 else "white")
        ground.paste(seen, mask=alpha)
        return ground
    return image.convert("L" if image.mode == "1" else "RGB")


def is_blank(image: Image.Image) -> bool:
    """Whether nothing is on the picture: no need to look for text."""
    small = image.convert("L").reduce(max(1, min(image.size) // 400))
    low, high = small.getextrema()
    return int(high) - int(low) < LEAST_CONTRAST  # type: ignore[arg-type]  # a pair of numbers, for one band

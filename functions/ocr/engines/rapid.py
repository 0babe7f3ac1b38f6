"""rapidocr: PP-OCRv6 detection and recognition on onnxruntime, with the settings that our measurements ask for.

It reads Latin letters with all their accents, Chinese, Japanese and Greek; no Cyrillic, Arabic, Hebrew, Korean or Indic
scripts. Its models are in its wheel; their paths are given here, so that it never looks for a model elsewhere.

Departures from its defaults, each measured:

- the text-line classifier is off: it turns long upright lines around (CER 0.13 on a clean page);
- detection works on a picture of at most ``DETECTION_PIXELS``, but what is recognised is cut from the full picture:
  small print stays legible and memory stays bounded;
- one line at a time is recognised: a batch is padded to its longest line, which takes memory and no less time;
- a page lying on its side or upside down is found by us: most boxes are taller than wide, or the lines read better
  turned;
- a tall box is read standing and turned, whichever is surer: it may be a lone `1`.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from functions.ocr.document import Box, Word
from functions.ocr.engines import SURE, Reading, score
from functions.ocr.engines.ctc import Recognised, decode
from functions.ocr.errors import Unreadable
from functions.ocr.layout import Piece, enclosing

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
Quad = NDArray[np.float32]  #: four corners, clockwise from the top left

#: Most pixels of the picture that lines are looked for in: A4 at 110 dpi.
DETECTION_PIXELS = 1280 * 912
#: A shorter side with fewer pixels is enlarged to it, but no more than so many times.
DETECTION_SIDE = 736
MOST_ENLARGED = 2.0
#: A picture longer than this many times its width is looked at in pieces, each SLICE widths long.
LONG_PICTURE = 3.0
SLICE = 1.5
#: Width of the narrowest line that the recogniser takes, in heights; a narrower one is padded.
LEAST_RATIO = 320 / 48
#: Lines less sure than this are pictures taken for text.
LEAST_SCORE = 0.5
#: A box taller than this many widths may be text that runs up or down.
TALL = 1.5
#: Lines by which it is decided which side is up.
SAMPLE = 12
#: Degrees below which a lean is the detector's own inexactness.
LEVEL = 0.2
M_MMAP_THRESHOLD = -3  #: of glibc's malloc.h
MMAP_BYTES = 4 * 1024 * 1024  # with less, the system spends its time on mapping
#: A gap of this many line heights parts what the detector took for one line: cells of a row.
GAP = 1.5


class Rapid:
    """The two networks. Not to be used by two threads at once."""

    def __init__(self, threads: int = 0) -> None:
        self._detector, self._recogniser = _load(min(threads or cores(), cores()))

    def read(self, image: Image.Image) -> Reading:
        """The text of a picture, whichever way up it lies."""
        pixels: Pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        quads = self.detect(pixels)
        turns = 0
        if _lies(quads):
            turns = 1
            pixels = np.ascontiguousarray(np.rot90(pixels, -1))
            quads = self.detect(pixels)
        crops = [_crop(pixels, quad) for quad in quads]
        known, on_its_head = self._sampled(crops, lying=turns == 1)
        if on_its_head:
            turns += 2
            crops = [_turned(crop, 2) for crop in crops]
            quads = [_about_face(quad, pixels.shape[1], pixels.shape[0]) for quad in quads]
        lines = [self._line(crop, known.get(index)) for index, crop in enumerate(crops)]
        skew = _lean(quads)
        pieces = tuple(
            piece
            for quad, line in zip(quads, lines, strict=True)
            if line is not None
            for piece in _pieces(_levelled(quad, skew, pixels.shape), line)
        )
        return Reading("rapidocr", pieces, score(pieces), 90 * turns, skew)

    def detect(self, pixels: Pixels) -> list[Quad]:
        """The corners of each line of text."""
        height, width = pixels.shape[:2]
        if height <= LONG_PICTURE * width:
            return self._detect(pixels)
        step, margin = int(SLICE * width), max(32, width // 8)
        found = []
        for top in range(0, height, step):
            first = max(0, top - margin)
            for quad in self._detect(pixels[first : top + step + margin]):
                quad[:, 1] += first
                # What two slices see belongs to the one that has its middle.
                if top <= quad[:, 1].mean() < top + step:
                    found.append(quad)
        return found

    def _detect(self, pixels: Pixels) -> list[Quad]:
        height, width = pixels.shape[:2]
        # Small pictures are enlarged: on large letters the boxes lie closer.
        factor = math.sqrt(DETECTION_PIXELS / (width * height))
        factor = min(factor, max(1.0, DETECTION_SIDE / min(width, height)), MOST_ENLARGED)
        self._detector.limit_type = "max" if factor < 1 else "min"
        side = max(width, height) if factor < 1 else min(width, height)
        self._detector.limit_side_len = max(32, round(factor * side))
        boxes = self._detector(pixels).boxes
        return [] if boxes is None else [np.array(box, np.float32) for box in boxes]

    def recognise(self, crop: Pixels) -> Recognised:
        """The text of one line's picture."""
        height, width = crop.shape[:2]
        ratio = width / height
        padded = max(ratio, LEAST_RATIO)
        picture = self._recogniser.resize_norm_img(crop, padded)
        [shares] = self._recogniser.session(picture[np.newaxis].astype(np.float32))
        return decode(shares, self._recogniser.postprocess_op.character, len(shares) * ratio / padded)

    def _sampled(self, crops: Sequence[Pixels], *, lying: bool) -> tuple[dict[int, Recognised], bool]:
        """The longest lines, read the way that they are surest; and whether that is turned around.

        They are turned only where they read badly, or where the page was lying on its side.
        """
        longest = sorted(range(len(crops)), key=lambda index: -crops[index].shape[1])[:SAMPLE]
        upright = {index: self.recognise(crops[index]) for index in longest}
        if _mean_score(upright.values()) >= SURE and not lying:
            return upright, False
        turned = {index: self.recognise(_turned(crops[index], 2)) for index in longest}
        on_its_head = _mean_score(turned.values()) > _mean_score(upright.values())
        return (turned if on_its_head else upright), on_its_head

    def _line(self, crop: Pixels, known: Recognised | None) -> Recognised | None:
        best = known or self.recognise(crop)
        if crop.shape[0] > TALL * crop.shape[1]:
            best = max(best, *(self.recognise(_turned(crop, turn)) for turn in (1, 3)), key=lambda line: line.score)
        return best if best.score >= LEAST_SCORE and best.text.strip() else None


def _mean_score(lines: Collection[Recognised]) -> float:
    letters = sum(len(line.text) for line in lines)
    return sum(line.score * len(line.text) for line in lines) / letters if letters else 0.0


def cores() -> int:
    """Cores that this process may use: more threads than these wait for each other, spinning."""
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _load(threads: int) -> tuple[Any, Any]:
    try:
        import onnxruntime  # noqa: F401 - rapidocr chooses it at run time, and packages hold what is named outright
        import rapidocr
        from rapidocr.ch_ppocr_det import TextDetector
        from rapidocr.ch_ppocr_rec import TextRecognizer
    except ImportError:
        raise Unreadable("no_engine", "Pictures cannot be read here: run `make install-ocr`.") from None

    _give_memory_back()
    models = Path(rapidocr.__file__).parent / "models"
    settings = rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Det.limit_type": "max",
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    ).cfg
    for part in (settings.Det, settings.Rec):
        part.engine_cfg = settings.EngineConfig.onnxruntime
        part.model_root_dir = str(models)
        part.font_path = None
    return TextDetector(settings.Det), TextRecognizer(settings.Rec)


def _give_memory_back() -> None:
    """Have glibc return large blocks to the system when they are freed.

    By default it raises the size from which it does so to what was last freed: the tensors of one page then stay in a
    fragmented heap, and detection peaks at 600 MB instead of 270 MB. Elsewhere (macOS, musl) there is no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)


def _size(quad: Quad) -> tuple[float, float]:
    """Width and height of a line's quadrilateral."""
    width = max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2]))
    height = max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))
    return float(width), float(height)


def _lies(quads: Sequence[Quad]) -> bool:
    """Whether most text runs up or down, each line counting by its length: a lone digit is taller than wide.

    By the room that a line takes, for the corners of one that leans beyond the diagonal are named the other way.
    """
    rooms = [quad.max(axis=0) - quad.min(axis=0) for quad in quads]
    return bool(2 * sum(down for across, down in rooms if down > across) > sum(max(room) for room in rooms))


def _crop(pixels: Pixels, quad: Quad) -> Pixels:
    """The line's own picture, straightened."""
    import cv2

    width, height = (max(1, round(side)) for side in _size(quad))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    transform = cv2.getPerspectiveTransform(quad, corners)
    cut = cv2.warpPerspective(
        pixels, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, np.uint8)


def _turned(crop: Pixels, quarters: int) -> Pixels:
    """A line's picture turned counter-clockwise."""
    return np.ascontiguousarray(np.rot90(crop, quarters))


def _about_face(quad: Quad, width: int, height: int) -> Quad:
    """A quadrilateral on the page turned by half."""
    return np.ascontiguousarray((np.array([width, height], np.float32) - quad)[[2, 3, 0, 1]])


def _lean(quads: Sequence[Quad]) -> float:
    """Degrees by which the lines lean clockwise: the median, each line counting by its length."""
    angles = []
    for quad in quads:
        width, height = _size(quad)
        if width > 3 * height:
            across, down = (quad[1] + quad[2] - quad[0] - quad[3]) / 2
            angles.append((math.degrees(math.atan2(down, across)), width))
    half = sum(weight for _, weight in angles) / 2
    for angle, weight in sorted(angles):
        half -= weight
        if half <= 0:
            return angle if abs(angle) > LEVEL else 0.0
    return 0.0


def _levelled(quad: Quad, skew: float, shape: tuple[int, ...]) -> Box:
    """The box of a line on the picture that was turned back by its lean, around its centre."""
    if not skew:
        (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)
    cosine, sine = math.cos(math.radians(-skew)), math.sin(math.radians(-skew))
    centre = np.array([shape[1] / 2, shape[0] / 2])
    turned = (quad - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    # Of a line that is itself uneven (a photograph), the middle of each side is nearer to the letters than the corners.
    (left, _), (right, _) = (turned[0] + turned[3]) / 2, (turned[1] + turned[2]) / 2
    (_, top), (_, bottom) = (turned[0] + turned[1]) / 2, (turned[2] + turned[3]) / 2
    return float(left), float(top), float(right), float(bottom)


def _pieces(box: Box, line: Recognised) -> list[Piece]:
    """One line as pieces of words; each word's box is where its letters were recognised along the line."""
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return []
    spans = _spans(line.text)
    inner = [line.middles[last] - line.middles[first] for first, last in spans]
    steps = sum(last - first for first, last in spans)
    half = sum(inner) / steps / 2 if steps else line.length / max(len(line.text), 1) / 2  # of a letter's width
    held: list[list[Word]] = [[]]
    for first, last in spans:
        left = x0 + (x1 - x0) * max(0.0, (line.middles[first] - half) / line.length)
        right = x0 + (x1 - x0) * min(1.0, (line.middles[last] + half) / line.length)
        word = Word(
            text=line.text[first : last + 1],
            box=(left, y0, max(right, left), y1),
            confidence=float(np.mean(line.sureness[first : last + 1] or (line.score,))),
        )
        if held[-1] and word.box[0] - held[-1][-1].box[2] > GAP * (y1 - y0):
            held.append([])
        held[-1].append(word)
    return [Piece(tuple(words), enclosing(word.box for word in words), y1 - y0) for words in held if words]


def _spans(text: str) -> list[tuple[int, int]]:
    """First and last index of each word."""
    spans: list[tuple[int, int]] = []
    for index, letter in enumerate(text):
        if letter.isspace():
            continue
        if spans and spans[-1][1] == index - 1:
            spans[-1] = (spans[-1][0], index)
        else:
            spans.append((index, index))
    return spans

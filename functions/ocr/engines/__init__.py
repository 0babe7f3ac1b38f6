"""What recognises text in pictures. Each engine is loaded at its first use and kept; one page at a time.

An engine takes a picture and gives a :class:`Reading`. What runs in them is C++, and a crash in it ends the process:
the worker's process is the boundary. Its lease runs out, the page is tried again by another, and a page that ends one
worker after the other fails its job as `worker_lost`. A hang is ended the same way, by the function's own timeout.
"""

from __future__ import annotations

from dataclasses import dataclass

from functions.ocr.document import EngineName
from functions.ocr.layout import Piece

#: A reading whose letters are on average less sure than this is tried in other ways.
SURE = 0.85


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine made of a picture. Boxes are in the pixels of the picture turned by ``rotation`` and levelled.

    ``rotation``: clockwise degrees to stand upright; ``skew``: degrees by which its lines leaned clockwise, taken back
    by a turn around the upright picture's centre. ``score``: mean confidence, weighed by length; 0 without text.
    """

    engine: EngineName
    pieces: tuple[Piece, ...]
    score: float
    rotation: int = 0
    skew: float = 0.0

    @property
    def letters(self) -> int:
        return sum(len(word.text) for piece in self.pieces for word in piece.words)


def score(pieces: tuple[Piece, ...]) -> float:
    """Mean confidence of the words, weighed by their length."""
    words = [word for piece in pieces for word in piece.words]
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0

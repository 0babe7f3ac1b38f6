"""From what a recognition network says of each column of a line's picture to text: CTC decoding.

The library's own decoder takes the likeliest class of each column. Between words set close together that is "nothing"
by a little, and the space is lost: "of clause" becomes "ofclause". The network saw it, though: between two letters that
stand apart the space's share is a few per cent, within a word it is next to none. So it is decoded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Between two letters whose middles are so many columns apart, a space is one from this share. Letters that touch are
#: two or three columns apart, so the nearer they are the surer it must be.
SPACE_SHARES = ((4, 0.06), (3, 0.25))
#: Letters so wide that their middles are farther from their neighbours', by so many columns.
WIDE = "mwMW"
WIDER = 2
#: No space is beside it, but it is wider still.
NEVER = "@"


@dataclass(frozen=True, slots=True)
class Recognised:
    """One line: its text, and of each letter the sureness and the place of its middle on a line of ``length``."""

    text: str
    sureness: tuple[float, ...]
    middles: tuple[float, ...]
    length: float
    score: float


def decode(shares: NDArray[np.float32], characters: Sequence[str], length: float) -> Recognised:
    """The text of a line. ``shares``: columns x classes; class 0 is "nothing", the last one a space.

    ``length``: how many of the columns the line takes up; the rest is padding.
    """
    space = len(characters) - 1
    classes = shares.argmax(axis=1)
    columns = np.flatnonzero((classes != 0) & (classes != np.concatenate(([0], classes[:-1]))))
    text, sureness, middles = "", [], []
    for index, column in enumerate(columns):
        letter = characters[classes[column]]
        if index and _hides_space(shares[columns[index - 1] : column + 1, space], text[-1], letter):
            text += " "
            sureness.append(float(shares[columns[index - 1] : column + 1, space].max()))
            middles.append((float(columns[index - 1]) + float(column) + 1) / 2)
        text += letter
        sureness.append(float(shares[column, classes[column]]))
        middles.append(float(column) + 0.5)
    read = [share for share, letter in zip(sureness, text, strict=True) if not letter.isspace()]
    return Recognised(text, tuple(sureness), tuple(middles), max(length, 1.0), float(np.mean(read)) if read else 0.0)


def _hides_space(space: NDArray[np.float32], before: str, after: str) -> bool:
    """Whether two letters that follow each other are parted: ``space`` is its share in the columns between them."""
    if before.isspace() or after.isspace() or before in NEVER or after in NEVER:
        return False
    apart = len(space) - 1 - (WIDER if before in WIDE or after in WIDE else 0)
    return any(apart >= columns and space.max() >= share for columns, share in SPACE_SHARES)

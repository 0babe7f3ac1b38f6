"""Error rates: edits between what was read and what was written, by characters and by words.

Runs of whitespace count as one space on both sides, for where a line ends is layout, not reading. Nothing else is
normalised: a wrong dash, a lost accent, a swallowed comma each count. Rates of several pages are edits over length, so
that a long page weighs more than a short one. rapidfuzz counts the edits (in C++; jiwer stands on it too).
"""

from __future__ import annotations

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class Score:
    """How one page was read by one contender."""

    kind: str
    page: str
    contender: str
    characters: int  #: written
    words: int
    wrong_characters: int
    wrong_words: int
    seconds: float


def score(kind: str, page: str, contender: str, written: str, read: str, seconds: float) -> Score:
    """Count the edits between ``written`` and ``read``."""
    written_words, read_words = written.split(), read.split()
    written, read = " ".join(written_words), " ".join(read_words)
    return Score(
        kind=kind,
        page=page,
        contender=contender,
        characters=len(written),
        words=len(written_words),
        wrong_characters=Levenshtein.distance(written, read),
        wrong_words=Levenshtein.distance(written_words, read_words),
        seconds=seconds,
    )


@dataclass(frozen=True)
class Rates:
    """Of several pages."""

    pages: int
    cer: float
    wer: float
    seconds: float  #: a page, mean


def rates(scores: list[Score]) -> Rates:
    """Sum up."""
    return Rates(
        pages=len(scores),
        cer=sum(s.wrong_characters for s in scores) / sum(s.characters for s in scores),
        wer=sum(s.wrong_words for s in scores) / sum(s.words for s in scores),
        seconds=sum(s.seconds for s in scores) / len(scores),
    )

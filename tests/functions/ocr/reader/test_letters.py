"""From the network's shares to text: repeated letters, spaces that are hidden, places of letters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from functions.ocr.engines.ctc import decode

LETTERS = ["blank", "a", "b", "m", "@", " "]


def shares(columns: str, spaces: dict[int, float] | None = None) -> NDArray[np.float32]:
    """One column per sign: a letter, `_` for nothing. ``spaces``: the space's share in a column."""
    table = np.full((len(columns), len(LETTERS)), 0.001, np.float32)
    for index, sign in enumerate(columns):
        table[index, 0 if sign == "_" else LETTERS.index(sign)] = 0.95
    for index, share in (spaces or {}).items():
        table[index, -1] = share
        table[index, 0] = max(0.0, 0.98 - share)
    return table


def text(columns: str, spaces: dict[int, float] | None = None) -> str:
    return decode(shares(columns, spaces), LETTERS, len(columns)).text


def test_what_repeats_is_one_letter_unless_nothing_parts_it() -> None:
    assert text("_aa_ab_") == "aab"


def test_a_space_that_nothing_hides() -> None:
    assert text("a___b", {2: 0.1}) == "a b"
    assert text("a___b", {2: 0.03}) == "ab"


def test_the_nearer_the_letters_the_surer_the_space_must_be() -> None:
    assert text("a__b", {1: 0.1}) == "ab"
    assert text("a__b", {1: 0.3}) == "a b"
    assert text("a_b", {1: 0.45}) == "ab"


def test_wide_letters_are_not_parted_from_their_neighbours() -> None:
    assert text("m___a", {2: 0.2}) == "ma"
    assert text("m_____a", {2: 0.2}) == "m a"
    assert text("a_____@", {2: 0.4}) == "a@"


def test_a_found_space_stays_one() -> None:
    assert text("a_ _b") == "a b"


def test_places_and_sureness() -> None:
    line = decode(shares("a__b__"), LETTERS, 6)
    assert line.middles == (0.5, 3.5)
    assert line.length == 6
    assert abs(line.score - 0.95) < 1e-6


def test_nothing_is_nothing() -> None:
    assert decode(shares("____"), LETTERS, 4).score == 0

"""Dates, amounts and numbers as programs want them, from what a page shows: only where there is one way to read it."""

from __future__ import annotations

import re
from datetime import date

#: Names of months by their first three letters, in the languages of the labels that ``fields`` knows.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan gen",
            "feb fev",
            "mar mrz mär maa",
            "apr avr",
            "may mai mag mei",
            "jun giu",
            "jul lug",
            "aug aou ago",
            "sep set",
            "oct okt ott out",
            "nov",
            "dec dez dic déc",
        ),
        1,
    )
    for name in names.split()
}
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?\s+([^\W\d]{3,10})\.?,?\s+(\d{4})", re.I)
_MONTH_FIRST = re.compile(r"([^\W\d]{3,10})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})", re.I)

_CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "EUR": "EUR",
    "GBP": "GBP",
    "USD": "USD",
    "CHF": "CHF",
    "JPY": "JPY",
    "CAD": "CAD",
}
_CURRENCIES |= {
    "US$": "USD",
    "AUD": "AUD",
    "SEK": "SEK",
    "NOK": "NOK",
    "DKK": "DKK",
    "PLN": "PLN",
    "₹": "INR",
    "INR": "INR",
}
#: A currency's sign or code; ``$`` and ``¥`` are several countries'.
CURRENCY = re.compile(r"US\$|[€£$¥₹]|\b(?:EUR|GBP|USD|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN|INR)\b")
_AMOUNT = re.compile(r"[-+]?\d{1,3}(?:[ ,.'\u2019\u00a0]\d{3})*(?:[.,]\d{1,2})?|[-+]?\d+(?:[.,]\d{1,2})?")


def day(text: str) -> str | None:
    """The date in ``text`` as ISO 8601; None when there is none, or when ``03/04/2026`` could be two days."""
    text = text.strip()
    if found := _ISO.fullmatch(text):
        return _iso(found[1], found[2], found[3])
    if found := _NUMERIC.fullmatch(text):
        first, second = int(found[1]), int(found[3])
        if found[2] == "." or first > 12 or first == second:  # dots: day first wherever they are used
            return _iso(found[4], second, first)
        return _iso(found[4], first, second) if second > 12 else None
    if found := _DAY_FIRST.fullmatch(text):
        return _iso(found[3], _MONTHS.get(found[2][:3].lower(), 0), found[1])
    if found := _MONTH_FIRST.fullmatch(text):
        return _iso(found[3], _MONTHS.get(found[1][:3].lower(), 0), found[2])
    return None


def _iso(year: str, month: str | int, day_: str | int) -> str | None:
    try:
        return date(int(year), int(month), int(day_)).isoformat()
    except ValueError:
        return None


def amount(text: str) -> str | None:
    """The amount of money in ``text`` as a decimal number: ``1.234,50 €`` is ``1234.50``; None when it is unclear.

    ``1,234`` alone is unclear: a thousand and more in one country, a little over one in another.
    """
    bare = CURRENCY.sub("", text).strip().removesuffix(".-").strip()
    if _AMOUNT.fullmatch(bare) is None:
        return None
    separators = [char for char in bare if not char.isdigit() and char not in "+-"]
    whole, cents = bare, ""
    if separators and separators[-1] in ".,":
        head, _, tail = bare.rpartition(separators[-1])
        if len(tail) <= 2:
            whole, cents = head, tail
        elif len(separators) == 1:
            return None
    sign = "-" if whole.startswith("-") else ""
    digits = "".join(char for char in whole if char.isdigit())
    return f"{sign}{int(digits)}" + (f".{cents}" if cents else "")


def currency(text: str) -> str | None:
    """The ISO 4217 code of the currency in ``text``; None for none, or for one of several countries (``$``)."""
    found = CURRENCY.search(text)
    return _CURRENCIES.get(found[0]) if found else None


def iban(text: str) -> str | None:
    """An IBAN without its spaces, if its check digits are right (ISO 13616: the rearranged number is 1 modulo 97)."""
    bare = re.sub(r"[\s-]", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", bare) or not bare.isascii():
        return None
    return bare if int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4])) % 97 == 1 else None

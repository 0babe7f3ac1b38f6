"""Names and their values on a page, as forms, invoices and receipts show them.

A value stands after its name (``Invoice no: 17``), right of it, or below it. A name is one that ends with a colon, or
one of the known labels; what an e-mail address, an IBAN or a VAT number is, shows by itself. A value stays as it was
read; what it means is said beside it where that is certain (``Field.normalised``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from functions.ocr import cells, normal_forms
from functions.ocr.cells import Segment
from functions.ocr.document import Box, Field, Page, Word
from functions.ocr.layout import enclosing

#: A value below its name begins at most this many letter heights under it,
BELOW = 1.6
#: and at most so many left or right of where its name begins.
ASIDE = 1.0
#: A value right of its name is at most this many letter heights away.
RIGHT = 45.0
#: Names on one page that are looked for beside and below; a page has few, and looking takes time for each.
MOST_NAMES = 300
LONGEST_NAME, MOST_WORDS, LONGEST_VALUE = 40, 5, 300

_ID = re.compile(r"(?=.*\d)[A-Z0-9][A-Z0-9./#-]{0,39}", re.I)
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{2,4}){3,8}\b")
_VAT = re.compile(
    r"\b(?:AT ?U\d{8}|BE ?[01]\d{9}|DE ?\d{9}|FR ?[A-Z0-9]{2} ?\d{9}|IT ?\d{11}|NL ?\d{9}B\d{2}|GB ?\d{9})\b"
)
_PHONE = re.compile(r"\+?[\d(][\d ()./-]{5,24}\d")
_PAIR = re.compile(r"(?P<name>[^\W\d_][^:\uff1a]{0,60}?)\s*[:\uff1a](?!//)\s*(?P<value>.*)", re.S)
_END = " :.#\u2116\uff1a"


def _as_read(text: str) -> str | None:
    return text.strip() or None


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda text: found[0] if (found := pattern.fullmatch(text.strip())) else None


@dataclass(frozen=True, slots=True)
class Kind:
    """What a known label names: how its value is normalised, and what a value beside it must be without a colon."""

    key: str
    labels: str  #: in small letters, comma between
    normalise: Callable[[str], str | None]
    below: bool = True  #: amounts do not stand under their names: there a column of a table begins


def _looks_like_a_day(text: str) -> bool:
    return bool(re.search(r"\d", text)) and len(text) <= 30


KINDS = (
    Kind(
        "invoice_number",
        "invoice number, invoice no, invoice id, invoice, inv no, bill no, receipt no, receipt, rechnungsnummer, "
        "rechnung nr, rechnungs-nr, numéro de facture, facture n°, factuurnummer",
        _matching(_ID),
    ),
    Kind(
        "order_number",
        "order number, order no, order id, order, po number, purchase order, bestellnummer",
        _matching(_ID),
    ),
    Kind("customer_number", "customer number, customer no, customer id, kundennummer", _matching(_ID)),
    Kind("due_date", "due date, payment due, date due, due, fällig am, zahlbar bis", normal_forms.day),
    Kind(
        "date",
        "invoice date, date of issue, issue date, date, rechnungsdatum, datum, date de facture",
        normal_forms.day,
    ),
    Kind(
        "subtotal",
        "subtotal, sub-total, sub total, net total, net amount, zwischensumme, netto",
        normal_forms.amount,
        below=False,
    ),
    Kind("tax", "sales tax, tax, vat, gst, mwst, ust, tva, btw, iva", normal_forms.amount, below=False),
    Kind(
        "total",
        "grand total, total due, amount due, balance due, total amount, total to pay, total, gesamtbetrag, gesamt, "
        "summe, montant total, totale",
        normal_forms.amount,
        below=False,
    ),
    Kind("currency", "currency, währung, devise", normal_forms.currency),
    Kind("iban", "iban", normal_forms.iban),
    Kind("vat_id", "vat id, vat no, vat number, vat reg no, ust-idnr, tax id", _matching(_VAT)),
    Kind("email", "e-mail, email, mail", _matching(_EMAIL)),
    Kind("phone", "telephone, phone, tel, mobile, fax, telefon", _matching(_PHONE)),
)
_BY_LABEL = {label: kind for kind in KINDS for label in kind.labels.split(", ")}
#: Kinds that a value shows by itself, wherever it stands.
_BARE = (("email", _EMAIL, _as_read), ("iban", _IBAN, normal_forms.iban), ("vat_id", _VAT, _as_read))
_RATE = re.compile(r"\s*[(@]?\s*\d{1,2}(?:[.,]\d{1,2})?\s?%\s*\)?")  # "VAT (19 %)"


@dataclass
class Places:
    """Where everything on a page stands, and how many more names may be looked beside."""

    all: list[tuple[Segment, Box]]
    left: int = MOST_NAMES


def find(page: Page) -> list[Field]:
    """The fields of a page, from top to bottom."""
    segments = [segment for line in page.lines for segment in cells.of(line)]
    places = Places([(segment, segment.box) for segment in segments])
    found: list[Field] = []
    taken: set[Segment] = set()  # segments that are a value, or hold name and value
    for segment in segments:
        if segment in taken:
            continue
        named = _named(segment, places, taken)
        if named is not None:
            found.append(named)
    found += _bare(segments, found)
    found += _currencies(found)
    return sorted(_one_of_each(found), key=lambda field: (round(field.box[1]), field.box[0]))


def _named(segment: Segment, places: Places, taken: set[Segment]) -> Field | None:
    """The field whose name this segment is or begins with."""
    text = segment.text
    pair = _PAIR.fullmatch(text)
    if pair is not None and _is_name(pair["name"]):
        kind = _kind(pair["name"])
        if pair["value"].strip():
            taken.add(segment)
            at = len(text) - len(pair["value"])
            return _field(pair["name"], *_cut(segment, at), kind)
        return _beside(pair["name"], segment, places, taken, kind, colon=True)
    kind = _kind(text)
    if kind is not None:
        return _beside(text, segment, places, taken, kind, colon=False)
    return _run_together(segment, taken)


def _run_together(segment: Segment, taken: set[Segment]) -> Field | None:
    """``Total 12.00``: a known label, and what can be its value."""
    for count in range(min(MOST_WORDS, len(segment.words) - 1), 0, -1):
        name = " ".join(word.text for word in segment.words[:count])
        kind = _kind(name)
        if kind is not None:
            names, values = segment.words[:count], segment.words[count:]
            if kind.normalise(" ".join(word.text for word in values)) is None and not (
                kind.normalise is normal_forms.day and _looks_like_a_day(" ".join(word.text for word in values))
            ):
                return None
            taken.add(segment)
            return _field(name, names, values, kind)
    return None


def _beside(
    name: str, segment: Segment, places: Places, taken: set[Segment], kind: Kind | None, *, colon: bool
) -> Field | None:
    """The field with this name whose value stands right of it, or below it."""
    if places.left == 0:
        return None
    places.left -= 1
    box = x0, _, x1, y1 = segment.box
    size = segment.size

    def free(other: Segment) -> bool:
        return other is not segment and other not in taken and not other.text.rstrip().endswith((":", "\uff1a"))

    right = [
        other
        for other, at in places.all
        if 0 <= at[0] - x1 + size / 2 <= RIGHT * size and _share(box, at) > 0.5 and free(other)
    ]
    below = [
        other
        for other, at in places.all
        if -0.3 * size <= at[1] - y1 <= BELOW * size and abs(at[0] - x0) <= ASIDE * size and free(other)
    ]
    candidates = [min(right, key=lambda other: other.box[0])] if right else []
    if below and (kind is None or kind.below):
        candidates.append(min(below, key=lambda other: other.box[1]))
    for other in candidates:
        fits = kind is None or kind.normalise(other.text) is not None
        if kind is not None and kind.normalise is normal_forms.day:
            fits = _looks_like_a_day(other.text)
        if (colon and other in right) or (fits and _kind(other.text) is None):
            taken.add(other)
            return _field(name, segment.words, other.words, kind)
    return None


def _field(name: str, names: Sequence[Word], values: Sequence[Word], kind: Kind | None) -> Field:
    value = " ".join(word.text for word in values)[:LONGEST_VALUE]
    return Field(
        name=_RATE.sub("", name).strip().rstrip(_END) or name.strip(),
        value=value,
        box=enclosing(word.box for word in values),
        name_box=enclosing(word.box for word in names),
        confidence=min(word.confidence for word in (*names, *values)),
        key=kind.key if kind else None,
        normalised=kind.normalise(value) if kind else None,
    )


def _cut(segment: Segment, at: int) -> tuple[Sequence[Word], Sequence[Word]]:
    """The words before and after a place in the segment's text; a word across it counts to both."""
    names: list[Word] = []
    values: list[Word] = []
    start = 0
    for word in segment.words:
        end = start + len(word.text)
        if start < at:
            names.append(word)
        if end > at:
            values.append(word if start >= at else word.model_copy(update={"text": word.text[at - start :]}))
        start = end + 1
    return names, values


def _is_name(text: str) -> bool:
    """Whether this could be a label: a few words with letters in them, and no sentence."""
    return (
        len(text) <= LONGEST_NAME
        and len(text.split()) <= MOST_WORDS
        and sum(char.isalpha() for char in text) >= 2
        and not re.search(r"[.!?;,]\s", text)
    )


def _kind(text: str) -> Kind | None:
    """The kind whose label ``text`` is, a tax rate left out."""
    bare = re.sub(r"\s+", " ", _RATE.sub("", text)).strip().rstrip(_END).casefold()
    return _BY_LABEL.get(bare)


def _share(one: Box, other: Box) -> float:
    """Which part of the lower one's height two boxes have in common."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return common / max(1e-6, min(one[3] - one[1], other[3] - other[1]))


def _bare(segments: Iterable[Segment], found: Sequence[Field]) -> Iterator[Field]:
    """What shows by itself what it is, where no label told."""
    known = {(field.key, field.normalised or field.value) for field in found}
    for segment in segments:
        for key, pattern, normalise in _BARE:
            for match in pattern.finditer(segment.text):
                normal = normalise(match[0])
                if normal is None or (key, normal) in known:
                    continue
                known.add((key, normal))
                _, words = _cut(segment, match.start())
                words = _cut(Segment(tuple(words), segment.size), match.end() - match.start())[0]
                yield Field(
                    name=key,
                    value=match[0],
                    box=enclosing(word.box for word in words),
                    confidence=min(word.confidence for word in words),
                    key=key,
                    normalised=normal,
                )


def _currencies(found: Sequence[Field]) -> list[Field]:
    """The currency of the total, where nothing else says it."""
    if any(field.key == "currency" for field in found):
        return []
    for field in found:
        sign = normal_forms.CURRENCY.search(field.value) if field.key in ("total", "subtotal") else None
        if sign is not None and (code := normal_forms.currency(sign[0])):
            return [
                field.model_copy(
                    update={
                        "name": "currency",
                        "value": sign[0],
                        "key": "currency",
                        "name_box": None,
                        "normalised": code,
                    }
                )
            ]
    return []


def _one_of_each(found: Iterable[Field]) -> Iterator[Field]:
    """A key names one field: of totals the largest, of others the first. The rest keep their names."""
    fields = list(found)
    best: dict[str, Field] = {}
    for field in fields:
        if field.key is None:
            continue
        held = best.get(field.key)
        if held is None or (field.key == "total" and _size(field) > _size(held)):
            best[field.key] = field
    for field in fields:
        yield field if field.key is None or best[field.key] is field else field.model_copy(update={"key": None})


def _size(field: Field) -> Decimal:
    return Decimal(field.normalised or "0")

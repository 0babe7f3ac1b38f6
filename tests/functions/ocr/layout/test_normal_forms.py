"""Dates and amounts are normalised only where there is one way to read them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ocr import normal_forms


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-03", "2026-11-03"),
        ("2026/1/3", "2026-01-03"),
        ("3.11.2026", "2026-11-03"),
        ("23/11/2026", "2026-11-23"),
        ("11/23/2026", "2026-11-23"),
        ("05/05/2026", "2026-05-05"),
        ("03/04/2026", None),
        ("3 November 2026", "2026-11-03"),
        ("3. März 2026", "2026-03-03"),
        ("Nov 3, 2026", "2026-11-03"),
        ("November 3rd, 2026", "2026-11-03"),
        ("31.02.2026", None),
        ("3 Smarch 2026", None),
        ("", None),
    ],
)
def test_a_date(text: str, iso: str | None) -> None:
    assert normal_forms.day(text) == iso


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50 €", "1234.50"),
        ("EUR 12", "12"),
        ("$ 7.5", "7.5"),
        ("1'234.00", "1234.00"),
        ("12 345,67", "12345.67"),
        ("1,234,567", "1234567"),
        ("-3.20", "-3.20"),
        ("1,234", None),
        ("1.234", None),
        ("12.00 per kg", None),
        ("twelve", None),
        ("", None),
    ],
)
def test_an_amount(text: str, number: str | None) -> None:
    assert normal_forms.amount(text) == number


@given(st.decimals(0, 10**9, places=2, allow_nan=False), st.sampled_from([",.", ".,", " ,", "'."]))
def test_an_amount_written_anywhere_is_itself(value: Decimal, marks: str) -> None:
    written = f"{value:,.2f}".replace(",", "T").replace(".", marks[1]).replace("T", marks[0])
    assert Decimal(normal_forms.amount(written) or "NaN") == value


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_a_date_with_its_months_name_is_itself(day: date) -> None:
    assert normal_forms.day(f"{day.day} {day:%B} {day.year}") == day.isoformat()


def test_a_currency_of_several_countries_is_none() -> None:
    assert [normal_forms.currency(text) for text in ("€5", "5 CHF", "US$5", "$5", "5")] == [
        "EUR",
        "CHF",
        "USD",
        None,
        None,
    ]


@given(st.text(max_size=40) | st.from_regex(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,30}|[0-9.,' -]{1,20}", fullmatch=True))
def test_whatever_is_normalised_is_in_its_form(text: str) -> None:
    if (day := normal_forms.day(text)) is not None:
        assert date.fromisoformat(day).isoformat() == day
    if (amount := normal_forms.amount(text)) is not None:
        assert Decimal(amount).is_finite()
    if (iban := normal_forms.iban(text)) is not None:
        assert iban.isalnum()
    assert normal_forms.currency(text) is None or len(str(normal_forms.currency(text))) == 3

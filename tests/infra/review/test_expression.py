"""Rules that Postgres writes otherwise after a dump are the same rules; other rules are not."""

from __future__ import annotations

import pytest

from infra.review.expression import settled
from tests.cluster import TestDatabase

SAME = [
    ("((((a >= 1) AND (a <= 9)) AND (b > 0)))", "((a >= 1) AND (a <= 9) AND (b > 0))"),
    ("((a) OR ((b) OR (c)))", "((a) OR (b) OR (c))"),
    ("((live AND (a > 1)) AND (b > 2))", "(live AND (a > 1) AND (b > 2))"),
    (
        "((s)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[]))",
        "((s)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s'::character varying)::text]))",
    ),
]

OTHER = [
    ("(((a) OR (b)) AND (c))", "((a) OR ((b) AND (c)))"),
    ("(a = ANY (ARRAY['x'::text]))", "(a = ANY (ARRAY['y'::text]))"),
    ("(a = '(b)'::text)", "(a = '((b))'::text)"),
    ("(NOT (a AND b))", "(NOT a AND b)"),
    ("((a) AND (b))", "((a) OR (b))"),
    ("(a AND (b OR c))", "((a AND b) OR c)"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_of_writing_one_rule_are_equal(one: str, other: str) -> None:
    assert settled(one) == settled(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_two_rules_are_not(one: str, other: str) -> None:
    assert settled(one) != settled(other)


def test_every_check_of_ours_keeps_its_form_when_postgres_reads_its_own_words(db: TestDatabase) -> None:
    query = (
        "select oid, conrelid::regclass::text as at, conname, pg_get_constraintdef(oid) as is from pg_constraint "
        "where contype = 'c' and connamespace in ('public'::regnamespace, 'millrace'::regnamespace)"
    )
    before = {(row["at"], row["conname"]): row["is"] for row in db.owner.execute(query.encode())}
    for (table, name), definition in before.items():
        db.owner.execute(f"alter table {table} drop constraint {name}".encode())
        db.owner.execute(f"alter table {table} add constraint {name} {definition}".encode())
    after = {(row["at"], row["conname"]): row["is"] for row in db.owner.execute(query.encode())}
    assert before != after
    assert {key: settled(text) for key, text in before.items()} == {key: settled(text) for key, text in after.items()}

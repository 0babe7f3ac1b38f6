"""Rules that Postgres writes otherwise after a dump are the same rules; other rules are not."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


NAMES = "abcd"

#: A rule of ANDs and ORs over four columns, as nested tuples.
RULES = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    max_leaves=6,
)


def written(rule: object, *, flat: bool) -> str:
    """With a pair of parentheses for each group, or without those of a group in a group of its own kind."""
    if isinstance(rule, str):
        return rule
    assert isinstance(rule, tuple)
    joint, parts = rule
    said = []
    for part in parts:
        text = written(part, flat=flat)
        said.append(text[1:-1] if flat and isinstance(part, tuple) and part[0] == joint else text)
    return "(" + f" {joint} ".join(said) + ")"


def meaning(text: str) -> list[bool]:
    """What the rule is for every row there can be."""
    spoken = re.sub(r"\b(AND|OR)\b", lambda match: match[1].lower(), text)
    code = compile(spoken, "rule", "eval")
    return [eval(code, dict(zip(NAMES, row, strict=True))) for row in itertools.product([False, True], repeat=4)]


@given(RULES)
def test_the_one_form_does_not_depend_on_parentheses_that_say_nothing(rule: object) -> None:
    assert settled(written(rule, flat=False)) == settled(written(rule, flat=True))


@given(RULES)
def test_the_one_form_means_the_same(rule: object) -> None:
    text = written(rule, flat=False)
    assert meaning(settled(text)) == meaning(text)


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

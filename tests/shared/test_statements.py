"""Statements are found by name, and a file that is wrong says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import statements
from shared.statements import StatementError

FILE = """-- What this face asks.

-- name: first_one
-- Count to one.
select 1;

-- name: second
-- Count further.
select 2  -- not done
from x;
"""


def test_statements_are_found_by_name() -> None:
    found = statements.parse(FILE)
    assert dict(found) == {"first_one": "select 1", "second": "select 2  -- not done\nfrom x"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (FILE + "\n-- name: second\n-- Again.\nselect 3;", "'second' is there twice"),
        ("-- name: Bad-Name\n-- Why.\nselect 1", "'Bad-Name' is no statement name"),
        ("-- name:\n-- Why.\nselect 1", "'' is no statement name"),
        ("-- name: mute\nselect 1", "'mute' lacks its purpose"),
        ("-- name: empty\n-- Why.\n", "'empty' is empty"),
        ("-- name: empty\n-- Why.\n;\n", "'empty' is empty"),
        ("select 1;\n" + FILE, "SQL before the first"),
    ],
)
def test_a_wrong_file_says_where(text: str, complaint: str) -> None:
    with pytest.raises(StatementError, match=complaint):
        statements.parse(text)


def test_a_statement_or_file_that_is_missing_is_named() -> None:
    with pytest.raises(StatementError, match=r"has no statement 'third'; it has first_one, second"):
        statements.parse(FILE)["third"]
    with pytest.raises(StatementError, match=r"no sql/queries/nowhere\.sql"):
        statements.load("nowhere")


def test_every_file_of_statements_reads() -> None:
    files = sorted((Path(__file__).parents[2] / "sql" / "queries").glob("*.sql"))
    assert files
    for file in files:
        assert statements.load(file.stem), file
        assert statements.load(file.stem) is statements.load(file.stem)

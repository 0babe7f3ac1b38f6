"""The helpers of the documentation tests do what the tests rely on."""

from __future__ import annotations

from tests.docs.pages import missing_lines


def test_an_ellipsis_stands_for_anything_and_spaces_do_not_count() -> None:
    assert missing_lines("run … is  done", "first\nrun 0192-ab is done\n") == []
    assert missing_lines("✓ start   trigger … ms", "✓ start trigger 0.3 ms") == []


def test_lines_must_come_in_order() -> None:
    assert missing_lines("a\nb", "b\na") == ["b"]


def test_a_line_that_was_not_printed_is_missing() -> None:
    assert missing_lines("a\nc", "a\nb") == ["c"]

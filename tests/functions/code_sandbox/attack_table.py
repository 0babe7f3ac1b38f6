"""The attacks for people: ``python -m tests.functions.code_sandbox.attack_table`` writes them into the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from tests.functions.code_sandbox import attacks_javascript, attacks_python
from tests.functions.code_sandbox.attack import Attack

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"
_TABLE = re.compile(
    r"(?<=<!-- attacks: written by tests/functions/code_sandbox/attack_table.py -->\n).*?(?=<!-- end -->)", re.DOTALL
)

#: What is attacked, in the order of the page, and the name of its lists.
SUBJECTS = {
    "Time": "LOOPS",
    "Memory": "MEMORY",
    "Calls inside each other": "RECURSION",
    "Output": "OUTPUT",
    "Files": "FILES",
    "The host": "HOST",
    "Processes": "PROCESSES",
    "The network": "NETWORK",
    "The interpreter and what surrounds it": "ESCAPES",
    "The result": "RESULTS",
}
ATTACKS = [*attacks_python.PYTHON, *attacks_javascript.JAVASCRIPT]


def _rows(attacks: Iterable[Attack]) -> Iterable[str]:
    for ends, group in groupby(sorted(attacks, key=lambda one: one.ends), key=lambda one: one.ends):
        tries = "; ".join(one.tries for one in group)
        yield f"| {tries} | {' or '.join(f'`{end}`' for end in ends)} |"


def table() -> str:
    ours, theirs = len(attacks_python.PYTHON), len(attacks_javascript.JAVASCRIPT)
    lines = [
        f"{ours + theirs} programs: {ours} in Python, {theirs} in JavaScript.",
        "",
    ]
    for subject, name in SUBJECTS.items():
        for language, module in (("Python", attacks_python), ("JavaScript", attacks_javascript)):
            attacks = getattr(module, name, [])
            if attacks:
                lines += [
                    f"**{subject}, {language}** ({len(attacks)})",
                    "",
                    "| tries | ends as |",
                    "|---|---|",
                    *_rows(attacks),
                    "",
                ]
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with the table of now."""
    return _TABLE.sub(lambda _: "\n" + table(), page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

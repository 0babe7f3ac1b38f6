"""How things look in a terminal: tables, states, durations, values in brief. Nothing here decides anything."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.cli.exits import Failure

#: Colour and mark of a run's, a step's or a migration's state.
STATES: dict[str, tuple[str, str]] = {
    "completed": ("green", "✓"),
    "applied": ("green", "✓"),
    "failed": ("red", "✗"),
    "timed_out": ("red", "✗"),
    "cancelled": ("yellow", "■"),
    "in_doubt": ("yellow", "?"),
    "paused": ("yellow", "‖"),
    "waiting": ("cyan", "…"),
    "waiting_for_signal": ("cyan", "…"),
    "running": ("cyan", "▸"),
    "pending": ("cyan", "…"),
    "cancelling": ("yellow", "…"),
    "unknown": ("yellow", "?"),
    "inherited": ("green", "✓"),
    "edited": ("red", "✗"),
    "late": ("red", "✗"),
    "created": ("green", "✓"),
    "repaired": ("yellow", "✓"),
    "unchanged": ("green", "✓"),
    "not reached": ("yellow", "…"),
    "to create": ("yellow", "+"),
    "to repair": ("yellow", "~"),
    "ok": ("green", "✓"),
    "failing": ("red", "✗"),
    "not looked at": ("yellow", "…"),
}

_HEAD = box.Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # a rule under the header, nothing else

#: A run in one of these does not change any more.
FINAL = frozenset({"completed", "failed", "cancelled", "timed_out"})


def console(file: IO[str] | None = None) -> Console:
    """A console on ``file`` (standard output). What is piped is 100 columns wide unless COLUMNS says otherwise."""
    file = file or sys.stdout
    width = None if file.isatty() else int(os.environ.get("COLUMNS") or 100)
    return Console(file=file, width=width, highlight=False, soft_wrap=False)


def table(*columns: str, rows: Iterable[Sequence[str | Text]], whole: Sequence[str] = ()) -> Table:
    """A light table. ``whole`` names the columns that are never cut or wrapped, such as ids."""
    made = Table(box=_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            no_wrap=True,
            overflow="fold" if column in whole else "ellipsis",
            min_width=36 if column == "id" else len(column),
        )
    for row in rows:
        made.add_row(*row)
    return made


def state(name: str) -> Text:
    """``name`` with its mark, in its colour."""
    colour, mark = STATES.get(name, ("white", "·"))
    return Text(f"{mark} {name}", style=colour)


def took(milliseconds: float | None) -> str:
    """A duration as a person says it: ``0.4 ms``, ``12 ms``, ``3.2 s``, ``4 min 10 s``."""
    if milliseconds is None:
        return ""
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def moment(value: str | None, *, now: datetime | None = None) -> str:
    """An ISO instant as local time: of today to the second, of another day to the minute."""
    if not value:
        return ""
    at = datetime.fromisoformat(value).astimezone()
    today = (now or datetime.now().astimezone()).date() == at.date()
    return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


def brief(value: Any, limit: int = 60) -> str:
    """A JSON value on one line of at most ``limit`` characters."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


_REQUEST = re.compile(r"(\d\d:\d\d:\d\d) (.*) (\d{3}|ok|failed) ([\d.]+ ms) (\S+)(.*)")


def request_line(line: str) -> Text:
    """A line of the stack's request log, its status in colour; any other line as it is."""
    match = _REQUEST.fullmatch(line)
    if match is None:
        return Text(line, style="dim")
    at, what, status, spent, function, note = match.groups()
    colour = "red" if status[0] in "5f" else "yellow" if status[0] == "4" else "green"
    return Text.assemble((at, "dim"), f" {what} ", (status, colour), (f" {spent} {function}", "dim"), note)


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """The failure on standard error: as JSON, or as a sentence, each mistake with its path, and the remedy."""
    if as_json:
        sys.stderr.write(json.dumps(failure.problem, ensure_ascii=False) + "\n")
        return
    screen = console(sys.stderr)
    screen.print(Text.assemble(("✗ ", "red"), (_headline(failure), "bold")), soft_wrap=True)
    for error in failure.errors:
        where = str(error.get("where") or error.get("path") or "")
        message = str(error.get("message", ""))
        screen.print(Text.assemble("  ", (where, "cyan"), ": " if where else "", message), soft_wrap=True)
    if failure.remedy:
        screen.print(Text.assemble(("  → ", "green"), failure.remedy), soft_wrap=True)


def _headline(failure: Failure) -> str:
    """The message; only its first sentence when it goes on with what is listed below it."""
    first = str(failure.errors[0].get("message", "")) if failure.errors else ""
    head, stop, rest = failure.message.partition(". ")
    return head + stop.strip() if first and first in rest else failure.message

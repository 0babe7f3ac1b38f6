"""A run and its steps as lines: for ``runs show``, ``runs tail`` and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text

from infra.cli.screen import FINAL, STATES, brief, moment, state, took

NODE_WIDTH = 18
TYPE_WIDTH = 13
TIME_WIDTH = 8


def heading(run: dict[str, Any], name: str | None = None) -> Text:
    """``run 0198… of demo-push: ✓ completed in 42 ms``."""
    said = Text.assemble(("run ", "dim"), str(run["id"]))
    if name:
        said.append(" of ", style="dim")
        said.append(name)
    said.append("  ")
    said.append_text(state(run["status"]))
    if run["status"] in FINAL and (spent := duration(run)) is not None:
        said.append(f" in {took(spent)}", style="dim")
    return said


def duration(run: dict[str, Any]) -> float | None:
    """Milliseconds from the start to the end, if it has ended."""
    if not run.get("completed_at") or not run.get("started_at"):
        return None
    begun, ended = datetime.fromisoformat(run["started_at"]), datetime.fromisoformat(run["completed_at"])
    return (ended - begun).total_seconds() * 1000


def facts(run: dict[str, Any]) -> Iterator[Text]:
    """What is worth knowing of a run beside its steps, a line each."""
    yield _fact("version", str(run.get("workflow_version") or ""))
    yield _fact("started", f"{moment(run.get('started_at'))} by {run.get('trigger_type') or 'hand'}")
    if run.get("retry_of"):
        yield _fact("retry of", str(run["retry_of"]))
    if run.get("output") is not None:
        yield _fact("output", brief(run["output"], 84))
    if run.get("response") is not None:
        yield _fact("response", brief(run["response"], 84))
    if message := failure(run):
        yield Text.assemble(("  error     ", "dim"), (message, "red"))


def failure(run: dict[str, Any]) -> str:
    """Why a run ended badly, or nothing."""
    error = run.get("error")
    if isinstance(error, dict) and error.get("message"):
        node = error.get("node") or run.get("current_node_id")
        where = f"{node}: " if node else ""
        kind = f" ({error['kind']})" if error.get("kind") else ""
        return f"{where}{error['message']}{kind}"
    return str(run.get("error_message") or "")


def step_line(step: dict[str, Any], width: int) -> Text:
    """One step: mark, node, type, time, and its output in brief; a failed one says why instead."""
    colour, mark = STATES.get(step["status"], ("white", "·"))
    node = step["node_id"]
    if step.get("iteration"):
        node = f"{node}[{step['iteration']}]"
    line = Text.assemble(
        (f"{mark} ", colour),
        f"{_fit(node, NODE_WIDTH)} ",
        (f"{_fit(step['node_type'], TYPE_WIDTH)} ", "dim"),
        (f"{took(step.get('duration_ms')):>{TIME_WIDTH}}  ", "cyan"),
    )
    room = max(8, width - len(line.plain) - 1)
    error = step.get("error")
    if step["status"] == "failed" and error:
        message = error.get("message") if isinstance(error, dict) else str(error)
        attempt = f"attempt {step['attempt']}: " if step.get("attempt", 1) > 1 else ""
        line.append(brief(f"{attempt}{message}", room), style="red")
        return line
    said = brief(step.get("output"), room)
    if step.get("branch"):
        said = brief(f"→ {step['branch']}  {said}".rstrip(), room)
    line.append(said)
    return line


def step_key(step: dict[str, Any]) -> tuple[str, int, int]:
    """What makes a step's row one of its own."""
    return step["node_id"], step.get("iteration") or 0, step.get("attempt") or 1


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"  {name:<10}", "dim"), value)


def _fit(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else text[: width - 1] + "…"

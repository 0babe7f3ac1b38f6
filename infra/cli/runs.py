"""``millrace runs``: looked at, and followed while they happen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import moment, state, table, took
from infra.cli.session import Session
from infra.cli.timeline import duration, facts, failure, heading, step_line
from infra.cli.workflows import ROUTE, find

if TYPE_CHECKING:
    from infra.cli.api import Api

RUNS = f"{ROUTE}/executions"

#: Seconds that one call of a tail is held by the API while nothing happens.
WAIT_SECONDS = 20

group = typer.Typer(help="Look at runs, or follow one while it happens.", no_args_is_help=True)

RunArgument = Annotated[str | None, typer.Argument(help="The run's id; the newest run without it.", show_default=False)]


@group.command("list")
def list_(
    context: typer.Context,
    workflow: Annotated[str | None, typer.Option("--workflow", "-w", help="Only of this workflow: name or id.")] = None,
    status: Annotated[str | None, typer.Option("--status", "-s", help="Only in this state, such as failed.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most this many.")] = 20,
) -> None:
    """List the latest runs, newest first."""
    session: Session = context.obj
    with session.api() as api:
        flow = find(api, workflow)["id"] if workflow else None
        found = list(islice(api.pages(RUNS, workflow_id=flow, status=status), limit))
        names = {one["id"]: one["name"] for one in api.pages(ROUTE)} if found and not session.as_json else {}
    session.show(
        {"runs": found},
        lambda: (
            table(
                "started",
                "workflow",
                "state",
                "took",
                "by",
                "id",
                rows=[
                    (
                        moment(run["started_at"]),
                        names.get(run["workflow_id"], run["workflow_id"]),
                        state(run["status"]),
                        took(duration(run)),
                        run.get("trigger_type") or "",
                        run["id"],
                    )
                    for run in found
                ],
                whole=("started", "state", "took", "id"),
            )
            if found
            else Text("No runs yet. Start one with `millrace workflows run NAME`.")
        ),
    )


@group.command("show")
def show(context: typer.Context, run: RunArgument = None) -> None:
    """Show a run: its state, each of its steps, and why it failed if it did."""
    session: Session = context.obj
    with session.api() as api:
        id_ = run or newest(api)
        found = api.get(f"{RUNS}/{id_}")
        done = list(steps(api, id_))
        name = _name(api, found) if not session.as_json else None
    session.show({"run": found, "steps": done}, lambda: describe(session, found, done, name))


@group.command("tail")
def tail(context: typer.Context, run: RunArgument = None) -> None:
    """Follow a run, step by step, until it ends. Exits 1 if it fails."""
    session: Session = context.obj
    with session.api() as api:
        follow_run(session, api, run or newest(api))


def newest(api: Api) -> str:
    """The id of the latest run."""
    page = api.get(RUNS, limit=1)
    if not page["items"]:
        raise Failure(
            "There are no runs yet.", remedy="Start one with `millrace workflows run NAME`.", exit_code=Exit.REFUSED
        )
    return str(page["items"][0]["id"])


def steps(api: Api, run: str) -> Iterator[dict[str, Any]]:
    """Every step of a run that ended, in order."""
    cursor = None
    while True:
        page = api.get(f"{RUNS}/{run}/timeline", cursor=cursor, limit=200)
        yield from page["steps"]
        cursor = page["next"]
        if cursor is None:
            return


def events(api: Api, run: str, wait: float = WAIT_SECONDS) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What happens to a run, as it happens: its state and the steps that are new, until it has ended."""
    cursor = None
    while True:
        news = api.get(f"{RUNS}/{run}/tail", cursor=cursor, wait=wait)
        cursor = news["cursor"]
        yield news["execution"], news["steps"]
        # After the end there may still be steps left over, for a call brings a bounded number.
        if news["execution"]["ended"] and not news["steps"]:
            return


def follow_run(session: Session, api: Api, run: str) -> None:
    """Print a run as it happens; a bad end is a :class:`Failure`."""
    status: dict[str, Any] = {}
    if session.as_json:
        for status, new in events(api, run):
            sys.stdout.write(json.dumps({"run": status, "steps": new}, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    else:
        said = ""
        for status, new in events(api, run):
            if not said:
                session.screen.print(Text.assemble(("run ", "dim"), status["id"]))
            for step in new:
                session.screen.print(step_line(step, session.screen.width), soft_wrap=True)
            if status["status"] != said and not status["ended"] and status["status"] != "running":
                session.screen.print(Text.assemble(state(status["status"]), (_where(status), "dim")))
            said = status["status"]
        session.screen.print(_ending(status))
    if status["status"] != "completed":
        raise Failure(
            failure(status) or f"The run is {status['status']}.",
            remedy=f"`millrace runs show {run}` shows its steps.",
            problem={"title": f"The run ended as {status['status']}.", "run": status},
        )


def describe(session: Session, run: dict[str, Any], done: list[dict[str, Any]], name: str | None) -> None:
    """Print a run, its facts and its steps."""
    session.screen.print(heading(run, name))
    for fact in facts(run):
        session.screen.print(fact)
    if done:
        session.screen.print()
    for step in done:
        session.screen.print(step_line(step, session.screen.width), soft_wrap=True)


def _name(api: Api, run: dict[str, Any]) -> str | None:
    try:
        return str(api.get(f"{ROUTE}/{run['workflow_id']}")["name"])
    except Failure:  # deleted meanwhile: the run is worth showing all the same
        return None


def _where(status: dict[str, Any]) -> str:
    return f" at {status['current_node_id']}" if status.get("current_node_id") else ""


def _ending(status: dict[str, Any]) -> Text:
    said = state(status["status"])
    if (spent := duration(status)) is not None:
        said.append(f" in {took(spent)}", style="dim")
    return said

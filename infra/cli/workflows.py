"""``millrace workflows``: saved from files, listed, started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import moment, table
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.cli.api import Api
    from infra.cli.workflow_file import WorkflowFile

ROUTE = "/api/v1/workflows"

group = typer.Typer(help="Save workflows from files, list them, start them.", no_args_is_help=True)


@group.command("apply")
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A workflow as YAML or JSON; - is standard input.", show_default=False)],
) -> None:
    """Save a workflow: create it, or make the one of that name what the file says.

    Every mistake in it is listed with its line. A file that changes nothing makes no new version.
    """
    from infra.cli.workflow_file import read_workflow

    session: Session = context.obj
    read = read_workflow(file)
    with session.api() as api:
        before, after = save(api, read)
    verb = "created" if before is None else "updated" if before["version"] != after["version"] else "unchanged"
    if before is not None and verb == "unchanged" and before["updated_at"] != after["updated_at"]:
        verb = "updated"
    session.show(
        {"result": verb, "workflow": after},
        lambda: Text.assemble(
            ("✓ ", "green"),
            f"{after['name']} {verb}, version {after['version']}",
            ("" if after["is_active"] else ", not active", "yellow"),
            (f"  {after['id']}", "dim"),
        ),
    )


@group.command("list")
def list_(context: typer.Context) -> None:
    """List your workflows."""
    session: Session = context.obj
    with session.api() as api:
        found = list(api.pages(ROUTE))
    session.show(
        {"workflows": found},
        lambda: (
            table(
                "name",
                "version",
                "active",
                "changed",
                "id",
                rows=[
                    (
                        flow["name"],
                        str(flow["version"]),
                        "yes" if flow["is_active"] else "no",
                        moment(flow["updated_at"]),
                        flow["id"],
                    )
                    for flow in found
                ],
                whole=("version", "active", "changed", "id"),
            )
            if found
            else Text("No workflows yet. Save one with `millrace workflows apply FILE`.")
        ),
    )


@group.command("run")
def run(
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(help="Its name or id.", show_default=False)],
    payload: Annotated[
        str | None,
        typer.Option("--input", "-i", help="JSON for trigger.payload; @FILE reads it from a file, @- from the input."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Follow the run to its end.")] = False,
) -> None:
    """Start a run by hand. With --follow, exits 1 if the run fails."""
    session: Session = context.obj
    body = {} if payload is None else {"payload": _input(payload)}
    with session.api() as api:
        flow = find(api, workflow)
        started = api.post(f"{ROUTE}/{flow['id']}/run", body)
        if follow:
            from infra.cli.runs import follow_run

            follow_run(session, api, started["id"])
            return
    session.show(
        started,
        lambda: Text.assemble(
            ("✓ ", "green"), f"started {started['id']}", (f"   millrace runs tail {started['id']}", "dim")
        ),
    )


def save(api: Api, file: WorkflowFile) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The workflow before (None if there was none of this name) and after. Mistakes are given the file's lines."""
    before = named(api, file.body["name"])
    try:
        if before is None:
            return None, api.post(ROUTE, file.body)
        # What the file leaves out goes back to its default, but for is_active: saving a graph must not start things.
        left_out = {"description": None, "trigger_config": {}, "version": before["version"]}
        return before, api.patch(f"{ROUTE}/{before['id']}", left_out | file.body)
    except Failure as failure:
        for error in failure.errors:
            error["where"] = file.where(str(error.get("path", "")))
        raise


def named(api: Api, name: str) -> dict[str, Any] | None:
    """Your workflow of that name, or None; two of one name are a :class:`Failure`, for neither can be meant."""
    found = [flow for flow in api.pages(ROUTE, name=name) if flow["name"] == name]
    if len(found) > 1:
        raise Failure(
            f"{len(found)} of your workflows are called {name!r}.",
            remedy=f"Rename one, or give an id: {', '.join(flow['id'] for flow in found)}.",
            exit_code=Exit.REFUSED,
        )
    return found[0] if found else None


def find(api: Api, name_or_id: str) -> dict[str, Any]:
    """Your workflow of that id or name."""
    try:
        UUID(name_or_id)
    except ValueError:
        flow = named(api, name_or_id)
        if flow is None:
            raise Failure(
                f"You have no workflow called {name_or_id!r}.",
                remedy="`millrace workflows list` shows those you have.",
                exit_code=Exit.REFUSED,
            ) from None
        return flow
    found: dict[str, Any] = api.get(f"{ROUTE}/{name_or_id}")
    return found


def _input(text: str) -> Any:
    """The JSON value of ``--input``."""
    source = "--input"
    try:
        if text.startswith("@"):
            source = text[1:]
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise Failure(f"{source} cannot be read: {error.strerror}.", exit_code=Exit.USAGE) from error
    except ValueError as error:
        raise Failure(
            f"{source} is not JSON: {error}.",
            remedy="""Write it like --input '{"name": "Ada"}', or --input @file.json.""",
            exit_code=Exit.USAGE,
        ) from error

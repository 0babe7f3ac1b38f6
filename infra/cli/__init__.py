"""The command line, ``millrace``: one module per command group.

It talks HTTP to the API, except ``dev``, ``demo`` and ``migrate``, which work on this machine. What every command
shares is in ``session``; how things look is in ``screen``; exit codes are in ``exits``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli import adopt, doctor, export, files, local, migrate, package, provision, review, runs, workflows
from infra.cli.exits import Failure
from infra.cli.screen import print_failure
from infra.cli.session import Session

app = typer.Typer(
    name="millrace",
    help="Durable workflows in your own cloud, or on this machine.",
    epilog="The options above may stand before or after the command. Exit codes: 0 done, 1 failed, 2 usage, "
    "3 nothing answers, 4 refused.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("dev")(local.dev)
app.command("demo")(local.demo)
app.command("token")(local.token)
app.command("package")(package.package)
app.command("adopt")(adopt.adopt)
app.command("export")(export.export)
app.command("provision")(provision.provision)
app.command("doctor")(doctor.doctor)
app.add_typer(migrate.group, name="migrate", short_help="Bring the database's schema up to date.")
app.command("review")(review.review)
app.add_typer(workflows.group, name="workflows")
app.add_typer(runs.group, name="runs")
app.add_typer(files.group, name="files")

#: Global options, and whether each takes a value.
GLOBAL_OPTIONS = {"--url": True, "--token": True, "--home": True, "--json": False}


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="MILLRACE_URL", help="The API's address. Default: the local stack's.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="MILLRACE_TOKEN", help="A token for it. Default: the local stack's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON, for machines.")] = False,
    home: Annotated[Path, typer.Option(envvar="MILLRACE_HOME", help="Where the local stack keeps its data.")] = Path(
        ".millrace"
    ),
) -> None:
    context.obj = Session(url=url, token=token, as_json=as_json, home=home)


def hoisted(arguments: list[str]) -> list[str]:
    """``arguments`` with the global options first, so that ``millrace runs show ID --json`` works as people type it."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
            break
        name, equals, _ = argument.partition("=")
        if name not in GLOBAL_OPTIONS:
            rest.append(argument)
            continue
        front.append(argument)
        if GLOBAL_OPTIONS[name] and not equals:
            front += [value for value in [next(remaining, None)] if value is not None]
    return front + rest


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(hoisted(given), prog_name="millrace")
    except Failure as failure:
        print_failure(failure, as_json="--json" in given)
        raise SystemExit(int(failure.exit_code)) from failure

"""``millrace dev``, ``demo`` and ``token``: the local stack, and the way into it."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.address import Address
from infra.cli.exits import Exit, Failure
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.local.stack import Stack

PORT = 8787
TOKENS = "/api/v1/users/me/tokens"

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free port.")]


def token(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Make a new platform token of this name.", show_default=False)
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="What a new token may do, such as runs:read; repeatable. Default: all."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="When a new token ends. Default: never.")] = None,
    export: Annotated[bool, typer.Option("--export", help="As lines for a shell to evaluate.")] = False,
) -> None:
    """Print the token in use, or make a new one.

    Without NAME it is the one that this command line would send. With NAME it is a new platform token (mr_…), which is
    shown this once.
    """
    session: Session = context.obj
    if name is None:
        if scope or days:
            raise Failure(
                "--scope and --days are for a new token.",
                remedy="Give it a name: `millrace token NAME --scope runs:read`.",
                exit_code=Exit.USAGE,
            )
        address = session.address()
        if address.token is None:
            raise Failure("No token was given.", remedy="Set MILLRACE_TOKEN.", exit_code=Exit.USAGE)
        url, shown = address.url, address.token
        made = {"url": url, "token": shown}
    else:
        expires = datetime.now(UTC) + timedelta(days=days) if days else None
        with session.api() as api:
            url = api.url
            made = api.post(
                TOKENS,
                {"name": name, "scopes": scope or ["*"], "expires_at": expires.isoformat() if expires else None},
            )
        shown = made["token"]
    if export and not session.as_json:
        print(f"export MILLRACE_URL={shlex.quote(url)}\nexport MILLRACE_TOKEN={shlex.quote(shown)}")
    elif session.as_json:
        session.show(made, lambda: None)
    else:
        print(shown)  # alone on its line, so that $(millrace token) is the token


def dev(context: typer.Context, port: PortOption = PORT) -> None:
    """Start the local stack and leave it running; Ctrl-C stops it."""


def demo(context: typer.Context) -> None:
    """Show one signed webhook become a durable run, on this machine."""

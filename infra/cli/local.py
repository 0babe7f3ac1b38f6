"""``millrace dev``, ``demo`` and ``token``: the local stack, and the way into it."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from infra.cli.address import Address, read_address, remove_address, write_address
from infra.cli.exits import Exit, Failure
from infra.cli.screen import request_line, took
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.local.stack import Stack

PORT = 8787
TOKENS = "/api/v1/users/me/tokens"
#: What the demo uses, loaded while Postgres starts.
DEMO_FUNCTIONS = ["workflow-api", "webhook-intake", "workflow-run"]
DEMO_CODE_FUNCTIONS = ["code-sandbox", "code-exec-worker", "code-exec-api"]

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
    """Start the local stack and leave it running; Ctrl-C stops it.

    Prints its address, a token and where the API describes itself, then one line for each request. With
    MILLRACE_DATABASE_URL set it uses that Postgres instead of the embedded one.
    """
    from infra.cli.settings import settings

    session: Session = context.obj
    database_url, migration_url = settings().addresses
    screen = session.screen
    with (
        started(
            session,
            port,
            database_url=database_url,
            migration_url=migration_url,
            echo=None if session.as_json else lambda line: screen.print(request_line(line), soft_wrap=True),
        ) as stack,
        until_stopped() as stopped,
    ):
        about = {"url": stack.url, "token": stack.token, "docs": stack.docs_url}
        session.show(about, lambda: invitation(about, stack.data_dir))
        stopped.wait()
        if not session.as_json:
            screen.print("\nStopping: what has begun may end. Ctrl-C again stops at once.")


def demo(context: typer.Context) -> None:
    """Show one signed webhook become a durable run, on this machine; and what else is installed at work.

    Uses the stack that runs here, or starts one for the while, on the embedded Postgres in any case. The data stays.
    """
    from infra.capabilities import missing
    from infra.cli.api import Api
    from infra.demo.story import tell
    from infra.local.settings import StackSettings

    session: Session = context.obj
    screen = Console(quiet=True) if session.as_json else session.screen
    begun = time.monotonic()
    lacking = {one.capability: one for one in missing()}
    with ExitStack() as cleanup:
        address = read_address(session.home)
        running = address is not None
        if address is None:
            warm = DEMO_FUNCTIONS + ([] if "code_exec" in lacking else DEMO_CODE_FUNCTIONS)
            settings = StackSettings.load().model_copy(update={"warm": warm})
            stack = cleanup.enter_context(started(session, 0, settings=settings))
            address = Address(stack.url, stack.token, None)
            found = f"stack started in {took((time.monotonic() - begun) * 1000)}"
        elif not address.embedded:
            raise Failure(
                "The stack that runs here uses the Postgres of MILLRACE_DATABASE_URL, which the demo never touches.",
                remedy="Give the demo a directory of its own: `millrace --home .millrace/demo demo`.",
            )
        else:
            found = f"stack found at {address.url}"
        screen.print(Text.assemble(("✓ ", "green"), found))
        with Api(address.url, address.token, for_people=True) as api:
            run = tell(api, screen)
            if "ocr" not in lacking:
                from infra.demo.invoice import tell_invoice

                screen.print()
                tell_invoice(api, screen)
            if "code_exec" not in lacking:
                from infra.demo.code import tell_code

                screen.print()
                tell_code(api, screen)
        screen.print()
        screen.print(f"The API is at {address.url}, its pages at {address.url}/api/v1/workflows/docs", soft_wrap=True)
        for capability in lacking.values():
            screen.print(f"{capability.capability} is not installed: {capability.command}")
        if not running:
            screen.print("It stops with this demo; `make dev` leaves it running. The data stays in", session.home)
    screen.print(Text(f"Done in {took((time.monotonic() - begun) * 1000)}.", style="dim"))
    if session.as_json:
        session.show({"url": address.url, "run": run, "missing": list(lacking)}, lambda: None)


@contextmanager
def started(session: Session, port: int, **options: Any) -> Iterator[Stack]:
    """A stack on this session's data, up and known to other command lines; stopped in the end."""
    import psycopg

    from infra.local.postgres import PostgresError
    from infra.local.serverless import ServerlessError
    from infra.local.stack import Stack, StackError
    from shared.errors import MillraceError

    stack = Stack(session.home, port, **options)
    try:
        if session.as_json:
            stack.start()
        else:
            _start_visibly(stack, session.screen)
    except (StackError, PostgresError, ServerlessError) as error:
        raise Failure(
            f"The stack does not start: {error}.",
            remedy="`--port 0` takes a free one." if "port " in str(error) else None,
        ) from error
    except MillraceError as error:
        raise Failure(error.detail, remedy=error.remedy) from error
    except psycopg.OperationalError as error:
        raise Failure(
            f"The database does not answer: {str(error).strip()}",
            remedy="Look at MILLRACE_DATABASE_URL, or unset it to use the embedded Postgres.",
            exit_code=Exit.UNREACHABLE,
        ) from error
    try:
        embedded = stack.postgres is not None
        write_address(session.home, Address(stack.url, stack.token, os.getpid(), embedded))
        yield stack
    finally:
        remove_address(session.home)
        stack.stop()


def _start_visibly(stack: Stack, screen: Console) -> None:
    """Start with one line that says what is being done, where there is a terminal to say it on."""
    if not screen.is_terminal:
        stack.start()
        return
    with screen.status("starting") as status:
        stack._progress = lambda phase: status.update(phase)
        stack.start()


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the next one acts as usual."""
    stopped = threading.Event()
    former: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number, handler in former.items():
            signal.signal(number, handler)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        former[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def invitation(about: dict[str, str], home: Path) -> Text:
    """What somebody who has just started the stack needs."""
    return Text.assemble(
        ("Millrace runs", "bold green"),
        f" on {about['url']}   (Ctrl-C stops it)\n\n",
        ("  API pages  ", "dim"),
        f"{about['docs']}\n",
        ("  data       ", "dim"),
        f"{home}\n",
        ("  logs       ", "dim"),
        f"{home / 'logs'}\n",
        ("  token      ", "dim"),
        f"{about['token']}\n\n",
        "In another terminal here, `millrace` finds all of this by itself. For other programs:\n",
        ('  eval "$(millrace token --export)"\n', "cyan"),
    )

"""``millrace migrate``: the database's schema, brought up to date and looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import state, table, took
from infra.cli.session import Session

if TYPE_CHECKING:  # psycopg is imported only by the commands that connect
    from infra.migrations import Applied

group = typer.Typer(
    help="Bring the database's schema up to date. The database is the one that MILLRACE_MIGRATION_URL names, else "
    "MILLRACE_DATABASE_URL, else the local stack's own.",
    no_args_is_help=True,
)


@group.command("up")
def up(context: typer.Context) -> None:
    """Apply every migration that is pending, oldest first; each file is one transaction."""
    from infra import migrations

    session: Session = context.obj
    with database(session) as url:

        def applied(migration: Applied) -> None:
            if not session.as_json:
                session.screen.print(
                    Text.assemble(
                        ("✓ ", "green"),
                        f"{migration.version}_{migration.name} ",
                        (took(migration.seconds * 1000), "dim"),
                    )
                )

        done = migrations.up(url, progress=applied)
        unknown = [row for row in migrations.status(url) if row.state is migrations.State.UNKNOWN]
    session.show(
        {"applied": [asdict(migration) for migration in done], "unknown": [asdict(row) for row in unknown]},
        lambda: _summary(len(done), [f"{row.version}_{row.name}".rstrip("_") for row in unknown]),
    )


@group.command("status")
def status(context: typer.Context) -> None:
    """List every migration and how it stands. Exits 1 while one is pending or refused."""
    from infra import migrations

    session: Session = context.obj
    with database(session) as url:
        rows = migrations.status(url)
    session.show(
        {"migrations": [asdict(row) for row in rows]},
        lambda: table(
            "version",
            "name",
            "state",
            rows=[(row.version, row.name, state(row.state.value)) for row in rows],
            whole=("version",),
        ),
    )
    counts = Counter(row.state for row in rows)
    if wrong := counts[migrations.State.EDITED] + counts[migrations.State.LATE]:
        raise Failure(
            f"{wrong} {'files contradict' if wrong > 1 else 'file contradicts'} what was applied.",
            remedy="Restore an edited file; give a late one a time after the last applied migration.",
        )
    if pending := counts[migrations.State.PENDING]:
        raise Failure(f"{pending} pending.", remedy="Apply them with `millrace migrate up`.")


def _summary(done: int, unknown: list[str]) -> Text:
    said = Text(f"{done} migration{'' if done == 1 else 's'} applied." if done else "Nothing to do: all are applied.")
    if unknown:
        said.append(f"\nKept, though there is no file for them here: {', '.join(unknown)}.", style="yellow")
    return said


@contextmanager
def database(session: Session) -> Iterator[str]:
    """The address of the database to migrate or adopt. The embedded server is started for the while if need be."""
    import psycopg

    from infra.cli.settings import settings
    from infra.local.postgres import EmbeddedPostgres, PostgresError
    from shared.errors import MillraceError

    database_url, migration_url = settings().addresses
    configured = migration_url or database_url
    try:
        if configured is not None:
            yield configured
            return
        server = EmbeddedPostgres(session.home / "postgres")
        if server.running:
            yield server.url("postgres")
            return
        with server:
            yield server.url("postgres")
    except psycopg.OperationalError as error:
        raise Failure(
            f"The database does not answer: {str(error).strip()}",
            remedy="Look at MILLRACE_MIGRATION_URL and MILLRACE_DATABASE_URL; unset both to use the local stack's own.",
            exit_code=Exit.UNREACHABLE,
        ) from error
    except (MillraceError, PostgresError) as error:
        raise Failure(
            str(error), remedy=getattr(error, "remedy", None), errors=getattr(error, "errors", None)
        ) from error

"""``millrace adopt``: take over a database of the system that Millrace replaces, or say what that would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from infra.cli.migrate import database
from infra.cli.screen import table
from infra.cli.session import Session

if TYPE_CHECKING:  # psycopg is imported only when a database is to be looked at
    from infra.adopt.adoption import Done, Survey

#: Lines of a list that are shown; all are in ``--json``.
SHOWN = 20


def adopt(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done; change nothing.")] = False,
    auth_url: Annotated[
        str | None,
        typer.Option(
            envvar="MILLRACE_AUTH_URL",
            help="Postgres address with a role that may read auth.users, if the migrations' own may not.",
        ),
    ] = None,
    secrets_to: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="The user who gets the secrets that are in rows which belong to nobody."),
    ] = None,
) -> None:
    """Adopt a database of the old system: migrate it, move its secrets, link its users, check its workflows.

    The database is the one that MILLRACE_MIGRATION_URL names, else MILLRACE_DATABASE_URL; the key that seals secrets is
    MILLRACE_SECRET_KEY_FILE's. It may be interrupted and run again; when all is done it says so and changes nothing.
    """
    from infra.adopt import adoption
    from shared import secrets

    session: Session = context.obj
    with database(session) as url:
        if plan:
            found = adoption.survey(url, auth_url)
            session.show(found.document(), lambda: _planned(session, found))
            return
        with progress_of(session) as progress:
            done = adoption.adopt(url, secrets.keyring, auth_url=auth_url, heir=secrets_to, progress=progress)
        session.show(done.document(), lambda: _told(session, done))


class _Bars:
    """An adoption's steps as bars; where nobody watches a terminal, a line each."""

    def __init__(self, bars: Progress | None, session: Session) -> None:
        self.bars = bars
        self._session = session
        self._task: TaskID | None = None

    def step(self, name: str, total: int | None = None) -> None:
        if self.bars is None:
            if not self._session.as_json and total != 0:
                self._session.screen.print(Text(f"{name}{f' ({total})' if total else ''}", style="dim"))
            return
        self._finish()
        self._task = self.bars.add_task(name, total=total, what="")

    def at(self, done: int, what: str = "") -> None:
        if self.bars is not None and self._task is not None:
            self.bars.update(self._task, completed=done, what=what)

    def _finish(self) -> None:
        if self.bars is None or self._task is None:
            return
        task = next(task for task in self.bars.tasks if task.id == self._task)
        total = 1 if task.total is None else task.total
        self.bars.update(self._task, total=total, completed=total, what="")


@contextmanager
def progress_of(session: Session) -> Iterator[_Bars]:
    """What shows an adoption's steps, while the block lasts."""
    if session.as_json or not session.screen.is_terminal:
        yield _Bars(None, session)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[what]}"),
    )
    with Progress(*columns, console=session.screen, transient=True) as bars:
        yield _Bars(bars, session)


def _planned(session: Session, found: Survey) -> Text:
    if found.nothing_to_do:
        _left(session, found)
        return Text("Nothing to do: this database is adopted.")
    session.screen.print(Text("This would be done:", style="bold"))
    stopping = sum(one.active for one in found.broken)
    for number, what in (
        (sum(found.secrets.values()), "secrets sealed and moved: " + ", ".join(sorted(found.secrets))),
        (found.sealed, "sealed secrets moved"),
        (len(found.work.columns), "columns added"),
        (len(found.work.indexes), "indexes built while the tables are in use"),
        (len(found.pending), "migrations applied"),
        (len(found.links), "users linked by their confirmed e-mail"),
        (len(found.fill), "workflows get their nodes from the table workflownode"),
        (stopping, "workflows that cannot run switched off"),
    ):
        if number:
            session.screen.print(Text(f"  {number:>6}  {what}"))
    if found.unowned:
        number = sum(found.unowned.values())
        session.screen.print(
            Text(f"  {number} secrets are in rows that belong to nobody: --secrets-to says who gets them.", "yellow")
        )
    _left(session, found)
    return Text("Nothing was changed. Do it with `millrace adopt`.")


def _told(session: Session, done: Done) -> Text:
    if done.before.nothing_to_do:
        _left(session, done.after)
        return Text("Nothing to do: this database is adopted.")
    names = sorted(done.before.rows)
    session.screen.print(
        table(
            "table",
            "rows before",
            "rows after",
            rows=[(name, str(done.before.rows[name]), str(done.after.rows.get(name, 0))) for name in names],
        )
    )
    for number, what in (
        (done.columns, "columns added"),
        (done.owners, "rows given their owner"),
        (done.indexes, "indexes built"),
        (len(done.applied), "migrations applied"),
        (done.secrets, "secrets moved"),
        (done.linked, "users linked"),
        (done.filled, "workflows given their nodes"),
        (done.stopped, "workflows switched off"),
    ):
        session.screen.print(Text.assemble(("✓ ", "green"), f"{number} {what}"))
    _left(session, done.after)
    return Text("Adopted.")


def _left(session: Session, found: Survey) -> None:
    """What an adoption leaves to people."""
    _list(
        session,
        "Users who are not linked",
        [(one.email, f"{one.reason}. {one.remedy}") for one in found.unlinked],
    )
    _list(
        session,
        "Workflows that cannot run; correct and enable them",
        [(f"{one.name} {one.id}", "; ".join(_mistake(mistake) for mistake in one.mistakes)) for one in found.broken],
    )
    _list(
        session,
        "Schedules that the old system only stored; save the workflow again to start them",
        [(f"{one.name} {one.id}", one.cron or "") for one in found.unscheduled],
    )
    _list(session, "Webhook addresses that stay closed until they get a secret", [(path, "") for path in found.closed])
    if found.under_way:
        said = (
            f"{found.under_way} runs of the old system never ended. They stay as they are; nothing goes on with them."
        )
        session.screen.print(Text(said), soft_wrap=True)
    if found.without_owner:
        said = ", ".join(f"{name} {number}" for name, number in found.without_owner.items())
        session.screen.print(Text(f"Rows that belong to nobody, seen by service_role only: {said}."))
    if found.repairs:
        session.screen.print(Text("To go on with the Supabase CLI, bring its history level:", style="bold"))
        for one in found.repairs:
            session.screen.print(
                Text.assemble("  ", (one.command, "cyan"), (f"  # {one.reason}", "dim")), soft_wrap=True
            )


def _list(session: Session, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    session.screen.print(Text(f"{title} ({len(rows)}):", style="bold"))
    for name, said in rows[:SHOWN]:
        session.screen.print(Text.assemble("  ", (name, "cyan"), ": " if said else "", said), soft_wrap=True)
    if len(rows) > SHOWN:
        session.screen.print(Text(f"  … {len(rows) - SHOWN} more; --json lists all."))


def _mistake(mistake: dict[str, Any]) -> str:
    where = str(mistake.get("path") or "")
    return f"{where}: {mistake['message']}" if where else str(mistake["message"])

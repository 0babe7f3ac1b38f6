"""``millrace export``: take everything along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.status import Status
from rich.text import Text

from infra.cli.exits import Failure
from infra.cli.migrate import database
from infra.cli.screen import table
from infra.cli.session import Session

if TYPE_CHECKING:  # what opens a store is imported only by who needs it
    from shared.storage import Storage


def export(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Where to; new, empty, or with this export unfinished.")],
    owner: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="Only what belongs to this user (e-mail or id); else everything."),
    ] = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Write the secrets too, in clear text, to secrets.jsonl.")
    ] = False,
) -> None:
    """Write rows as JSON lines and objects as files. Interrupted, it goes on where it stopped when run again.

    The database is the one that MILLRACE_MIGRATION_URL names, else MILLRACE_DATABASE_URL, else the local stack's own;
    the objects are where MILLRACE_STORAGE says.
    """
    from infra.export import export as exports
    from shared import secrets

    session: Session = context.obj
    wanted = exports.Wanted(owner, with_secrets)
    try:
        with database(session) as url, _Shown(session) as shown:
            manifest = exports.export(
                url, directory, wanted, storage=lambda: _store(session), keyring=secrets.keyring, progress=shown
            )
    except OSError as error:
        raise Failure(
            f"{error.filename or directory} cannot be written: {error.strerror or error}.",
            remedy="Make room or choose another directory; run again, it goes on where it stopped.",
        ) from error
    session.show(
        manifest,
        lambda: table(
            "what",
            "rows or objects",
            rows=[
                *((name, str(found["rows"])) for name, found in manifest["tables"].items() if found["rows"]),
                *((name, str(found["count"])) for name, found in manifest["objects"].items() if found["count"]),
            ],
        ),
    )
    if not session.as_json:
        session.screen.print(Text(f"All of it is in {directory}."))


def _store(session: Session) -> Storage:
    """Where MILLRACE_STORAGE says, else the local stack's own."""
    from infra.cli.settings import storage_setting
    from shared.storage import DirectoryStorage, storage

    return DirectoryStorage(session.home / "objects") if storage_setting() is None else storage()


class _Shown:
    """What is being written, on one line that is gone at the end."""

    def __init__(self, session: Session) -> None:
        watched = session.screen.is_terminal and not session.as_json
        self._status = Status("", console=session.screen) if watched else None

    def __enter__(self) -> _Shown:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def at(self, what: str, done: int) -> None:
        if self._status is not None:
            self._status.update(f"{what} {done}")

"""``millrace provision``: what a Supabase project needs beside the migrations."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import state, table
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.provision.outcome import Result
    from infra.provision.roles import PasswordFile
    from infra.provision.settings import ProvisionSettings


def provision(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if something would change.")] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(help="Where new passwords go, as NAME=value lines of mode 0600. Default: printed, once."),
    ] = None,
    renew_passwords: Annotated[
        bool, typer.Option("--renew-passwords", help="Give roles that log in already new passwords too.")
    ] = False,
    pooler: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The pooler that functions connect through. Default: told from MILLRACE_MIGRATION_URL.",
        ),
    ] = None,
) -> None:
    """Give a Supabase project its buckets, the storage trigger, and the database roles' passwords.

    May be run again at any time: it repairs what is not as declared, changes nothing else and never deletes. Buckets
    and trigger are only for objects in Supabase Storage (MILLRACE_STORAGE); on S3 the deployment makes the buckets.
    """
    from infra.buckets import BucketsError, declared
    from infra.provision.buckets import Buckets
    from infra.provision.project import Project
    from infra.provision.roles import ROLES, address

    session: Session = context.obj
    settings = _settings()
    url = settings.owner_url
    storage = None
    if (place := settings.supabase_url) is not None and settings.supabase_key is not None:
        _need_client()
        storage = Buckets(place, settings.supabase_key.get_secret_value())
    file = _password_file(password_file) if password_file is not None and not check else None
    results: list[Result] = []
    variables: dict[str, str] = {}
    try:
        project = Project(url, storage, declared(), settings.passwords, renew=renew_passwords, change=not check)
        for result, password in project.provision():
            results.append(result)
            if password is not None:
                variables[ROLES[result.name]] = address(url, pooler).url(result.name, password)
        if file is not None and variables:
            file.write(variables)
    except BucketsError as error:
        raise Failure(str(error), exit_code=Exit.USAGE) from error
    except OSError as error:
        raise Failure(
            f"{password_file} cannot be written: {error}. The new passwords are lost.",
            remedy="Run `millrace provision --renew-passwords` with a file that can be written.",
        ) from error
    finally:
        if file is not None:
            file.close()
        if storage is not None:
            storage.close()
    session.show(
        {
            "results": [asdict(result) for result in results],
            "variables": {} if file is not None else variables,
            "password_file": str(password_file) if file is not None and variables else None,
        },
        lambda: _table(results),
    )
    if not session.as_json:
        for line in (*_told(variables, password_file if file is not None else None), *_unneeded(settings)):
            session.screen.print(line, soft_wrap=True)  # addresses are there to be copied, so never cut
    _end(results, check)


def _settings() -> ProvisionSettings:
    """From the environment; whatever is missing or wrong is one usage :class:`Failure` that names it all."""
    from infra.provision.settings import ProvisionSettings
    from shared.settings import SettingsError

    try:
        return ProvisionSettings.load()
    except SettingsError as error:
        raise Failure(str(error), remedy="Set them. Nothing was changed.", exit_code=Exit.USAGE) from error


def _need_client() -> None:
    try:
        import storage3  # noqa: F401
    except ImportError as error:
        raise Failure(
            "The client of Supabase Storage is not installed here.",
            remedy='Install it: pip install "millrace[supabase]". Nothing was changed.',
            exit_code=Exit.USAGE,
        ) from error


def _table(results: list[Result]) -> Table:
    """A line for each thing. Only the details give way where there is little room, by going on in the next line."""
    rows = [(one.kind, one.name, state(one.outcome.value), _details(one)) for one in results]
    made = table("what", "name", "outcome", "details", rows=rows)
    for column, cells in zip(made.columns, zip(*rows, strict=True), strict=True):
        column.no_wrap, column.min_width = True, max(len(cell) for cell in cells)
    made.columns[-1].no_wrap, made.columns[-1].min_width = False, 20
    return made


def _details(result: Result) -> Text:
    return Text(result.error or "; ".join(result.changes), style="red" if result.error else "")


def _told(variables: dict[str, str], file: Path | None) -> list[Text]:
    if not variables:
        return []
    if file is not None:
        return [Text(f"\nNew passwords are in {file}, as {' and '.join(variables)}.")]
    lines = [Text("\nFor the deployment's environment. They are not shown again:", style="yellow")]
    return lines + [Text(f"{name}={url}") for name, url in variables.items()]


def _unneeded(settings: ProvisionSettings) -> list[Text]:
    if settings.supabase_url is not None:
        return []
    return [Text(f"\nObjects are kept in {settings.storage}: no buckets and no trigger are needed here.", style="dim")]


def _password_file(path: Path) -> PasswordFile:
    from infra.provision.roles import PasswordFile

    try:
        return PasswordFile(path)
    except OSError as error:
        raise Failure(
            f"{path} cannot take passwords: {error.strerror or error}.",
            remedy="Give a new file in a directory of yours. Nothing was changed.",
            exit_code=Exit.USAGE,
        ) from error


def _end(results: list[Result], check: bool) -> None:
    """Leave with 1 when a check found something, and with what failed when something did."""
    from infra.provision.outcome import Outcome, Reason

    failed = [one for one in results if one.outcome in (Outcome.FAILED, Outcome.NOT_REACHED)]
    if failed:
        code = Exit.FAILED
        with suppress(ValueError):
            (reason,) = {one.reason for one in failed if one.reason is not None}
            code = {Reason.UNREACHABLE: Exit.UNREACHABLE, Reason.REFUSED: Exit.REFUSED}.get(reason, Exit.FAILED)
        raise Failure(
            f"{len(failed)} of {len(results)} could not be {'checked' if check else 'provisioned'}; "
            "the others are as listed.",
            remedy=" ".join(dict.fromkeys(one.remedy for one in failed if one.remedy)),
            errors=[{"path": f"{one.kind} {one.name}", "message": one.error or one.outcome.value} for one in failed],
            exit_code=code,
        )
    if check and (different := [one for one in results if one.outcome is not Outcome.UNCHANGED]):
        raise Failure(
            f"{len(different)} of {len(results)} {'is' if len(different) == 1 else 'are'} not as declared.",
            remedy="Run `millrace provision`.",
        )

"""``millrace doctor``: what is wrong with this installation, and what helps."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from infra.cli.address import read_address
from infra.cli.exits import Exit, Failure
from infra.cli.screen import state
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.doctor.finding import Finding

#: Any of these in the environment means that a deployment is meant, not this machine's stack.
DEPLOYED = ("MILLRACE_API_DATABASE_URL", "MILLRACE_ENGINE_DATABASE_URL")


def doctor(
    context: typer.Context,
    stage: Annotated[
        str | None,
        typer.Option(help="A stage deployed to AWS: what the environment leaves out is asked of that account."),
    ] = None,
) -> None:
    """Look for each usual mistake in an installation's configuration, and say what helps. Exits 1 on any.

    Looks at the installation that the environment describes: what the deployment is given, and MILLRACE_MIGRATION_URL.
    Without those, and without --stage, it looks at the local stack that runs here.
    Changes nothing but for one object that it keeps, reads and removes.
    """
    from infra.doctor.doctor import examine
    from infra.doctor.finding import Verdict
    from shared.settings import forget

    session: Session = context.obj
    if stage is not None:
        os.environ.update(_deployed(stage))
    elif not any(os.environ.get(name) for name in DEPLOYED):
        os.environ.update(_local(session))
    forget()
    found: list[Finding] = []
    for finding in examine():
        found.append(finding)
        if not session.as_json:
            session.screen.print(_line(finding), soft_wrap=True)
    session.show({"findings": [asdict(finding) for finding in found]}, lambda: None)
    if wrong := [finding for finding in found if finding.verdict is Verdict.FAILING]:
        raise Failure(
            f"{len(wrong)} of {len(found)} need attention.",
            errors=[{"path": one.name, "message": one.detail, "remedy": one.remedy} for one in wrong]
            if session.as_json
            else None,
        )


def _line(finding: Finding) -> Text:
    line = Text.assemble(state(finding.verdict.value), f"  {finding.name}: ", (finding.detail, "dim"))
    if finding.remedy:
        line.append_text(Text.assemble("\n  → ", finding.remedy))
    return line


def _deployed(stage: str) -> dict[str, str]:
    """What the functions of a deployed stage are given."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        from infra.doctor.stage import settings_of
    except ImportError as error:
        raise Failure(
            "The client of AWS is not installed here.",
            remedy='Install it: pip install "millrace[aws]".',
            exit_code=Exit.USAGE,
        ) from error
    try:
        return settings_of(stage)
    except ClientError as error:
        said = error.response.get("Error", {})
        raise Failure(
            f"AWS refuses: {said.get('Code')}: {said.get('Message')}",
            remedy="Use credentials that may read the stage's secret (secretsmanager:GetSecretValue).",
            exit_code=Exit.REFUSED,
        ) from error
    except BotoCoreError as error:
        raise Failure(
            f"AWS cannot be asked: {error}.",
            remedy="Give credentials and AWS_REGION, as for the deployment.",
            exit_code=Exit.UNREACHABLE,
        ) from error


def _local(session: Session) -> dict[str, str]:
    """What the stack that runs here gives its functions, and its database as the owner."""
    from infra.cli.settings import settings
    from infra.local.stack import Stack

    address = read_address(session.home)
    if address is None:
        raise Failure(
            "No deployment is described and no local stack runs here.",
            remedy=f"Set {' and '.join(DEPLOYED)} and the rest of a deployment's settings, or start `millrace dev`.",
            exit_code=Exit.UNREACHABLE,
        )
    database_url, migration_url = settings().addresses
    stack = Stack(session.home, database_url=database_url, migration_url=migration_url)
    return stack.variables(address.url) | {"MILLRACE_MIGRATION_URL": migration_url or stack.database_url("postgres")}

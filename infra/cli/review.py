"""``millrace review``: whether the database and the buckets are what this checkout expects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from infra.cli.exits import Exit, Failure
from infra.cli.migrate import database
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.review.review import Review


def review(context: typer.Context) -> None:
    """Compare the database and the buckets with what this version expects, and report. Exits 1 on any drift.

    The report is Markdown on standard output, or one JSON document with --json; every drift comes with what restores
    it. Nothing is written. The database is found as by `millrace migrate`; the buckets are those of MILLRACE_STORAGE,
    else the local stack's.
    """
    from infra.review.report import markdown

    session: Session = context.obj
    made = _reviewed(session)
    if session.as_json:
        session.show(made.document(), lambda: None)
    else:
        sys.stdout.write(markdown(made))
        sys.stdout.flush()
    if not made.clean:
        raise Failure(
            f"{len(made.drifts)} {'drifts' if len(made.drifts) > 1 else 'drift'}.",
            errors=[{"path": f"{drift.kind} {drift.object}", "message": drift.says} for drift in made.drifts],
            remedy="What restores each is in the report." if not session.as_json else None,
        )


def _reviewed(session: Session) -> Review:
    from infra.buckets import BucketsError
    from infra.cli.settings import storage_setting
    from infra.review.catalogue import NotAllowed
    from infra.review.review import StoreUnreachable, review

    with database(session) as url:
        try:
            return review(url, storage=storage_setting() or f"directory:{session.home / 'objects'}")
        except BucketsError as error:
            raise Failure(str(error), exit_code=Exit.USAGE) from error
        except NotAllowed as error:
            raise Failure(error.detail, remedy=error.remedy, exit_code=Exit.REFUSED) from error
        except StoreUnreachable as error:
            raise Failure(error.detail, remedy=error.remedy, exit_code=Exit.UNREACHABLE) from error

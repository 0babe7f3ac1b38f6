"""``millrace files``: uploaded, listed, downloaded, deleted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import console, moment, table
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.cli.transfer import Progress

ROUTE = "/api/v1/storage"

group = typer.Typer(help="Upload, list, download and delete files.", no_args_is_help=True)

BucketArgument = Annotated[str, typer.Argument(help="The bucket, such as user-uploads.")]
PathArgument = Annotated[str, typer.Argument(help="`bucket/key`, as `millrace files list` shows it.", metavar="PATH")]


@group.command("upload")
def upload(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False, readable=True)],
    bucket: BucketArgument = "user-uploads",
    folder: Annotated[str, typer.Option("--folder", "-f", help="Where below your user id, such as invoices.")] = "",
) -> None:
    """Upload a file. It is looked at before it is kept; a refusal says why."""
    from infra.cli.transfer import send, sha256

    session: Session = context.obj
    size = file.stat().st_size
    with session.api() as api:
        new = {"bucket": bucket, "folder": folder, "filename": file.name, "size": size, "sha256": sha256(file)}
        ticket = api.post(f"{ROUTE}/upload", new)
        try:
            with _bar(session, file.name, size) as progress:
                etags = send(ticket, file, progress)
        except BaseException:
            with contextlib.suppress(Failure):
                api.send("DELETE", f"{ROUTE}/uploads/{ticket['id']}")
            raise
        stored = api.post(f"{ROUTE}/uploads/{ticket['id']}/complete", {"etags": etags})
    session.show(
        {"file": stored},
        lambda: Text.assemble(("✓ ", "green"), f"{_size(size)} {stored['media_type']} {bucket}/{stored['key']}"),
    )


@group.command("list")
def list_(
    context: typer.Context,
    bucket: BucketArgument = "user-uploads",
    prefix: Annotated[str, typer.Option("--prefix", "-p", help="How the key goes on below your user id.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many.")] = 100,
) -> None:
    """List your files in a bucket."""
    session: Session = context.obj
    with session.api() as api:
        found = list(islice(api.pages(f"{ROUTE}/list/{quote(bucket, safe='')}", prefix=prefix), limit))
    session.show(
        {"files": found},
        lambda: (
            table(
                "stored",
                "size",
                "path",
                rows=[
                    (moment(one["modified_at"]), _size(one["size"]), f"{one['bucket']}/{one['key']}") for one in found
                ],
                whole=("stored", "size", "path"),
            )
            if found
            else Text(f"No files in {bucket}. Upload one with `millrace files upload FILE {bucket}`.")
        ),
    )


@group.command("download")
def download(
    context: typer.Context,
    path: PathArgument,
    to: Annotated[Path | None, typer.Option("--to", "-o", help="Where to write it; its own name without it.")] = None,
) -> None:
    """Download a file. Nothing is overwritten."""
    from infra.cli.transfer import fetch

    session: Session = context.obj
    bucket, key = _split(path)
    with session.api() as api:
        signed = api.post(f"{ROUTE}/signed-url", {"bucket": bucket, "key": key, "expires_in": 300})
    target = to or Path(Path(key).name)
    with _bar(session, target.name, None) as progress:
        size = fetch(signed["url"], target, progress)
    session.show({"file": str(target), "size": size}, lambda: Text.assemble(("✓ ", "green"), f"{_size(size)} {target}"))


@group.command("delete")
def delete(context: typer.Context, path: PathArgument) -> None:
    """Delete a file."""
    session: Session = context.obj
    bucket, key = _split(path)
    with session.api() as api:
        api.send("DELETE", f"{ROUTE}/delete/{bucket}/{quote(key)}")
    session.show({"deleted": path}, lambda: Text.assemble(("✓ ", "green"), f"{path} deleted"))


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise Failure(f"{path!r} is no path of a file.", remedy="Give bucket/key.", exit_code=Exit.USAGE)
    return quote(bucket, safe=""), key


def _size(size: int) -> str:
    """Bytes as a person says them."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


@contextlib.contextmanager
def _bar(session: Session, name: str, size: int | None) -> Iterator[Progress]:
    """A bar on a terminal's standard error; nothing for machines."""
    if session.as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()]
    with Bars(*columns, TimeRemainingColumn(), console=console(sys.stderr), transient=True) as bars:
        task = bars.add_task(name, total=size)
        yield lambda count: bars.advance(task, count)

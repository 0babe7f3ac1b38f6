"""``millrace package``: one zip per function, as Lambda takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from infra.cli.exits import Exit, Failure
from infra.cli.screen import console, table, took
from infra.cli.session import Session

if TYPE_CHECKING:
    from infra.package.build import Package
    from infra.package.measure import ColdStart

ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024  # as Lambda counts


class TargetName(StrEnum):
    """What to build for; ``host`` is this machine."""

    arm64 = "arm64"
    x86_64 = "x86_64"
    host = "host"


def package(
    context: typer.Context,
    functions: Annotated[
        list[str] | None, typer.Argument(help="Functions of serverless.yml. Default: all.", show_default=False)
    ] = None,
    target: Annotated[
        list[TargetName] | None,
        typer.Option("--target", "-t", help="Repeatable. Default: arm64 and x86_64.", show_default=False),
    ] = None,
    storage: Annotated[
        str, typer.Option(envvar="MILLRACE_STORAGE", help="What objects are kept in, as it will be deployed.")
    ] = "s3",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to; a folder per target is made in it.")] = (
        ROOT / "dist" / "packages"
    ),
    as_deployed: Annotated[
        bool, typer.Option("--as-deployed", help="Each function for the one processor that serverless.yml names.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Build for this machine too; import each function and time it.")
    ] = False,
) -> None:
    """Build one zip per function, into dist/packages/TARGET.

    Each holds what that function's code reaches and nothing else, compiled, and is the same to the byte when nothing
    changed. Exits 1, leaving what was built before, when one is over Lambda's limits.
    """
    from infra.local.variables import ServerlessError
    from infra.package.build import PackageError, build, faces
    from infra.package.bytecode import BytecodeError
    from infra.package.closure import ClosureError
    from infra.package.distributions import LockError
    from infra.package.measure import StartError, cold_start
    from infra.package.targets import FOR_LAMBDA, HERE, TARGETS

    session: Session = context.obj
    names = [name.value for name in target or ()] or ([HERE] if measure else list(FOR_LAMBDA))
    if measure and HERE not in names:
        names.append(HERE)
    kind = storage.partition(":")[0] or "s3"
    built: list[Package] = []
    starts: list[ColdStart] = []
    try:
        wanted = faces(ROOT, functions, storage=kind)
        by_target = {name: [face for face in wanted if not as_deployed or face.target == name] for name in names}
        with _progress(session, sum(map(len, by_target.values())) + len(wanted) * measure) as advance:
            for name, some in by_target.items():
                built += build(ROOT, TARGETS[name], some, folder=output / name, storage=kind, progress=advance)
            for face in wanted if measure else ():
                advance(HERE, face.name, "importing")
                starts.append(cold_start(face.name, face.handler, (output / HERE / face.name).absolute()))
                advance(HERE, face.name, "done")
    except (PackageError, ClosureError, LockError, ServerlessError, BytecodeError, StartError) as error:
        raise Failure(str(error), exit_code=Exit.FAILED) from error
    session.show(
        {
            "packages": [asdict(made) for made in built],
            "cold_starts": [asdict(start) for start in starts],
        },
        lambda: _shown(built, starts),
    )


def _shown(built: list[Package], starts: list[ColdStart]) -> Group:
    from infra.package.build import MAX_UNZIPPED, MAX_ZIPPED

    parts: list[Any] = [_sizes(built)]
    limits = (
        f"Lambda's limits: {MAX_ZIPPED // MB} MB zipped, {MAX_UNZIPPED // MB} MB unzipped (1 MB is 1,048,576 bytes)."
    )
    parts.append(Text(f"\n{limits}", style="dim"))
    if uncompiled := sorted({made.target for made in built if not made.compiled}):
        parts.append(
            Text(
                f"Not byte-compiled: {', '.join(uncompiled)}. There is no Python of that version here, so every cold "
                "start compiles each module anew.",
                style="yellow",
            )
        )
    parts += [
        Text(
            f"{made.function} for {made.target} lacks {', '.join(made.unmade)}, made only on such a "
            "processor: it makes its own at each cold start, which takes long.",
            style="yellow",
        )
        for made in built
        if made.unmade
    ]
    if starts:
        parts += [Text(), _times(starts)]
    return Group(*parts)


def _sizes(built: list[Package]) -> Table:
    from infra.package.build import MAX_UNZIPPED, MAX_ZIPPED

    return table(
        "function",
        "target",
        "zipped",
        "of limit",
        "unzipped",
        "of limit",
        "sha256",
        rows=[
            (
                made.function,
                made.target,
                f"{made.zipped / MB:.1f} MB",
                _share(made.zipped, MAX_ZIPPED),
                f"{made.unzipped / MB:.1f} MB",
                _share(made.unzipped, MAX_UNZIPPED),
                made.sha256[:12],
            )
            for made in built
        ],
        whole=("function",),
    )


def _times(starts: list[ColdStart]) -> Table:
    return table(
        "function",
        "cold import",
        "fastest",
        "processor",
        "memory",
        "modules",
        rows=[
            (
                start.function,
                took(start.seconds * 1000),
                took(start.fastest * 1000),
                took(start.processor * 1000),
                f"{start.memory / MB:.0f} MB",
                str(start.modules),
            )
            for start in starts
        ],
        whole=("function",),
    )


def _share(size: int, limit: int) -> Text:
    share = size / limit
    return Text(f"{share:.0%}", style="red" if share > 0.9 else "yellow" if share > 0.7 else "green")


@contextmanager
def _progress(session: Session, total: int) -> Iterator[Callable[[str, str, str], None]]:
    """A bar on the terminal that counts functions; nothing for machines."""
    shown = console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=shown,
        transient=True,
        disable=session.as_json or not shown.is_terminal,
    ) as bar:
        task = bar.add_task("reading the code", total=total)

        def advance(target: str, function: str, what: str) -> None:
            bar.update(task, description=f"{what} {function} for {target}" if what != "done" else None)
            bar.advance(task, 1 if what == "done" else 0)

        yield advance

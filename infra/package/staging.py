"""One face's files, gathered in a folder: locked wheels for a target, our own code, and bytecode of both.

A package zips them; an image takes them in layers.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from infra.package.bytecode import compile_all
from infra.package.closure import MACHINE, Closure
from infra.package.distributions import Lock
from infra.package.targets import Target, interpreter
from infra.package.trim import Trim

if TYPE_CHECKING:
    from _typeshed import StrPath

#: Where Lambda unpacks a function, and an image has it: what tracebacks should show.
TASK_ROOT = "/var/task"


class PackageError(Exception):
    """A package cannot be built; the message says which and why."""


@dataclass(frozen=True)
class Face:
    """A function of ``serverless.yml`` and what its code reaches."""

    name: str
    handler: str
    closure: Closure
    target: str = ""  #: what ``serverless.yml`` deploys it on


@dataclass
class Staged:
    """The files of one face: name to source."""

    face: Face
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    distributions: tuple[str, ...] = ()  #: ``name version``
    made: tuple[str, ...] = ()  #: what is declared for this kind of processor, and is here
    unmade: tuple[str, ...] = ()  #: the same, and is not

    @property
    def unzipped(self) -> int:
        """Bytes of all files."""
        return sum(source.stat().st_size for source in self.files.values())


def stage(root: Path, folder: Path, target: Target, face: Face, lock: Lock) -> Staged:
    """Fetch the face's distributions into ``folder`` and list its files. Raises :class:`PackageError`."""
    installed = folder / "installed"
    install(installed, target, lock.requirements(face.closure.packages), lock)
    staged = Staged(face, folder)
    trim = Trim(installed, face.closure.imports)
    for path in sorted(installed.rglob("*")):
        name = PurePosixPath(path.relative_to(installed).as_posix())
        if path.is_file() and trim.keeps(name):
            staged.files[str(name)] = path
    wanted = [pattern.replace(MACHINE, target.machine) for pattern in face.closure.made]
    staged.made = tuple(name for name in wanted if (root / name).is_file())
    staged.unmade = tuple(name for name in wanted if name not in staged.made)
    for file in (*face.closure.files, *face.closure.data, *staged.made):
        if file in staged.files:
            raise PackageError(f"{face.name}: {file} is ours and also a distribution's")
        staged.files[file] = folder / "ours" / file
        staged.files[file].parent.mkdir(parents=True, exist_ok=True)
        try:  # a copy, for the bytecode must be of the very source that is packed: nobody compares them later
            shutil.copyfile(root / file, staged.files[file])
        except FileNotFoundError:
            raise PackageError(f"{face.name}: {file} went away while it was packed") from None
    staged.distributions = tuple(
        sorted(path.name.removesuffix(".dist-info").replace("-", " ") for path in installed.glob("*.dist-info"))
    )
    return staged


def install(folder: Path, target: Target, requirements: Sequence[str], lock: Lock) -> None:
    """Have uv put the locked wheels for ``target`` into ``folder``. Raises :class:`PackageError` with uv's words.

    Every requirement is pinned, so that uv insists on the lock's hash for it and for all that it needs in turn.
    """
    folder.mkdir(parents=True)
    wanted = folder.with_name("requirements.in")
    wanted.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    left_out = folder.with_name("overrides.in")
    left_out.write_text("".join(f"{line}\n" for line in lock.overrides), encoding="utf-8")
    locked = folder.with_name("constraints.txt")
    locked.write_text(lock.text, encoding="utf-8")
    given: list[StrPath] = [uv(), "pip", "install", "--quiet", "--target", folder, *target.uv_options]
    given += ["--require-hashes", "--requirement", wanted, "--overrides", left_out, "--constraints", locked]
    ran = subprocess.run(given, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise PackageError(f"uv cannot fetch the packages for {target.name}: {ran.stderr.strip()}")


@functools.cache
def uv() -> str:
    """The program. Raises :class:`PackageError`."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise PackageError("uv is not installed; run `make install-dev`")
    return found


def add_bytecode(target: Target, stages: Sequence[Staged], folder: Path) -> bool:
    """Add bytecode to every face's files; False when no interpreter of the target's version is here.

    Many faces have the same sources: each content is compiled once under each name.
    """
    python = interpreter(target.python)
    if python is None:
        return False
    tag = f"cpython-{target.python.replace('.', '')}"
    jobs: dict[tuple[str, str], tuple[str, str, str]] = {}
    wanted: list[tuple[Staged, str, tuple[str, str]]] = []
    for staged in stages:
        for name, source in staged.files.items():
            if name.endswith(".py"):
                key = (name, hashlib.sha256(source.read_bytes()).hexdigest())
                compiled = folder / key[1][:2] / f"{key[1]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.pyc"
                jobs.setdefault(key, (str(source), str(compiled), f"{TASK_ROOT}/{name}"))
                wanted.append((staged, name, key))
    refused = set(compile_all(python, [jobs[key] for key in sorted(jobs)]))
    for staged, name, key in wanted:
        compiled_from, compiled_to, _ = jobs[key]
        if compiled_from not in refused:
            path = PurePosixPath(name)
            staged.files[str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc")] = Path(compiled_to)
    return True

"""Build the packages, one zip per function.

For each face: read what its code reaches, have uv fetch the locked wheels into a folder of the face's own, leave out
what never runs, compile the rest, zip it. The zips of one target appear together, when all are complete and within
Lambda's limits; until then what was there before stays.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from infra.local.variables import load_yaml
from infra.package import archive
from infra.package.bytecode import compile_all
from infra.package.closure import Closure, closure
from infra.package.distributions import Lock, read_lock
from infra.package.targets import HERE, Target, interpreter
from infra.package.trim import Trim

if TYPE_CHECKING:
    from _typeshed import StrPath

#: Lambda's quotas, in bytes. Source: AWS Lambda Developer Guide, "Lambda quotas", "Deployment package (.zip file
#: archive) size": 50 MB zipped when uploaded directly, 250 MB unzipped.
MAX_ZIPPED = 50 * 1024 * 1024
MAX_UNZIPPED = 250 * 1024 * 1024

#: Clients that only one kind of object storage (``MILLRACE_STORAGE``) needs, by that kind. S3's is in Lambda's runtime.
CLIENTS = {"supabase": "shared/storage/supabase.py"}

#: Where Lambda unpacks a function, which tracebacks should show.
_TASK_ROOT = "/var/task"

Progress = Callable[[str, str, str], None]  #: target, function, what is being done


class PackageError(Exception):
    """A package cannot be built; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Package:
    """One built zip."""

    function: str
    target: str
    path: Path
    zipped: int  #: bytes
    unzipped: int  #: bytes
    sha256: str
    compiled: bool
    distributions: tuple[str, ...]  #: ``name version``

    @property
    def excess(self) -> str | None:
        """Which of Lambda's limits it is over, else None."""
        if self.unzipped > MAX_UNZIPPED:
            return f"{self.unzipped:,} bytes unzipped, over Lambda's {MAX_UNZIPPED:,}"
        if self.zipped > MAX_ZIPPED:
            return f"{self.zipped:,} bytes zipped, over Lambda's {MAX_ZIPPED:,}"
        return None


@dataclass(frozen=True)
class Face:
    """A function of ``serverless.yml`` and what its code reaches."""

    name: str
    handler: str
    closure: Closure


@dataclass
class _Staged:
    """The files of one face, not yet zipped."""

    face: Face
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    distributions: tuple[str, ...] = ()


def faces(root: Path, names: Collection[str] | None = None, *, storage: str = "s3") -> list[Face]:
    """The faces that ``serverless.yml`` lists, or those of these names, for one kind of object storage.

    Raises :class:`PackageError`, ``ServerlessError`` and ``ClosureError``.
    """
    config = root / "serverless.yml"
    document = load_yaml(config)
    functions = document.get("functions") if isinstance(document, dict) else None
    if not isinstance(functions, dict):
        raise PackageError("serverless.yml lists no functions")
    if unknown := sorted(set(names or ()) - set(functions)):
        raise PackageError(f"serverless.yml has no function {', '.join(unknown)}; it has {', '.join(functions)}")
    unused = [file for kind, file in CLIENTS.items() if kind != storage]
    found = []
    for name, definition in functions.items():
        handler = definition.get("handler") if isinstance(definition, dict) else None
        if not isinstance(handler, str):
            raise PackageError(f"serverless.yml: the function {name} has no handler")
        if not names or name in names:
            found.append(Face(str(name), handler, closure(root, handler, unused)))
    return found


def build(
    root: Path,
    target: Target,
    wanted: Sequence[Face],
    *,
    folder: Path,
    progress: Progress = lambda target, function, what: None,
) -> list[Package]:
    """Build ``wanted`` for ``target`` into ``folder``, as ``<function>.zip``.

    For this machine, each package is also unpacked beside its zip. Raises :class:`PackageError` and leaves what was
    built before.
    """
    lock = read_lock(root)
    _uv()  # found here, for looking is not safe in several threads at once
    folder.parent.mkdir(parents=True, exist_ok=True)
    archiver = archive.Archiver()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=folder.parent) as scratch:
        work = Path(scratch)
        done = work / "done"
        done.mkdir()

        def stage(face: Face) -> _Staged:
            progress(target.name, face.name, "fetching")
            return _stage(root, work / "stage" / face.name, target, face, lock)

        def pack(staged: _Staged) -> Package:
            progress(target.name, staged.face.name, "packing")
            path = done / f"{staged.face.name}.zip"
            digest = archiver.write(path, staged.files)
            unzipped = sum(source.stat().st_size for source in staged.files.values())
            final = folder / path.name
            zipped = path.stat().st_size
            progress(target.name, staged.face.name, "done")
            return Package(
                staged.face.name, target.name, final, zipped, unzipped, digest, compiled, staged.distributions
            )

        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            stages = list(pool.map(stage, wanted))
            progress(target.name, "all functions", "compiling")
            compiled = _compile(target, stages, work / "bytecode")
            packages = list(pool.map(pack, stages))
        if over := [f"{package.function}: {package.excess}" for package in packages if package.excess]:
            raise PackageError(f"too large for Lambda on {target.name}: {'; '.join(over)}")
        folder.mkdir(exist_ok=True)
        for package in packages:
            if target.name == HERE:
                _unpack(done / package.path.name, folder / package.function, work)
            (done / package.path.name).replace(package.path)
    return packages


def _unpack(zipped: Path, folder: Path, work: Path) -> None:
    fresh = work / "unpacked" / folder.name
    archive.unpack(zipped, fresh)
    if folder.exists():
        folder.replace(work / f"old-{folder.name}")
    fresh.replace(folder)


# --- one face's files


def _stage(root: Path, folder: Path, target: Target, face: Face, lock: Lock) -> _Staged:
    """Fetch the distributions and list the files."""
    installed = folder / "installed"
    install(installed, target, lock.requirements(face.closure.packages), lock.path)
    staged = _Staged(face, folder)
    trim = Trim(installed, face.closure.imports)
    for path in sorted(installed.rglob("*")):
        name = PurePosixPath(path.relative_to(installed).as_posix())
        if path.is_file() and trim.keeps(name):
            staged.files[str(name)] = path
    for file in face.closure.files:
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


def install(folder: Path, target: Target, requirements: Sequence[str], lock: Path) -> None:
    """Have uv put the locked wheels for ``target`` into ``folder``. Raises :class:`PackageError` with uv's words.

    Every requirement is pinned, so that uv insists on the lock's hash for it and for all that it needs in turn.
    """
    folder.mkdir(parents=True)
    wanted = folder.with_name("requirements.in")
    wanted.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    given: list[StrPath] = [_uv(), "pip", "install", "--quiet", "--target", folder, *target.uv_options]
    given += ["--require-hashes", "--requirement", wanted, "--constraints", lock]
    ran = subprocess.run(given, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise PackageError(f"uv cannot fetch the packages for {target.name}: {ran.stderr.strip()}")


@functools.cache
def _uv() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise PackageError("uv is not installed; run `make install-dev`")
    return found


# --- bytecode


def _compile(target: Target, stages: Sequence[_Staged], folder: Path) -> bool:
    """Add bytecode to every face's files; False when no interpreter of the target's version is here.

    Many faces have the same sources: each content is compiled once under each name.
    """
    python = interpreter(target.python)
    if python is None:
        return False
    tag = f"cpython-{target.python.replace('.', '')}"
    jobs: dict[tuple[str, str], tuple[str, str, str]] = {}
    wanted: list[tuple[_Staged, str, tuple[str, str]]] = []
    for staged in stages:
        for name, source in staged.files.items():
            if name.endswith(".py"):
                key = (name, hashlib.sha256(source.read_bytes()).hexdigest())
                compiled = folder / key[1][:2] / f"{key[1]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.pyc"
                jobs.setdefault(key, (str(source), str(compiled), f"{_TASK_ROOT}/{name}"))
                wanted.append((staged, name, key))
    refused = set(compile_all(python, [jobs[key] for key in sorted(jobs)]))
    for staged, name, key in wanted:
        compiled_from, compiled_to, _ = jobs[key]
        if compiled_from not in refused:
            path = PurePosixPath(name)
            staged.files[str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc")] = Path(compiled_to)
    return True


__all__ = ["Face", "Package", "PackageError", "build", "faces", "install"]

"""Build the packages, one zip per function.

For each face: read what its code reaches, have uv fetch the locked wheels into a folder of the face's own, leave out
what never runs, compile the rest, zip it. The zips of one target appear together, when all are complete and within
Lambda's limits; until then what was there before stays.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.local.variables import load_yaml
from infra.package import archive, record
from infra.package.closure import closure
from infra.package.distributions import read_lock
from infra.package.staging import Face, PackageError, Staged, add_bytecode, install, stage, uv
from infra.package.targets import HERE, Target

#: Lambda's quotas, in bytes. Source: AWS Lambda Developer Guide, "Lambda quotas", "Deployment package (.zip file
#: archive) size": 50 MB zipped when uploaded directly, 250 MB unzipped.
MAX_ZIPPED = 50 * 1024 * 1024
MAX_UNZIPPED = 250 * 1024 * 1024

#: Clients that only one kind of object storage (``MILLRACE_STORAGE``) needs, by that kind. S3's is in Lambda's runtime.
CLIENTS = {"supabase": "shared/storage/supabase.py"}

Progress = Callable[[str, str, str], None]  #: target, function, what is being done


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
    unmade: tuple[str, ...] = ()  #: files that could only be made on such a processor: the function makes them itself

    @property
    def excess(self) -> str | None:
        """Which of Lambda's limits it is over, else None."""
        if self.unzipped > MAX_UNZIPPED:
            return f"{self.unzipped:,} bytes unzipped, over Lambda's {MAX_UNZIPPED:,}"
        if self.zipped > MAX_ZIPPED:
            return f"{self.zipped:,} bytes zipped, over Lambda's {MAX_ZIPPED:,}"
        return None


def faces(root: Path, names: Collection[str] | None = None, *, storage: str = "s3", images: bool = False) -> list[Face]:
    """The faces that ``serverless.yml`` lists, or those of these names, for one kind of object storage.

    Those that are packages, or with ``images`` those that are images. Raises :class:`PackageError`, ``ServerlessError``
    and ``ClosureError``.
    """
    listed = dict(_listed(root))
    if unknown := sorted(set(names or ()) - set(listed)):
        raise PackageError(f"serverless.yml has no function {', '.join(unknown)}; it has {', '.join(listed)}")
    if other := sorted(name for name in names or () if listed[name][1] is not images):
        remedy = "is packed as a zip: `make package`" if images else "is an image: `make image-tree`"
        raise PackageError(f"{', '.join(other)} {remedy}")
    unused = [file for kind, file in CLIENTS.items() if kind != storage]
    return [
        Face(name, handler, closure(root, handler, unused), target)
        for name, (handler, image, target) in listed.items()
        if image is images and (not names or name in names)
    ]


def _listed(root: Path) -> Iterator[tuple[str, tuple[str, bool, str]]]:
    """Each function's handler, whether it is an image, and its processor, as ``serverless.yml`` says.

    Variables are not resolved: none of these three is one.
    """
    document = load_yaml(root / "serverless.yml")
    functions = document.get("functions") if isinstance(document, dict) else None
    if not isinstance(functions, dict):
        raise PackageError("serverless.yml lists no functions")
    everywhere = (document.get("provider") or {}).get("architecture", "x86_64")  # Lambda's own default
    for name, definition in functions.items():
        match definition:
            case {"image": {"command": [str(handler)]}}:
                yield str(name), (handler, True, definition.get("architecture", everywhere))
            case {"handler": str(handler)}:
                yield str(name), (handler, False, definition.get("architecture", everywhere))
            case _:
                raise PackageError(f"serverless.yml: the function {name} has no handler")


def build(
    root: Path,
    target: Target,
    wanted: Sequence[Face],
    *,
    folder: Path,
    storage: str = "s3",
    progress: Progress = lambda target, function, what: None,
) -> list[Package]:
    """Build ``wanted`` for ``target`` into ``folder``, as ``<function>.zip``.

    ``storage`` is what :func:`faces` was told, and is written down beside the zips (:func:`infra.package.record.read`).
    For this machine, each package is also unpacked beside its zip. Raises :class:`PackageError` and leaves what was
    built before.
    """
    lock = read_lock(root)
    uv()  # found here, for looking is not safe in several threads at once
    folder.parent.mkdir(parents=True, exist_ok=True)
    archiver = archive.Archiver()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=folder.parent) as scratch:
        work = Path(scratch)
        done = work / "done"
        done.mkdir()

        def fetch(face: Face) -> Staged:
            progress(target.name, face.name, "fetching")
            return stage(root, work / "stage" / face.name, target, face, lock)

        def pack(staged: Staged) -> Package:
            progress(target.name, staged.face.name, "packing")
            path = done / f"{staged.face.name}.zip"
            digest = archiver.write(path, staged.files)
            final = folder / path.name
            zipped = path.stat().st_size
            progress(target.name, staged.face.name, "done")
            return Package(
                staged.face.name,
                target.name,
                final,
                zipped,
                staged.unzipped,
                digest,
                compiled,
                staged.distributions,
                staged.unmade,
            )

        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            stages = list(pool.map(fetch, wanted))
            progress(target.name, "all functions", "compiling")
            compiled = add_bytecode(target, stages, work / "bytecode")
            packages = list(pool.map(pack, stages))
        if over := [f"{package.function}: {package.excess}" for package in packages if package.excess]:
            raise PackageError(f"too large for Lambda on {target.name}: {'; '.join(over)}")
        folder.mkdir(exist_ok=True)
        for package in packages:
            if target.name == HERE:
                _unpack(done / package.path.name, folder / package.function, work)
            (done / package.path.name).replace(package.path)
        record.write(folder, {package.path.name: record.Built(package.sha256, storage) for package in packages})
    return packages


def _unpack(zipped: Path, folder: Path, work: Path) -> None:
    fresh = work / "unpacked" / folder.name
    archive.unpack(zipped, fresh)
    if folder.exists():
        folder.replace(work / f"old-{folder.name}")
    fresh.replace(folder)


__all__ = ["Face", "Package", "PackageError", "build", "faces", "install"]

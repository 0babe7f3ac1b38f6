"""What was built, written down beside it: a package does not say what kind of object storage it was built for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_NAME = "built.json"


class Built(NamedTuple):
    """One package."""

    sha256: str
    storage: str  #: ``s3`` or ``supabase``: the client it has


def write(folder: Path, built: Mapping[str, Built]) -> None:
    """Note what was built in ``folder``, by the file's name. What is known of others stays."""
    known = _known(folder) | {name: one._asdict() for name, one in built.items()}
    draft = folder / f".{_NAME}"
    draft.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n", encoding="utf-8")
    draft.replace(folder / _NAME)


def read(package: Path) -> Built | None:
    """What is known of the package as it lies there; None when it is another than was built."""
    found = _known(package.parent).get(package.name)
    if found is None or not package.is_file():
        return None
    with package.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == found["sha256"]
    return Built(**found) if same else None


def _known(folder: Path) -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found

"""Files that a run left, kept in the bucket ``code-executions`` under ``<owner>/<run>/<name>``."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Iterable

from shared.models.code import CodeFile
from shared.models.code_runs import Artifact, ArtifactLink
from shared.storage import DEFAULT_MEDIA_TYPE, Storage

BUCKET = "code-executions"
LONGEST_NAME = 200

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
#: Types that a browser only shows. Anything else is a download: code may not make pages or scripts of our addresses.
_SHOWN = frozenset(("application/json", "application/pdf", "text/csv", "text/plain"))
_SHOWN |= {"image/gif", "image/jpeg", "image/png", "image/webp"}


def keep(storage: Storage, owner: str, execution: str, files: Iterable[CodeFile]) -> list[Artifact]:
    """Store these files; repeated, it writes the same objects again."""
    kept: list[Artifact] = []
    taken: set[str] = set()
    for file in files:
        name = _free(safe_name(file.path), taken)
        taken.add(name)
        key = f"{owner}/{execution}/{name}"
        guessed = mimetypes.guess_type(name)[0]
        media_type = guessed if guessed in _SHOWN else DEFAULT_MEDIA_TYPE
        storage.put(BUCKET, key, file.content, media_type)
        kept.append(
            Artifact(
                name=name,
                bytes=len(file.content),
                media_type=media_type,
                sha256=hashlib.sha256(file.content).hexdigest(),
                bucket=BUCKET,
                key=key,
            )
        )
    return kept


def safe_name(path: str) -> str:
    """A path as a name of letters, digits, ``._-`` and ``/``, which no store and no shell reads as anything else."""
    parts = [_UNSAFE.sub("_", part).lstrip(".-") or "_" for part in path.split("/") if part]
    name = "/".join(parts) or "_"
    if len(name) <= LONGEST_NAME:
        return name
    # The end of a name says what it is; the beginning of its hash keeps two long names apart.
    return f"{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}-{name[-150:].lstrip('./-')}"


def _free(name: str, taken: set[str]) -> str:
    """``name``, or with a number where another file has it already."""
    if name not in taken:
        return name
    folder, slash, last = name.rpartition("/")
    stem, dot, kind = last.rpartition(".")
    number = 2
    while (other := f"{folder}{slash}{stem or kind}-{number}{dot if stem else ''}{kind if stem else ''}") in taken:
        number += 1
    return other


def links(storage: Storage, kept: Iterable[Artifact], seconds: int) -> list[ArtifactLink]:
    """Each file with an address that works for ``seconds``."""
    return [
        ArtifactLink(
            **one.model_dump(), url=storage.signed_url(one.bucket, one.key, expires_in=seconds), expires_in=seconds
        )
        for one in kept
    ]

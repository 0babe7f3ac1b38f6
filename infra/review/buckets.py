"""Whether the buckets are what ``infra/buckets.yml`` declares: there, as private as they should be, bounded.

Where they are is told by MILLRACE_STORAGE. Supabase's are read from ``storage.buckets`` through the database that is
reviewed anyway, so no key is needed; S3's through its API; a directory's from the file system: what others of this
machine cannot enter is private.
"""

from __future__ import annotations

import json
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.buckets import Bucket
from infra.provision import trigger
from infra.review.catalogue import Connection, NotAllowed
from infra.review.drift import Drift
from infra.review.remedy import Remedy
from shared import statements

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

PROVISION = "millrace provision"


@dataclass(frozen=True)
class Held:
    """One bucket as it was found. ``says`` is its state in words."""

    name: str
    place: str  #: where it is, under the name it has there
    should: str  #: ``private`` or ``public``
    says: str
    drifts: tuple[Drift, ...] = ()


def _privacy(public: bool) -> str:
    return "public" if public else "private"


def _held(wanted: Bucket, place: str, says: str, *drifts: tuple[str, Remedy]) -> Held:
    made = tuple(Drift("bucket", wanted.name, said, remedy) for said, remedy in drifts)
    return Held(wanted.name, place, _privacy(wanted.public), says, made)


# --- Supabase Storage -------------------------------------------------------------------------------------------------


def on_supabase(connection: Connection, declared: Iterable[Bucket]) -> list[Held]:
    """The buckets of the project that the database belongs to. Raises :class:`NotAllowed`."""
    import psycopg

    say = statements.load("review")
    try:
        row = connection.execute(say["has_buckets"].encode()).fetchone()
        rows = connection.execute(say["buckets"].encode()).fetchall() if row and row["has_buckets"] else []
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            f"{connection.info.user} may not read the buckets: {error.diag.message_primary}.",
            remedy="Give the owner's address in MILLRACE_MIGRATION_URL.",
        ) from error
    found = {row["id"]: row for row in rows}
    return [_supabase(bucket, found.get(bucket.name)) for bucket in declared]


def _supabase(wanted: Bucket, found: dict[str, Any] | None) -> Held:
    place = f"Supabase Storage, {wanted.name}"
    if found is None:
        return _held(wanted, place, "missing", ("is missing", Remedy(commands=(PROVISION,))))
    drifts: list[tuple[str, Remedy]] = []
    is_public = bool(found["public"])
    if is_public != wanted.public:
        drifts.append((_wrong_privacy(wanted), _update(wanted, f"public = {str(wanted.public).lower()}")))
    if found["file_size_limit"] != wanted.size_limit:
        said = f"takes files of {_size(found['file_size_limit'])}, should be {_size(wanted.size_limit)}"
        drifts.append((said, _update(wanted, f"file_size_limit = {wanted.size_limit}")))
    there, should = found["allowed_mime_types"], wanted.media_types
    if sorted(there or []) != sorted(should or []):
        said = f"takes {', '.join(there or ['any type'])}, should take {', '.join(should or ['any type'])}"
        types = "array[" + ", ".join(f"'{one}'" for one in should) + "]" if should else "null"
        drifts.append((said, _update(wanted, f"allowed_mime_types = {types}")))
    return _held(wanted, place, _privacy(is_public), *drifts)


def _update(wanted: Bucket, setting: str) -> Remedy:
    return Remedy(
        (f"update storage.buckets set {setting} where id = '{wanted.name}';",),  # noqa: S608 - shown, not run
        note=f"`{PROVISION}` does the same for all buckets.",
    )


def _wrong_privacy(wanted: Bucket) -> str:
    return f"is {_privacy(not wanted.public)}, should be {_privacy(wanted.public)}"


def _size(limit: int | None) -> str:
    return "any size" if limit is None else f"up to {limit} bytes"


def triggers(connection: Connection) -> list[Drift]:
    """What must tell us of files in Supabase Storage, and does not."""
    return [
        Drift(
            "trigger", f"storage.objects.{name}", f"{says}: stored files start nothing", Remedy(commands=(PROVISION,))
        )
        for name, says in trigger.faults(connection).items()
    ]


# --- Amazon S3 --------------------------------------------------------------------------------------------------------

_CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def on_s3(client: S3Client, prefix: str, declared: Iterable[Bucket]) -> list[Held]:
    """The buckets ``<prefix>-<bucket>``. Raises :class:`NotAllowed`."""
    return [_s3(client, f"{prefix}-{bucket.name}", bucket) for bucket in declared]


def _s3(client: S3Client, name: str, wanted: Bucket) -> Held:
    place = f"Amazon S3, {name}"
    if _asked(client, "head_bucket", name, {"404", "NoSuchBucket"}) is None:
        return _held(wanted, place, "missing", ("is missing", Remedy(commands=("npx osls deploy",))))
    answer = _asked(client, "get_public_access_block", name, {"NoSuchPublicAccessBlockConfiguration"})
    block = (answer or {}).get("PublicAccessBlockConfiguration", {})
    closed = all(block.get(part) for part in _CLOSED)
    status = _asked(client, "get_bucket_policy_status", name, {"NoSuchBucketPolicy"})
    is_public = not closed and bool((status or {}).get("PolicyStatus", {}).get("IsPublic"))
    if wanted.public:
        remedy = Remedy(commands=("npx osls deploy",), note="The stage says that this bucket is public.")
        return _held(wanted, place, _privacy(is_public), *([] if is_public else [(_wrong_privacy(wanted), remedy)]))
    if closed:
        return _held(wanted, place, "private")
    shut = json.dumps(dict.fromkeys(_CLOSED, True), separators=(",", ":"))
    remedy = Remedy(
        commands=(f"aws s3api put-public-access-block --bucket {name} --public-access-block-configuration '{shut}'",)
    )
    said = "is public, should be private" if is_public else "does not refuse to become public"
    return _held(wanted, place, "public" if is_public else "not closed", (said, remedy))


def _asked(client: S3Client, operation: str, name: str, absent: set[str]) -> dict[str, Any] | None:
    """The answer, or None when there is no such thing."""
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = getattr(client, operation)(Bucket=name)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in absent:
            return None
        if code in ("403", "AccessDenied"):
            raise NotAllowed(
                f"These credentials may not ask S3 about {name} ({operation}).",
                remedy="Allow s3:ListBucket, s3:GetBucketPublicAccessBlock and s3:GetBucketPolicyStatus on it.",
            ) from error
        raise
    return answer


# --- directories ------------------------------------------------------------------------------------------------------


def in_directory(root: Path, declared: Iterable[Bucket]) -> list[Held]:
    """The buckets below ``root``; one without files is not there yet, and that is fine."""
    return [_directory(root, bucket) for bucket in declared]


def _directory(root: Path, wanted: Bucket) -> Held:
    folder = root / wanted.name
    place = f"directory {folder}"
    if not folder.is_dir():
        return _held(wanted, place, "made with its first file")
    if not wanted.public and _open_to_others(folder):
        remedy = Remedy(commands=(f"chmod 700 {shlex.quote(str(root))}",))
        return _held(wanted, place, "readable by everyone here", ("is readable by everyone on this machine", remedy))
    return _held(wanted, place, "private")


def _open_to_others(folder: Path) -> bool:
    """Whether whoever is neither owner nor group may enter it and all that is above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in [folder, *folder.resolve().parents])

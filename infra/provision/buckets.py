"""The buckets in Supabase Storage, made what ``infra/buckets.yml`` declares. Nothing is ever emptied or deleted.

Source: Supabase's Storage API, ``GET /bucket``, ``POST /bucket``, ``PUT /bucket/{id}`` with ``public``,
``file_size_limit`` in bytes and ``allowed_mime_types`` (https://supabase.com/docs/guides/storage/buckets/creating-buckets,
and github.com/supabase/storage, ``src/http/routes/bucket``). Of an update's three fields one that is left out is kept,
so all three are always sent: null lifts a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from infra.buckets import Bucket
from infra.provision.outcome import Outcome, Reason, Refusal, Result

if TYPE_CHECKING:
    from storage3 import SyncStorageClient

SECONDS = 20

LOOK = "Look at MILLRACE_STORAGE (supabase:<project's URL>) and at the project's status; then run this again."


class Buckets:
    """One project's buckets, with its secret key."""

    def __init__(self, url: str, key: str) -> None:
        """``url``: the project's, such as ``https://<ref>.supabase.co``."""
        self._url = url.rstrip("/")
        self._key = key
        self._client: SyncStorageClient | None = None

    def provision(self, wanted: Iterable[Bucket], *, change: bool = True) -> Iterator[Result]:
        """One result for each bucket, as it is done; with ``change`` off, of what would be done.

        A bucket that Storage refuses is reported and the others go on. When nothing can be done at all (no answer, a
        wrong key), the rest are reported as not reached.
        """
        present: dict[str, Any] | None = None
        stopped = False
        for bucket in wanted:
            if stopped:
                yield Result("bucket", bucket.name, Outcome.NOT_REACHED)
                continue
            found: Any = None
            try:
                if present is None:
                    present = {one.id: one for one in self._storage().list_buckets()}
                found = present.get(bucket.name)
                yield self._settle(bucket, found, change)
            except Exception as error:
                if (refusal := explain(error)) is None:
                    raise
                stopped = refusal.reason is not Reason.OTHER
                yield refusal.result("bucket", bucket.name, () if found is None else differences(bucket, found))

    def _settle(self, bucket: Bucket, found: Any, change: bool) -> Result:
        storage = self._storage()
        options: Any = {
            "public": bucket.public,
            "file_size_limit": bucket.size_limit,
            "allowed_mime_types": None if bucket.media_types is None else list(bucket.media_types),
        }
        if found is None:
            if change:
                storage.create_bucket(bucket.name, options=options)
            return Result("bucket", bucket.name, Outcome.CREATED)
        differs = differences(bucket, found)
        if not differs:
            return Result("bucket", bucket.name, Outcome.UNCHANGED)
        if change:
            storage.update_bucket(bucket.name, options)
        return Result("bucket", bucket.name, Outcome.REPAIRED, differs)

    def _storage(self) -> SyncStorageClient:
        if self._client is None:
            import httpx
            from storage3 import SyncStorageClient

            self._client = SyncStorageClient(
                f"{self._url}/storage/v1/",
                {"apiKey": self._key, "Authorization": f"Bearer {self._key}"},
                http_client=httpx.Client(timeout=SECONDS),
            )
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.session.close()
            self._client = None


def differences(bucket: Bucket, found: Any) -> tuple[str, ...]:
    """How the bucket that Storage has differs from the one declared, for people."""
    types = None if found.allowed_mime_types is None else set(found.allowed_mime_types)
    wanted = None if bucket.media_types is None else set(bucket.media_types)
    said = []
    if bool(found.public) != bucket.public:
        said.append(f"public: {_word(found.public)} → {_word(bucket.public)}")
    if found.file_size_limit != bucket.size_limit:
        said.append(f"size limit: {found.file_size_limit or 'none'} → {bucket.size_limit}")
    if types != wanted:
        said.append(f"media types: {_listed(types)} → {_listed(wanted)}")
    return tuple(said)


def explain(error: Exception) -> Refusal | None:
    """What an error of the client means; None for one that is nobody's but ours."""
    import httpx
    from storage3.exceptions import StorageApiError

    match error:
        case StorageApiError():
            said, status = str(error.message).strip(), str(error.status)
            unreadable = said.startswith("Unable to parse error message")
            if status in ("401", "403") or re.search(r"jws|jwt|signature|unauthorized|api key", said, re.IGNORECASE):
                return Refusal(
                    f"Supabase Storage refuses the key: {said}.",
                    "Set MILLRACE_SUPABASE_KEY to the project's secret (service role) key, from its API settings.",
                    Reason.REFUSED,
                )
            if status == "413":
                return Refusal(
                    f"Supabase Storage refuses: {said}.",
                    "Raise the project's own file size limit in its storage settings to what infra/buckets.yml says, "
                    "or set MILLRACE_LARGE_FILE_BYTES to what it allows.",
                )
            if unreadable or status.startswith("5"):
                return Refusal(
                    f"Supabase Storage answers {status}: {said[:200]}.",
                    LOOK,
                    Reason.UNREACHABLE,
                )
            return Refusal(f"Supabase Storage refuses: {said}.", "Put it right in the project, and run this again.")
        case httpx.HTTPError():
            return Refusal(
                f"Supabase Storage does not answer: {error or type(error).__name__}.",
                LOOK,
                Reason.UNREACHABLE,
            )
        case ValueError() | TypeError():  # an answer, and not of Storage's
            return Refusal(
                "What answers there is not Supabase Storage.",
                "Set MILLRACE_STORAGE to supabase:<project's URL>, such as supabase:https://<ref>.supabase.co.",
                Reason.UNREACHABLE,
            )
    return None


def _word(value: object) -> str:
    return "yes" if value else "no"


def _listed(types: set[str] | None) -> str:
    return "any" if types is None else ", ".join(sorted(types)) or "none"

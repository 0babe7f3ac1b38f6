"""Objects in buckets: the port, and this process's store.

An object appears whole or not at all and is durable when ``put`` returns. A signed URL lets its bearer do one thing to
one object until it expires. What is created is told to the queue :data:`EVENTS`: by the directory itself, by S3's
notifications, by a trigger on Supabase's table.
"""

from __future__ import annotations

import functools
from pathlib import Path

from shared.storage.directory import DirectoryStorage, Event
from shared.storage.grants import Grant
from shared.storage.port import (
    BUCKETS,
    DEFAULT_MEDIA_TYPE,
    EVENTS,
    LONGEST_SIGNED_SECONDS,
    PAGE,
    Storage,
    Stored,
    Way,
    attachment,
    check_name,
    digest,
    pieces,
)

__all__ = [
    "BUCKETS",
    "DEFAULT_MEDIA_TYPE",
    "EVENTS",
    "LONGEST_SIGNED_SECONDS",
    "PAGE",
    "DirectoryStorage",
    "Event",
    "Grant",
    "Storage",
    "Stored",
    "Way",
    "attachment",
    "check_name",
    "digest",
    "pieces",
    "storage",
]


@functools.cache
def storage() -> Storage:
    """The process's store, as ``MILLRACE_STORAGE`` names it. Opens no connection: its first use does.

    A directory's events ring the bell of :data:`EVENTS`.
    """
    from shared.settings import StorageSettings

    settings = StorageSettings.load()
    kind, _, where = settings.storage.partition(":")
    if kind == "s3":
        from shared.storage.s3 import S3Storage

        return S3Storage(where, kms_key=settings.storage_kms_key)
    if kind == "supabase":
        from shared.storage.supabase import SupabaseStorage

        assert settings.supabase_key is not None  # the settings' own check
        return SupabaseStorage(where, settings.supabase_key.get_secret_value())

    from shared.doorbell import doorbell

    secret = settings.storage_secret
    return DirectoryStorage(
        Path(where),
        secret.get_secret_value().encode() if secret is not None else None,
        url=settings.storage_url,
        listener=lambda event: doorbell().ring(EVENTS, [event.id]),
    )

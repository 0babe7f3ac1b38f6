"""Which keys are whose.

A key begins with its owner's id, and nobody gets past that: it is compared as text, and a key with a segment that some
client, proxy or store might resolve (empty, ``.``, ``..``) is nobody's. What is refused is answered as if it were not
there.
"""

from __future__ import annotations

import secrets
from uuid import UUID

from shared.errors import NotFound
from shared.storage import check_name

#: Bytes of chance in a key: as much as in a version 4 UUID, and a little more.
RANDOM_BYTES = 16
#: The bucket that uploads land in, below ``incoming/``: no owner's folder, so nobody lists it and it starts nothing.
LANDING = "user-uploads"

#: What does not come through API Gateway in a path as it was sent: it decodes, and loses what follows a question mark.
_UNTRAVELLED = str.maketrans("%?", "__")


def landing_key(owner: UUID, upload: UUID) -> str:
    """Where an upload lands."""
    return f"incoming/{owner}/{upload}"


def final_key(owner: UUID, folder: str, filename: str) -> str:
    """A key that nobody can guess and that has never been: ``<owner>/[<folder>/]<random>/<file name>``."""
    between = f"{folder}/" if folder else ""
    return f"{owner}/{between}{secrets.token_urlsafe(RANDOM_BYTES)}/{filename.translate(_UNTRAVELLED)}"


def own(owner: UUID, bucket: str, key: str) -> str:
    """The key, if it is this owner's; else :class:`NotFound`, or :class:`~shared.errors.Invalid` for what is no key."""
    check_name(bucket, key)
    first, *rest = key.split("/")
    if first != str(owner) or not rest or any(part in ("", ".", "..") for part in rest):
        raise NotFound("There is no such file, or it is not yours.")
    return key


def own_prefix(owner: UUID, prefix: str) -> str:
    """The prefix below the owner's folder, whether it names that or not.

    Another's is below one's own, where there is nothing; so nobody learns whether it is somewhere.
    """
    mine = f"{owner}/"
    return prefix if prefix.startswith(mine) else f"{mine}{prefix}"


def file_name(key: str) -> str:
    """What somebody who downloads the file calls it."""
    return key.rpartition("/")[2]

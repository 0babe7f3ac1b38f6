"""The buckets as a function is told of them, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import NotFound
from shared.models.upload import BucketOutput


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bucket takes."""

    name: str
    size: int  #: of one object, in bytes
    media_types: tuple[str, ...]  #: patterns such as ``text/*``; none: anything

    def shown(self) -> BucketOutput:
        """The bucket, for callers."""
        return BucketOutput(name=self.name, size_limit=self.size, media_types=list(self.media_types) or None)


def read(said: str) -> dict[str, Limits]:
    """What MILLRACE_BUCKETS says: of each bucket name, size and media types."""
    found = {}
    for bucket in said.split(","):
        name, size, *media_types = bucket.split()
        found[name] = Limits(name, int(size), tuple(media_types))
    return found


def of(buckets: dict[str, Limits], name: str) -> Limits:
    """One bucket's, or :class:`NotFound`."""
    try:
        return buckets[name]
    except KeyError:
        raise NotFound("There is no such bucket.") from None

"""What the signed URLs of a directory store allow, and how they are signed.

A URL carries all that it allows in its query, and an HMAC over that, the bucket and the key. So nothing is kept for it,
and nothing in it can be changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import Forbidden, Invalid, TooLarge
from shared.storage.port import check_name, check_signing


@dataclass(frozen=True, slots=True)
class Grant:
    """What a signed URL allows."""

    method: str
    bucket: str
    key: str
    media_type: str | None = None
    max_bytes: int | None = None
    size: int | None = None  #: exactly
    sha256: str | None = None  #: of the content, in hex
    once: bool = False  #: what is there is not replaced
    parts_id: str | None = None  #: the upload that this is a part of
    part: int | None = None  #: which part, from 1 on
    filename: str | None = None  #: a file to keep, not a page to show

    def check(self, size: int, media_type: str) -> None:
        """Raises :class:`Forbidden`, :class:`TooLarge` or :class:`Invalid` for content that this does not allow."""
        if self.method != "PUT":
            raise Forbidden("This address is not for uploading.")
        most = self.size if self.size is not None else self.max_bytes
        if most is not None and size > most:
            raise TooLarge(f"This address takes at most {most} bytes.")
        if self.size is not None and size != self.size:
            raise Invalid(f"This address takes exactly {self.size} bytes, not {size}.")
        if self.media_type is not None and media_type != self.media_type:
            raise Invalid(f"This address takes {self.media_type} only.")


#: The fields of a grant by their names in a query, in the order in which they are signed.
_FIELDS = {
    "method": "method",
    "type": "media_type",
    "max": "max_bytes",
    "size": "size",
    "sha256": "sha256",
    "once": "once",
    "upload": "parts_id",
    "part": "part",
    "filename": "filename",
}
_NUMBERS = {"max", "size", "part"}


class Signer:
    """Signs URLs that begin with ``url``; ``secret`` has at least 32 bytes, and without it there are none."""

    def __init__(self, secret: bytes | None, url: str, clock: Callable[[], float] = time.time) -> None:
        if secret is not None and len(secret) < 32:
            raise ValueError("the secret that signs URLs must have at least 32 bytes")
        self._secret = secret
        self._url = url.rstrip("/")
        self._clock = clock

    def sign(self, grant: Grant, expires_in: int) -> str:
        """The URL that allows this for so many seconds."""
        check_name(grant.bucket, grant.key)
        check_signing(grant.method, expires_in)
        query = {"expires": str(int(self._clock()) + expires_in)}
        for name, field in _FIELDS.items():
            value = getattr(grant, field)
            if value is not None and value is not False:
                query[name] = "1" if value is True else str(value)
        query["signature"] = self._signature(grant.bucket, grant.key, query)
        path = urllib.parse.quote(f"/objects/{grant.bucket}/{grant.key}", safe="/")
        return f"{self._url}{path}?{urllib.parse.urlencode(query)}"

    def verify(self, bucket: str, key: str, query: Mapping[str, str]) -> Grant:
        """What the URL with this bucket, key (percent-decoded) and query allows. Raises :class:`Forbidden`."""
        signature = self._signature(bucket, key, query)
        if not hmac.compare_digest(signature.encode(), query.get("signature", "").encode()):
            raise Forbidden("This address is not signed, or not as it was signed.")
        if self._clock() >= int(query["expires"]):
            raise Forbidden("This address has expired.", remedy="Ask for a new one.")
        given = {
            field: int(query[name]) if name in _NUMBERS else query[name]
            for name, field in _FIELDS.items()
            if name in query
        }
        return Grant(bucket=bucket, key=key, **given | {"once": "once" in query})  # type: ignore[arg-type]

    def _signature(self, bucket: str, key: str, query: Mapping[str, str]) -> str:
        if self._secret is None:
            raise Forbidden("This store signs no addresses.", remedy="Set MILLRACE_STORAGE_SECRET.")
        # As JSON, so that no two sets of fields read the same.
        said = json.dumps(["millrace object 2", bucket, key, *(query.get(name) for name in ("expires", *_FIELDS))])
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

"""What can go wrong, as one small family.

Every refusal that a caller may see is a :class:`MillraceError`. ``shared.web`` turns it into a problem document
(RFC 9457); ``shared.database`` raises it for the SQLSTATEs of class ``MR`` that our SQL functions use, so that a rule
decided in the database reads the same as one decided in Python.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MillraceError(Exception):
    """Something was refused or failed."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str | None = None,
        *,
        remedy: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """``errors``: a list of ``{"path": dotted field, "message": what is wrong}``; ``retry_after``: in seconds."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.remedy = remedy
        self.errors = errors or []
        self.retry_after = retry_after
        super().__init__(self.detail)


class BadRequest(MillraceError):
    """The request cannot be read."""

    status = 400
    slug = "bad-request"


class Unauthenticated(MillraceError):
    """No valid credentials were given."""

    status = 401
    slug = "unauthenticated"


class Forbidden(MillraceError):
    """These credentials may not do that."""

    status = 403
    slug = "forbidden"


class NotFound(MillraceError):
    """There is no such thing, or it is not yours."""

    status = 404
    slug = "not-found"


class Conflict(MillraceError):
    """That contradicts the present state."""

    status = 409
    slug = "conflict"


class PreconditionFailed(MillraceError):
    """It has changed since you looked."""

    status = 412
    slug = "precondition-failed"


class TooLarge(MillraceError):
    """That is larger than is accepted."""

    status = 413
    slug = "too-large"


class Invalid(MillraceError):
    """The content is not valid."""

    status = 422
    slug = "invalid"


class TooMany(MillraceError):
    """Too many requests; try again later."""

    status = 429
    slug = "too-many"


class Unavailable(MillraceError):
    """A part that this needs does not answer."""

    status = 503
    slug = "unavailable"


#: SQLSTATEs raised by our SQL functions (`raise exception using errcode = 'MR404', hint = <remedy>`).
BY_SQLSTATE: dict[str, type[MillraceError]] = {
    f"MR{error.status}": error
    for error in (
        BadRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        PreconditionFailed,
        TooLarge,
        Invalid,
        TooMany,
        Unavailable,
    )
}

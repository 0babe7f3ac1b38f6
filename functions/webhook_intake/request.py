"""One webhook request, as its sender wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from shared.errors import BadRequest

#: The longest that a caller may wait for its run's answer, in seconds: API Gateway gives up at 30.
MAX_WAIT_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` by lower-case name; ``path`` is the hook's, from its ``/``; ``url`` is what Twilio signs."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    url: str = ""
    source_ip: str | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def wait_seconds(self) -> float:
        """What ``?wait=`` asks for, at most :data:`MAX_WAIT_SECONDS`; 0 without it. Raises :class:`BadRequest`."""
        if "wait=" not in self.query:
            return 0.0
        asked = dict(parse_qsl(self.query)).get("wait", "0")
        try:
            seconds = float(asked)
        except ValueError:
            seconds = -1.0
        if not seconds >= 0:  # NaN is no number of seconds either
            raise BadRequest("The parameter wait is not a number of seconds.", remedy="Send wait=0 to wait=25.")
        return min(seconds, MAX_WAIT_SECONDS)

    def parameters(self) -> dict[str, str | list[str]]:
        """The query without ``wait``: a name given twice has a list."""
        return fields(parse_qsl(self.query, keep_blank_values=True), without="wait")


def fields(pairs: list[tuple[str, str]], without: str | None = None) -> dict[str, str | list[str]]:
    """Pairs of a query or form by name; the values of a name given more than once become a list, in their order."""
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name == without:
            continue
        earlier = found.get(name)
        if earlier is None:
            found[name] = value
        elif isinstance(earlier, list):
            earlier.append(value)
        else:
            found[name] = [earlier, value]
    return found

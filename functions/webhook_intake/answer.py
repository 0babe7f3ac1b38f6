"""What the sender is told: an accepted run, a run's own answer, or a problem document (RFC 9457).

The documents are those of ``shared.web``; this face does without FastAPI, see ``api.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.errors import MillraceError

RUNS = "/api/v1/workflows/executions"
JSON = "application/json"

#: API Gateway takes 6 MB; a longer answer is read where Location says.
LONGEST_BODY = 4_000_000

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: Headers that belong to the connection, to us, or to the browser's trust in this address.
_OURS = frozenset(
    {
        "connection", "content-length", "content-security-policy", "date", "host", "keep-alive", "location",
        "proxy-authenticate", "server", "set-cookie", "strict-transport-security", "te", "trailer",
        "transfer-encoding", "upgrade", "x-content-type-options",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})


def problem(error: MillraceError) -> Answer:
    """The document that tells ``error``."""
    document: dict[str, Any] = {
        "type": f"urn:millrace:problem:{error.slug}",
        "title": (type(error).__doc__ or "").strip().split("\n")[0].rstrip("."),
        "status": error.status,
        "detail": error.detail,
    }
    if error.remedy:
        document["remedy"] = error.remedy
    if error.errors:
        document["errors"] = error.errors
    headers = {"content-type": "application/problem+json"}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Answer(error.status, json.dumps(document, separators=(",", ":")), headers)


def wrong_method(method: str, allowed: tuple[str, ...]) -> Answer:
    """405, which is no error of ours elsewhere: FastAPI answers it for the other faces."""
    document = {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": f"This webhook takes {', '.join(allowed)}, not {method[:20]}.",
    }
    return Answer(405, json.dumps(document), {"content-type": "application/problem+json", "allow": ", ".join(allowed)})


def accepted(run: UUID, *, duplicate: bool = False, scheme: str = "", note: str | None = None) -> Answer:
    """202 with the run's id and its address. Twilio reads nothing but TwiML, so it gets an empty document."""
    location = f"{RUNS}/{run}"
    headers = {"content-type": JSON, "location": location, "millrace-run": str(run)}
    if duplicate:
        headers["millrace-duplicate"] = "true"
    if scheme == "twilio":
        return Answer(202, "<Response/>", headers | {"content-type": "text/xml"})
    body: dict[str, Any] = {"id": str(run), "status": "accepted", "duplicate": duplicate, "location": location}
    if note:
        body["note"] = note
    return Answer(202, json.dumps(body, separators=(",", ":")), headers)


def filtered() -> Answer:
    """200: the delivery arrived and the filters let it go; sending it again would change nothing."""
    return Answer(200, '{"id":null,"status":"filtered"}')


def plain(text: str) -> Answer:
    """200 with a bare text: what a provider's handshake asks for."""
    return Answer(200, text, {"content-type": "text/plain", "x-content-type-options": "nosniff"})


def finished(run: UUID, row: Mapping[str, Any]) -> Answer:
    """The answer of a run that responded or ended: the respond node's, else its output, else how it failed."""
    base = {"location": f"{RUNS}/{run}", "millrace-run": str(run), "x-content-type-options": "nosniff"}
    response = row["response"]
    if isinstance(response, dict):
        return _shaped(response, base)
    body: dict[str, Any] = {"id": str(run), "status": row["status"]}
    if row["status"] == "completed":
        body["output"] = row["output"]
        return _bounded(Answer(200, _dump(body), base | {"content-type": JSON}))
    failed = problem(
        MillraceError(f"The run {run} ended as {row['status']}: {row['error_message'] or 'no reason given'}")
    )
    return Answer(500, failed.body, base | failed.headers)


def _shaped(response: Mapping[str, Any], base: dict[str, str]) -> Answer:
    """A respond node's ``{"status", "headers", "body"}``. Whatever it shaped, it is no page of this address."""
    status = response.get("status")
    status = status if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599 else 200
    headers = dict(base)
    given = response.get("headers")
    for name, value in (given if isinstance(given, dict) else {}).items():
        if isinstance(value, (str, int, float)) and _NAME.match(name) and name.lower() not in _OURS:
            headers[name.lower()] = re.sub(r"[^\t\x20-\x7e]", " ", str(value))
    headers["content-security-policy"] = "sandbox"
    body = response.get("body")
    if isinstance(body, str):
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        return _bounded(Answer(status, body, headers))
    headers.setdefault("content-type", JSON)
    return _bounded(Answer(status, "" if body is None else _dump(body), headers))


def _bounded(answer: Answer) -> Answer:
    if len(answer.body.encode()) <= LONGEST_BODY:
        return answer
    failed = problem(MillraceError("The run's answer is too large to send.", remedy="Read the run at its Location."))
    return Answer(500, failed.body, answer.headers | failed.headers)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

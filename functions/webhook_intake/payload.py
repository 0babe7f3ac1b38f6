"""Bodies become the payload of a run: JSON as it is, forms as objects, text as text, the rest as bytes with a type.

JSON is checked and then kept as the very text that was sent: numbers keep all their digits, nothing is written anew.
Bytes travel as ``{"media_type", "bytes", "base64"}``; above a limit they are stored by their hash, and ``$payload``
stands where ``base64`` would.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from functions.webhook_intake.request import fields
from shared import strict_json
from shared.errors import BadRequest, Invalid

MAX_FIELDS = 1000
_TEXT = frozenset({"application/xml", "application/javascript", "application/x-ndjson", "application/yaml"})

#: Stores bytes of a media type and gives what to keep in their place, or None when they are few enough to stay.
Keeper = Callable[[bytes, str], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Payload:
    """A body's value, and the same as JSON text that ``jsonb`` takes."""

    value: Any
    text: str

    @classmethod
    def of(cls, value: Any) -> Payload:
        strict_json.check(value)
        return cls(value, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def read(body: bytes, content_type: str, scheme: str, keep: Keeper) -> Payload:
    """The payload in ``body``.

    Raises :class:`BadRequest` for what is not what its content type says, :class:`Invalid` for what cannot be kept.
    """
    if not body:
        return Payload(None, "null")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return _json(body)
    if media_type == "application/x-www-form-urlencoded":
        return _form(body, scheme)
    if media_type == "multipart/form-data":
        return Payload.of(_multipart(body, content_type, keep))
    if media_type.startswith("text/") or media_type in _TEXT or media_type.endswith("+xml"):
        return Payload.of(_text(body, _charset(content_type)))
    if not media_type:
        return _untyped(body, keep)
    return Payload.of(_binary(body, media_type, keep))


def _json(body: bytes) -> Payload:
    """The value, and the text as it was sent.

    Most bodies cannot hold what Postgres would not: without escapes there is neither U+0000 nor half a surrogate pair,
    and few brackets cannot nest deeply. Those are parsed and no more; the rest, and all faults, are ``strict_json``'s.
    """
    if b"\\u" not in body and body.count(b"{") + body.count(b"[") <= strict_json.MAX_DEPTH:
        try:
            text = body.decode()
            return Payload(_plain(text), text)
        except (ValueError, RecursionError):
            pass
    return Payload(strict_json.loads(body), body.decode())


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError(f"{digits[:20]} is too large")
    return number


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_plain = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number).decode


def _untyped(body: bytes, keep: Keeper) -> Payload:
    """A body whose sender did not say what it is: JSON if it reads as JSON, else text, else bytes."""
    if body[:1] in b'{["' or body[:1].isdigit():
        try:
            return _json(body)
        except BadRequest:
            pass
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" not in text:
        return Payload.of(text)
    return Payload.of(_binary(body, "application/octet-stream", keep))


def _form(body: bytes, scheme: str) -> Payload:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeDecodeError as error:
        raise BadRequest("The form is not UTF-8, percent-encoded.") from error
    except ValueError as error:
        raise Invalid(f"The form has more than {MAX_FIELDS} fields.") from error
    if scheme in ("github", "slack") and len(pairs) == 1 and pairs[0][0] == "payload":
        return _json(pairs[0][1].encode())  # their forms are one field of JSON
    return Payload.of(fields(pairs))


def _multipart(body: bytes, content_type: str, keep: Keeper) -> dict[str, Any]:
    """Fields by name, files as their bytes with ``filename``; RFC 7578."""
    if "boundary=" not in content_type.lower():
        raise BadRequest("The multipart form does not name its boundary.")
    try:
        form = BytesParser(EmailMessage, policy=HTTP).parsebytes(
            b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
        )
        parts = list(form.iter_parts()) if form.is_multipart() else []
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise BadRequest("The multipart form cannot be read.") from error
    if not parts or form.defects:
        raise BadRequest("The multipart form cannot be read.")
    if len(parts) > MAX_FIELDS:
        raise Invalid(f"The form has more than {MAX_FIELDS} fields.")
    found: dict[str, Any] = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise BadRequest("A part of the multipart form has no name.")
        data = part.get_payload(decode=True)
        data = data if isinstance(data, bytes) else b""
        value: Any
        if (filename := part.get_filename()) is not None:
            value = {"filename": filename, **_binary(data, part.get_content_type(), keep)}
        else:
            value = _text(data, part.get_content_charset("utf-8"))
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _text(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except (LookupError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not text in {charset[:40]!r}.") from error


def _binary(data: bytes, media_type: str, keep: Keeper) -> dict[str, Any]:
    described: dict[str, Any] = {"media_type": media_type, "bytes": len(data)}
    return described | (keep(data, media_type) or {"base64": base64.b64encode(data).decode()})


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or "utf-8"
    return "utf-8"

"""What senders send becomes the run's payload: JSON, forms, text and bytes; what cannot be kept is told by its path."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.webhook_intake import payload
from shared.errors import MillraceError
from shared.payloads import resolve
from shared.storage import DirectoryStorage
from tests.functions.webhook_intake.hook import Hook


def read(body: bytes, content_type: str, scheme: str = "none") -> Any:
    return payload.read(body, content_type, scheme, lambda _data, _type: None).value


@pytest.mark.parametrize(
    ("body", "content_type", "kept"),
    [
        (b'{"a": [1, 2.5, null]}', "application/json", {"a": [1, 2.5, None]}),
        (b'"text"', "application/json; charset=utf-8", "text"),
        (b'{"a":1}', "application/vnd.api+json", {"a": 1}),
        (b'{"a":1}', "", {"a": 1}),
        (b"", "application/json", None),
        (b"", "", None),
        (b"a=1&b=x+y%26&a=2&c=", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "x y&", "c": ""}),
        ("grüße".encode(), "text/plain", "grüße"),
        ("grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", "grüße"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"hello", "", "hello"),
        (b"{not json", "", "{not json"),
        (b"\x89PNG\x00", "image/png", {"media_type": "image/png", "bytes": 5, "base64": "iVBORwA="}),
        (b"\xff\x00", "", {"media_type": "application/octet-stream", "bytes": 2, "base64": "/wA="}),
    ],
)
def test_each_kind_of_body_has_its_payload(body: bytes, content_type: str, kept: Any) -> None:
    assert read(body, content_type) == kept


def test_a_multipart_form_has_fields_and_files() -> None:
    body = (
        b'--xx\r\nContent-Disposition: form-data; name="to"\r\n\r\na@example.com\r\n'
        b'--xx\r\nContent-Disposition: form-data; name="to"\r\n\r\nb@example.com\r\n'
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        b"\x89PNG\r\n--xx--\r\n"
    )
    assert read(body, "multipart/form-data; boundary=xx") == {
        "to": ["a@example.com", "b@example.com"],
        "file": {"filename": "a.png", "media_type": "image/png", "bytes": 4, "base64": "iVBORw=="},
    }


@pytest.mark.parametrize("scheme", ["github", "slack"])
def test_a_provider_s_form_of_one_json_field_is_that_json(scheme: str) -> None:
    body = b"payload=" + quote('{"type":"block_actions"}').encode()
    assert read(body, "application/x-www-form-urlencoded", scheme) == {"type": "block_actions"}
    assert read(body, "application/x-www-form-urlencoded") == {"payload": '{"type":"block_actions"}'}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"a":NaN}', "application/json", 400),
        (b'{"a":' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"a":1e999}', "application/json", 422),
        (b'{"a":"\\u0000"}', "application/json", 422),
        (b'{"a":"\\ud800"}', "application/json", 422),
        (b"[" * 66 + b"]" * 66, "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"a\x00b", "text/plain", 422),
        (b"\xff", "text/plain", 400),
        (b"a", "text/plain; charset=klingon", 400),
        (b"a=%00", "application/x-www-form-urlencoded", 422),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 1001), "application/x-www-form-urlencoded", 422),
        (b"--xx\r\n", "multipart/form-data", 400),
        (b"no boundary here", "multipart/form-data; boundary=xx", 400),
        (b"--xx\r\n\r\nnameless\r\n--xx--\r\n", "multipart/form-data; boundary=xx", 400),
    ],
)
def test_what_cannot_be_read_or_kept_is_refused(hook: Hook, body: bytes, content_type: str, status: int) -> None:
    hook.subscribe()
    reply = hook.post(body, {"content-type": content_type})
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert reply.json["detail"]
    assert hook.runs() == []
    assert hook.verdicts() == ["refused"]


def test_the_path_of_what_postgres_cannot_hold_is_named(hook: Hook) -> None:
    hook.subscribe()
    reply = hook.post('{"a":{"b":["x","\\u0000"]}}', {"content-type": "application/json"})
    assert reply.json["errors"] == [{"path": "a.b.1", "message": "contains the character \\u0000"}]


def test_numbers_keep_every_digit(hook: Hook) -> None:
    hook.subscribe()
    hook.post('{"n":12345678901234567890.123456789012345678}', {"content-type": "application/json"})
    row = hook.db.owner.execute("select trigger_data #>> '{payload,n}' as n from workflowexecution").fetchone()
    assert row == {"n": "12345678901234567890.123456789012345678"}


def test_many_bytes_are_kept_by_reference(hook: Hook) -> None:
    hook.subscribe()
    data = bytes(range(256)) * 300
    assert hook.post(data, {"content-type": "image/png"}).status == 202
    kept = hook.runs()[0]["trigger_data"]["payload"]
    assert kept.keys() == {"media_type", "bytes", "$payload"}
    assert kept["bytes"] == len(data)
    assert list(hook.objects.values()) == [data]


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (json.dumps({"text": "é" * 40_000}), "application/json", {"text": "é" * 40_000}),
        ("x" * 70_000, "text/plain", "x" * 70_000),
        (json.dumps({"$payload": {"value": "x" * 70_000}}), "application/json", {"$payload": {"value": "x" * 70_000}}),
    ],
    ids=["json", "text", "look-alike"],
)
def test_a_large_body_of_any_kind_is_kept_by_reference(hook: Hook, body: str, content_type: str, value: Any) -> None:
    hook.subscribe()
    assert hook.post(body, {"content-type": content_type}).status == 202
    kept = hook.runs()[0]["trigger_data"]["payload"]
    assert kept.keys() == {"$payload"}
    assert kept["$payload"]["bucket"] == "workflow-attachments"
    assert [json.loads(data) for data in hook.objects.values()] == [value]


def test_a_body_that_looks_like_a_reference_is_told_from_one(hook: Hook, tmp_path: Path) -> None:
    hook.subscribe()
    forged = {"$payload": {"bucket": "workflow-attachments", "key": "x", "sha256": "0" * 64, "bytes": 1}}
    assert hook.post(forged).status == 202
    kept = hook.runs()[0]["trigger_data"]["payload"]
    assert resolve(DirectoryStorage(tmp_path), hook.user.id, kept) == forged


def test_a_body_over_the_limit_names_the_way_for_large_ones(hook: Hook) -> None:
    hook.subscribe()
    reply = hook.post(b"x" * (1024 * 1024 + 1), {"content-type": "text/plain"})
    assert reply.status == 413
    assert "/api/v1/storage/upload" in reply.json["remedy"]
    assert hook.verdicts() == ["refused"]
    assert hook.post(b"x" * 1024 * 1024, {"content-type": "text/plain"}).status == 202


def test_broken_base64_is_no_request(hook: Hook) -> None:
    from tests.intake import event

    hook.subscribe()
    made = event("api_gateway_github_push") | {"body": "*", "isBase64Encoded": True}
    assert hook.send(made).status == 400
    assert hook.runs() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def read_or_refuse(body: bytes, content_type: str) -> payload.Payload | int:
    """The payload, or the status of its refusal."""
    try:
        return payload.read(body, content_type, "none", lambda _data, _type: None)
    except MillraceError as error:
        return error.status


@given(json_values)
def test_what_is_kept_is_what_was_sent_or_is_refused(value: Any) -> None:
    body = json.dumps(value).encode()
    kept = read_or_refuse(body, "application/json")
    if isinstance(kept, int):
        assert kept == 422
        assert "\\u0000" in body.decode() or "\\ud" in body.decode()
    else:
        assert kept.value == value
        assert json.loads(kept.text) == value


@given(st.binary(max_size=200), st.sampled_from(["", "text/plain", "image/png", "multipart/form-data; boundary=x"]))
def test_no_bytes_break_the_reader(body: bytes, content_type: str) -> None:
    kept = read_or_refuse(body, content_type)
    if isinstance(kept, int):
        assert kept in (400, 422)
    elif content_type == "image/png" and body:
        assert base64.b64decode(kept.value["base64"]) == body

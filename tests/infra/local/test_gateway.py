"""The gateway sends what API Gateway sends, answers as it answers, and enforces its limits."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.gateway import MAX_BODY_BYTES, BadAnswerError, Gateway, http_response, is_text, split_target
from tests.infra.local.conftest import Workbench, until

ECHO = """
    import json
    def handler(event, context):
        return {"statusCode": 200, "body": json.dumps(event)}
"""
RECORDED = json.loads((Path(__file__).parents[2] / "events" / "api_gateway_github_push.json").read_text())


@pytest.fixture
def echo(bench: Workbench) -> Iterator[httpx.Client]:
    with client(bench.gateway({"ANY /hooks/{proxy+}": bench.function(ECHO)})) as echo:
        yield echo


def client(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{gateway.server.port}", timeout=30)


def get(gateway: Gateway, **headers: str) -> httpx.Response:
    with client(gateway) as one:
        return one.get("/", headers=headers)


# Events ---------------------------------------------------------------------------------------------------------------


def test_an_event_has_the_members_of_a_recorded_one_and_no_others(echo: httpx.Client) -> None:
    event = echo.post(
        "/hooks/k3Jx9QmPz0Ws/github", content=b'{"a":1}', headers={"content-type": "application/json"}
    ).json()
    assert set(event) == set(RECORDED)
    assert set(event["requestContext"]) == set(RECORDED["requestContext"])
    assert set(event["requestContext"]["http"]) == set(RECORDED["requestContext"]["http"])
    assert {name for name in RECORDED["headers"] if name.startswith(("x-amzn", "x-forwarded"))} <= set(event["headers"])
    for name in ("version", "routeKey", "rawPath", "rawQueryString", "pathParameters", "isBase64Encoded"):
        assert event[name] == RECORDED[name]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", event["requestContext"]["time"])
    assert abs(event["requestContext"]["timeEpoch"] - time.time() * 1000) < 5000
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_repeated_headers_are_joined_and_cookies_taken_out(echo: httpx.Client) -> None:
    event = echo.get(
        "/hooks/a", headers=[("X-Many", "1"), ("x-many", "2"), ("Cookie", "a=b; c=d"), ("Cookie", "e=f")]
    ).json()
    assert event["headers"]["x-many"] == "1,2"
    assert event["cookies"] == ["a=b", "c=d", "e=f"]
    assert "cookie" not in event["headers"]
    assert "body" not in event


def test_repeated_query_parameters_are_joined_and_the_raw_query_kept(echo: httpx.Client) -> None:
    event = echo.get("/hooks/a?x=1&y=%20b&x=2&empty=").json()
    assert event["rawQueryString"] == "x=1&y=%20b&x=2&empty="
    assert event["queryStringParameters"] == {"x": "1,2", "y": " b", "empty": ""}


def test_the_path_comes_decoded_and_ends_at_a_decoded_question_mark(echo: httpx.Client) -> None:
    event = echo.get("/hooks/M%C3%BChle%2Feins").json()
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/hooks/Mühle/eins"
    assert event["pathParameters"] == {"proxy": "Mühle/eins"}
    assert echo.get("/hooks/me%3Fadmin=true").json()["rawPath"] == "/hooks/me"


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [  # as tried against AWS: https://github.com/ministackorg/ministack/pull/766
        ("text/plain", False),
        ("text/csv; charset=utf-8", False),
        ("application/json", False),
        ("Application/JSON; charset=utf-8", False),
        ("application/xml", False),
        ("application/javascript", False),
        ("application/x-www-form-urlencoded", True),
        ("application/vnd.api+json", True),
        ("application/octet-stream", True),
        ("multipart/form-data; boundary=x", True),
        (None, True),
    ],
)
def test_a_body_is_text_or_base64_by_its_type(echo: httpx.Client, content_type: str | None, encoded: bool) -> None:
    body = "a=ü&b=\U0001f3ed".encode()
    event = echo.post("/hooks/a", content=body, headers={"content-type": content_type} if content_type else {}).json()
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


@given(body=st.binary(max_size=300), content_type=st.sampled_from(["text/x", "application/json", "image/png", ""]))
def test_whatever_is_not_text_survives_byte_by_byte(body: bytes, content_type: str) -> None:
    """(Text that is not UTF-8 does not, on AWS as here.)"""
    if is_text(content_type):
        assert body.decode("utf-8", "replace").encode() == body or "\ufffd" in body.decode("utf-8", "replace")
    else:
        assert base64.b64decode(base64.b64encode(body)) == body


@given(st.binary(max_size=100))
def test_any_target_can_be_split(target: bytes) -> None:
    path, query = split_target(target)
    assert "?" not in path
    path.encode()
    query.encode()


def test_a_target_in_absolute_form_is_its_path() -> None:
    assert split_target(b"http://host:1/a/b?c=d") == ("/a/b", "c=d")
    assert split_target(b"http://host") == ("/", "")
    assert split_target(b"http://host?c") == ("/", "c")


# Answers --------------------------------------------------------------------------------------------------------------


def answer(value: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    status, headers, body = http_response(json.dumps(value).encode())
    return status, dict(headers), body


def test_an_answer_without_a_status_is_the_body() -> None:
    assert answer({"hello": "world"}) == (200, {b"content-type": b"application/json"}, b'{"hello": "world"}')
    assert answer("plain")[2] == b"plain"
    assert answer(None)[2] == b"null"
    assert http_response(b"") == (200, [(b"content-type", b"application/json")], b"")


def test_status_headers_cookies_and_body_are_taken_over() -> None:
    status, headers, body = http_response(
        json.dumps(
            {
                "statusCode": "201",
                "headers": {"X-One": 1, "Content-Type": "text/plain", "Content-Length": "99", "x-yes": True},
                "cookies": ["a=b; Secure", "c=d"],
                "body": "Größe",
            }
        ).encode()
    )
    assert status == 201
    assert sorted(headers) == [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a=b; Secure"),
        (b"set-cookie", b"c=d"),
        (b"x-one", b"1"),
        (b"x-yes", b"true"),
    ]
    assert body == "Größe".encode()


def test_a_base64_body_is_decoded() -> None:
    assert answer({"statusCode": 200, "body": base64.b64encode(b"\0\xff").decode(), "isBase64Encoded": True})[2] == (
        b"\0\xff"
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"statusCode": "ok"},
        {"statusCode": None},
        {"statusCode": 99},
        {"statusCode": 100},
        {"statusCode": 700},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": "b\r\nset-cookie: c"}},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "headers": {"": "c"}},
        {"statusCode": 200, "cookies": "a=b"},
        {"statusCode": 200, "cookies": ["a\nb"]},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
    ],
)
def test_an_answer_that_makes_no_response_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadAnswerError):
        answer(bad)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["statusCode", "headers", "cookies", "body", "isBase64Encoded", "x"]), inner, max_size=6
            )
        ),
        max_leaves=10,
    )
)
def test_any_answer_makes_a_response_or_is_refused(value: Any) -> None:
    try:
        status, headers, body = http_response(json.dumps(value).encode())
    except BadAnswerError:
        return
    assert 200 <= status <= 599
    assert isinstance(body, bytes)
    assert not any(b"\n" in part or b"\r" in part for header in headers for part in header)


# Limits and failures --------------------------------------------------------------------------------------------------


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "detail", "message"} <= set(document)
    return document


def test_an_address_without_a_route_is_404(echo: httpx.Client) -> None:
    assert problem(echo.get("/nowhere"))["message"] == "Not Found"


def test_a_request_over_10_mb_is_413_and_says_where_files_go(echo: httpx.Client) -> None:
    response = echo.post("/hooks/a", content=b"x" * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert "signed URL" in problem(response)["detail"]


def test_an_event_over_6_mb_is_413_and_base64_counts(echo: httpx.Client) -> None:
    assert echo.post("/hooks/a", content=b"x" * 5_000_000, headers={"content-type": "image/png"}).status_code == 413
    small = echo.post("/hooks/a", content=b"x" * 1_000_000, headers={"content-type": "image/png"})
    assert small.status_code == 200


def test_an_answer_over_6_mb_is_500(bench: Workbench) -> None:
    function = bench.function("def handler(event, context): return {'statusCode': 200, 'body': 'x' * 6_300_000}")
    response = get(bench.gateway({"GET /": function}))
    assert response.status_code == 500
    assert "ResponseSizeTooLarge" in problem(response)["detail"]


def test_a_handler_that_raises_is_500_and_tells_nobody_why(bench: Workbench) -> None:
    function = bench.function("def handler(event, context): raise ValueError('the secret')")
    response = get(bench.gateway({"GET /": function}))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "the secret" in bench.log("toy")


def test_an_answer_that_makes_no_response_is_500(bench: Workbench) -> None:
    function = bench.function("def handler(event, context): return {'statusCode': 'fine'}")
    assert get(bench.gateway({"GET /": function})).status_code == 500


def test_who_waits_too_long_gets_503(bench: Workbench) -> None:
    function = bench.function("import time\ndef handler(event, context): time.sleep(60)")
    response = get(bench.gateway({"GET /": function}, integration_seconds=0.3))
    assert response.status_code == 503
    assert problem(response)["message"] == "Service Unavailable"


def test_a_function_with_too_many_waiting_is_429_with_retry_after_and_loses_nothing(
    bench: Workbench, tmp_path: Path
) -> None:
    function = bench.function(
        """
        import os, time
        def handler(event, context):
            while not os.path.exists(event["headers"]["x-gate"]):
                time.sleep(0.01)
            return "done"
        """,
        concurrency=1,
        queue_limit=4,
        timeout=30.0,
    )
    gateway = bench.gateway({"GET /": function})
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(5) as threads:
        accepted = [threads.submit(get, gateway, **{"x-gate": str(gate)})]
        until(lambda: any(worker.invocation for worker in function.workers))
        accepted += [threads.submit(get, gateway, **{"x-gate": str(gate)}) for _ in range(4)]
        until(lambda: function.busy == 5)
        response = get(gateway, **{"x-gate": str(gate)})
        assert response.status_code == 429
        assert response.headers["retry-after"] == "1"
        assert problem(response)["type"] == "urn:millrace:problem:too-many"
        gate.touch()
        assert [future.result().text for future in accepted] == ["done"] * 5


def test_each_request_is_a_readable_line(bench: Workbench, echo: httpx.Client) -> None:
    echo.post("/hooks/a%0ab%1b[31m?secret=1", content=b"")
    lines = bench.log("requests").split("\n")[:-1]
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /hooks/a\\nb\\x1b\[31m 200 \d+\.\d ms toy", lines[-1]), lines
    assert "secret" not in lines[-1]  # a query may hold one

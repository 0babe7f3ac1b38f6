"""An http_request sends what its config says, gives the answer as JSON, and sorts failures into kinds."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

import shared.settings
from shared.workflow.node import REGISTRY, Effect, StepError
from shared.workflow.nodes.http_request import retry_after
from tests.workflow.context import NOW, call, output, step


class Service(BaseHTTPRequestHandler):
    """A web service that says what it was asked, or what the path tells it to say."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        first, _, rest = path[1:].partition("/")
        match first:
            case "status":
                self.answer(int(rest), b'{"why": "so"}', Content_Type="application/problem+json")
            case "busy":
                self.answer(503, b"later", Content_Type="text/plain", Retry_After=rest)
            case "text":
                self.answer(200, "grüß dich".encode(), Content_Type="text/plain; charset=utf-8")
            case "bytes":
                self.answer(200, b"\x89PNG\0", Content_Type="image/png")
            case "empty":
                self.answer(200, b"", Content_Type="application/json")
            case "broken":
                self.answer(200, b'{"a":', Content_Type="application/json")
            case "nul":
                self.answer(200, b'{"a": "x\\u0000"}', Content_Type="application/json")
            case "long":
                self.answer(200, b"x" * int(rest), Content_Type="text/plain")
            case "redirect":
                self.answer(302, b"", Location="/" + rest)
            case "away":
                self.answer(302, b"", Location="http://169.254.169.254/latest/meta-data")
            case "nowhere":
                self.answer(302, b"", Location=f"http://127.0.0.1:{self.server.closed_port}/")
            case "gzip":
                self.answer(200, b"not at all", Content_Type="text/plain", Content_Encoding="gzip")
            case "round":
                self.answer(302, b"", Location="/round")
            case "slow":
                time.sleep(float(rest))
                self.answer(200, b"at last")
            case "drip":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                for _ in range(1000):
                    self.wfile.write(b".")
                    time.sleep(0.1)
            case "hangup":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case _:
                heard = {
                    "method": self.command,
                    "path": path,
                    "query": query,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": sent.decode(),
                }
                self.answer(200, json.dumps(heard).encode(), Content_Type="application/json")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET  # noqa: N815  (http.server names them so)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing in the tests' output."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    closed_port: int

    def handle_error(self, *_arguments: Any) -> None:
        """Clients that hang up are what some tests are about."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Service) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: whoever comes is turned away
        server.closed_port = closed.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def base(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The service's address, which this process is allowed to reach although it is a private one."""
    address = f"127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("MILLRACE_OUTBOUND_ALLOW", f"{address},127.0.0.1:{server.closed_port}")
    shared.settings.forget()
    return f"http://{address}"


def heard(config: dict[str, Any], trigger: Any = None) -> dict[str, Any]:
    """What the service heard."""
    return output("http_request", config, step(trigger))["body"]


def failure(config: dict[str, Any], **context: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        call("http_request", config, step(**context))
    return caught.value


class TestSending:
    """What goes out."""

    def test_a_get_with_query_and_headers(self, base):
        said = heard(
            {
                "url": base + "/things?a=1",
                "query": {"q": "{{ trigger.q }}", "many": [1, "zwei"], "flag": True, "none": None},
                "headers": {"X-Token": "t-{{ trigger.n }}"},
            },
            {"q": "a b&c=d", "n": 7},
        )
        assert said["method"] == "GET"
        assert said["path"] == "/things"
        assert said["query"] == "a=1&q=a+b%26c%3Dd&many=1&many=zwei&flag=true"
        assert said["headers"]["x-token"] == "t-7"
        assert "content-type" not in said["headers"]

    @pytest.mark.parametrize("method", ["POST", "put", "PATCH", "DELETE", "OPTIONS"])
    def test_an_object_goes_as_json(self, base, method):
        said = heard({"url": base, "method": method, "body": {"n": "{{ trigger }}", "t": "é"}}, 3)
        assert said["method"] == method.upper()
        assert said["headers"]["content-type"] == "application/json"
        assert json.loads(said["body"]) == {"n": 3, "t": "é"}

    def test_text_goes_as_it_is(self, base):
        said = heard({"url": base, "method": "POST", "body": "n={{ trigger }}"}, 3)
        assert said["headers"]["content-type"] == "text/plain; charset=utf-8"
        assert said["body"] == "n=3"

    def test_an_object_may_go_as_a_form(self, base):
        said = heard({"url": base, "method": "POST", "body": {"a": "x y", "b": [1, 2]}, "body_type": "form"})
        assert said["headers"]["content-type"] == "application/x-www-form-urlencoded"
        assert said["body"] == "a=x+y&b=1&b=2"

    def test_text_may_go_as_json(self, base):
        assert heard({"url": base, "method": "POST", "body": "hi", "body_type": "json"})["body"] == '"hi"'

    def test_the_users_content_type_is_kept(self, base):
        headers = {"content-type": "application/xml"}
        assert heard({"url": base, "method": "POST", "body": "<a/>", "headers": headers})["headers"][
            "content-type"
        ] == ("application/xml")

    def test_every_attempt_carries_the_steps_key_unless_the_user_gave_one(self, base):
        assert heard({"url": base, "method": "POST"})["headers"]["idempotency-key"] == "run/node/0"
        own = {"idempotency-key": "{{ trigger }}"}
        assert heard({"url": base, "headers": own}, "mine")["headers"]["idempotency-key"] == "mine"

    def test_a_value_in_the_path_comes_from_the_run(self, base):
        assert heard({"url": base + "/orders/{{ trigger.id }}"}, {"id": 12})["path"] == "/orders/12"


class TestAnswer:
    """What comes back."""

    def test_it_has_status_headers_and_parsed_json(self, base):
        answer = output("http_request", {"url": base + "/x", "timeout": 5})
        assert answer["status"] == 200
        assert answer["headers"]["content-type"] == "application/json"
        assert answer["body"]["path"] == "/x"

    @pytest.mark.parametrize(
        ("path", "body"), [("/text", "grüß dich"), ("/empty", None), ("/long/3", "xxx"), ("/status/204", None)]
    )
    def test_text_is_text_and_nothing_is_null(self, base, path, body):
        assert output("http_request", {"url": base + path})["body"] == body

    def test_anything_else_is_base64(self, base):
        answer = output("http_request", {"url": base + "/bytes"})
        assert (answer["body"], answer["encoding"]) == ("iVBORwA=", "base64")

    def test_redirects_are_followed_unless_not_wanted(self, base):
        assert output("http_request", {"url": base + "/redirect/text"})["body"] == "grüß dich"
        answer = output("http_request", {"url": base + "/redirect/text", "follow_redirects": False})
        assert answer["status"] == 302

    def test_an_error_may_be_an_answer_like_any_other(self, base):
        answer = output("http_request", {"url": base + "/status/404", "fail_on_error": False})
        assert (answer["status"], answer["body"]) == (404, {"why": "so"})

    @pytest.mark.parametrize("path", ["/broken", "/nul", "/gzip"])
    def test_json_that_cannot_be_kept_fails_the_step(self, base, path):
        assert failure({"url": base + path}).kind == "bad_response"

    def test_its_size_is_bounded_by_a_setting(self, base, monkeypatch):
        monkeypatch.setenv("MILLRACE_HTTP_RESPONSE_BYTES", "2000")
        shared.settings.forget()
        assert len(output("http_request", {"url": base + "/long/2000"})["body"]) == 2000
        error = failure({"url": base + "/long/2001"})
        assert error.kind == "too_large"
        assert not error.retryable


class TestFailures:
    """What went wrong, and whether another attempt may help."""

    @pytest.mark.parametrize(
        ("status", "kind", "retryable", "once"),
        [
            (400, "http_4xx", False, False),
            (404, "http_4xx", False, False),
            (408, "http_4xx", True, False),
            (429, "http_4xx", True, True),
            (500, "http_5xx", False, False),
            (502, "http_5xx", True, False),
            (503, "http_5xx", True, True),
            (504, "http_5xx", True, False),
        ],
    )
    def test_statuses(self, base, status, kind, retryable, once):
        error = failure({"url": f"{base}/status/{status}"})
        assert (error.kind, error.retryable) == (kind, retryable)
        assert error.output["status"] == status
        assert error.output["body"] == {"why": "so"}
        assert failure({"url": f"{base}/status/{status}", "at_most_once": True}).retryable == once

    def test_retry_after_is_passed_on(self, base):
        assert failure({"url": base + "/busy/7"}).retry_after == 7
        assert failure({"url": base + "/busy/soon"}).retry_after is None
        assert failure({"url": base + "/status/500"}).retry_after is None

    def test_retry_after_may_be_a_date(self):
        assert retry_after(format_datetime(NOW + timedelta(seconds=90), usegmt=True), NOW) == 90
        assert retry_after(format_datetime(NOW - timedelta(seconds=90), usegmt=True), NOW) == 0
        assert retry_after("-5", NOW) is None

    @pytest.mark.parametrize("path", ["/slow/5", "/drip"])
    def test_the_whole_answer_has_a_time(self, base, path):
        began = time.monotonic()
        error = failure({"url": base + path, "timeout": 0.3})
        assert (error.kind, error.retryable) == ("timeout", True)
        assert time.monotonic() - began < 2
        assert not failure({"url": base + path, "timeout": 0.3, "at_most_once": True}).retryable

    def test_it_ends_with_the_step(self, base):
        error = failure({"url": base + "/slow/5"}, seconds=0.3)
        assert error.kind == "timeout"
        assert failure({"url": base}, seconds=0).kind == "timeout"

    def test_a_connection_that_breaks(self, base):
        error = failure({"url": base + "/hangup"})
        assert (error.kind, error.retryable) == ("network", True)
        assert not failure({"url": base + "/hangup", "at_most_once": True}).retryable

    def test_nobody_there_is_worth_another_attempt_even_at_most_once(self, base, server):
        error = failure({"url": f"http://127.0.0.1:{server.closed_port}/", "at_most_once": True})
        assert (error.kind, error.retryable) == ("network", True)

    @pytest.mark.parametrize("path", ["/redirect/status/503", "/nowhere"])
    def test_behind_a_redirect_something_was_sent(self, base, path):
        assert failure({"url": base + path}).retryable
        assert not failure({"url": base + path, "at_most_once": True}).retryable

    def test_redirects_without_end(self, base):
        error = failure({"url": base + "/round"})
        assert error.kind == "redirects"
        assert not error.retryable

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:1/", "http://[::1]/", "http://169.254.169.254/", "http://10.0.0.1/", "http://localhost:1/"],
    )
    def test_private_addresses_are_blocked_and_not_tried_again(self, base, url):
        error = failure({"url": url})
        assert error.kind == "blocked"
        assert not error.retryable

    def test_a_redirect_to_a_private_address_is_blocked_too(self, base):
        assert failure({"url": base + "/away"}).kind == "blocked"

    @pytest.mark.parametrize(
        ("config", "trigger"),
        [
            ({"url": "{{ trigger }}"}, "file:///etc/passwd"),
            ({"url": "{{ trigger }}"}, "//example.com"),
            ({"url": "http://example.com/{{ trigger }}"}, "a b"),
            ({"url": "http://example.com/{{ trigger }}"}, "a\r\nHost: x"),
            ({"url": "http://example.com", "headers": {"X": "{{ trigger }}"}}, "a\r\nb: c"),
            ({"url": "http://example.com", "query": "{{ trigger }}"}, [1]),
            ({"url": "http://example.com", "method": "POST", "body": "{{ trigger }}", "body_type": "form"}, "text"),
        ],
    )
    def test_what_data_makes_of_a_request_is_checked(self, config, trigger):
        assert failure(config, trigger=trigger).kind == "input"

    def test_an_expression_without_value_is_named(self):
        error = failure({"url": "http://example.com/{{ trigger.nobody }}"}, trigger={})
        assert error.kind == "expression"
        assert error.message.startswith("url: ")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": ""},
        {"url": "file:///etc/passwd"},
        {"url": "example.com"},
        {"url": "http://"},
        {"url": "http://example.com:port/"},
        {"url": "http://example.com/a b"},
        {"url": "http://example.com", "method": "CONNECT"},
        {"url": "http://example.com", "body": "x"},
        {"url": "http://example.com", "timeout": 0},
        {"url": "http://example.com", "timeout": 601},
        {"url": "http://example.com", "headers": ["a"]},
        {"url": "http://example.com", "headers": {"Host": "other"}},
        {"url": "http://example.com", "headers": {"a b": "c"}},
        {"url": "http://example.com", "query": [1]},
        {"url": "http://example.com", "verify": False},
    ],
)
def test_a_request_that_could_not_be_sent_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["http_request"].config.model_validate(config)


def test_its_effect_is_what_its_config_says():
    kind = REGISTRY["http_request"]
    assert kind.effect(kind.config.model_validate({"url": "http://a.b"})) is Effect.IDEMPOTENT
    assert kind.effect(kind.config.model_validate({"url": "http://a.b", "at_most_once": True})) is Effect.AT_MOST_ONCE

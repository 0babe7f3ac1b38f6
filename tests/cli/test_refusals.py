"""Whatever goes wrong between the command line and an API is said readably, with what to do, and its exit code."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra import cli

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def peer() -> Iterator[Callable[[Answer], str]]:
    """An API that gives one answer to everything; its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        status, headers, body = answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        said = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return code, said.out, said.err

    return run


def problem(status: int, **parts: Any) -> Answer:
    body = {"type": "urn:x", "title": "Bad", "status": status, "detail": "That will not do.", **parts}
    return status, {"content-type": "application/problem+json"}, json.dumps(body).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_problem_document_is_printed_with_its_mistakes_and_its_remedy(run, peer) -> None:
    url = peer(problem(422, remedy="Mend it.", errors=[{"path": "graph_config.nodes.0", "message": "is no node"}]))
    code, out, err = run("--url", url, "workflows", "list")
    assert code == 4
    assert out == ""
    assert "That will not do. (HTTP 422)" in err
    assert "graph_config.nodes.0: is no node" in err
    assert "→ Mend it." in err


def test_for_machines_the_problem_document_itself_is_on_standard_error(run, peer) -> None:
    code, out, err = run("--url", peer(problem(404)), "workflows", "list", "--json")
    assert code == 4
    assert out == ""
    assert json.loads(err)["detail"] == "That will not do."


def test_missing_credentials_say_where_to_get_some(run, peer) -> None:
    code, _, err = run("--url", peer(problem(401)), "runs", "list")
    assert code == 4
    assert "--token" in err


def test_too_many_requests_say_when_to_try_again(run, peer) -> None:
    status, headers, body = problem(429)
    code, _, err = run("--url", peer((status, headers | {"retry-after": "7"}, body)), "runs", "list")
    assert code == 4
    assert "(in 7 s)" in err


def test_a_failure_of_the_api_is_not_a_refusal(run, peer) -> None:
    code, _, err = run("--url", peer((502, {}, b"<html>bad gateway</html>")), "runs", "list")
    assert code == 1
    assert "HTTP 502" in err


def test_something_that_is_no_api_is_told_so(run, peer) -> None:
    code, _, err = run("--url", peer((200, {"content-type": "text/html"}, b"<html>hello</html>")), "runs", "list")
    assert code == 3
    assert "not JSON" in err


def test_an_address_where_nothing_answers(run) -> None:
    code, _, err = run("--url", f"http://127.0.0.1:{free_port()}", "workflows", "list")
    assert code == 3
    assert "Nothing answers" in err
    assert "millrace dev" in err


@pytest.mark.parametrize("url", ["not an address", "http://", "ftp://127.0.0.1", "http://[::bad"])
def test_an_address_that_is_none(run, url: str) -> None:
    code, _, err = run("--url", url, "workflows", "list")
    assert code in (2, 3)
    assert "Traceback" not in err


def test_no_address_and_no_stack_here(run, tmp_path: Path) -> None:
    code, _, err = run("--home", str(tmp_path), "workflows", "list")
    assert code == 3
    assert "No address was given" in err


def test_a_stack_that_was_killed_is_not_taken_for_running(run, tmp_path: Path) -> None:
    (tmp_path / "address.json").write_text(
        json.dumps({"url": "http://x", "token": "t", "pid": 2**22 + 1, "embedded": True})
    )
    code, _, err = run("--home", str(tmp_path), "workflows", "list")
    assert code == 3
    assert "No address was given" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["runs", "show", "--no-such-option"],
        ["workflows", "apply"],
        ["runs", "list", "--limit", "0"],
        ["workflows", "apply", "/nowhere/flow.yaml"],
        ["token", "--days", "3"],
        ["--url"],
    ],
)
def test_a_command_line_that_cannot_be_read_exits_2(run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_input_that_is_not_json_exits_2_before_anything_is_sent(run, peer) -> None:
    code, _, err = run("--url", "http://127.0.0.1:1", "workflows", "run", "greet", "--input", "{name: Ada}")
    assert code == 2
    assert "--input is not JSON" in err


@pytest.mark.parametrize(
    ("given", "hoisted"),
    [
        (["runs", "show", "x", "--json"], ["--json", "runs", "show", "x"]),
        (["runs", "list", "--url=http://a", "--token", "t"], ["--url=http://a", "--token", "t", "runs", "list"]),
        (["token", "--export"], ["token", "--export"]),
        (["workflows", "run", "--", "--json"], ["workflows", "run", "--", "--json"]),
        (["runs", "--url"], ["--url", "runs"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], hoisted: list[str]) -> None:
    assert cli.hoisted(given) == hoisted


def test_what_others_wrote_does_not_steer_the_terminal(run, peer) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\u202egpj.exe\x9b31m"
    code, _, err = run("--url", peer(problem(409, detail=hostile, remedy=hostile)), "workflows", "list")
    assert code == 4
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(err)
    assert r"\x1b[2J" in err


def test_machines_are_told_the_very_characters(run, peer) -> None:
    page = json.dumps({"items": [{"name": "\x1b[2J"}], "next": None}).encode()
    code, out, _ = run("--url", peer((200, {"content-type": "application/json"}, page)), "workflows", "list", "--json")
    assert code == 0
    assert "\x1b" not in out, "JSON writes it as an escape of its own"
    assert json.loads(out)["workflows"] == [{"name": "\x1b[2J"}]

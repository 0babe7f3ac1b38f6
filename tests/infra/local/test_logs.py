"""The request log: readable, safe to show, bounded."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import logs
from infra.local.logs import Logs, readable_lines
from tests.infra.local.conftest import Workbench, until


def test_a_request_is_one_line_with_what_matters(bench: Workbench) -> None:
    bench.do(lambda: bench.logs.request("POST /hooks/a", 202, 0.00179, "webhook-intake"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /hooks/a 202 1.8 ms webhook-intake\n", bench.log("requests"))


def test_what_a_function_logs_as_json_is_shown_as_a_sentence() -> None:
    said = {
        "timestamp": "2026-11-22T13:33:49.690+00:00",
        "level": "ERROR",
        "message": "it broke",
        "location": "x:1",
        "faas.name": "millrace-dev-f",
        "millrace.run.id": "7",
        "ids": [1],
        "exception": 'Traceback\n  File "x"',
    }
    assert list(readable_lines("f", json.dumps(said))) == [
        "f: ERROR it broke millrace.run.id=7 ids=[1]",
        "f:   Traceback",
        'f:     File "x"',
    ]


@pytest.mark.parametrize("line", ["plain", "{not json", "[1]", '{"a": 1}', "{" * 100_000])
def test_anything_else_is_shown_as_it_is(line: str) -> None:
    assert list(readable_lines("f", line)) == [f"f: {line}"]


@given(st.text(max_size=60))
def test_nothing_shown_steers_a_terminal_or_forges_a_line(text: str) -> None:
    for shown in (*readable_lines("f", text), *readable_lines("f", json.dumps({"message": text, "exception": text}))):
        assert shown.isprintable()


def test_a_slow_watcher_holds_nothing_up_and_is_told_what_was_left_out(bench: Workbench, tmp_path: Path) -> None:
    gate = threading.Event()
    seen: list[str] = []

    def slow(line: str) -> None:
        gate.wait(10)
        seen.append(line)

    watched = bench.do(lambda: Logs(tmp_path / "watched", bench.loop, slow))
    began = time.monotonic()
    bench.do(lambda: [watched.request(f"GET /{n}", 200, 0, "f") for n in range(1000)])
    bench.do(watched.flush)
    assert time.monotonic() - began < 5
    assert len((tmp_path / "watched" / "requests.log").read_text().splitlines()) == 1000
    gate.set()
    until(lambda: len(seen) == logs.SHOWN_AT_ONCE + 1)
    assert seen[-1].startswith("… 950 lines more, in ")
    bench.do(watched.close)


def test_a_log_over_its_limit_starts_anew_and_keeps_one_old_one(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 1000)
    for n in range(30):
        bench.do(lambda: bench.logs.output("f", b"%03d" % n + b"x" * 96 + b"\n"))  # noqa: B023
        bench.do(bench.logs.flush)
    kept = {path.name: path.stat().st_size for path in bench.logs.directory.glob("f.log*")}
    assert kept == {"f.log": 1000, "f.log.1": 1000}
    assert bench.log("f").endswith("029" + "x" * 96 + "\n")

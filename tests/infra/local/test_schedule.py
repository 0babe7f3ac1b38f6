"""The tick comes as EventBridge sends it, at its rate, and never twice at a time."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from infra.local.schedule import Ticker, scheduled_event
from tests.infra.local.conftest import Workbench, until

RECORDED = json.loads((Path(__file__).parents[2] / "events" / "eventbridge_schedule.json").read_text())


def test_the_event_has_the_members_of_a_recorded_one() -> None:
    event = scheduled_event("schedule-tick", "eu-central-1", time.time())
    assert set(event) == set(RECORDED)
    for name in ("version", "detail-type", "source", "region", "detail"):
        assert event[name] == RECORDED[name]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])


def test_a_function_is_called_at_its_rate(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "ticks"
    function = bench.function(
        f"import json\ndef handler(event, context): open({str(path)!r}, 'a').write(json.dumps(event) + '\\n')"
    )
    ticker = bench.do(lambda: Ticker(function, 0.1, bench.logs, "eu-central-1"))
    until(lambda: path.exists() and len(path.read_text().splitlines()) >= 5)
    bench.do(ticker.stop)
    assert json.loads(path.read_text().splitlines()[0])["source"] == "aws.events"
    until(lambda: not ticker.running)
    ticks = len(path.read_text().splitlines())
    time.sleep(0.25)
    assert len(path.read_text().splitlines()) == ticks


def test_a_call_that_is_still_running_is_not_joined_by_another(bench: Workbench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    function = bench.function(
        f"import os, time\ndef handler(event, context):\n    while not os.path.exists({str(gate)!r}): time.sleep(0.01)",
        timeout=30.0,
    )
    ticker = bench.do(lambda: Ticker(function, 0.02, bench.logs, "eu-central-1", {"own": "payload"}))
    until(lambda: ticker.skipped >= 5)
    assert function.busy == 1
    gate.touch()
    skipped = ticker.skipped
    until(lambda: function.started == 1 and ticker.skipped == skipped and not ticker.running)
    bench.do(ticker.stop)


def test_a_failing_tick_is_logged_and_the_next_one_comes(bench: Workbench) -> None:
    function = bench.function("def handler(event, context): raise RuntimeError('no clock')")
    ticker = bench.do(lambda: Ticker(function, 0.05, bench.logs, "eu-central-1"))
    until(lambda: bench.log("requests").count("schedule failed") >= 2 if _logged(bench) else False)
    bench.do(ticker.stop)
    assert "RuntimeError: no clock" in bench.log("requests")


def _logged(bench: Workbench) -> bool:
    bench.do(bench.logs.flush)
    return (bench.directory / "logs" / "requests.log").exists()

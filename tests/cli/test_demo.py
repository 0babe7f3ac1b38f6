"""`millrace demo`: the first thing anybody runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.stack import clean_environment, millrace, running_stack


def test_the_demo_shows_what_it_promises_and_is_quick_the_second_time(tmp_path: Path) -> None:
    # The demo never touches a database of the user's: this address would not answer.
    environment = clean_environment(
        MILLRACE_HOME=str(tmp_path / "home"), MILLRACE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing"
    )
    first = millrace("demo", environment=environment)
    assert first.returncode == 0, first.stderr
    for part in (
        "push → to_main → titles → keep → answer",
        "✓ push ",
        "→ true",
        '["Measure the fall before the wheel"',
        "✓ completed in",
        "401, The signature does not match.",
        "no second one",
        "which started demo-invoice: run",
        "Invoice number",
        "2026-0417",
        "3,998.40 EUR",
        "read by rapidocr",
        "Barley Ltd 83.00, Rye & Sons 58.35",
        "code that tries to read our secrets: FileNotFoundError",
        "code that tries to never end: It ran longer than 0.5 s.",
        "http://127.0.0.1:",
    ):
        assert part in first.stdout

    begun = time.monotonic()
    second = millrace("demo", "--json", environment=environment)
    took = time.monotonic() - begun
    assert second.returncode == 0, second.stderr
    run = json.loads(second.stdout)["run"]
    assert run["status"] == "completed"
    assert run["response"]["body"]["commits"] == ["Measure the fall before the wheel", "Grease the axle"]
    assert took < 15, f"a later demo took {took:.1f} s"


def test_the_demo_uses_the_stack_that_runs(tmp_path: Path) -> None:
    with running_stack(tmp_path / "home") as stack:
        done = millrace("demo", environment=clean_environment(MILLRACE_HOME=str(stack.home)))
        assert done.returncode == 0, done.stderr
        assert f"stack found at {stack.address.url}" in done.stdout

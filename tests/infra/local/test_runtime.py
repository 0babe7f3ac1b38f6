"""Functions run as on Lambda: the Runtime API's contract, for awslambdaric and for our own client, and the limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local import runtime
from infra.local.runtime import MAX_EVENT_BYTES, EventTooLargeError, OverloadedError
from tests.infra.local.conftest import Workbench, until

ECHO = """
    def handler(event, context):
        return {"event": event, "name": context.function_name, "id": context.aws_request_id,
                "arn": context.invoked_function_arn, "left": context.get_remaining_time_in_millis()}
"""


@pytest.fixture(params=["awslambdaric", "own"])
def client(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that chooses a runtime client."""
    return {"MILLRACE_RUNTIME_CLIENT": request.param}


# The contract of a runtime client -------------------------------------------------------------------------------------


def test_a_handler_gets_the_event_and_its_context_and_its_result_comes_back(
    bench: Workbench, client: dict[str, str]
) -> None:
    function = bench.function(ECHO, environment=client, timeout=7.0)
    event = {"text": "Grüße \U0001f3ed", "number": 1.5, "list": [None, True]}
    outcome = bench.invoke(function, event)
    assert outcome.error is None
    answer = json.loads(outcome.payload)
    assert answer["event"] == event
    assert answer["name"] == "millrace-local-toy"
    assert answer["arn"].endswith(":function:millrace-local-toy")
    assert 6000 < answer["left"] <= 7000


def test_an_exception_is_an_error_with_its_type_and_message_and_the_process_goes_on(
    bench: Workbench, client: dict[str, str]
) -> None:
    function = bench.function(
        """
        import os
        def handler(event, context):
            if event == "fail":
                raise LookupError("nothing there")
            return os.getpid()
        """,
        environment=client,
    )
    before = bench.invoke(function, "go").payload
    error = bench.invoke(function, "fail").error
    assert error is not None
    assert (error.type, error.message) == ("LookupError", "nothing there")
    assert error.detail["stackTrace"]
    assert bench.invoke(function, "go").payload == before
    assert "LookupError" in bench.log("toy")


def test_a_module_that_cannot_be_imported_fails_what_waits_for_it_and_says_why(
    bench: Workbench, client: dict[str, str]
) -> None:
    function = bench.function("import no_such_module", environment=client)
    error = bench.invoke(function).error
    assert error is not None
    assert error.type == "Runtime.ImportModuleError"
    assert "no_such_module" in error.message


def test_a_handler_that_is_not_there_is_said(bench: Workbench, client: dict[str, str]) -> None:
    error = bench.invoke(bench.function("x = 1", environment=client)).error
    assert error is not None
    assert error.type == "Runtime.HandlerNotFound"


def test_a_result_that_is_no_json_is_an_error(bench: Workbench, client: dict[str, str]) -> None:
    function = bench.function("def handler(event, context): return {1, 2}", environment=client)
    assert bench.invoke(function).error is not None


def test_large_events_and_answers_pass_up_to_lambdas_quota(bench: Workbench, client: dict[str, str]) -> None:
    function = bench.function("def handler(event, context): return 'x' * event['size']", environment=client)
    fits = runtime.MAX_RESPONSE_BYTES - 2
    assert len(bench.invoke(function, {"size": fits, "filler": "y" * 1_000_000}).payload) == fits + 2
    error = bench.invoke(function, {"size": fits + 1}).error
    assert error is not None
    assert error.type == "Function.ResponseSizeTooLarge"
    assert bench.invoke(function, {"size": 1}).payload == b'"x"'


def test_what_a_function_prints_is_in_its_log(bench: Workbench, client: dict[str, str]) -> None:
    function = bench.function(
        """
        import sys
        def handler(event, context):
            print("to stdout")
            print("to stderr", file=sys.stderr)
            sys.stdout.write("no line end")
            sys.stdout.flush()
        """,
        environment=client,
    )
    bench.invoke(function)
    until(lambda: "to stderr" in bench.log("toy"))
    assert "to stdout" in bench.log("toy")
    bench.do(lambda: [worker.end() for worker in function.workers])
    until(lambda: not function.workers)
    assert "no line end" in bench.log("toy")


# Processes ------------------------------------------------------------------------------------------------------------


def test_a_function_is_started_at_its_first_use_and_used_again(bench: Workbench) -> None:
    function = bench.function("import os\ndef handler(event, context): return os.getpid()")
    assert not function.workers
    first = bench.invoke(function).payload
    assert [bench.invoke(function).payload for _ in range(5)] == [first] * 5
    assert function.started == 1


def test_a_process_that_outlives_its_timeout_is_killed_and_replaced(bench: Workbench) -> None:
    function = bench.function(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'done'", timeout=0.3
    )
    outcome = bench.invoke(function, 60)
    assert outcome.error is not None
    assert outcome.error.type == "Sandbox.Timedout"
    assert outcome.error.message == "Task timed out after 0.30 seconds"
    assert bench.invoke(function, 0).payload == b'"done"'
    assert function.started == 2


def test_a_process_that_crashes_fails_its_invocation_only(bench: Workbench) -> None:
    function = bench.function(
        "import os\ndef handler(event, context):\n    if event == 'die': os._exit(3)\n    return event", concurrency=1
    )
    bench.invoke(function, "up")
    dying, waiting = bench.begin(function, "die"), bench.begin(function, "next")
    error = dying.result(10).error
    assert error is not None
    assert (error.type, "exit status 3" in error.message) == ("Runtime.ExitError", True)
    assert waiting.result(10).payload == b'"next"'


def test_a_function_that_cannot_start_fails_all_who_wait_instead_of_starting_for_ever(bench: Workbench) -> None:
    function = bench.function("import os\nos._exit(1)")
    waiting = [bench.begin(function, n) for n in range(5)]
    errors = [future.result(10).error for future in waiting]
    assert [error.type for error in errors if error] == ["Runtime.ExitError"] * 5
    assert function.started <= 2


def test_requests_that_wait_for_something_get_more_processes_up_to_the_bound(bench: Workbench, tmp_path: Path) -> None:
    function = bench.function(
        """
        import os, time
        def handler(event, context):
            while not os.path.exists(event):
                time.sleep(0.01)
            return os.getpid()
        """,
        concurrency=6,
        timeout=30.0,
    )
    gate = tmp_path / "gate"
    waiting = [bench.begin(function, str(gate)) for _ in range(8)]
    until(lambda: sum(worker.invocation is not None for worker in function.workers) == 6)
    gate.touch()
    pids = {future.result(10).payload for future in waiting}
    assert len(pids) == 6
    assert function.started == 6


def test_quick_requests_do_not_start_more_processes_than_processors_can_use(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "QUICK_PROCESSES", 1)
    monkeypatch.setattr(runtime, "LONG_SECONDS", 60)
    function = bench.function("import time\ndef handler(event, context): time.sleep(0.005)", concurrency=8)
    waiting = [bench.begin(function, n) for n in range(100)]
    assert all(future.result(20).error is None for future in waiting)
    assert function.started == 1


def test_only_so_many_may_wait(bench: Workbench, tmp_path: Path) -> None:
    function = bench.function(
        "import os, time\ndef handler(event, context):\n    while not os.path.exists(event): time.sleep(0.01)",
        concurrency=1,
        queue_limit=3,
        timeout=30.0,
    )
    gate = str(tmp_path / "gate")
    accepted = [bench.begin(function, gate)]
    until(lambda: function.busy == 1 and all(worker.invocation for worker in function.workers))
    accepted += [bench.begin(function, gate) for _ in range(3)]
    with pytest.raises(OverloadedError, match="3 requests are waiting for toy"):
        bench.begin(function, gate)
    Path(gate).touch()
    assert all(future.result(10).error is None for future in accepted)


def test_an_event_over_the_quota_is_refused(bench: Workbench) -> None:
    function = bench.function(ECHO)
    with pytest.raises(EventTooLargeError):
        bench.begin(function, "x" * MAX_EVENT_BYTES)


def test_idle_processes_are_ended_and_come_back_when_needed(bench: Workbench) -> None:
    function = bench.function(ECHO, idle_seconds=0.05)
    bench.invoke(function)
    bench.do(function.reap)
    assert len(function.workers) == 1
    time.sleep(0.06)
    bench.do(function.reap)
    until(lambda: not function.workers)
    assert bench.invoke(function).error is None
    assert function.started == 2


def test_stopping_lets_what_runs_end_and_fails_what_waits(bench: Workbench) -> None:
    function = bench.function(
        "import time\ndef handler(event, context):\n    time.sleep(0.3)\n    return 'done'", concurrency=1
    )
    running = bench.begin(function, 1)
    until(lambda: any(worker.invocation for worker in function.workers))
    waiting = bench.begin(function, 2)
    bench.run(function.stop(10))
    assert running.result(0).payload == b'"done"'
    error = waiting.result(0).error
    assert error is not None
    assert error.type == "Stack.Stopping"
    assert not function.workers


def test_a_process_sees_lambdas_variables_and_its_own_and_no_others(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary")
    monkeypatch.setenv("DATABASE_URL", "canary")
    function = bench.function(
        "import os\ndef handler(event, context): return dict(os.environ)",
        environment={"MILLRACE_DOORBELL": "none"},
        memory_mb=512,
        region="eu-central-1",
    )
    seen = json.loads(bench.invoke(function).payload)
    assert "canary" not in seen.values()
    assert seen["MILLRACE_DOORBELL"] == "none"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert seen["AWS_REGION"] == "eu-central-1"
    assert seen["TZ"] == "UTC"
    allowed = {"PATH", "LANG", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "LAMBDA_TASK_ROOT", "MILLRACE_DOORBELL"}
    assert {name for name in seen if not name.startswith(("AWS_", "_"))} <= allowed


def test_functions_die_with_the_process_that_started_them_even_if_it_is_killed(tmp_path: Path) -> None:
    (tmp_path / "pid_module.py").write_text("import os\ndef handler(event, context): return os.getpid()")
    script = f"""
import asyncio, json, pathlib, sys
from infra.local.logs import Logs
from infra.local.runtime import Function, FunctionSettings

async def main():
    loop = asyncio.get_running_loop()
    logs = Logs(pathlib.Path({str(tmp_path)!r}) / "logs", loop)
    function = Function(FunctionSettings("pid", "pid_module.handler", 5.0, pathlib.Path({str(tmp_path)!r})), logs)
    answer = loop.create_future()
    function.invoke(b"null", answer.set_result)
    print((await answer).payload.decode(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

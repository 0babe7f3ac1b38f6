"""The demo's third part: a workflow's code transforms data in the sandbox, and code that means harm gets nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.cli.api import Api
from infra.cli.exits import Failure
from infra.cli.runs import RUNS, events
from infra.cli.timeline import heading, step_line
from infra.cli.workflow_file import read_workflow
from infra.cli.workflows import ROUTE, save

HERE = Path(__file__).parent
EXECUTE = "/api/v1/code/execute"
ORDERS = [
    {"customer": "Rye & Sons", "pieces": 12, "price": 3.2},
    {"customer": "Barley Ltd", "pieces": 2, "price": 41.5},
    {"customer": "Rye & Sons", "pieces": 1, "price": 19.95},
]
BILL = {"Barley Ltd": 83.0, "Rye & Sons": 58.35}

#: What a program might try, and the words in which it is told that it could not.
ATTACKS = (
    ("read our secrets", "result = open('/proc/self/environ').read()", "FileNotFoundError"),
    ("read /etc/passwd", "result = open('/etc/passwd').read()", "FileNotFoundError"),
    ("call out", "import socket; socket.socket().connect(('127.0.0.1', 5432))", "Error"),
    ("start a process", "import os; os.fork()", "AttributeError"),
    ("never end", "while True: pass", "It ran longer than 0.5 s."),
    ("take all memory", "hoard = [bytearray(2**24) for _ in range(10**6)]", "memory"),
)


def tell_code(api: Api, screen: Console) -> dict[str, Any]:
    """Do it all and say it; the run, as the API shows it. Anything that is not as promised is a :class:`Failure`."""
    _, flow = save(api, read_workflow(HERE / "code.yaml"))
    run = str(api.post(f"{ROUTE}/{flow['id']}/run", {"payload": {"orders": ORDERS}})["id"])
    _say(screen, f"{len(ORDERS)} orders for {flow['name']}, whose code runs in the sandbox: run {run}")
    screen.print()
    status: dict[str, Any] = {}
    for status, ended in events(api, run):  # noqa: B007  (the last one is wanted)
        for step in ended:
            screen.print(Text("  ").append_text(step_line(step, screen.width - 2)), soft_wrap=True)
    screen.print(Text("  ").append_text(heading(status)))
    screen.print()
    steps = api.get(f"{RUNS}/{run}/steps")["items"]
    outputs: dict[str, Any] = {step["node_id"]: step["output"] for step in steps}
    output = outputs.get("sum") or {}
    if status["status"] != "completed" or output.get("result") != BILL:
        raise Failure(f"The run ended as {status['status']}: {status.get('error_message')}")
    usage = output["usage"]
    bill = ", ".join(f"{customer} {total:.2f}" for customer, total in output["result"].items())
    _say(screen, f"{bill}; {usage['wall_ms']:.0f} ms, {usage['memory_bytes'] // 2**20} MB")
    for intent, code, said in ATTACKS:
        _attack(api, screen, intent, code, said)
    found: dict[str, Any] = api.get(f"{RUNS}/{run}")
    return found


def _attack(api: Api, screen: Console, intent: str, code: str, said: str) -> None:
    """Run code that means harm; a run that got anything is a :class:`Failure`."""
    ended = api.post(EXECUTE, {"code": code, "timeout_seconds": 0.5 if "while" in code else 10})
    told = str(ended["error_message"])
    if ended["status"] == "completed" or ended["output_data"] is not None or said not in told:
        raise Failure(f"Code that tried to {intent} ended as {ended['status']}: {told}")
    screen.print(Text.assemble(("✓ ", "green"), f"code that tries to {intent}: ", (told, "dim")), soft_wrap=True)


def _say(screen: Console, text: str) -> None:
    screen.print(Text.assemble(("✓ ", "green"), text), soft_wrap=True)

"""The demo's second part: a scanned invoice is put in a bucket, which starts a workflow that reads it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.cli.api import TIMEOUT_SECONDS, Api
from infra.cli.exits import Failure
from infra.cli.runs import RUNS, events
from infra.cli.timeline import heading, step_line
from infra.cli.workflow_file import read_workflow
from infra.cli.workflows import ROUTE, save
from infra.demo import invoice_paper

HERE = Path(__file__).parent
BUCKET = "ocr-documents"
FOLDER = "demo"
#: The first document waits for the engine to be loaded; a machine that is busy takes its time.
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.2


def tell_invoice(api: Api, screen: Console) -> dict[str, Any]:
    """Do it all and say it; the run, as the API shows it. Anything that is not as promised is a :class:`Failure`."""
    _, flow = save(api, read_workflow(HERE / "invoice.yaml"))
    _listen(api, flow["id"])
    scan = invoice_paper.scan()
    begun = time.monotonic()
    key = _bring(api, scan)
    _say(screen, f"a scanned invoice, {len(scan) // 1024} kB, {invoice_paper.SKEW_DEGREES}° askew: stored in {BUCKET}")
    run = _started_by(api, flow["id"], key)
    _say(screen, f"which started {flow['name']}: run {run}")
    screen.print()
    status: dict[str, Any] = {}
    for status, steps in events(api, run):  # noqa: B007  (the last one is wanted)
        for step in steps:
            screen.print(Text("  ").append_text(step_line(step, screen.width - 2)), soft_wrap=True)
    screen.print(Text("  ").append_text(heading(status)))
    if status["status"] != "completed":
        raise Failure(f"The run ended as {status['status']}: {status.get('error_message')}")
    screen.print()
    output = _output(api, run)
    _show(screen, output)
    took = time.monotonic() - begun
    _say(screen, f"read by {output['engine']}, confidence {output['confidence']:.2f}; {took:.1f} s from the upload on")
    found: dict[str, Any] = api.get(f"{RUNS}/{run}")
    return found


def _listen(api: Api, workflow: str) -> None:
    """The workflow's storage trigger, made once."""
    here = f"{ROUTE}/{workflow}/storage-triggers"
    if not any(one["bucket"] == BUCKET for one in _items(api.get(here))):
        api.post(here, {"bucket": BUCKET, "prefix": f"{FOLDER}/", "suffix": ".jpg"})


def _items(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["items"] if isinstance(answer, dict) else answer
    return found


def _bring(api: Api, scan: bytes) -> str:
    """Upload the scan as any client would: straight to the store; its key."""
    about = {"bucket": BUCKET, "filename": "invoice.jpg", "size": len(scan), "media_type": "image/jpeg"}
    ticket = api.post("/api/v1/storage/upload", {**about, "folder": f"{FOLDER}/{uuid4().hex[:8]}"})
    sent = httpx.put(ticket["url"], content=scan, headers=ticket["headers"], timeout=TIMEOUT_SECONDS)
    if not sent.is_success:
        raise Failure(f"The store answered the upload with {sent.status_code}.")
    return str(api.post(f"/api/v1/storage/uploads/{ticket['id']}/complete")["key"])


def _started_by(api: Api, workflow: str, key: str) -> str:
    """The run that the stored file started."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for one in api.get(RUNS, workflow_id=workflow, limit=5)["items"]:
            run = api.get(f"{RUNS}/{one['id']}")
            if run["trigger_data"]["payload"]["key"] == key:
                return str(run["id"])
        time.sleep(PAUSE_SECONDS)
    raise Failure("The stored invoice started no run.")


def _output(api: Api, run: str) -> dict[str, Any]:
    [output] = [step["output"] for step in api.get(f"{RUNS}/{run}/steps")["items"] if step["node_id"] == "read"]
    found: dict[str, Any] = output
    return found


def _show(screen: Console, output: dict[str, Any]) -> None:
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    for field in output["fields"] or []:
        grid.add_row(Text(f"  {field['name']}"), Text(field["value"]), Text(field["key"] or "", style="dim"))
    screen.print(grid)
    for table in output["tables"] or []:
        rows = Table(show_header=False, border_style="dim")
        for row in table["rows"]:
            rows.add_row(*(Text(cell) for cell in row))
        screen.print(rows)
    if not output["fields"]:
        screen.print(Text(output["text"][:500]), soft_wrap=True)


def _say(screen: Console, text: str) -> None:
    screen.print(Text.assemble(("✓ ", "green"), text), soft_wrap=True)

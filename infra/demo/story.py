"""The demo's story: one signed push from arrival to the end of its run, and two deliveries that change nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.text import Text

from infra.cli.api import TIMEOUT_SECONDS, Api, refusal
from infra.cli.exits import Failure
from infra.cli.runs import RUNS, events
from infra.cli.timeline import heading, step_line
from infra.cli.workflow_file import read_workflow
from infra.cli.workflows import ROUTE, save

HERE = Path(__file__).parent
SUBSCRIPTIONS = f"{ROUTE}/webhooks/subscriptions"
NAME = "demo-push"


class Sender:
    """GitHub, as far as a webhook is concerned: signs a push and posts it."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._secret = secret.encode()

    def headers(self, body: bytes, delivery_id: str) -> dict[str, str]:
        """Those that GitHub sends; docs.github.com, "Webhook events and payloads"."""
        return {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-delivery": delivery_id,
            "x-github-event": "push",
            "x-github-hook-id": "292430182",
            "x-hub-signature-256": "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest(),
        }

    def post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.post(self.url, content=body, headers=headers, timeout=TIMEOUT_SECONDS)


def tell(api: Api, screen: Console) -> dict[str, Any]:
    """Do it all and say it; the run, as the API shows it. Anything that is not as promised is a :class:`Failure`."""
    _, flow = save(api, read_workflow(HERE / "workflow.yaml"))
    sender = _subscribe(api, flow["id"])
    _say(screen, f"workflow {flow['name']}, version {flow['version']}: {_path(flow['graph_config'])}")

    body = (HERE / "push.json").read_bytes()
    delivery_id = str(uuid4())
    headers = sender.headers(body, delivery_id)
    started = _accepted(sender.post(body, headers))
    run = str(started["id"])
    _say(screen, f"a GitHub push of {len(body)} bytes, signed: 202, run {run}")
    screen.print()
    ended = _follow(api, run, screen)
    if ended["status"] != "completed":
        raise Failure(f"The run ended as {ended['status']}: {ended.get('error_message')}")
    screen.print()

    answer = sender.post(body.replace(b"refs/heads/main", b"refs/heads/evil"), headers)
    if answer.status_code != 401:
        raise Failure(f"A tampered delivery was answered {answer.status_code}, not 401.")
    _say(screen, f"the same with one word changed: 401, {answer.json()['detail']}")

    again = _accepted(sender.post(body, headers))
    runs = _runs_since(api, flow["id"], run)
    if again["id"] != run or not again["duplicate"] or runs != [run]:
        raise Failure(f"The same delivery twice made {len(runs)} runs.")
    _say(screen, "the same delivery sent again: 202, a duplicate of that run; no second one")
    found: dict[str, Any] = api.get(f"{RUNS}/{run}")
    return found


def _subscribe(api: Api, workflow: str) -> Sender:
    """The demo's webhook address, made once and kept; each demo has a secret of its own."""
    secret = secrets.token_hex(20)
    mine = (one for one in api.pages(SUBSCRIPTIONS, workflow_id=workflow) if one["name"] == NAME)
    subscription = next(mine, None)
    if subscription is None:
        subscription = api.post(
            SUBSCRIPTIONS,
            {
                "workflow_id": workflow,
                "name": NAME,
                "webhook_path": "/push",
                "scheme": "github",
                "secret": secret,
                "filter_expression": "trigger.headers['x-github-event'] == 'push'",
            },
        )
    else:
        api.post(f"{SUBSCRIPTIONS}/{subscription['id']}/rotate", {"secret": secret})
    return Sender(subscription["url"], secret)


def _accepted(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 202:
        raise refusal(response)
    answer: dict[str, Any] = response.json()
    return answer


def _follow(api: Api, run: str, screen: Console) -> dict[str, Any]:
    """Print the run's steps as they end; how it stands then."""
    status: dict[str, Any] = {}
    for status, steps in events(api, run):  # noqa: B007  (the last one is wanted)
        for step in steps:
            screen.print(Text("  ").append_text(step_line(step, screen.width - 2)), soft_wrap=True)
    screen.print(Text("  ").append_text(heading(status)))
    return status


def _runs_since(api: Api, workflow: str, run: str) -> list[str]:
    """The workflow's runs from the newest down to ``run``."""
    found = []
    for one in api.pages(RUNS, workflow_id=workflow):
        found.append(str(one["id"]))
        if one["id"] == run:
            break
    return found


def _path(graph: dict[str, Any]) -> str:
    return " → ".join(_longest(graph["edges"], "push"))


def _longest(edges: list[dict[str, Any]], start: str) -> list[str]:
    """The longest way from ``start`` through the edges, by node id."""
    ways: Iterator[list[str]] = (_longest(edges, edge["to"]) for edge in edges if edge["from"] == start)
    return [start, *max(ways, key=len, default=[])]


def _say(screen: Console, text: str) -> None:
    screen.print(Text.assemble(("✓ ", "green"), text), soft_wrap=True)

"""What a hostile workflow meets: a refusal when it is saved, or else a failed run, and others go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.functions.gateway import GRAPH, Gateway
from tests.functions.workflow_api.test_executions import RUNS, WORKFLOWS, graph


def set_to(value: str) -> dict[str, Any]:
    """A graph that computes this."""
    return graph({"node_id": "set", "node_type": "set_variable", "config": {"name": "x", "value": value}})


@pytest.mark.parametrize(
    "source",
    ["(" * 4000 + "1" + ")" * 4000, "[" * 40 + "]" * 40, "1" + " + 1" * 4000, "no.such(name)", "trigger.map(x, " * 400],
    ids=["deep parentheses", "deep lists", "huge", "unknown", "broken"],
)
def test_a_hostile_expression_is_refused_when_it_is_saved(api: Gateway, source: str) -> None:
    condition = {"node_id": "set", "node_type": "condition", "config": {"condition": source}}
    for sent in (set_to("{{ " + source + " }}"), graph(condition)):
        refused = api.post(WORKFLOWS, {"name": "x", "graph_config": sent})
        assert refused.problem["status"] == 422
        assert all(path.startswith("graph_config.nodes.1.config") for path in refused.paths), refused.paths
    assert api.get(WORKFLOWS).json["items"] == []


@pytest.mark.parametrize(
    "source",
    [
        "trigger.payload.many.all(x, trigger.payload.many.all(y, trigger.payload.many.all(z, x + y + z >= 0)))",
        "[trigger.payload.text]" + ".map(b, b + b)" * 20,
        "trigger.payload.many.map(i, trigger.payload.text)",
    ],
    ids=["endless", "memory", "many copies"],
)
def test_one_that_would_never_end_or_take_all_memory_fails_its_run_and_no_other(
    api: Gateway, work: Callable[[], None], source: str
) -> None:
    payload = {"many": list(range(5000)), "text": "x" * 50_000}
    runs = []
    for sent in (GRAPH, set_to("{{ " + source + " }}"), GRAPH):
        made = api.post(WORKFLOWS, {"name": "x", "graph_config": sent})
        runs.append(api.post(f"{WORKFLOWS}/{made.json['id']}/run", {"payload": payload}).json["id"])
    work()
    ended = [api.get(f"{RUNS}/{run}").json for run in runs]
    assert [run["status"] for run in ended] == ["completed", "failed", "completed"]
    assert ended[1]["error"]["kind"] == "expression"
    assert "set" in ended[1]["error"]["node_id"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:5432/",
        "http://[::ffff:10.0.0.1]/",
        "http://0x7f.1/",
        "http://localhost/",
        "{{ trigger.payload.url }}",
        "file:///etc/passwd",
    ],
)
def test_a_url_to_a_private_address_fails_its_run_and_nothing_is_called(
    api: Gateway, work: Callable[[], None], url: str
) -> None:
    call = {"node_id": "call", "node_type": "http_request", "config": {"url": url}}
    made = api.post(WORKFLOWS, {"name": "x", "graph_config": graph(call)})
    if made.status == 422:
        assert made.paths == ["graph_config.nodes.1.config.url"]
        return
    run = api.post(f"{WORKFLOWS}/{made.json['id']}/run", {"payload": {"url": "http://[fd00::1]/"}}).json["id"]
    work()
    ended = api.get(f"{RUNS}/{run}").json
    assert (ended["status"], ended["error"]["kind"]) == ("failed", "blocked")

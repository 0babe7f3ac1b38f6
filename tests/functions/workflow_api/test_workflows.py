"""A workflow's graph is versioned: every change is kept, none is lost."""

from __future__ import annotations

from tests.functions.gateway import GRAPH, Gateway

WORKFLOWS = "/api/v1/workflows"


def test_a_new_workflow_is_at_version_one_and_says_where_it_is(api: Gateway) -> None:
    made = api.post(WORKFLOWS, {"name": "Mill", "graph_config": GRAPH, "description": "grinds"})
    assert made.status == 201
    assert made.headers["etag"] == '"1"'
    assert made.headers["location"] == f"{WORKFLOWS}/{made.json['id']}"
    read = api.get(made.headers["location"])
    assert read.status == 200
    assert read.json == made.json
    assert read.json["graph_config"] == GRAPH
    assert read.json["created_at"].endswith("Z")

"""Where a run stands follows from its ended steps alone, in whatever order branches ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.workflow.graph import ERROR_BRANCH, Graph, parse
from shared.workflow.state import OpenStep, RunState


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph without cycles, every node reachable: each node has an edge from an earlier one, some conditional."""
    size = draw(st.integers(1, 12))
    nodes: list[dict[str, Any]] = [{"node_id": "n0", "node_type": "trigger"}]
    edges: list[dict[str, Any]] = []
    for number in range(1, size):
        kind = draw(st.sampled_from(["condition", "merge"]))
        config = {"condition": "true"} if kind == "condition" else {}
        nodes.append({"node_id": f"n{number}", "node_type": kind, "config": config})
        for source in draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=3)):
            branches = [None, ERROR_BRANCH]
            if nodes[source]["node_type"] == "condition":
                branches += ["true", "false"]
            branch = draw(st.sampled_from(branches))
            edges.append({"from": f"n{source}", "to": f"n{number}"} | ({"branch": branch} if branch else {}))
    return parse({"nodes": nodes, "edges": edges, "entry_node_id": "n0"})


def _outcome(draw: Any, graph: Graph, node_id: str) -> tuple[str | None, str]:
    if draw(st.integers(0, 3)) == 0:
        return ERROR_BRANCH, "failed"
    if graph.nodes[node_id].type.name == "condition":
        return draw(st.sampled_from(["true", "false"])), "completed"
    return None, "completed"


@given(graphs(), st.data())
def test_a_restored_run_stands_where_it_stood(graph: Graph, data: st.DataObject) -> None:
    run = RunState.restore(graph, [], {})
    steps: list[dict[str, Any]] = []
    while run.ready:
        chosen = data.draw(st.sampled_from(sorted(run.ready)))
        run.ready.remove(chosen)
        branch, status = _outcome(data.draw, graph, chosen)
        run.end(chosen, len(steps), branch, status)
        steps.append(
            {
                "node_id": chosen,
                "seq": len(steps) + 1,
                "status": status,
                "branch": branch,
                "output": len(steps),
                "variables": None,
            }
        )
        again = RunState.restore(graph, steps, {})
        assert set(again.ready) == set(run.ready)
        assert again.nodes == run.nodes
        assert all(again.inputs(id_) == run.inputs(id_) for id_ in run.nodes)
    assert len({step["node_id"] for step in steps}) == len(steps)  # no node twice


@given(graphs(), st.data())
def test_a_node_runs_only_when_every_way_to_it_is_decided_and_one_is_taken(graph: Graph, data: st.DataObject) -> None:
    run = RunState.restore(graph, [], {})
    while run.ready:
        chosen = run.ready.popleft()
        node = graph.nodes[chosen]
        if chosen != graph.entry:
            assert run.inputs(chosen), "no edge into it was taken"
        run.end(chosen, None, *_outcome(data.draw, graph, chosen))
        for edge in node.incoming:
            assert edge.source in run.nodes or not _reaches(graph, run, edge.source)


def _reaches(graph: Graph, run: RunState, node_id: str) -> bool:
    """Whether the node may still run: some way to it is taken or open."""
    node = graph.nodes[node_id]
    if node_id in run.nodes or node_id in run.ready:
        return True
    for edge in node.incoming:
        if edge.source in run.nodes:
            if node_id in run.nodes or node_id in run.ready:
                return True
            ended = run.nodes[edge.source]
            failed = ended["status"] == "failed"
            if (edge.branch == ERROR_BRANCH) == failed and edge.branch in (None, ended["branch"]):
                return True
        elif _reaches(graph, run, edge.source):
            return True
    return False


@given(
    st.builds(
        OpenStep,
        attempt=st.integers(1, 100),
        due=st.none() | st.datetimes(timezones=st.timezones()),
        signal=st.none() | st.text(min_size=1),
        state=st.none() | st.dictionaries(st.text(), st.integers(), min_size=1),
        job=st.none() | st.text(min_size=1),
        started=st.booleans(),
        in_doubt=st.booleans(),
    )
)
def test_an_open_step_is_kept_whole(step: OpenStep) -> None:
    kept = OpenStep.from_json(step.to_json())
    if step.due is not None and kept.due is not None:
        # Of times at a change of clocks, == between zones is never true (PEP 495); their difference is.
        assert kept.due - step.due == timedelta()
        kept.due = step.due
    assert kept == step

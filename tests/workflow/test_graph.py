"""A saved graph becomes one that can be run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.workflow.graph import ERROR_BRANCH, GraphError, parse
from shared.workflow.node import Effect
from tests.workflow.graphs import chain, edge, mistakes, node


def test_the_builders_list_is_read():
    graph = parse(
        {
            "nodes": [
                node("start", "trigger", trigger_type="webhook"),
                node("big", "condition", condition_expression="trigger.amount > 100"),
                node("yes"),
                node("no"),
            ],
            "edges": [
                edge("start", "big"),
                {"from": "big", "to": "yes", "condition": "true"},
                edge("big", "no", branch="false"),
            ],
            "entry_node_id": None,
            "dependencies": ["0194f0a0-0000-7000-8000-000000000001"],
            "use_langgraph": False,
        }
    )
    assert graph.entry == "start"
    assert [(e.target, e.branch) for e in graph.nodes["big"].outgoing] == [("yes", "true"), ("no", "false")]
    assert [e.source for e in graph.nodes["no"].incoming] == ["big"]
    assert graph.dependencies == ("0194f0a0-0000-7000-8000-000000000001",)
    assert graph.nodes["big"].config.expression == "trigger.amount > 100"


def test_the_dict_form_is_read():
    graph = parse(
        {
            "nodes": {
                "start": {"node_type": "trigger", "next": ["a", "b"]},
                "a": {"node_type": "get_variable", "config": {"variable_name": "x"}, "next": "join"},
                "b": {"node_type": "get_variable", "config": {"variable_name": "y"}, "next": "join"},
                "join": {"node_type": "merge"},
            }
        }
    )
    assert [e.target for e in graph.nodes["start"].outgoing] == ["a", "b"]
    assert [e.source for e in graph.nodes["join"].incoming] == ["a", "b"]


def test_both_shapes_give_the_same_graph():
    listed = parse(chain(node("start", "trigger"), node("a")))
    keyed = parse({"nodes": {"start": {"node_type": "trigger", "next": "a"}, "a": node("a")}})
    assert listed.nodes["start"].outgoing == keyed.nodes["start"].outgoing
    assert listed.nodes["a"].config == keyed.nodes["a"].config


def test_an_edge_said_twice_is_one_edge():
    config = chain(node("start", "trigger"), node("a"))
    config["edges"] *= 2
    assert len(parse(config).nodes["start"].outgoing) == 1


@pytest.mark.parametrize("branch", [True, "true"])
def test_a_branch_may_be_written_as_a_truth_value(branch):
    config = {
        "nodes": [node("start", "trigger"), node("if", "if", condition="true"), node("a")],
        "edges": [edge("start", "if"), edge("if", "a", branch)],
    }
    assert parse(config).nodes["if"].outgoing[0].branch == "true"


def test_every_node_may_have_an_error_branch():
    config = chain(node("start", "trigger"), node("a"))
    config["nodes"].append(node("rescue"))
    config["edges"].append(edge("a", "rescue", ERROR_BRANCH))
    assert parse(config).nodes["rescue"].incoming[0].branch == ERROR_BRANCH


class TestEntry:
    """Where a run begins."""

    def test_the_saved_entry_is_honoured(self):
        config = chain(node("a"), node("start", "trigger"), entry_node_id="a")
        assert parse(config).entry == "a"

    def test_else_it_is_the_trigger_wherever_it_is_listed(self):
        config = {"nodes": [node("a"), node("start", "trigger")], "edges": [edge("start", "a")]}
        assert parse(config).entry == "start"

    def test_else_the_only_node_without_an_incoming_edge(self):
        config = {"nodes": [node("b"), node("a")], "edges": [edge("a", "b")]}
        assert parse(config).entry == "a"

    def test_an_entry_that_is_no_node_is_a_mistake(self):
        assert (
            "did you mean 'start'" in mistakes(chain(node("start", "trigger"), entry_node_id="strat"))["entry_node_id"]
        )

    def test_two_triggers_are_a_mistake_unless_one_is_named(self):
        config = {
            "nodes": [node("one", "trigger"), node("two", "trigger"), node("a")],
            "edges": [edge("one", "a"), edge("two", "a")],
        }
        assert "one, two" in mistakes(config)["entry_node_id"]
        assert mistakes({**config, "entry_node_id": "one"}) == {
            "nodes.1": "'two' cannot be reached from 'one', where a run begins"
        }

    def test_no_beginning_at_all_is_a_mistake(self):
        config = {"nodes": [node("a"), node("b")], "edges": [edge("a", "b"), edge("b", "a")]}
        found = mistakes(config)
        assert "where does a run begin" in found["entry_node_id"]
        assert "cycle" in found["edges.1"]


class TestNodeSettings:
    """What a node says beside its config."""

    @pytest.mark.parametrize("inside", [True, False])
    def test_retry_and_timeout_stand_on_the_node_or_in_its_config(self, inside):
        more = {"retry": {"max_attempts": 7}, "timeout_seconds": 12}
        one = node("a")
        (one["config"] if inside else one).update(more)
        parsed = parse({"nodes": [one], "edges": []}).nodes["a"]
        assert parsed.retry.max_attempts == 7
        assert parsed.timeout_seconds == 12

    def test_not_in_both(self):
        one = node("a", retry={"max_attempts": 7}) | {"retry": {"max_attempts": 8}}
        assert "keep one of them" in mistakes({"nodes": [one]})["nodes.0.retry"]

    def test_a_config_with_such_a_key_of_its_own_keeps_it(self):
        wait = node("a", "delay", signal="go", timeout_seconds=60)
        parsed = parse({"nodes": [wait]}).nodes["a"]
        assert parsed.config.timeout_seconds == 60
        assert parsed.timeout_seconds is None

    @pytest.mark.parametrize("seconds", [0, -1, "60", True, 1e12])
    def test_a_timeout_is_a_positive_number(self, seconds):
        assert "seconds" in mistakes({"nodes": [node("a") | {"timeout_seconds": seconds}]})["nodes.0.timeout_seconds"]
        assert "seconds" in mistakes({"nodes": [node("a")], "timeout_seconds": seconds})["timeout_seconds"]

    def test_the_effect_is_the_nodes_own(self):
        assert parse({"nodes": [node("a")]}).nodes["a"].effect is Effect.PURE

    def test_what_the_builder_keeps_for_itself_is_let_through(self):
        assert not mistakes({"nodes": [node("a") | {"name": "A", "description": "?", "position": {"x": 1, "y": 2}}]})


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[int, set[tuple[int, int]]]:
    """Nodes 0..n-1 with edges from lower to higher; every node but 0 has one from below, so all can be reached."""
    count = draw(st.integers(1, 12))
    edges = {(draw(st.integers(0, node - 1)), node) for node in range(1, count)}
    extra = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=12))
    return count, edges | {(min(pair), max(pair)) for pair in extra if pair[0] != pair[1]}


def written(count: int, edges: set[tuple[int, int]]) -> dict:
    return {
        "nodes": [node("0", "trigger"), *(node(str(i)) for i in range(1, count))],
        "edges": [edge(str(a), str(b)) for a, b in sorted(edges)],
    }


@given(acyclic())
def test_every_reachable_graph_without_cycles_is_accepted_with_all_its_edges(shape):
    count, edges = shape
    graph = parse(written(count, edges))
    assert graph.entry == "0"
    assert {(int(e.source), int(e.target)) for n in graph.nodes.values() for e in n.outgoing} == edges
    assert {(int(e.source), int(e.target)) for n in graph.nodes.values() for e in n.incoming} == edges


@given(acyclic(), st.data())
def test_any_edge_back_along_a_path_is_a_cycle(shape, data):
    count, edges = shape
    if not edges:
        return
    start, end = data.draw(st.sampled_from(sorted(edges)))
    found = mistakes({**written(count, edges | {(end, start)}), "entry_node_id": "0"})
    assert any("cycle" in message for message in found.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["nodes", "edges", "node_id", "node_type", "config", "from", "to", "branch", "next", "retry", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(json_values)
def test_nothing_but_a_graph_error_comes_of_any_json(value):
    for config in (
        value,
        {"nodes": value, "edges": value},
        {"nodes": [{"node_id": "a", "node_type": "map", "config": value}]},
    ):
        try:
            parse(config)
        except GraphError as error:
            refused = error.errors
        else:
            continue
        assert refused
        assert all(isinstance(mistake["path"], str) and mistake["message"] for mistake in refused)

"""Every mistake in a graph is reported at once, each with its path and what to do about it."""

from __future__ import annotations

import time

import pytest

from shared.settings import GraphSettings
from shared.workflow.foreign import NOT_DEPLOYED
from shared.workflow.graph import MOST_MISTAKES, GraphError, parse
from shared.workflow.node import REGISTRY, NodeConfig, Output
from shared.workflow.node import node as register
from tests.workflow.graphs import chain, edge, mistakes, node


def test_all_kinds_of_mistakes_are_reported_together():
    config = {
        "nodes": [
            node("start", "trigger"),
            node("fetch", "http_reqest", url="https://example.com"),
            node("start", "delay", seconds=5),
            node("check", "condition", condition="trigger.amount >", retry={"max_attempts": 0}),
            node("each", "map", items="nodes.fech.output.rows", expression="item.name", colour="red"),
            node("lonely"),
            node("self"),
        ],
        "edges": [
            edge("start", "fetch"),
            edge("fetch", "check"),
            edge("check", "each"),
            edge("each", "fetch"),
            edge("check", "nowhere", "true"),
            edge("each", "self"),
            edge("self", "self"),
            edge("fetch", "self", "maybe"),
        ],
        "entry_node": "start",
    }
    found = mistakes(config)
    assert set(found) == {
        "entry_node",
        "nodes.1.node_type",
        "nodes.2.node_id",
        "nodes.3.config.retry.max_attempts",
        "nodes.3.config.condition",
        "nodes.4.config.colour",
        "nodes.4.config.items",
        "nodes.5",
        "edges.3",
        "edges.4.to",
        "edges.6",
    }
    assert found["entry_node"].startswith("unknown key; did you mean 'entry_node_id'")
    assert "did you mean 'http_request'" in found["nodes.1.node_type"]
    assert "already the id of nodes.0" in found["nodes.2.node_id"]
    assert "1:" in found["nodes.3.config.condition"]  # line and column
    assert "did you mean 'fetch'" in found["nodes.4.config.items"]
    assert "cannot be reached from 'start'" in found["nodes.5"]
    assert "'fetch' -> 'check' -> 'each' -> 'fetch'" in found["edges.3"]
    assert "no node 'nowhere'" in found["edges.4.to"]
    assert "to itself" in found["edges.6"]


def test_the_first_mistake_and_their_number_are_in_the_summary():
    with pytest.raises(GraphError) as caught:
        parse({"nodes": [node("a", "nothing"), node("a")]})
    assert caught.value.status == 422
    assert "nodes.0.node_type" in caught.value.detail
    assert f"{len(caught.value.errors) - 1} more" in caught.value.detail
    assert caught.value.errors[0]["node"] == "a"


def test_thousands_of_mistakes_are_counted_and_not_all_listed():
    with pytest.raises(GraphError) as caught:
        parse({"nodes": [node(f"n{i}", "nothing") for i in range(400)]})
    assert len(caught.value.errors) == MOST_MISTAKES + 1
    assert "more" in caught.value.errors[-1]["message"]


class TestShape:
    """What is no graph at all."""

    @pytest.mark.parametrize("config", [None, [], "graph", 7, True])
    def test_a_graph_is_an_object(self, config):
        assert "an object" in mistakes(config)[""]

    @pytest.mark.parametrize("nodes", [None, [], {}, "a", 3])
    def test_a_graph_has_nodes(self, nodes):
        assert "at least one node" in mistakes({"nodes": nodes, "edges": []})["nodes"]

    @pytest.mark.parametrize("one", [None, "a", ["a"]])
    def test_a_node_is_an_object(self, one):
        assert "an object" in mistakes({"nodes": [one]})["nodes.0"]
        assert "an object" in mistakes({"nodes": {"a": one}})["nodes.a"]

    @pytest.mark.parametrize("edges", [{}, "a", 3])
    def test_edges_are_a_list(self, edges):
        assert "a list" in mistakes({"nodes": [node("a")], "edges": edges})["edges"]

    @pytest.mark.parametrize("one", [None, "a", ["a", "b"]])
    def test_an_edge_is_an_object(self, one):
        assert "an object" in mistakes({"nodes": [node("a")], "edges": [one]})["edges.0"]

    def test_an_edge_needs_both_ends(self):
        found = mistakes({"nodes": [node("a")], "edges": [{"branch": "true"}]})
        assert set(found) == {"edges.0.from", "edges.0.to"}

    def test_an_edge_with_two_different_branches_is_refused(self):
        one = {"from": "a", "to": "b", "branch": "true", "condition": "false"}
        config = {"nodes": [node("a", "if", condition="true"), node("b")], "edges": [one]}
        assert "keep one" in mistakes(config)["edges.0.condition"]

    @pytest.mark.parametrize("id_", [None, "", 7, "a" * 256, "a\nb", ["a"]])
    def test_a_node_needs_an_id_that_can_be_stored(self, id_):
        assert "needs an id" in mistakes({"nodes": [node("a") | {"node_id": id_}]})["nodes.0.node_id"]

    def test_a_keyed_node_that_names_itself_otherwise_is_refused(self):
        assert "named 'b' inside" in mistakes({"nodes": {"a": node("b")}})["nodes.a"]

    @pytest.mark.parametrize(("key", "near"), [("node_typ", "node_type"), ("configuration", "config"), ("nex", "next")])
    def test_an_unknown_key_of_a_node_is_refused_with_the_nearest(self, key, near):
        assert f"did you mean {near!r}" in mistakes({"nodes": [node("a") | {key: 1}]})[f"nodes.0.{key}"]

    def test_next_names_nodes(self):
        found = mistakes({"nodes": {"a": node("a") | {"next": ["b", 3]}}})
        assert set(found) == {"nodes.a.next.0", "nodes.a.next.1"}

    @pytest.mark.parametrize(
        ("dependencies", "path"),
        [("all", "dependencies"), (["x"], "dependencies.0"), ([7], "dependencies.0")],
    )
    def test_dependencies_are_workflow_ids(self, dependencies, path):
        assert set(mistakes({"nodes": [node("a")], "dependencies": dependencies})) == {path}

    def test_a_dependency_named_twice_is_refused(self):
        one = "0194f0a0-0000-7000-8000-000000000001"
        assert "twice" in mistakes({"nodes": [node("a")], "dependencies": [one, one]})["dependencies.1"]

    def test_use_langgraph_is_a_truth_value(self):
        assert "true or false" in mistakes({"nodes": [node("a")], "use_langgraph": "yes"})["use_langgraph"]


class TestTypes:
    """Node types that cannot be used."""

    @pytest.mark.parametrize("name", [name for name in NOT_DEPLOYED if name not in REGISTRY])
    def test_a_type_that_a_later_capability_brings_is_refused_with_the_reason(self, name):
        message = mistakes({"nodes": [node("a", name)]})["nodes.0.node_type"]
        assert "needs the capability" in message
        assert "not deployed" in message
        assert "unknown" not in message

    def test_an_unknown_type_is_refused_with_the_nearest(self):
        assert "did you mean 'set_variable'" in mistakes({"nodes": [node("a", "setvariable")]})["nodes.0.node_type"]

    @pytest.mark.parametrize("type_", [None, 3, ["map"]])
    def test_a_type_is_a_name(self, type_):
        assert "needs a type" in mistakes({"nodes": [node("a") | {"node_type": type_}]})["nodes.0.node_type"]

    def test_a_capability_that_is_not_deployed_is_refused_when_saved_and_not_when_run(self, monkeypatch):
        monkeypatch.setattr("shared.workflow.node.REGISTRY", REGISTRY)
        register("_reads_scans", config=NodeConfig, capability="scans")(lambda _config, _context: Output())
        try:
            config = {"nodes": [node("a", "_reads_scans")]}
            assert "'scans', which is not deployed" in mistakes(config, deployed={"ocr"})["nodes.0.node_type"]
            assert not mistakes(config, deployed={"scans"})
            assert not mistakes(config)
        finally:
            del REGISTRY["_reads_scans"]


class TestConfig:
    """Configs that a node type does not take."""

    @pytest.mark.parametrize("config", ["x", 3, ["a"]])
    def test_a_config_is_an_object(self, config):
        assert mistakes({"nodes": [node("a") | {"config": config}]}) == {"nodes.0.config": "must be an object"}

    def test_a_missing_key_is_named(self):
        assert mistakes({"nodes": [node("a", "map")]}) == {"nodes.0.config.expression": "is required"}

    def test_an_unknown_key_is_named_with_the_nearest(self):
        message = mistakes({"nodes": [node("a", "map", expression="item", item="x")]})["nodes.0.config.item"]
        assert message == "unknown key; did you mean 'items'?"

    def test_an_old_name_beside_the_new_one_is_refused(self):
        config = {"nodes": [node("a", "map", expression="item", map_expression="item")]}
        assert "the same as 'expression'" in mistakes(config)["nodes.0.config.map_expression"]

    def test_a_wrong_type_is_named_by_the_key_that_was_written(self):
        assert set(mistakes({"nodes": [node("a", "map", map_expression=3)]})) == {"nodes.0.config.map_expression"}

    def test_a_mistake_inside_a_list_has_its_index(self):
        config = {"nodes": [node("a", "switch", expression="1", cases=[{"value": 1}, {"value": 2, "wehn": "x"}])]}
        assert set(mistakes(config)) == {"nodes.0.config.cases.1.wehn"}

    def test_wrong_keys_and_wrong_expressions_of_one_node_are_reported_together(self):
        config = {"nodes": [node("a", "map", map_expression="item +", colour="red", items="nodes.b.output")]}
        assert set(mistakes(config)) == {
            "nodes.0.config.map_expression",
            "nodes.0.config.colour",
            "nodes.0.config.items",
        }


class TestExpressions:
    """Expressions are checked when the workflow is saved."""

    @pytest.mark.parametrize(
        "source",
        ["trigger.amount >", "1 + )", "unknown_name == 1", "'a' + 1", "a" * 9000, "(" * 500 + "1" + ")" * 500, ""],
    )
    def test_a_bad_expression_is_refused(self, source):
        assert set(mistakes({"nodes": [node("a", "condition", condition=source)]})) == {"nodes.0.config.condition"}

    @pytest.mark.parametrize("text", ["{{ trigger.", "{{ 1 + }}", "{{ nobody }}"])
    def test_a_bad_template_is_refused_where_it_stands(self, text):
        config = {"nodes": [node("a", "respond", body={"list": [1, text]})]}
        assert all(path.startswith("nodes.0.config.body") for path in mistakes(config))
        assert mistakes(config)

    @pytest.mark.parametrize("name", ["item", "index", "accumulator"])
    def test_item_names_belong_to_the_nodes_that_have_items(self, name):
        assert (
            name in mistakes({"nodes": [node("a", "condition", condition=f"{name} == 1")]})["nodes.0.config.condition"]
        )
        assert not mistakes({"nodes": [node("a", "reduce", expression=f"[{name}]")]})

    def test_a_macros_own_item_is_no_mistake(self):
        assert not mistakes({"nodes": [node("a", "condition", condition="trigger.rows.exists(item, item.ok)")]})

    @pytest.mark.parametrize(
        "source", ["nodes.gone.output == 1", "nodes['gone'].output == 1", 'has(nodes.gone.output) && nodes["a"].output']
    )
    def test_a_reference_to_a_node_that_does_not_exist_is_refused(self, source):
        assert (
            "no node 'gone'"
            in mistakes({"nodes": [node("a", "condition", condition=source)]})["nodes.0.config.condition"]
        )

    @pytest.mark.parametrize(
        "source",
        [
            "trigger.text == 'nodes.gone'",
            'trigger.text == "see nodes[gone]"',
            "trigger.nodes.gone",
            "'gone' in nodes",
            "nodes[trigger.which].output",
            "nodes.a.output",
            'nodes["a"].status == "failed"',
        ],
    )
    def test_what_only_looks_like_a_reference_is_let_through(self, source):
        assert not mistakes({"nodes": [node("a", "condition", condition=source)]})

    def test_a_nodes_value_is_its_output_and_the_mistake_says_so(self):
        found = mistakes({"nodes": [node("a", "condition", condition="nodes.a.body.ok")]})
        assert "write nodes.a.output.body" in found["nodes.0.config.condition"]

    def test_a_merge_names_nodes_that_exist(self):
        found = mistakes(chain(node("start", "trigger"), node("m", "merge", input_sources=["start", "strat"])))
        assert "did you mean 'start'" in found["nodes.1.config.input_sources.1"]


class TestOtherLanguages:
    """What the old system ran through eval is refused with the way to write it; nothing of it is evaluated."""

    @pytest.mark.parametrize("language", ["javascript", "python", "jsonpath", "JavaScript"])
    def test_a_language_other_than_cel_is_refused(self, language):
        config = {"nodes": [node("a", "condition", condition="trigger.x == 1", condition_type=language)]}
        message = mistakes(config)["nodes.0.config.condition_type"]
        assert "not evaluated" in message
        assert "CEL" in message

    def test_cel_may_be_said(self):
        assert not mistakes({"nodes": [node("a", "condition", condition="trigger.x == 1", condition_type="cel")]})

    @pytest.mark.parametrize(
        ("source", "remedy"),
        [
            ("trigger.x === 1", "write `==`"),
            ("items => items.length", "write only the result"),
            ("lambda x: x", "write only the result"),
            ("$.body.amount > 3", "trigger.body.id"),
            ("trigger.x == 1 and trigger.y == 2", "`&&`"),
            ("trigger.x == None", "`null`"),
            ("len(trigger.rows) > 1", "`size(list)`"),
            ("data['amount'] > 1", "trigger.x"),
            ("__import__('os').system('true')", ""),
            ("().__class__.__base__.__subclasses__()", ""),
        ],
    )
    def test_its_expressions_are_recognised_and_the_remedy_is_said(self, source, remedy):
        assert remedy in mistakes({"nodes": [node("a", "condition", condition=source)]})["nodes.0.config.condition"]


class TestBranches:
    """Edges that nothing would ever follow."""

    def test_a_branch_the_node_cannot_take_is_refused(self):
        config = {
            "nodes": [node("a", "if", condition="true"), node("b")],
            "edges": [edge("a", "b", "maybe")],
        }
        assert "takes true, false, error, not 'maybe'" in mistakes(config)["edges.0.branch"]

    def test_a_node_without_branches_has_only_the_one_for_errors(self):
        config = {"nodes": [node("a"), node("b")], "edges": [edge("a", "b", "true")]}
        assert "takes error" in mistakes(config)["edges.0.branch"]

    def test_a_switch_takes_its_cases_and_the_default(self):
        switch = node("a", "switch", switch_expression="trigger.kind", cases=["red", {"value": 2, "branch": "two"}])
        config = {
            "nodes": [switch, node("b")],
            "edges": [edge("a", "b", name) for name in ("red", "two", "default", "error", "green")],
        }
        assert set(mistakes(config)) == {"edges.4.branch"}

    def test_no_case_may_be_called_error(self):
        switch = node("a", "switch", switch_expression="trigger.kind", cases=["error"])
        assert "may not be named 'error'" in mistakes({"nodes": [switch]})["nodes.0.config"]


class TestPaths:
    """Nodes that no run could reach or leave."""

    def test_a_node_edge_to_itself_is_refused(self):
        config = {"nodes": [node("a"), node("b")], "edges": [edge("a", "b"), edge("b", "b")]}
        assert mistakes(config) == {"edges.1": "leads from 'b' to itself"}

    def test_a_cycle_apart_from_the_entry_is_seen_too(self):
        config = {
            "nodes": [node("start", "trigger"), node("a"), node("b")],
            "edges": [edge("a", "b"), edge("b", "a")],
        }
        assert set(mistakes(config)) == {"edges.1", "nodes.1", "nodes.2"}

    def test_both_of_two_cycles_are_named(self):
        config = {
            "nodes": [node("start", "trigger"), node("a"), node("b"), node("c")],
            "edges": [edge("start", "a"), edge("a", "b"), edge("b", "a"), edge("a", "c"), edge("c", "a")],
        }
        assert set(mistakes(config)) == {"edges.2", "edges.4"}

    def test_the_way_back_of_a_loop_is_only_the_loops_mistake(self):
        config = {
            "nodes": [node("start", "trigger"), node("each", "loop"), node("a")],
            "edges": [edge("start", "each"), edge("each", "a"), edge("a", "each")],
        }
        assert set(mistakes(config)) == {"nodes.1.node_type"}

    def test_a_long_chain_is_no_trouble(self):
        nodes = [node("start", "trigger"), *(node(str(i)) for i in range(499))]
        assert not mistakes(chain(*nodes))


class TestSize:
    """Graphs are bounded."""

    limits = GraphSettings(graph_nodes=3, graph_edges=2, graph_bytes=2000)

    def test_too_many_nodes(self):
        found = mistakes({"nodes": [node(str(i)) for i in range(4)]}, limits=self.limits)
        assert found == {"nodes": "a graph has at most 3 nodes, this one has 4"}

    def test_too_many_edges(self):
        found = mistakes({"nodes": [node("a")], "edges": [edge("a", "b")] * 3}, limits=self.limits)
        assert found == {"edges": "a graph has at most 2 edges, this one has 3"}

    def test_too_many_bytes(self):
        found = mistakes({"nodes": [node("a", default="x" * 2000)]}, limits=self.limits)
        assert "at most 2000 bytes" in found[""]

    def test_too_deep(self):
        deep: list = []
        for _ in range(2000):
            deep = [deep]
        assert "deep" in mistakes({"nodes": [node("a", default=deep)]})[""]

    @pytest.mark.parametrize("value", ["a\0b", float("nan"), float("inf"), "\ud800"])
    def test_what_postgres_cannot_hold_is_refused_with_its_path(self, value):
        assert set(mistakes({"nodes": [node("a", default=value)]})) == {"nodes.0.config.default"}

    def test_thousands_of_wrong_names_are_not_compared_with_thousands_of_right_ones(self):
        nodes = [node("x" * 50 + f"some_node_with_a_name_{i}") for i in range(500)]
        edges = [edge("x" * 50 + f"some_nod_with_name_{i}", f"some_other_{i}") for i in range(2000)]
        began = time.perf_counter()
        assert len(mistakes({"nodes": nodes, "edges": edges})) > MOST_MISTAKES / 2
        assert time.perf_counter() - began < 20

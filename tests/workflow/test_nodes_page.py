"""``docs/nodes.md`` is complete and true: every node type and config key is there, and every example can be saved."""

from __future__ import annotations

import json
import re

import pytest

from shared.workflow.graph import parse
from shared.workflow.node import REGISTRY, NodeType
from tests.docs.pages import ROOT, blocks, decoded

PAGE = ROOT / "docs" / "nodes.md"
TYPES = {kind.name: kind for kind in REGISTRY.values()}
SECTIONS = {
    section.partition("\n")[0].strip("` "): section for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
}


def row(kind: NodeType, name: str) -> str:
    """The line of a section's table that a config field must have."""
    info = kind.config.model_fields[name]
    olds = [alias for alias in getattr(info.validation_alias, "choices", ()) if alias != name]
    if info.is_required():
        default = "required"
    else:
        value = info.get_default(call_default_factory=True)
        default = "" if value in (None, {}) else f"`{json.dumps(value)}`"
    return f"| `{name}` | {', '.join(f'`{old}`' for old in olds)} | {default} | {info.description} |"


@pytest.mark.parametrize("name", TYPES)
def test_every_node_type_has_its_section_with_summary_and_aliases(name):
    section = SECTIONS[name]
    kind = TYPES[name]
    assert kind.summary in re.sub(r"\s+", " ", section)
    for alias in kind.aliases:
        assert f"`{alias}`" in section


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, kind in TYPES.items() for key in kind.config.model_fields]
)
def test_every_config_key_has_its_row_with_old_names_and_default(name, key):
    assert row(TYPES[name], key) in SECTIONS[name].splitlines()


@pytest.mark.parametrize("name", TYPES)
def test_every_node_type_has_an_example_that_can_be_saved(name):
    examples = [decoded(block) for block in blocks(PAGE) if block.language == "json"]
    graphs = [example for example in examples if "nodes" in example]
    parsed = [parse(graph) for graph in graphs]
    assert any(node.type is TYPES[name] for graph in parsed for node in graph.nodes.values())
    assert name in {block["node_type"] for example in graphs for block in example["nodes"]}


def test_no_section_describes_a_node_type_that_does_not_exist():
    assert set(SECTIONS) - set(TYPES) == {"Every node", "Lists", "Node types of the old system"}

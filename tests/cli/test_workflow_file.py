"""A workflow file is read as JSON would be, and every mistake can be pointed at by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.cli.exits import Exit, Failure
from infra.cli.workflow_file import read_workflow

YAML = """\
name: greet
description: Answer a push
graph_config:
  nodes:
    - node_id: start
      node_type: trigger
      config: {}
    - node_id: say
      node_type: set_variable
      config:
        variable_name: on
        variable_value: 2026-01-01
  edges:
    - {from: start, to: say}
"""


def written(tmp_path: Path, text: str, name: str = "greet.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_means_what_json_would_mean(tmp_path: Path) -> None:
    config = read_workflow(written(tmp_path, YAML)).body["graph_config"]["nodes"][1]["config"]
    assert config == {"variable_name": "on", "variable_value": "2026-01-01"}


def test_json_is_read_too(tmp_path: Path) -> None:
    body = {"name": "greet", "graph_config": {"nodes": [], "edges": []}, "is_active": True}
    assert read_workflow(written(tmp_path, json.dumps(body), "greet.json")).body == body


def test_a_mistake_is_pointed_at_by_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, YAML)
    file = read_workflow(path)
    assert file.where("graph_config.nodes.1.config.variable_name").startswith(f"{path}:11 ")
    assert file.where("graph_config.nodes.1.config.missing").startswith(f"{path}:10 "), "the nearest part that is there"
    assert file.where("graph_config.edges.0.to").startswith(f"{path}:14 ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "neither YAML nor JSON"),
        ("- a\n- b\n", "has no `name`"),
        ("name: 3\n", "has no `name`"),
        ("", "has no `name`"),
        ("name: x\nnodes: []\n", "keys that a workflow does not: nodes"),
        ("name: x\ngraph_config: .nan\n", "what JSON cannot"),
        ("name: x\ngraph_config: &a {again: *a}\n", "what JSON cannot"),
        ("name: x\ngraph_config: " + "[" * 3000 + "]" * 3000, "what JSON cannot"),
        ("name: !!python/object:os.system x\n", "neither YAML nor JSON"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as caught:
        read_workflow(written(tmp_path, text))
    assert caught.value.exit_code is Exit.USAGE


def test_a_file_that_is_not_there_or_not_text_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        read_workflow(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Failure, match="not UTF-8"):
        read_workflow(tmp_path / "bytes.yaml")

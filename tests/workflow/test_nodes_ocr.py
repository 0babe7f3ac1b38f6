"""``ocr_switch`` hands a document to the capability that reads it, in the words of today and of the old system."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.workflow.graph import GraphError, parse
from shared.workflow.node import Job, StepError
from tests.workflow.context import call, step

STORED = {"trigger_type": "storage", "payload": {"bucket": "rag-files", "key": "me/a.pdf", "size": 1}}


def job(config: dict[str, Any], trigger: Any = None) -> Any:
    made = call("ocr_switch", config, step(trigger))
    assert isinstance(made, Job)
    assert made.kind == "ocr"
    return made.input


def test_the_old_keys_are_read() -> None:
    made = job({"document_url": "https://example.com/a.pdf", "document_metadata": {"layout": "table", "pages": 3}})
    assert made["document"] == {"url": "https://example.com/a.pdf"}
    assert made["asked"] == {"engine": None, "metadata": {"layout": "table"}}


def test_templates_name_the_document_and_how_it_is_read() -> None:
    made = job(
        {
            "bucket": "user-uploads",
            "key": "{{ trigger.key }}",
            "engine": "{{ trigger.by }}",
            "options": "{{ trigger.how }}",
        },
        {"key": "me/b.png", "by": "tesseract", "how": {"tables": False}},
    )
    assert made["document"] == {"bucket": "user-uploads", "key": "me/b.png"}
    assert made["asked"]["engine"] == "tesseract"
    assert made["options"] == {"text_layer": "auto", "tables": False, "fields": True}


def test_without_a_document_it_is_the_file_that_started_the_run() -> None:
    assert job({}, STORED)["document"] == {"bucket": "rag-files", "key": "me/a.pdf"}
    with pytest.raises(StepError, match="no document"):
        job({}, {"trigger_type": "manual", "payload": {}})


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://example.com", "key": "x"},
        {"bucket": "elsewhere", "key": "x"},
        {"options": {"speed": "high"}},
        {"options": {"text_layer": "perhaps"}},
        {"pages": 3},
    ],
)
def test_mistakes_are_found_when_it_is_saved(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        job(config, STORED)


@pytest.mark.parametrize(
    "config", [{"url": "{{ trigger.size }}"}, {"url": "{{ trigger.long }}"}, {"options": "{{ 1 }}"}]
)
def test_what_a_template_gives_is_looked_at(config: dict[str, Any]) -> None:
    with pytest.raises(StepError) as failed:
        job(config, {"size": 1, "long": "x" * 3000, "payload": STORED["payload"]})
    assert failed.value.kind == "input"


def test_it_is_refused_where_the_capability_is_not_deployed() -> None:
    graph = {"nodes": [{"node_id": "read", "node_type": "ocr_switch", "config": {}}], "edges": []}
    parse(graph, deployed=frozenset({"ocr"}))
    with pytest.raises(GraphError, match="'ocr', which is not deployed"):
        parse(graph, deployed=frozenset())

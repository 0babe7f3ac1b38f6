"""A mistake in ``infra/stages.yml`` is named before anything is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.local.stack import ROOT
from infra.template.compiler import TemplateError, compile_template
from infra.template.stage import read_stage
from tests.infra.template.conftest import service


def test_a_stage_that_is_not_named_is_as_default() -> None:
    assert read_stage(ROOT, "anything", {}) == read_stage(ROOT, "default", {})
    assert read_stage(ROOT, "prod", {}).alarm_topic == "own"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"throttle": {"rate": 0, "burst": 1}}, "throttle.rate: Input should be greater"),
        ({"origins": []}, "origins: List should have at least 1"),
        ({"origins": ["example.com"]}, "origins.0: String should match"),
        ({"run_concurrency": 1}, "run_concurrency: Input should be greater than or equal to 2"),
        ({"snap_start": "perhaps"}, "snap_start"),
        ({"alarm_topic": "email"}, "alarm_topic: Input should be 'none' or 'own'"),
        ({"throtle": {}}, "throtle: Extra inputs are not permitted"),
        ({"reserved_concurrency": {"workflow_api": 5}}, "reserved_concurrency names workflow_api"),
        ({"reserved_concurrency": {"item": -1}}, "reserved_concurrency.item"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        read_stage(service(tmp_path, "dev", **settings), "dev", {})


def test_without_osls_the_message_says_what_to_do(tmp_path: Path) -> None:
    root = service(tmp_path, "dev")
    (root / "node_modules").unlink()
    with pytest.raises(TemplateError, match="make install-deploy"):
        compile_template(root, "dev", {})

"""``docs/deploy.md`` tells of what is deployed as it is."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from infra.local.stack import ROOT
from infra.template.compiler import Template
from infra.template.stage import Stage
from tests.docs.pages import blocks
from tests.infra.template.reading import functions

PAGE = ROOT / "docs" / "deploy.md"
TEXT = PAGE.read_text(encoding="utf-8")

#: The first part of an action, by the first two of a resource type.
PREFIX = {"AWS::ApiGatewayV2": "apigateway"}


def test_the_table_of_resources_counts_them_all(prod: Template) -> None:
    kinds = Counter(found["Type"] for found in prod.body["Resources"].values())
    told: dict[tuple[str, ...], int] = {}
    for line in TEXT.splitlines():
        if named := re.findall(r"`(AWS::\w+::\w+)`", line):
            told[tuple(named)] = int(line.split("|")[2])
    assert {kind for named in told for kind in named} == set(kinds)
    for named, number in told.items():
        assert sum(kinds[kind] for kind in named) == number, named


def test_every_setting_of_a_stage_is_told(prod: Template) -> None:
    assert [name for name in Stage.model_fields if f"| `{name}` |" not in TEXT] == []


def test_every_function_s_permissions_are_told(prod: Template) -> None:
    table = TEXT[TEXT.index("## Permissions") : TEXT.index("Who deploys")]
    assert [key for key in functions(prod).values() if f"`{key}`" not in table] == []


def test_every_alarm_is_told(prod: Template) -> None:
    section = TEXT[TEXT.index("## Alarms") : TEXT.index("## What a scanner says")]
    named = set(re.findall(r"`(…?\w+Alarm)`", section))
    for alarm in prod.resources("AWS::CloudWatch::Alarm"):
        kinds = {f"…{kind}Alarm" for kind in ("Errors", "Throttles") if alarm.endswith(f"{kind}Alarm")}
        assert alarm in named or kinds & named, alarm


def test_who_deploys_is_given_permission_for_every_service_that_is_used(prod: Template) -> None:
    [policy] = [
        json.loads(block.text) for block in blocks(PAGE) if block.language == "json" and "Statement" in block.text
    ]
    allowed = {action.partition(":")[0] for one in policy["Statement"] for action in _list(one["Action"])}
    for resource in prod.body["Resources"].values():
        service = resource["Type"].rpartition("::")[0]
        assert PREFIX.get(service, service.removeprefix("AWS::").lower()) in allowed, resource["Type"]
    named = {action for one in policy["Statement"] for action in _list(one["Action"]) if action.startswith("iam:")}
    assert "iam:*" not in named
    assert "iam:PassRole" in named


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""serverless.yml is read as the framework reads it, and what is not understood is refused by name."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.local.serverless import ServerlessError, Service, read
from infra.local.stack import ROOT
from infra.local.variables import Variables, load_yaml

CONFIG = ROOT / "serverless.yml"


@pytest.fixture
def service() -> Service:
    return read(CONFIG, env={})


# Ours -----------------------------------------------------------------------------------------------------------------


def test_every_handler_can_be_called_as_lambda_calls_it(service: Service) -> None:
    for function in service.functions.values():
        module, _, name = function.handler.rpartition(".")
        assert "/" in module, "AWS takes a path and a dotted name"
        assert callable(getattr(importlib.import_module(module.replace("/", ".")), name)), function.name


def test_addresses_lead_where_they_should(service: Service) -> None:
    def leads(path: str) -> str | None:
        found = service.routes.match("POST", path)
        return found[0].function if found else None

    assert leads("/hooks/k3Jx9QmPz0Ws/github") == "webhook-intake"
    assert leads("/api/v1/workflows/webhooks/k3Jx9QmPz0Ws/github") == "webhook-intake"
    assert leads("/api/v1/workflows/webhooks/subscriptions") == "workflow-api"
    assert leads("/api/v1/workflows/webhooks/subscriptions/1/rotate") == "workflow-api"
    assert leads("/api/v1/workflows") == "workflow-api"
    assert leads("/api/v1/workflows/executions/1") == "workflow-api"
    assert leads("/api/v1/users/me") == "account"
    assert leads("/api/v1/items/1") == "item"
    assert leads("/api/v1/ocr/extract") == "ocr-api"
    assert leads("/api/v1/code/tools/add-vat") == "code-exec-api"
    assert leads("/elsewhere") is None


def test_the_queues_have_dead_letters_and_outlast_their_functions(service: Service) -> None:
    fed = [(function, event) for function in service.functions.values() for event in function.queues]
    assert {service.queues[event.queue].name for _, event in fed} == {"workflow-run", "storage-events", "ocr", "code"}
    for function, event in fed:
        queue = service.queues[event.queue]
        assert event.report_failures
        assert queue.dead_letter == f"{queue.name}-dead"
        assert queue.max_receives == 5
        assert queue.visibility_seconds == 6 * function.timeout, "a batch that is held back is tried again within it"


def test_the_tick_runs_each_minute(service: Service) -> None:
    ticking = {f.name: [s.seconds for s in f.schedules] for f in service.functions.values() if f.schedules}
    assert ticking == {"schedule-tick": [60]}


def test_http_functions_end_before_the_gateway_gives_up(service: Service) -> None:
    for function in service.functions.values():
        assert not function.routes or function.timeout < 30, function.name


def test_only_who_serves_tenants_knows_the_tenants_role_and_checks_tokens() -> None:
    env = {
        "MILLRACE_API_DATABASE_URL": "api",
        "MILLRACE_ENGINE_DATABASE_URL": "engine",
        "MILLRACE_JWT_SECRET": "jwt",
        "MILLRACE_SECRET_KEY_FILE": "keys",
    }
    functions = read(CONFIG, env=env).functions
    assert "MILLRACE_DATABASE_URL" not in functions.pop("code-sandbox").environment
    roles = {name: function.environment["MILLRACE_DATABASE_URL"] for name, function in functions.items()}
    tenant = {name for name, role in roles.items() if role == "api"}
    assert tenant == {"workflow-api", "account", "storage", "item", "health", "ocr-api", "code-exec-api"}
    assert set(roles.values()) == {"api", "engine"}
    assert {name for name, f in functions.items() if f.environment.get("MILLRACE_JWT_SECRET")} == tenant
    assert {name for name, f in functions.items() if f.environment.get("MILLRACE_SECRET_KEY_FILE")} == {
        "webhook-intake",
        "workflow-api",
    }


def test_every_function_has_a_role_of_its_own() -> None:
    roles = [function["role"] for function in load_yaml(CONFIG)["functions"].values()]
    assert len(set(roles)) == len(roles)
    assert set(roles) == set(load_yaml(ROOT / "infra" / "roles.yml")["Resources"])


def test_the_stage_is_in_the_deployed_names_and_not_in_what_is_rung() -> None:
    service = read(CONFIG, stage="prod", env={})
    assert service.stage == "prod"
    assert {queue.name for queue in service.queues.values()} >= {"workflow-run", "storage-events"}


def test_osls_understands_the_same(tmp_path: Path) -> None:
    """Where Node and osls are. Elsewhere our reading is compared with what osls said of the file beside this one."""
    folder = Path(__file__).parent / "printed"
    said = json.loads((folder / "osls.json").read_text())
    assert _resolved(folder / "serverless.yml", {"SET": "from the environment"}) == _comparable(said)
    osls = shutil.which("osls") or shutil.which(str(ROOT / "node_modules" / ".bin" / "osls"))
    if osls is None:
        return
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    printed = subprocess.run(
        [osls, "print", "--format", "json"], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert _resolved(CONFIG, {}) == _comparable(json.loads(printed.stdout))


def _resolved(config: Path, env: Mapping[str, str]) -> dict[str, Any]:
    document = load_yaml(config)
    return _comparable(Variables(config.parent, document, None, env).resolve(document))


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Without what osls adds of its own: names, numbers as text in the environment, one mapping of resources."""
    resources = document.get("resources") or {}
    if isinstance(resources, list):
        resources = {"Resources": {name: one for part in resources for name, one in part.get("Resources", {}).items()}}
    functions = {
        name: {key: value for key, value in function.items() if key != "name"}
        for name, function in document["functions"].items()
    }
    return {
        "service": document["service"],
        "custom": document.get("custom"),
        "functions": functions,
        "resources": resources.get("Resources"),
        "environment": {name: str(value) for name, value in document["provider"]["environment"].items()},
    }


# Refusals -------------------------------------------------------------------------------------------------------------

MINIMAL: dict[str, Any] = {
    "service": "s",
    "provider": {"name": "aws"},
    "functions": {"f": {"handler": "a/b.handler"}},
    "resources": {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}}}},
}


def reading(tmp_path: Path, env: Mapping[str, str] | None = None, **functions: Any) -> Service:
    document = {**MINIMAL, "functions": {"f": {"handler": "a/b.handler", **functions}}}
    return reading_text(tmp_path, yaml.safe_dump(document), env)


def reading_text(tmp_path: Path, text: str, env: Mapping[str, str] | None = None) -> Service:
    (tmp_path / "serverless.yml").write_text(text)
    return read(tmp_path / "serverless.yml", env=env or {})


def test_the_smallest_service(tmp_path: Path) -> None:
    service = reading(tmp_path)
    assert (service.name, service.stage, service.region) == ("s", "dev", "us-east-1")
    assert service.functions["f"].timeout == 6


def test_an_images_command_is_its_handler(tmp_path: Path) -> None:
    image = {"uri": "registry/name@sha256:00", "command": ["functions/ocr/worker.handler"]}
    text = yaml.safe_dump({**MINIMAL, "functions": {"f": {"image": image}}})
    assert reading_text(tmp_path, text).functions["f"].handler == "functions/ocr/worker.handler"


def test_intrinsic_functions_that_we_know(tmp_path: Path) -> None:
    service = reading_text(
        tmp_path,
        """
service: s
provider: {name: aws}
functions:
  f:
    handler: a/b.handler
    environment: {URL: !Ref Q, NAME: !GetAtt Q.QueueName, ARN: !GetAtt [Q, Arn]}
    events:
      - sqs: !GetAtt Q.Arn
      - sqs: {arn: {Fn::GetAtt: [Q, Arn]}, batchSize: 1}
resources:
  Resources:
    Q: {Type: AWS::SQS::Queue, Properties: {QueueName: s-dev-bells}}
""",
    )
    function = service.functions["f"]
    assert function.environment == {"URL": "bells", "NAME": "bells", "ARN": "bells"}
    assert [(event.queue, event.batch_size) for event in function.queues] == [("Q", 10), ("Q", 1)]


def test_text_is_joined_of_what_only_a_deployment_knows(tmp_path: Path) -> None:
    parts = ["s3:", {"Ref": "AWS::Region"}, "-", {"Ref": "AWS::AccountId"}]
    function = reading(tmp_path, environment={"A": {"Fn::Join": ["", parts]}}).functions["f"]
    assert function.environment == {"A": "s3:us-east-1-000000000000"}


@pytest.mark.parametrize(
    ("functions", "complaint"),
    [
        ({"events": [{"s3": "bucket"}]}, "no events of kind 's3'"),
        ({"events": [{"http": "GET /a"}]}, "no events of kind 'http'"),
        ({"events": [{"sqs": "arn:aws:sqs:x"}]}, "functions.f.events.0.sqs.arn: 'arn:aws:sqs:x' is no reference"),
        ({"events": [{"sqs": {"Ref": "Q"}}]}, "is not the Arn of a queue"),
        ({"events": [{"sqs": {"Fn::GetAtt": ["X", "Arn"]}}]}, "is not the Arn of a queue"),
        ({"events": [{"sqs": {"Fn::ImportValue": "x"}}]}, "Fn::ImportValue is not understood"),
        ({"events": [{"sqs": {"arn": {"Fn::GetAtt": ["Q", "Arn"]}, "filterPatterns": []}}]}, "filterPatterns"),
        ({"events": [{"sqs": {"arn": {"Fn::GetAtt": ["Q", "Arn"]}, "batchSize": 0}}]}, "batchSize: 0"),
        ({"events": [{"sqs": {"arn": {"Fn::GetAtt": ["Q", "Arn"]}, "maximumConcurrency": 1}}]}, "from 2 to 1000"),
        ({"events": [{"schedule": "cron(0 12 * * ? *)"}]}, "is not rate"),
        ({"events": [{"schedule": "rate(0 minutes)"}]}, "is not rate"),
        ({"events": [{"schedule": {"rate": ["rate(1 minute)"], "method": "scheduler"}}]}, "method"),
        ({"events": [{"httpApi": {"path": "/a", "method": "GET", "authorizer": "x"}}]}, "authorizer"),
        ({"events": [{"httpApi": "FETCH /a"}]}, "'FETCH' is not a method"),
        ({"events": "httpApi"}, "events is not a list"),
        ({"events": [{}]}, "is not one event"),
        ({"timeout": 901}, "functions.f.timeout: 901"),
        ({"timeout": True}, "functions.f.timeout: True"),
        ({"memorySize": 64}, "from 128"),
        ({"handler": None}, "functions.f.handler: None is not text"),
        ({"image": {"command": ["a/b.handler"]}}, "functions.f.image.command: one handler is wanted"),
        ({"image": "registry/name"}, "functions.f.image is not a mapping"),
        ({"environment": {"A": {"Fn::Sub": "x"}}}, "Fn::Sub is not understood"),
        ({"environment": {"A": {"Ref": "Bucket"}}}, "is not a queue of this service"),
        ({"environment": {"A": {"Fn::Join": ["", [{"Ref": "Bucket"}]]}}}, "only text, AWS::Region"),
        ({"environment": {"A": {"Fn::Join": ["", "text"]}}}, "only text, AWS::Region"),
        ({"environment": {"A": []}}, "neither text nor a number"),
        ({"environment": {"A": "${ssm:/x}"}}, "ssm:/x"),
        ({"environment": {"A": "${cf:other.Url}"}}, "only file"),
        ({"environment": {"A": "${opt:region}"}}, "opt:region"),
        ({"environment": {"A": "${sls:instanceId}"}}, "sls:instanceId"),
        ({"environment": {"A": "${AWS::Region}"}}, "AWS::Region"),
        ({"environment": {"A": "${env:NOT_SET}"}}, "has no value and no fallback"),
        ({"environment": {"A": "${self:custom.x}"}}, "has no value and no fallback"),
        ({"environment": {"A": "${file(missing.yml)}"}}, "has no value and no fallback"),
        ({"environment": {"A": "${file(../../etc/passwd)}"}}, "outside the service's folder"),
        ({"environment": {"A": "${file(program.js)}"}}, "has no value|only .yml"),
        ({"environment": {"A": "${env:X"}}, "is not closed"),
        ({"environment": {"A": "${}"}}, "is not a variable"),
        ({"environment": {"A": "${env:X, ${env:Y}}"}}, "a fallback is written without"),
        ({"environment": {"A": "${env:X, '${env:Y}'}"}}, "holds no variables"),
        ({"environment": {"A": "${self:functions.f.environment.A}"}}, "made of one another"),
        ({"environment": {"A": "x${self:provider}"}}, "must be text, a number or a boolean"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, functions: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ServerlessError, match=complaint):
        reading(tmp_path, **functions)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("service: s\nfunctions: {f: {handler: !Sub 'x'}}", "!Sub in line 2: only !Ref and !GetAtt"),
        ("service: s\nfunctions: {f: {handler: !!python/object:os.system x}}", "python"),
        ("- a list", "is not a mapping"),
        ("a: [", "expected"),
        ("service: [", "expected"),
        ("service: 5", "service: 5 is not text"),
        ("service: s\nfunctions: []\nresources: 5", "resources is not a mapping"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ServerlessError, match=complaint):
        reading_text(tmp_path, text)


def test_two_functions_cannot_have_one_address(tmp_path: Path) -> None:
    service = reading(tmp_path, events=[{"httpApi": "GET /{a}"}, {"httpApi": "GET /{b}"}])
    with pytest.raises(ServerlessError, match="the same route"):
        _ = service.routes


@pytest.mark.parametrize("word", ["5xx", "10.0.0.1", "truely", "0x1F", "1_000"])
def test_a_word_that_begins_like_a_number_or_a_boolean_is_a_word(tmp_path: Path, word: str) -> None:
    (tmp_path / "a.yml").write_text(f"a: {word}")
    assert load_yaml(tmp_path / "a.yml") == {"a": word}


# Variables ------------------------------------------------------------------------------------------------------------


def resolved(value: Any, document: Any = None, stage: str | None = None, **env: str) -> Any:
    return Variables(Path(__file__).parent, document or {}, stage, env).resolve(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:A}", "one"),
        ("${env:A, 'x'}", "one"),
        ("${env:B, 'x, y'}", "x, y"),
        ("${env:B, env:C, env:A}", "one"),
        ("${env:B, self:map.inner, 'last'}", "one"),
        ("${env:B, self:nothing, 'last'}", "last"),
        ('${env:B, "}"}', "}"),
        ("${env:B, ''}", ""),
        ("${env:B, 5}", 5),
        ("${env:B, 1.5}", 1.5),
        ("${env:B, true}", True),
        ("${env:B, null}", None),
        ("<${env:A}-${env:B, 2}-${env:B, false}>", "<one-2-false>"),
        ("${self:list.1}", "second"),
        ("${self:map}", {"inner": "one"}),
        ("${self:${env:NAME}.inner}", "one"),
        ("${sls:stage}", "dev"),
        ("${opt:stage, 'none'}", "none"),
        ("no variable $ { }", "no variable $ { }"),
    ],
)
def test_variables(text: str, value: Any) -> None:
    document = {"list": ["first", "second"], "map": {"inner": "${env:A}"}}
    assert resolved(text, document, A="one", NAME="map") == value


def test_the_stage_comes_from_the_option_or_the_provider() -> None:
    document = {"provider": {"stage": "${opt:stage, 'test'}"}}
    assert resolved("${sls:stage}", document) == "test"
    assert resolved("${sls:stage}-${opt:stage}", document, stage="prod") == "prod-prod"


def test_a_value_is_not_read_as_a_variable_when_it_comes_from_the_environment() -> None:
    assert resolved("${env:A}", A="${env:B}") == "${env:B}"


@given(st.text(alphabet="${}()':,abc.\"\\ \n1", max_size=40))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    with suppress(ServerlessError):
        resolved(text, {"a": "b"}, a="1")


@given(st.text(max_size=30).filter(lambda text: "'" not in text and "$" not in text))
def test_a_quoted_fallback_is_taken_as_it_is(text: str) -> None:
    assert resolved(f"${{env:MISSING, '{text}'}}") == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10).filter(lambda text: "$" not in text),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
        max_leaves=10,
    )
)
def test_what_has_no_variables_stays_as_it_is(value: Any) -> None:
    assert resolved(value) == value
    assert resolved("${self:value}", {"value": value}) == value

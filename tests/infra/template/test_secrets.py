"""The template may be shown to anybody: secrets are put in by CloudFormation, from Secrets Manager."""

from __future__ import annotations

import json
from typing import Any

from infra.local.stack import ROOT
from infra.local.variables import load_yaml
from infra.package.build import Face
from infra.package.build import faces as packaged
from infra.template import readiness
from infra.template.compiler import Template
from tests.infra.template.conftest import Compile
from tests.infra.template.reading import functions, properties

TENANT = {"workflow-api", "account", "storage", "item", "health", "code-exec-api", "ocr-api"}


def variables(template: Template) -> dict[str, dict[str, object]]:
    given = properties(template, "AWS::Lambda::Function")
    return {key: given[logical]["Environment"]["Variables"] for logical, key in functions(template).items()}


def test_database_addresses_are_references_one_for_each_role(prod: Template) -> None:
    for key, given in variables(prod).items():
        if key == "code-sandbox":
            continue
        role = "api" if key in TENANT else "engine"
        reference = f"{{{{resolve:secretsmanager:millrace-prod:SecretString:{role}_database_url}}}}"
        assert given["MILLRACE_DATABASE_URL"] == reference
    assert list(readiness.readable_secrets(prod)) == []


def test_only_who_checks_tokens_is_told_how(prod: Template) -> None:
    assert {key for key, given in variables(prod).items() if given.get("MILLRACE_JWT_JWKS_URL")} == TENANT


def test_only_who_keeps_objects_is_told_the_key_of_supabases_storage(compile: Compile) -> None:  # noqa: A002
    template = compile(env={"MILLRACE_SUPABASE_KEY": "sb_secret_key"})
    told = {key for key, given in variables(template).items() if "MILLRACE_SUPABASE_KEY" in given}
    faces = [*packaged(ROOT), *packaged(ROOT, images=True)]
    assert told == {face.name for face in faces if keeps_objects(face)}
    assert {"webhook-intake", "workflow-run"} <= told
    assert not {"account", "schedule-tick"} & told
    assert list(readiness.readable_secrets(template)) == ["MILLRACE_SUPABASE_KEY"]


def keeps_objects(face: Face) -> bool:
    """Whether one of its own modules composes the settings of the storage."""
    own = (ROOT / file for file in face.closure.files if file.startswith("functions/") and file.endswith(".py"))
    return any("StorageSettings" in path.read_text() for path in own)


def test_an_address_from_the_environment_is_used_and_pointed_out(other: Template) -> None:
    assert "hunter2" in json.dumps(other.body)
    assert list(readiness.readable_secrets(other)) == ["MILLRACE_DATABASE_URL"]


def test_ports_are_named_by_what_only_the_deployment_knows(dev: Template) -> None:
    for key, given in variables(dev).items():
        if key == "code-sandbox":  # it is told of none: test_sandbox.py
            continue
        assert given["MILLRACE_STORAGE"] == {"Fn::Join": ["", ["s3:millrace-dev-", {"Ref": "AWS::AccountId"}]]}
        doorbell = given["MILLRACE_DOORBELL"]
        assert isinstance(doorbell, dict)
        parts = doorbell["Fn::Join"][1]
        known = {"AWS::Region": "eu-central-1", "AWS::URLSuffix": "amazonaws.com", "AWS::AccountId": "123456789012"}
        said = "".join(part if isinstance(part, str) else known[part["Ref"]] for part in parts)
        assert said == "sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/millrace-dev"


def test_an_image_that_nobody_named_is_not_deployed() -> None:
    none = load_yaml(ROOT / "serverless.yml")["custom"]["no_image"]
    named = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ours@sha256:" + "a" * 64
    said = {uri: list(readiness.lacking(Template("dev", of_image(uri), ()))) for uri in (none, named)}
    assert said == {none: ["Reader is an image that is not named: docs/packages.md says how to build it."], named: []}


def of_image(uri: str) -> dict[str, Any]:
    """A template with one function, an image."""
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ImageUri": uri}, "PackageType": "Image"}}
    return {"Resources": {"Reader": function}}


def test_what_a_deployment_would_lack_is_named_before_it_is_made(compile: Compile, dev: Template) -> None:  # noqa: A002
    bare = compile(env={"MILLRACE_JWT_JWKS_URL": "", "MILLRACE_ENGINE_DATABASE_URL": ""})
    said = list(readiness.lacking(Template("dev", bare.body, ("dist/packages/arm64/item.zip",))))
    assert said[0] == "dist/packages/arm64/item.zip is not built: `make package`."
    assert sum("cannot check tokens" in line for line in said) == len(TENANT)
    assert sum("where the database is" in line for line in said) == 6
    assert list(readiness.lacking(dev)) == []

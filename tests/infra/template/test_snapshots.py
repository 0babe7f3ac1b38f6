"""SnapStart and reserved concurrency are settings of the stage, off; on, nothing is called past the snapshot.

Every copy of a snapshot begins with the same memory. So nothing may be in it that must be one's own: an open
connection, a secret that may change, a random number that others would draw as well. Source: AWS Lambda Developer
Guide, "Handling uniqueness with Lambda SnapStart".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from infra.local.serverless import read
from infra.local.stack import ROOT
from infra.local.variables import load_yaml
from infra.template.compiler import Template
from tests.infra.template.reading import functions, properties

HANDLERS = {function.name: function.handler for function in read(ROOT / "serverless.yml", env={}).functions.values()}
#: Lambda makes no snapshots of images.
IMAGES = {name for name, function in load_yaml(ROOT / "serverless.yml")["functions"].items() if "image" in function}


def references(value: Any) -> set[str]:
    """Every logical id that a value refers to."""
    match value:
        case {"Ref": str(name)}:
            return {name}
        case {"Fn::GetAtt": [str(name), _]}:
            return {name}
        case dict():
            return set().union(*map(references, value.values()))
        case list():
            return set().union(*map(references, value))
    return set()


def called(template: Template) -> dict[str, Any]:
    """What each event calls: integrations, mappings, rules, and the permissions to do so."""
    found = {
        f"integration {name}": one["IntegrationUri"]
        for name, one in properties(template, "AWS::ApiGatewayV2::Integration").items()
    }
    for kind in ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission"):
        found |= {f"{kind} {name}": one["FunctionName"] for name, one in properties(template, kind).items()}
    for name, rule in properties(template, "AWS::Events::Rule").items():
        found |= {f"rule {name}": target["Arn"] for target in rule["Targets"]}
    return found


def test_both_are_off_unless_the_stage_says_otherwise(dev: Template, prod: Template) -> None:
    for template in (dev, prod):
        for function in properties(template, "AWS::Lambda::Function").values():
            assert "SnapStart" not in function
            assert "ReservedConcurrentExecutions" not in function
        assert template.resources("AWS::Lambda::Version") == {}
        assert template.resources("AWS::Lambda::Alias") == {}


def test_with_snapshots_every_event_calls_an_alias_of_the_newest_version(snapped: Template, dev: Template) -> None:
    keys = functions(snapped)
    for logical, key in keys.items():
        snapshot = properties(snapped, "AWS::Lambda::Function")[logical].get("SnapStart")
        assert snapshot == (None if key in IMAGES else {"ApplyOn": "PublishedVersions"}), key
    aliases = properties(snapped, "AWS::Lambda::Alias")
    versions = properties(snapped, "AWS::Lambda::Version")
    assert {keys[one["FunctionName"]["Ref"]] for one in aliases.values()} == set(HANDLERS) - IMAGES
    for alias in aliases.values():
        [version] = references(alias["FunctionVersion"])
        assert versions[version]["FunctionName"] == alias["FunctionName"]
    named = {(one["FunctionName"]["Ref"], one["Name"]) for one in aliases.values()}
    events = called(snapped)
    assert set(events) == set(called(dev)), "none is lost"
    for event, target in events.items():
        if keys[next(iter(references(target) & set(keys)))] in IMAGES:
            continue
        assert target["Fn::Join"][0] == ":", event
        function, alias_name = target["Fn::Join"][1]
        assert (next(iter(references(function))), alias_name) in named, f"{event} calls past the snapshot"


def test_an_event_waits_for_the_alias_that_it_calls(snapped: Template) -> None:
    aliases = set(snapped.resources("AWS::Lambda::Alias"))
    for kind in ("AWS::ApiGatewayV2::Integration", "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule"):
        for name, found in snapped.resources(kind).items():
            if {functions(snapped)[one] for one in references(found["Properties"]) & set(functions(snapped))} <= IMAGES:
                continue
            waits = found.get("DependsOn", [])
            assert aliases & set([waits] if isinstance(waits, str) else waits), name


def test_what_is_reserved_is_reserved_for_that_function_only(other: Template) -> None:
    reserved = {
        key: properties(other, "AWS::Lambda::Function")[logical].get("ReservedConcurrentExecutions")
        for logical, key in functions(other).items()
    }
    assert reserved == dict.fromkeys(HANDLERS) | {"workflow-api": 25, "account": 0}


#: Runs in a process of its own. An audit hook sees sockets and files; random numbers are watched at their sources. What
#: OpenTelemetry draws when FastAPI imports it names keys of a mapping in memory, and may be the same elsewhere.
WATCH = """
import builtins, importlib, json, os, random, snapshot_restore_py, sys

seen = []

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        seen.append(event)
    elif event == "open" and str(arguments[0]).startswith(os.environ["MILLRACE_WATCHED"]):
        seen.append(f"open {arguments[0]}")

def watched(name, source):
    def draw(*arguments):
        callers, frame = [], sys._getframe(1)
        while frame is not None:
            callers.append(frame.f_globals.get("__name__"))
            frame = frame.f_back
        if "opentelemetry.context" not in callers:
            seen.append(f"{name} by {callers[0]}")
        return source(*arguments)
    return draw

os.urandom = watched("os.urandom", os.urandom)
random.random = watched("random.random", random.random)
random.Random.random = watched("Random.random", random.Random.random)
random.Random.getrandbits = watched("Random.getrandbits", random.Random.getrandbits)
sys.addaudithook(hook)
importlib.import_module(sys.argv[1])
drawn = list(seen)
snapshot, copies = random.getstate(), set()
for _ in range(3):
    random.setstate(snapshot)
    for function, arguments, named in snapshot_restore_py.get_after_restore():  # as Lambda's runtime client does
        function(*arguments, **named)
    copies.add(random.getstate())
print(json.dumps([drawn, len(copies)]))
"""


@pytest.mark.parametrize("function", HANDLERS)
def test_importing_a_face_connects_nowhere_reads_no_secret_and_draws_no_random_number_and_each_copy_draws_its_own(
    function: str, tmp_path: Any
) -> None:
    keys = tmp_path / "keys.json"
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "MILLRACE_WATCHED": str(tmp_path),
        "MILLRACE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "MILLRACE_DOORBELL": "sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/millrace-dev",
        "MILLRACE_STORAGE": "s3:millrace-dev-123456789012",
        "MILLRACE_SECRET_KEY_FILE": str(keys),
        "MILLRACE_JWT_JWKS_URL": "http://127.0.0.1:1/keys",
    }
    module = HANDLERS[function].rpartition(".")[0].replace("/", ".")
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [[], 3]
    assert not keys.exists()

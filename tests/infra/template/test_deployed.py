"""The template as CloudFormation takes it: linted, then deployed by osls on moto, as `make deploy` does it.

moto has no CloudFormation for the HTTP API, bucket and queue policies, alarms, aliases and topic policies, and ignores
what buckets say of notifications, versions and public access: those are asserted on the JSON in the files beside this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.local.stack import ROOT
from infra.template.compiler import Template, osls, packages
from tests.aws import ENVIRONMENT, REGION
from tests.infra.template import conftest
from tests.infra.template.reading import functions

#: moto says of each type that it lacks that it skips it.
pytestmark = [pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("variant", ["prod", "snapped", "other"])
def test_cfn_lint_finds_nothing(request: pytest.FixtureRequest, tmp_path: Path, variant: str) -> None:
    """But W3005: osls writes down dependencies that CloudFormation would find by itself."""
    path = tmp_path / "template.json"
    path.write_text(json.dumps(request.getfixturevalue(variant).body))
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--template", path, "--ignore-checks", "W3005"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout + linted.stderr


class Account:
    """An account with the stack ``millrace-prod`` in it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def client(self, service: str) -> Any:
        return boto3.client(service, REGION, endpoint_url=self.endpoint)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """What `osls deploy` makes of an empty account, and of what it made itself: a second time changes nothing."""
    if osls(ROOT) is None:
        pytest.skip("osls is not installed (`make install-deploy`, needs Node): nothing is deployed")
    root = conftest.service(tmp_path_factory.mktemp("deployed"), "prod")
    for package in packages(root, "prod", {}):
        (root / package).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / package, "w") as archive:
            archive.writestr("functions/__init__.py", "")
    # moto would refuse a template for cfn-lint's warnings, which CloudFormation itself does not heed.
    lenient = mock.patch("moto.cloudformation.models.validate_template_cfn_lint", return_value=[])
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with mock.patch.dict(os.environ, ENVIRONMENT), lenient:
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        environment = {
            **{name: os.environ[name] for name in ("PATH", *ENVIRONMENT)},
            **conftest.ENVIRONMENT,
            "HOME": str(root),
            "AWS_ENDPOINT_URL": endpoint,
        }
        try:
            for again in ([], ["--force"]):
                said = subprocess.run(
                    [root / "node_modules" / ".bin" / "osls", "deploy", "--stage", "prod", *again],
                    cwd=root,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=110,
                    check=False,
                )
                assert said.returncode == 0, said.stdout + said.stderr
            yield Account(endpoint)
        finally:
            server.stop()


def test_the_stack_is_complete(account: Account) -> None:
    [stack] = account.client("cloudformation").describe_stacks(StackName="millrace-prod")["Stacks"]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]}.items() >= {("service", "millrace"), ("stage", "prod")}


def test_every_function_is_there_and_is_told_where_its_queue_and_buckets_are(account: Account, prod: Template) -> None:
    made = {one["FunctionName"]: one for one in account.client("lambda").list_functions()["Functions"]}
    assert set(made) == {f"millrace-prod-{key}" for key in functions(prod).values()}
    run = made["millrace-prod-workflow-run"]
    assert (run["Runtime"], run["Timeout"], run["MemorySize"]) == ("python3.13", 900, 1024)
    variables = run["Environment"]["Variables"]
    buckets = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}
    assert variables["MILLRACE_STORAGE"].removeprefix("s3:") + "-workflow-attachments" in buckets
    doorbell = variables["MILLRACE_DOORBELL"].removeprefix("sqs:")
    url = account.client("sqs").get_queue_url(QueueName="millrace-prod-workflow-run")["QueueUrl"]
    assert (doorbell + "-workflow-run").rpartition("/")[2] == url.rpartition("/")[2]
    assert (doorbell + "-workflow-run").split("/")[-2] == url.split("/")[-2], "in the same account"


def test_queues_feed_their_workers_and_keep_what_fails(account: Account) -> None:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="millrace-prod-workflow-run")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert queue["VisibilityTimeout"] == "5400"
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"].endswith(":millrace-prod-workflow-run-dead")
    mappings = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert sorted(one["ScalingConfig"]["MaximumConcurrency"] for one in mappings) == [2, 10, 10, 20]
    assert all(one["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for one in mappings)


def test_roles_keys_logs_the_schedule_and_the_topic_are_there(account: Account, prod: Template) -> None:
    aliases = {one["AliasName"] for one in account.client("kms").list_aliases()["Aliases"]}
    assert "alias/millrace-prod-secrets" in aliases
    groups = account.client("logs").describe_log_groups()["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {90}
    assert len(account.client("iam").list_roles()["Roles"]) == len(functions(prod))
    [rule] = account.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    [topic] = account.client("sns").list_topics()["Topics"]
    assert topic["TopicArn"].endswith(":millrace-prod-alarms")

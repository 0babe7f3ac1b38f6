"""The template as CloudFormation takes it: linted, then deployed on moto.

moto has no CloudFormation for the HTTP API, bucket and queue policies, alarms, aliases and topic policies, and ignores
what buckets say of notifications, versions and public access: those are asserted on the JSON in the files beside this.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.template.compiler import Template
from tests.aws import ENVIRONMENT, REGION
from tests.infra.template.reading import functions

#: moto says of each type that it lacks that it skips it.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")


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


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield


def deployed(template: Template) -> dict[str, Any]:
    """The stack, after its packages were uploaded as osls does."""
    s3 = boto3.client("s3", REGION)
    s3.create_bucket(Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION})
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("functions/__init__.py", "")
    for function in template.resources("AWS::Lambda::Function").values():
        code = function["Properties"]["Code"]
        code["S3Bucket"] = "packages"
        s3.put_object(Bucket="packages", Key=code["S3Key"], Body=package.getvalue())
    formation = boto3.client("cloudformation", REGION)
    s3.put_object(Bucket="packages", Key="template.json", Body=json.dumps(template.body).encode())
    formation.create_stack(
        StackName="millrace-prod",
        TemplateURL=f"https://packages.s3.{REGION}.amazonaws.com/template.json",
        Capabilities=["CAPABILITY_IAM"],
    )
    [stack] = formation.describe_stacks(StackName="millrace-prod")["Stacks"]
    return dict(stack)


def test_the_stack_is_complete(account: None, prod: Template) -> None:
    assert deployed(prod)["StackStatus"] == "CREATE_COMPLETE"
    sqs, functions_ = boto3.client("sqs", REGION), boto3.client("lambda", REGION)

    made = {one["FunctionName"]: one for one in functions_.list_functions()["Functions"]}
    assert set(made) == {f"millrace-prod-{key}" for key in functions(prod).values()}
    run = made["millrace-prod-workflow-run"]
    assert (run["Runtime"], run["Timeout"], run["MemorySize"]) == ("python3.13", 900, 1024)
    variables = run["Environment"]["Variables"]
    assert variables["MILLRACE_STORAGE"] == "s3:millrace-prod-123456789012"

    url = variables["MILLRACE_DOORBELL"].removeprefix("sqs:") + "-workflow-run"
    assert url == sqs.get_queue_url(QueueName="millrace-prod-workflow-run")["QueueUrl"].replace(
        "queue.amazonaws.com", f"sqs.{REGION}.amazonaws.com"
    ), "the bell rings where the queue is"
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert queue["VisibilityTimeout"] == "5400"
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"].endswith(":millrace-prod-workflow-run-dead")

    mappings = functions_.list_event_source_mappings()["EventSourceMappings"]
    assert sorted(one["ScalingConfig"]["MaximumConcurrency"] for one in mappings) == [2, 20]
    assert all(one["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for one in mappings)


def test_the_account_holds_what_the_functions_are_told_of(account: None, prod: Template) -> None:
    deployed(prod)
    names = {bucket["Name"] for bucket in boto3.client("s3", REGION).list_buckets()["Buckets"]}
    assert {f"millrace-prod-123456789012-{name}" for name in ("ocr-documents", "rag-files", "user-uploads")} <= names
    aliases = {one["AliasName"] for one in boto3.client("kms", REGION).list_aliases()["Aliases"]}
    assert "alias/millrace-prod-secrets" in aliases
    groups = boto3.client("logs", REGION).describe_log_groups()["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {90}
    roles = boto3.client("iam", REGION).list_roles()["Roles"]
    assert len(roles) == len(functions(prod))
    [rule] = boto3.client("events", REGION).list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    [topic] = boto3.client("sns", REGION).list_topics()["Topics"]
    assert topic["TopicArn"].endswith(":millrace-prod-alarms")

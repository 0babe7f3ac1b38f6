"""Each function has a role of its own, which lets it do what its code does and nothing else."""

from __future__ import annotations

from typing import Any

from infra.template.compiler import Template
from shared.secrets import kms
from tests.infra.template.reading import functions, listed, properties, spelled
from tests.infra.template.test_sandbox import INTERFACES

PAYLOADS = "<WorkflowAttachmentsBucket.Arn>"
RING = {("sqs:SendMessage", "<WorkflowRunQueue.Arn>")}
RING_OCR = {("sqs:SendMessage", "<OcrQueue.Arn>")}
RING_CODE = {("sqs:SendMessage", "<CodeQueue.Arn>")}
KEEP = {("s3:GetObject", f"{PAYLOADS}/*"), ("s3:PutObject", f"{PAYLOADS}/*"), ("s3:ListBucket", PAYLOADS)}
BUCKETS = tuple(
    f"<{name}Bucket.Arn>"
    for name in ("OcrDocuments", "RagFiles", "UserUploads", "WorkflowAttachments", "CodeExecutions")
)


def hear(queue: str) -> set[tuple[str, str]]:
    return {(f"sqs:{verb}", f"<{queue}.Arn>") for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}


#: Beside writing its own log.
MAY = {
    "webhook-intake": RING | KEEP | {("kms:Decrypt", "<SecretsKey.Arn>")},
    "workflow-api": RING | KEEP | {("kms:Decrypt", "<SecretsKey.Arn>"), ("kms:GenerateDataKey", "<SecretsKey.Arn>")},
    "account": set(),
    "item": set(),
    "storage": {
        *((f"s3:{verb}Object", f"{bucket}/*") for verb in ("Get", "Put", "Delete") for bucket in BUCKETS),
        *(("s3:ListBucket", bucket) for bucket in BUCKETS),
        ("s3:AbortMultipartUpload", "<UserUploadsBucket.Arn>/incoming/*"),
        ("s3:DeleteObjectVersion", "<UserUploadsBucket.Arn>/incoming/*"),
        ("s3:ListBucketVersions", "<UserUploadsBucket.Arn>"),
    },
    "health": {
        ("sqs:GetQueueAttributes", "<WorkflowRunQueue.Arn>"),
        ("sqs:GetQueueAttributes", "<StorageEventsQueue.Arn>"),
        ("s3:ListBucket", PAYLOADS),
    },
    "workflow-run": RING | RING_OCR | RING_CODE | KEEP | hear("WorkflowRunQueue"),
    "schedule-tick": RING | RING_OCR | RING_CODE | {("sqs:SendMessage", "<StorageEventsQueue.Arn>")},
    "storage-intake": RING | RING_OCR | hear("StorageEventsQueue"),
    "code-exec-api": RING | RING_CODE | {("s3:GetObject", "<CodeExecutionsBucket.Arn>/*")},
    "code-exec-worker": RING
    | RING_CODE
    | hear("CodeQueue")
    | {
        ("s3:PutObject", "<CodeExecutionsBucket.Arn>/*"),
        ("lambda:InvokeFunction", "<CodeDashsandboxLambdaFunction.Arn>"),
    },
    "code-sandbox": {(action, "*") for action in INTERFACES},  # denied to its code: test_sandbox.py
    "ocr-api": RING | RING_OCR | KEEP - {("s3:PutObject", f"{PAYLOADS}/*")},
    "ocr-worker": RING
    | RING_OCR
    | KEEP
    | hear("OcrQueue")
    | {
        (f"s3:{verb}", f"<{bucket}Bucket.Arn>{part}")
        for bucket in ("OcrDocuments", "RagFiles", "UserUploads", "CodeExecutions")
        for verb, part in (("GetObject", "/*"), ("ListBucket", ""))
    },
}


def roles(template: Template) -> dict[str, tuple[str, dict[str, Any]]]:
    """By function: its log group's logical id and its role."""
    made = properties(template, "AWS::IAM::Role")
    given = properties(template, "AWS::Lambda::Function")
    return {
        key: (
            logical.replace("LambdaFunction", "LogGroup"),
            made[spelled(given[logical]["Role"]).strip("<>").removesuffix(".Arn")],
        )
        for logical, key in functions(template).items()
    }


def granted(role: dict[str, Any]) -> set[tuple[str, str]]:
    """Each action with each resource that it is allowed on."""
    return {
        (action, spelled(resource))
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def test_no_two_functions_share_a_role_and_no_role_is_left_over(dev: Template) -> None:
    assert len(properties(dev, "AWS::IAM::Role")) == len(functions(dev)) == len(roles(dev))
    named = [spelled(one["Role"]) for one in properties(dev, "AWS::Lambda::Function").values()]
    assert len(set(named)) == len(named)


def test_a_role_allows_what_its_function_does_and_nothing_else(dev: Template) -> None:
    log = ("logs:CreateLogStream", "logs:PutLogEvents")
    for key, (group, role) in roles(dev).items():
        assert granted(role) == MAY[key] | {(action, f"<{group}.Arn>") for action in log}, key
    assert set(roles(dev)) == set(MAY)


def test_no_role_borrows_a_policy_or_allows_by_pattern(dev: Template) -> None:
    for key, (_, role) in roles(dev).items():
        assert "ManagedPolicyArns" not in role, key
        for action, resource in granted(role):
            assert "*" not in action, key
            if key == "code-sandbox" and action in INTERFACES:
                continue  # Lambda's own, on interfaces that are not there yet
            assert resource.startswith("<"), f"{key} may {action} on {resource}, which is not the stack's own"


def test_the_key_of_secrets_is_used_for_data_keys_only(dev: Template) -> None:
    conditions = [
        statement["Condition"]
        for _, role in roles(dev).values()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("kms:") for action in listed(statement["Action"]))
    ]
    [(name, value)] = kms._context("any").items() - {("name", "any")}
    assert conditions == [{"StringEquals": {f"kms:EncryptionContext:{name}": value}}] * 2


def test_only_lambda_may_take_a_role(dev: Template) -> None:
    for _, role in roles(dev).values():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert statement["Action"] == "sts:AssumeRole"


def test_the_key_of_secrets_turns_over_and_outlives_the_stack(dev: Template) -> None:
    key = dev.resources("AWS::KMS::Key")["SecretsKey"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    [statement] = key["Properties"]["KeyPolicy"]["Statement"]
    assert spelled(statement["Principal"]["AWS"]) == "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"

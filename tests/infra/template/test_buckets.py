"""The five buckets on S3 are what ``infra/buckets.yml`` declares: private, encrypted, kept, and heard of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from functions.storage import keys
from infra.buckets import declared
from infra.template.compiler import Template
from tests.infra.template.reading import properties, spelled

DECLARED = [bucket.name for bucket in declared({})]
CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def ours(template: Template) -> dict[str, dict[str, Any]]:
    """Our buckets by their short names; osls adds one of its own."""
    prefix = f"millrace-{template.stage}-<AWS::AccountId>-"
    return {
        spelled(found["Properties"]["BucketName"]).removeprefix(prefix): found | {"logical": logical}
        for logical, found in template.resources("AWS::S3::Bucket").items()
        if "BucketName" in found["Properties"]
    }


def statements(template: Template, logical: str) -> list[dict[str, Any]]:
    [policy] = [
        policy
        for policy in properties(template, "AWS::S3::BucketPolicy").values()
        if policy["Bucket"] == {"Ref": logical}
    ]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def test_the_declared_buckets_are_made_and_no_others(dev: Template) -> None:
    assert sorted(ours(dev)) == sorted(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_a_bucket_is_private_encrypted_versioned_and_outlives_the_stack(dev: Template, name: str) -> None:
    bucket = ours(dev)[name]
    settings = bucket["Properties"]
    assert settings["PublicAccessBlockConfiguration"] == CLOSED
    assert settings["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, "no ACLs"
    [rule] = settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert settings["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = {rule["Id"]: rule for rule in settings["LifecycleConfiguration"]["Rules"]}
    assert set(rules) == {"tidy", "forget-uploads"} if name == "user-uploads" else {"tidy"}
    tidy = rules["tidy"]
    assert tidy["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert tidy["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "ExpirationInDays" not in tidy, "nobody's files end by themselves"
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_uploads_that_nobody_completed_are_forgotten_with_all_versions(dev: Template) -> None:
    _, rule = ours(dev)["user-uploads"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["Prefix"] == keys.landing_key(UUID(int=0), UUID(int=0)).partition("/")[0] + "/"
    assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == (1, {"NoncurrentDays": 1})
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


@pytest.mark.parametrize("name", DECLARED)
def test_a_bucket_is_reached_over_tls_only(dev: Template, name: str) -> None:
    logical = ours(dev)[name]["logical"]
    [statement] = statements(dev, logical)
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [spelled(arn) for arn in statement["Resource"]] == [f"<{logical}.Arn>", f"<{logical}.Arn>/*"]


@pytest.mark.parametrize("name", DECLARED)
def test_objects_that_come_and_go_are_told_to_the_one_queue(dev: Template, name: str) -> None:
    bucket = ours(dev)[name]
    told = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert [one["Event"] for one in told] == [
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
    ]
    assert {spelled(one["Queue"]) for one in told} == {"<StorageEventsQueue.Arn>"}
    assert "StorageEventsQueuePolicy" in bucket["DependsOn"], "S3 asks whether it may when the bucket is made"


def test_documents_may_be_read_by_name_and_never_listed_where_the_stage_says_so(other: Template) -> None:
    buckets = ours(other)
    access = buckets["ocr-documents"]["Properties"]["PublicAccessBlockConfiguration"]
    assert access == CLOSED | {"BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    tls, reading = statements(other, buckets["ocr-documents"]["logical"])
    assert tls["Effect"] == "Deny"
    assert (reading["Effect"], reading["Principal"], reading["Action"]) == ("Allow", "*", "s3:GetObject")
    assert spelled(reading["Resource"]) == "<OcrDocumentsBucket.Arn>/*"
    others = [bucket for name, bucket in buckets.items() if name != "ocr-documents"]
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"] == CLOSED for bucket in others)


def test_what_osls_uploads_is_private_too(dev: Template) -> None:
    settings = properties(dev, "AWS::S3::Bucket")["ServerlessDeploymentBucket"]
    assert settings["PublicAccessBlockConfiguration"] == CLOSED
    assert settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    [statement] = statements(dev, "ServerlessDeploymentBucket")
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}

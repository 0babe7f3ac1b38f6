"""A bucket that is missing, too open or bounded otherwise is named wherever buckets are kept, with what restores it."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.buckets import declared
from infra.provision import trigger
from infra.review.buckets import in_directory, on_s3
from infra.review.catalogue import NotAllowed
from infra.review.review import Review, review
from shared import aws
from shared.storage import BUCKETS
from tests.cluster import TestDatabase
from tests.infra.review.conftest import restore

SUPABASE = "supabase:https://example.supabase.co"
PREFIX = "millrace-dev-123456789012"


# --- Supabase ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(db: TestDatabase) -> TestDatabase:
    """A project with its buckets and triggers, as `millrace provision` leaves it."""
    for bucket in declared():
        db.owner.execute(
            "insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) "
            "values (%s, %s, %s, %s, %s)",
            [bucket.name, bucket.name, bucket.public, bucket.size_limit, list(bucket.media_types or []) or None],
        )
    trigger.install(db.owner, declared())
    return db


def look(database: TestDatabase) -> Review:
    return review(database.url(), storage=SUPABASE)


def test_a_provisioned_project_is_clean(project: TestDatabase) -> None:
    found = look(project)
    assert found.drifts == []
    assert [(held.name, held.says) for held in found.buckets] == [(name, "private") for name in BUCKETS]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("public = true", "is public, should be private"),
        ("file_size_limit = null", "takes files of any size, should be up to 1073741824 bytes"),
        ("allowed_mime_types = '{text/html}'", "takes text/html, should take any type"),
    ],
)
def test_a_changed_bucket_is_named_and_restored(change: str, says: str, project: TestDatabase) -> None:
    project.owner.execute(f"update storage.buckets set {change} where id = 'user-uploads'".encode())
    [drift] = look(project).drifts
    assert (drift.kind, drift.object, drift.says) == ("bucket", "user-uploads", says)
    restore(project.url(), [drift])
    assert look(project).clean


def test_five_things_that_went_wrong_at_once_are_five_drifts(project: TestDatabase) -> None:
    project.owner.execute(
        """
        drop index public.ix_workflow_owner_id;
        drop policy secret_owner on public.secret;
        alter table public.workflowexecution drop column deadline_at;
        revoke select on public.workflowversion from millrace_api;
        update storage.buckets set public = true where id = 'rag-files';
        """
    )
    found = look(project)
    assert [(drift.kind, drift.object) for drift in found.drifts] == [
        ("column", "public.workflowexecution.deadline_at"),
        ("index", "public.workflow.ix_workflow_owner_id"),
        ("policy", "public.secret.secret_owner"),
        ("grant", "table public.workflowversion to millrace_api"),
        ("bucket", "rag-files"),
    ]
    restore(project.url(), found.drifts)
    assert look(project).clean


def test_a_missing_bucket_is_named(project: TestDatabase) -> None:
    project.owner.execute("delete from storage.buckets where id = 'rag-files'")
    [drift] = look(project).drifts
    assert (drift.object, drift.says, drift.remedy.commands) == ("rag-files", "is missing", ("millrace provision",))


def test_what_the_stage_makes_public_should_be(project: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_OCR_DOCUMENTS_PUBLIC", "true")
    [drift] = look(project).drifts
    assert (drift.object, drift.says) == ("ocr-documents", "is private, should be public")


def test_a_silent_storage_trigger_is_named(project: TestDatabase) -> None:
    project.connect("supabase_admin").execute("alter table storage.objects disable trigger millrace_stored")
    [drift] = look(project).drifts
    assert drift.object == "storage.objects.millrace_stored"
    assert "switched off" in drift.says


def test_a_project_that_was_never_provisioned_lacks_buckets_and_triggers(db: TestDatabase) -> None:
    assert [drift.kind for drift in look(db).drifts] == ["bucket"] * 5 + ["trigger"] * 3


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 with our buckets as the deployment makes them."""
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        aws.forget()
        opened = aws.client("s3")
        for name in BUCKETS:
            opened.create_bucket(
                Bucket=f"{PREFIX}-{name}", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
            close(opened, name)
        yield opened
        aws.forget()


def close(client: Any, name: str, *, closed: bool = True) -> None:
    parts = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    client.put_public_access_block(
        Bucket=f"{PREFIX}-{name}", PublicAccessBlockConfiguration=dict.fromkeys(parts, closed)
    )


def test_buckets_that_refuse_to_become_public_are_clean(client: Any, db: TestDatabase) -> None:
    found = review(db.url(), storage=f"s3:{PREFIX}")
    assert found.drifts == []
    assert {held.says for held in found.buckets} == {"private"}


def test_a_bucket_that_is_not_closed_is_named_with_the_command(client: Any, db: TestDatabase) -> None:
    client.delete_public_access_block(Bucket=f"{PREFIX}-rag-files")
    [drift] = review(db.url(), storage=f"s3:{PREFIX}").drifts
    assert (drift.object, drift.says) == ("rag-files", "does not refuse to become public")
    [command] = drift.remedy.commands
    assert command.startswith(f"aws s3api put-public-access-block --bucket {PREFIX}-rag-files ")
    client.put_public_access_block(
        Bucket=f"{PREFIX}-rag-files", PublicAccessBlockConfiguration=json.loads(shlex.split(command)[-1])
    )
    assert review(db.url(), storage=f"s3:{PREFIX}").clean


def test_a_bucket_that_a_policy_opens_is_public(client: Any) -> None:
    close(client, "user-uploads", closed=False)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    statement["Resource"] = f"arn:aws:s3:::{PREFIX}-user-uploads/*"
    client.put_bucket_policy(
        Bucket=f"{PREFIX}-user-uploads", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    found = {held.name: held for held in on_s3(client, PREFIX, declared())}
    assert [drift.says for drift in found["user-uploads"].drifts] == ["is public, should be private"]


def test_a_bucket_that_is_not_on_s3_is_named(client: Any) -> None:
    client.delete_bucket(Bucket=f"{PREFIX}-code-executions")
    found = {held.name: held for held in on_s3(client, PREFIX, declared())}
    assert [drift.says for drift in found["code-executions"].drifts] == ["is missing"]


def test_credentials_that_may_not_ask_are_told_what_they_lack(client: Any) -> None:
    stub = Stubber(client)
    stub.add_client_error("head_bucket", "403", "Forbidden", http_status_code=403)
    with stub, pytest.raises(NotAllowed, match="may not ask S3") as raised:
        on_s3(client, PREFIX, declared())
    assert "s3:ListBucket" in str(raised.value.remedy)


# --- directories ------------------------------------------------------------------------------------------------------


def test_a_directory_that_nobody_else_may_enter_is_private(tmp_path: Path) -> None:
    (tmp_path / "objects" / "rag-files").mkdir(parents=True)
    tmp_path.chmod(0o700)
    says = {held.name: held.says for held in in_directory(tmp_path / "objects", declared())}
    assert says["rag-files"] == "private"
    assert says["user-uploads"] == "made with its first file"


def test_a_directory_that_everyone_may_enter_is_named() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        root = Path(directory) / "objects"
        (root / "rag-files").mkdir(parents=True)
        for path in (Path(directory), root, root / "rag-files"):
            path.chmod(0o755)
        found = {held.name: held for held in in_directory(root, declared())}
        [drift] = found["rag-files"].drifts
        assert drift.says == "is readable by everyone on this machine"
        subprocess.run(drift.remedy.commands[0], shell=True, check=True)
        assert not [held for held in in_directory(root, declared()) if held.drifts]

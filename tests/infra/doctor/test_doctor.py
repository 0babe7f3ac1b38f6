"""``millrace doctor`` finds each usual misconfiguration by name, says what helps, and exits 1."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

import shared.aws
import shared.doorbell
import shared.settings
import shared.storage
from functions.health import probes
from infra import cli
from infra.doctor import database
from infra.doctor.finding import Verdict
from shared.secrets.key_file import LocalKeyring
from tests.aws import ACCOUNT, REGION, pretended
from tests.cluster import TestDatabase, User
from tests.pooler import Pooler

SECRET = "a secret that only tests and their tokens know"


@dataclass(frozen=True)
class Report:
    """What the doctor said."""

    code: int
    findings: list[dict[str, Any]]
    stdout: str
    stderr: str

    @property
    def wrong(self) -> dict[str, str]:
        return {one["name"]: one["detail"] for one in self.findings if one["verdict"] == "failing"}

    def remedy(self, name: str) -> str:
        return next(one["remedy"] for one in self.findings if one["name"] == name and one["verdict"] == "failing")


@dataclass
class Patient:
    """A well installation; ``set`` changes its environment."""

    db: TestDatabase
    monkeypatch: pytest.MonkeyPatch
    directory: Path
    sockets: list[socket.socket] = field(default_factory=list)

    def set(self, **variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                self.monkeypatch.delenv(f"MILLRACE_{name}", raising=False)
            else:
                self.monkeypatch.setenv(f"MILLRACE_{name}", value)

    def examine(self, *arguments: str, as_json: bool = True) -> Report:
        before = dict(os.environ)
        shared.settings.forget()
        shared.storage.storage.cache_clear()
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                cli.main(["doctor", *arguments, *(["--json"] if as_json else [])])
                code = 0
            except SystemExit as left:
                code = int(left.code or 0)
        os.environ.clear()  # the command sets what it was not given, for it ends with its process
        os.environ.update(before)
        if shared.doorbell.doorbell.cache_info().currsize:  # rung by the object that the doctor keeps
            bell = shared.doorbell.doorbell()
            if isinstance(bell, shared.doorbell.SocketDoorbell):
                bell.close()
            shared.doorbell.doorbell.cache_clear()
        text = out.getvalue()
        findings = json.loads(text)["findings"] if as_json and text else []
        return Report(code, findings, text, err.getvalue())


@pytest.fixture
def patient(
    db: TestDatabase, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Patient]:
    bells = tmp_path_factory.mktemp("b")
    made = Patient(db, monkeypatch, tmp_path)
    for queue in probes.QUEUES:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(bells / f"{queue}.sock"))
        made.sockets.append(listener)
    made.set(
        API_DATABASE_URL=db.url("millrace_api"),
        ENGINE_DATABASE_URL=db.url("millrace_engine"),
        MIGRATION_URL=db.url("postgres"),
        JWT_SECRET=SECRET,
        DOORBELL=f"socket:{bells}",
        STORAGE=f"directory:{tmp_path / 'objects'}",
        SECRET_KEY_FILE=str(tmp_path / "keys.json"),
    )
    db.engine.call("select millrace.record_tick()")
    yield made
    for listener in made.sockets:
        listener.close()


def test_a_well_installation_has_nothing_to_say(patient: Patient) -> None:
    report = patient.examine()
    assert report.wrong == {}
    assert report.code == 0
    assert {one["name"] for one in report.findings} >= {
        "settings", "database as millrace_api", "pooler of millrace_engine", "version", "clocks", "vector",
        "migrations", "tick", "work", "sign-in", "bells", "storage", "buckets", "keys",
    }  # fmt: skip
    assert SECRET not in report.stdout


def test_people_see_a_line_each_with_the_remedy(patient: Patient) -> None:
    patient.set(DOORBELL="socket:/nowhere")
    report = patient.examine(as_json=False)
    assert report.code == 1
    assert "✓ ok  migrations:" in report.stdout
    assert "✗ failing  bells: workflow-run: there is no socket /nowhere/workflow-run.sock" in report.stdout
    assert "→ Set MILLRACE_DOORBELL" in report.stdout
    assert "1 of" in report.stderr


# Settings -------------------------------------------------------------------------------------------------------------


def test_missing_and_wrong_settings_are_all_named_at_once(patient: Patient) -> None:
    patient.set(
        ENGINE_DATABASE_URL=None, MIGRATION_URL=None, JWT_SECRET="too short", TICK_SECONDS="soon", STORAGE="ftp:x"
    )
    report = patient.examine()
    assert report.code == 1
    said = " ".join(one["detail"] for one in report.findings if one["name"] == "settings")
    for name in ("ENGINE_DATABASE_URL", "MIGRATION_URL", "JWT_SECRET", "TICK_SECONDS", "STORAGE"):
        assert f"MILLRACE_{name}:" in said
    assert "API_DATABASE_URL" not in said
    assert "too short" not in report.stdout
    assert [one for one in report.findings if one["verdict"] == "not looked at"]


def test_nobody_could_sign_in(patient: Patient) -> None:
    patient.set(JWT_SECRET=None)
    assert "nobody can sign in" in patient.examine().wrong["settings"]


def test_a_misspelt_variable_is_told_from_somebodys_own(patient: Patient) -> None:
    patient.set(STORGE_SECRET="x" * 40, OF_ANOTHER_PROGRAM="1")
    report = patient.examine()
    assert report.wrong == {"settings": "MILLRACE_STORGE_SECRET is no setting."}
    assert report.remedy("settings") == "Did you mean MILLRACE_STORAGE_SECRET?"


def test_without_settings_and_without_a_stack_there_is_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = io.StringIO()
    with redirect_stderr(err), pytest.raises(SystemExit) as left:
        cli.main(["--home", str(tmp_path), "doctor"])
    assert left.value.code == 3
    assert "MILLRACE_API_DATABASE_URL" in err.getvalue()


# The database ---------------------------------------------------------------------------------------------------------


def test_an_unreachable_database(patient: Patient) -> None:
    patient.set(API_DATABASE_URL="postgresql://millrace_api:hidden-word@127.0.0.1:9/postgres")
    report = patient.examine()
    assert "does not answer" in report.wrong["database as millrace_api"]
    assert "MILLRACE_API_DATABASE_URL" in report.wrong["database as millrace_api"]
    assert "hidden-word" not in report.stdout + report.stderr


def test_the_wrong_role(patient: Patient) -> None:
    patient.set(ENGINE_DATABASE_URL=patient.db.url("postgres"))
    report = patient.examine()
    assert report.wrong == {"database as millrace_engine": "MILLRACE_ENGINE_DATABASE_URL logs in as postgres."}


def test_a_role_that_is_not_there(patient: Patient) -> None:
    patient.set(API_DATABASE_URL=patient.db.cluster.url("millrace_apy", patient.db.name))
    report = patient.examine()
    assert "refuses" in report.wrong["database as millrace_api"]
    assert "millrace provision" in report.remedy("database as millrace_api")


def test_an_old_postgres_and_other_clocks(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST", 99)
    monkeypatch.setattr(database.time, "time", lambda: 0.0)
    report = patient.examine()
    assert "too old" in report.wrong["version"]
    assert "behind the database's" in report.wrong["clocks"]


def test_a_missing_vector(patient: Patient) -> None:
    patient.db.connect("supabase_admin").execute("drop extension vector cascade")
    report = patient.examine()
    assert report.wrong == {"vector": "The extension vector is not installed."}
    assert report.remedy("vector") == "create extension vector with schema extensions;"


def test_pending_and_edited_migrations(patient: Patient) -> None:
    last = patient.db.owner.execute(
        "delete from supabase_migrations.schema_migrations "
        "where version = (select max(version) from supabase_migrations.schema_migrations) returning version"
    ).fetchone()
    assert last is not None
    report = patient.examine()
    assert last["version"] in report.wrong["migrations"]
    assert "pending" in report.wrong["migrations"]
    assert "millrace migrate up" in report.remedy("migrations")
    patient.db.owner.execute("update millrace.migration_checksum set sha256 = 'x' where version = '20261122100000'")
    assert any("edited" in one["detail"] for one in patient.examine().findings if one["name"] == "migrations")


def test_a_database_without_migrations(patient: Patient, blank: TestDatabase) -> None:
    patient.set(
        MIGRATION_URL=blank.url("postgres"),
        API_DATABASE_URL=blank.url("millrace_api"),
        ENGINE_DATABASE_URL=blank.url("millrace_engine"),
    )
    report = patient.examine()
    assert {"migrations", "tick"} <= set(report.wrong)


def test_a_tick_that_does_not_run(patient: Patient) -> None:
    patient.db.owner.execute("update millrace.tick set ticked_at = now() - interval '1 hour'")
    report = patient.examine()
    assert report.wrong == {"tick": "The last tick ended 3600 s ago."}
    assert "schedule-tick" in report.remedy("tick")


def test_stored_files_that_were_given_up(patient: Patient) -> None:
    patient.db.owner.execute(
        "insert into millrace.storage_event (bucket, name, sequencer, event, due_at, attempts, failure) "
        "values ('rag-files', 'x', '1', 'ObjectCreated:Put', null, 5, 'no such luck')"
    )
    report = patient.examine()
    assert report.wrong == {"stored files": "1 stored files could not be handled: no such luck."}
    patient.db.owner.execute(report.remedy("stored files").partition("again: ")[2])
    assert patient.db.owner.execute("select attempts from millrace.storage_event").fetchone() == {"attempts": 0}


# The pooler -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pooler(db: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    server = Path(psycopg.conninfo.conninfo_to_dict(db.url())["host"])
    with Pooler(tmp_path_factory.mktemp("p"), server, "millrace_api", db.name, 1) as running:
        yield running


def test_a_pooler_in_transaction_mode_is_well(patient: Patient, pooler: Pooler) -> None:
    patient.set(API_DATABASE_URL=pooler.url)
    report = patient.examine()
    assert report.wrong == {}
    assert any("in transaction mode" in one["detail"] for one in report.findings)


def test_prepared_statements_on_a_pooled_connection(patient: Patient, pooler: Pooler) -> None:
    with psycopg.connect(pooler.url, autocommit=True) as careless:
        careless.execute("select 1", prepare=True)
        patient.set(API_DATABASE_URL=pooler.url)
        assert "prepares statements" in patient.examine().wrong["pooler of millrace_api"]


def test_a_pooler_in_session_mode(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by what tells it from the others: the client is given another number, and never shares a server process."""
    processes = iter(range(1, 10_000))
    monkeypatch.setattr(database, "_process", lambda connection: next(processes))
    report = patient.examine()
    assert "session mode" in report.wrong["pooler of millrace_api"]
    assert "6543" in report.remedy("pooler of millrace_api")


# Beside the database --------------------------------------------------------------------------------------------------


@dataclass
class Issuer:
    """Serves a key set."""

    answer: tuple[int, bytes] = (200, b'{"keys": []}')

    def __enter__(self) -> Issuer:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = issuer.answer
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/auth/v1/.well-known/jwks.json"


def test_a_key_set_that_cannot_be_read_or_is_empty(patient: Patient) -> None:
    with Issuer() as issuer:
        patient.set(JWT_SECRET=None, JWT_JWKS_URL=issuer.url)
        assert "no key that is known here" in patient.examine().wrong["sign-in"]
        issuer.answer = (404, b"not found")
        assert "404" in patient.examine().wrong["sign-in"]
        issuer.answer = (200, b"<html>")
        assert "cannot be read" in patient.examine().wrong["sign-in"]
    assert "cannot be read" in patient.examine().wrong["sign-in"]


def test_bells_that_nobody_hears(patient: Patient) -> None:
    patient.sockets[0].close()
    report = patient.examine()
    assert "nobody listens" in report.wrong["bells"]
    assert "MILLRACE_DOORBELL" in report.remedy("bells")


def test_a_storage_that_cannot_be_written(patient: Patient) -> None:
    (patient.directory / "file").write_text("no directory")
    patient.set(STORAGE=f"directory:{patient.directory / 'file'}")
    assert "storage" in patient.examine().wrong


def test_a_storage_that_is_well_keeps_nothing_of_the_doctors(patient: Patient) -> None:
    assert patient.examine().wrong == {}
    assert shared.storage.storage().list(probes.BUCKET) == []


def test_buckets_that_others_may_read(patient: Patient) -> None:
    project = TestDatabase.connect(patient.db, "supabase_storage_admin")
    project.execute("insert into storage.buckets (id, name, public) values ('rag-files', 'rag-files', true)")
    patient.set(STORAGE="supabase:http://127.0.0.1:9", SUPABASE_KEY="sb_secret_key")
    report = patient.examine()
    assert "storage" in report.wrong
    assert any("rag-files is public" in one["detail"] for one in report.findings)
    assert "storage trigger" in report.wrong
    assert report.remedy("storage trigger") == "Run `millrace provision`."


def test_a_deployed_stage_is_looked_at_by_its_name(patient: Patient) -> None:
    prefix, account = "millrace-prod", ACCOUNT
    environment = {
        "api_database_url": patient.db.url("millrace_api"),
        "engine_database_url": patient.db.url("millrace_engine"),
    }
    patient.set(API_DATABASE_URL=None, ENGINE_DATABASE_URL=None, DOORBELL=None, STORAGE=None, SECRET_KEY_FILE=None)
    with pretended():
        assert patient.examine("--stage", "prod").wrong.keys() >= {"settings", "bells", "storage", "keys"}
        boto3.client("secretsmanager").create_secret(Name=prefix, SecretString=json.dumps(environment))
        for queue in probes.QUEUES:
            boto3.client("sqs").create_queue(QueueName=f"{prefix}-{queue}")
        s3 = boto3.client("s3")
        for bucket in shared.storage.BUCKETS:
            name = f"{prefix}-{account}-{bucket}"
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        key = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
        boto3.client("kms").create_alias(AliasName=f"alias/{prefix}-secrets", TargetKeyId=key)
        report = patient.examine("--stage", "prod")
        assert set(report.wrong) == {"buckets"}, report.wrong  # which do not refuse to become public yet
        for bucket in shared.storage.BUCKETS:
            s3.put_public_access_block(
                Bucket=f"{prefix}-{account}-{bucket}",
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
        report = patient.examine("--stage", "prod")
        assert report.wrong == {}


def test_a_stage_without_credentials_says_so(patient: Patient) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patient.monkeypatch.delenv(name)
    patient.monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patient.monkeypatch.setenv("HOME", str(patient.directory))
    patient.monkeypatch.setenv("AWS_REGION", "eu-central-1")
    report = patient.examine("--stage", "prod")
    assert report.code == 3
    assert "credentials" in report.stderr


def test_a_library_that_is_not_installed_is_a_finding(patient: Patient) -> None:
    patient.monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    patient.set(DOORBELL="sqs:https://sqs.eu-central-1.amazonaws.com/1/millrace-dev")
    report = patient.examine()
    assert "botocore" in report.wrong["bells"]
    assert "millrace[aws" in report.remedy("bells")


def test_aws_that_cannot_be_asked_is_said_and_not_waited_for(patient: Patient) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patient.monkeypatch.delenv(name)
    patient.monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patient.monkeypatch.setenv("HOME", str(patient.directory))
    shared.aws.forget()
    patient.set(
        DOORBELL="sqs:https://sqs.eu-central-1.amazonaws.com/1/millrace-dev",
        STORAGE="s3:millrace-dev-1",
        SECRET_KMS_KEY="alias/millrace-dev-secrets",
    )
    report = patient.examine()
    assert {"bells", "storage", "buckets", "keys"} <= set(report.wrong)
    shared.aws.forget()


# Keys -----------------------------------------------------------------------------------------------------------------


def test_a_key_file_that_others_may_read(patient: Patient) -> None:
    path = patient.directory / "keys.json"
    LocalKeyring(path).current()
    assert patient.examine().wrong == {}
    path.chmod(0o644)
    report = patient.examine()
    assert "mode 0644" in report.wrong["keys"]
    assert "chmod 600" in report.remedy("keys")


def test_a_key_file_that_lacks_what_sealed_a_secret(patient: Patient, user: User) -> None:
    patient.db.owner.execute(
        "insert into secret (id, owner_id, name, key_id, nonce, ciphertext) values (%s, %s, 'n', 'local-old', %s, %s)",
        [uuid.uuid4(), user.id, b"0" * 12, b"x"],
    )
    assert "secrets were sealed" in patient.examine().wrong["keys"]
    LocalKeyring(patient.directory / "keys.json").current()
    assert "not in the key file" in patient.examine().wrong["keys"]


def test_no_keys_at_all(patient: Patient) -> None:
    patient.set(SECRET_KEY_FILE=None)
    assert "no webhook can have a secret" in patient.examine().wrong["keys"]


def test_verdicts_are_words_that_people_and_machines_share() -> None:
    assert [verdict.value for verdict in Verdict] == ["ok", "failing", "not looked at"]

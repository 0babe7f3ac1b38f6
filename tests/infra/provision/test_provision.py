"""``millrace provision``: makes, repairs, never deletes, and says what became of everything."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import psycopg
import pytest

from infra.buckets import declared
from infra.provision.roles import address
from infra.provision.trigger import TRIGGERS
from shared.storage import BUCKETS
from tests.cluster import TestDatabase
from tests.infra.provision.storage_api import KEY, StorageApi
from tests.infra.provision.terminal import run

NAMES = [*BUCKETS, "storage.objects", "millrace_api", "millrace_engine"]


def test_the_first_run_makes_everything_as_declared(project: StorageApi, db: TestDatabase) -> None:
    done = run("--json")
    assert done.code == 0, done.stderr
    assert list(done.outcomes) == NAMES
    assert {done.outcomes[name] for name in [*BUCKETS, "storage.objects"]} == {"created"}
    for bucket in declared({}):
        made = project.buckets[bucket.name]
        assert made["public"] is False
        assert made["file_size_limit"] == bucket.size_limit
        types = made["allowed_mime_types"]
        assert types == (None if bucket.media_types is None else list(bucket.media_types))
    triggers = db.owner.execute(
        "select tgname from pg_trigger where tgrelid = 'storage.objects'::regclass and not tgisinternal"
    ).fetchall()
    assert {row["tgname"] for row in triggers} == set(TRIGGERS)


def test_the_second_run_changes_nothing(project: StorageApi) -> None:
    assert run().code == 0
    project.asked.clear()
    done = run("--json")
    assert done.code == 0
    assert set(done.outcomes.values()) == {"unchanged"}
    assert project.written == []
    assert done.json["variables"] == {}


def test_drift_is_repaired_and_named_and_nothing_is_deleted(project: StorageApi, db: TestDatabase) -> None:
    assert run().code == 0
    project.buckets["rag-files"]["public"] = True
    project.buckets["user-uploads"]["file_size_limit"] = 1
    project.buckets["ocr-documents"]["allowed_mime_types"] = ["image/png"]
    project.buckets["of-somebody-else"] = project.buckets["rag-files"] | {"id": "of-somebody-else"}
    del project.buckets["code-executions"]
    superuser = db.connect("supabase_admin")
    superuser.execute("drop trigger millrace_removed on storage.objects")
    superuser.execute("alter table storage.objects disable trigger millrace_stored")
    done = run("--json")
    assert done.code == 0, done.stderr
    assert done.result("rag-files")["changes"] == ["public: yes → no"]
    assert done.result("user-uploads")["changes"] == ["size limit: 1 → 1073741824"]
    assert done.result("ocr-documents")["changes"][0].startswith("media types: image/png → application/pdf, ")
    assert done.result("code-executions")["outcome"] == "created"
    assert done.result("workflow-attachments")["outcome"] == "unchanged"
    assert done.result("storage.objects")["outcome"] == "repaired"
    assert done.result("storage.objects")["changes"] == [
        "millrace_stored: made what it should be",
        "millrace_removed: created",
    ]
    assert "of-somebody-else" in project.buckets
    assert not any(method == "DELETE" or "empty" in path for method, path in project.asked)
    assert set(run("--json").outcomes.values()) == {"unchanged"}


def test_what_is_told_once_is_told_whole_however_narrow_the_terminal(
    fresh: TestDatabase, project: StorageApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = run().stdout.splitlines()
    [url] = [line.partition("=")[2] for line in lines if line.startswith("MILLRACE_ENGINE_DATABASE_URL=")]
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user").fetchone() == ("millrace_engine",)
    assert any("code-executions" in line and "✓ created" in line for line in lines)


def test_people_see_a_table(project: StorageApi) -> None:
    assert "✓ created" in run().stdout
    project.buckets["rag-files"]["public"] = True
    lines = run().stdout.splitlines()
    assert [line.split() for line in lines if "rag-files" in line] == [
        ["bucket", "rag-files", "✓", "repaired", "public:", "yes", "→", "no"]
    ]
    assert any(line.split()[:4] == ["role", "millrace_engine", "✓", "unchanged"] for line in lines)


def test_a_check_changes_nothing_and_exits_1_while_something_would_change(
    project: StorageApi, db: TestDatabase
) -> None:
    done = run("--check", "--json")
    assert done.code == 1
    assert done.outcomes["rag-files"] == done.outcomes["storage.objects"] == "to create"
    assert (project.buckets, project.written) == ({}, [])
    assert db.owner.execute("select from pg_trigger where tgname like 'millrace_%'").fetchall() == []
    assert run().code == 0
    assert run("--check").code == 0
    project.buckets["rag-files"]["public"] = True
    assert "~ to repair" in run("--check").stdout
    assert project.buckets["rag-files"]["public"] is True


def test_a_stage_may_open_the_documents_and_close_them_again(
    project: StorageApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_OCR_DOCUMENTS_PUBLIC", "true")
    assert run().code == 0
    assert [name for name, bucket in project.buckets.items() if bucket["public"]] == ["ocr-documents"]
    monkeypatch.delenv("MILLRACE_OCR_DOCUMENTS_PUBLIC")
    assert run("--json").result("ocr-documents")["changes"] == ["public: yes → no"]
    assert not any(bucket["public"] for bucket in project.buckets.values())


# Passwords ------------------------------------------------------------------------------------------------------------


def test_the_roles_get_passwords_that_are_told_once(fresh: TestDatabase, project: StorageApi) -> None:
    done = run("--json")
    assert done.code == 0, done.stderr
    assert done.result("millrace_api")["changes"] == ["login: no → yes"]
    variables = done.json["variables"]
    assert set(variables) == {"MILLRACE_API_DATABASE_URL", "MILLRACE_ENGINE_DATABASE_URL"}
    passwords = {psycopg.conninfo.conninfo_to_dict(url)["password"] for url in variables.values()}
    assert len(passwords) == 2
    assert all(len(str(password)) >= 32 for password in passwords)
    for url in variables.values():
        with psycopg.connect(url) as connection:
            assert connection.execute("select current_user").fetchone() is not None
    stored = fresh.connect("supabase_admin").execute(
        "select rolpassword from pg_authid where rolname in ('millrace_api', 'millrace_engine')"
    )
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in stored)
    again = run("--json")
    assert again.json["variables"] == {}
    assert again.result("millrace_api")["outcome"] == "unchanged"


def test_a_password_file_is_its_owners_alone_and_keeps_its_other_lines(
    fresh: TestDatabase, project: StorageApi, tmp_path: Path
) -> None:
    path = tmp_path / "prod.env"
    path.write_text("OTHER=kept\nMILLRACE_API_DATABASE_URL=old\n")
    path.chmod(0o600)
    done = run("--password-file", str(path))
    assert done.code == 0, done.stderr
    assert "postgresql://" not in done.stdout + done.stderr
    lines = path.read_text().splitlines()
    assert [line.partition("=")[0] for line in lines] == [
        "OTHER", "MILLRACE_API_DATABASE_URL", "MILLRACE_ENGINE_DATABASE_URL",
    ]  # fmt: skip
    assert "old" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    kept = path.read_text()
    assert run("--password-file", str(path)).code == 0
    assert path.read_text() == kept
    assert run("--password-file", str(path), "--renew-passwords").code == 0
    assert path.read_text() != kept


def test_a_new_password_file_has_mode_0600_from_its_first_byte(
    fresh: TestDatabase, project: StorageApi, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        assert run("--password-file", str(tmp_path / "new.env")).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.env").stat().st_mode) == 0o600


def test_given_passwords_are_used(fresh: TestDatabase, project: StorageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_API_PASSWORD", "p/ss wörd: of our own")
    done = run("--json")
    url = done.json["variables"]["MILLRACE_API_DATABASE_URL"]
    assert psycopg.conninfo.conninfo_to_dict(url)["password"] == "p/ss wörd: of our own"


@pytest.mark.parametrize("why", ["no directory", "open to others"])
def test_a_password_file_that_cannot_be_is_refused_before_anything_changes(
    fresh: TestDatabase, project: StorageApi, tmp_path: Path, why: str
) -> None:
    path = tmp_path / "missing" / "file" if why == "no directory" else tmp_path / "file"
    if why == "open to others":
        path.write_text("")
        path.chmod(0o644)
    done = run("--password-file", str(path))
    assert done.code == 2
    assert "Nothing was changed" in done.stderr
    assert project.written == []
    rows = fresh.owner.execute("select rolcanlogin from pg_roles where rolname like 'millrace_%'").fetchall()
    assert not any(row["rolcanlogin"] for row in rows)


@pytest.mark.parametrize(
    ("migration", "pooler", "expected"),
    [
        (
            "postgresql://postgres.abcd:s@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
            None,
            "postgresql://millrace_api.abcd:p%2Fw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?sslmode=require",
        ),
        (
            "postgresql://postgres:s@db.abcd.supabase.co:5432/postgres?sslmode=verify-full",
            None,
            "postgresql://millrace_api:p%2Fw@db.abcd.supabase.co:5432/postgres?sslmode=verify-full",
        ),
        (
            "postgresql://postgres:s@db.abcd.supabase.co:5432/postgres",
            "aws-1-us-east-1.pooler.supabase.com:6543",
            "postgresql://millrace_api.abcd:p%2Fw@aws-1-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require",
        ),
        (
            "postgresql://postgres:s@10.0.0.5/mill",
            "10.0.0.6:6432",
            "postgresql://millrace_api:p%2Fw@10.0.0.6:6432/mill",
        ),
        ("postgresql://postgres@/mill?host=%2Frun&port=5432", None, "postgresql://millrace_api:p%2Fw@/mill?host=%2Frun&port=5432"),
    ],
)  # fmt: skip
def test_functions_are_told_the_poolers_address_and_user(migration: str, pooler: str | None, expected: str) -> None:
    assert address(migration, pooler).url("millrace_api", "p/w") == expected


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_whatever_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", "supabase:https://abcd.supabase.co")
    monkeypatch.setenv("MILLRACE_API_PASSWORD", "short")
    done = run()
    assert done.code == 2
    for name in ("MILLRACE_MIGRATION_URL", "MILLRACE_SUPABASE_KEY", "MILLRACE_API_PASSWORD"):
        assert name in done.stderr
    assert "Nothing was changed" in done.stderr


def test_without_the_client_it_says_how_to_get_it(project: StorageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "storage3", None)
    done = run()
    assert done.code == 2
    assert "millrace[supabase]" in done.stderr


def test_a_wrong_key_is_said_once_and_the_database_is_provisioned(
    project: StorageApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_SUPABASE_KEY", "sb_secret_another")
    done = run("--json")
    assert done.code == 4
    assert [done.outcomes[name] for name in BUCKETS] == ["failed", *["not reached"] * 4]
    assert done.outcomes["storage.objects"] == "created"
    assert len(project.asked) == 1
    problem = json.loads(done.stderr)
    assert "MILLRACE_SUPABASE_KEY" in problem["remedy"]
    assert "sb_secret_another" not in done.stdout + done.stderr


def test_one_bucket_that_fails_is_reported_and_the_others_are_made(project: StorageApi) -> None:
    project.limit = 1024
    done = run("--json")
    assert done.code == 1
    assert {done.outcomes[name] for name in BUCKETS} == {"failed"}
    assert "file size limit" in json.loads(done.stderr)["remedy"]
    project.limit = 1024**3
    project.broken = {"user-uploads"}
    done = run("--json")
    assert done.code == 3
    assert [done.outcomes[name] for name in BUCKETS] == [
        "created", "created", "failed", "not reached", "not reached",
    ]  # fmt: skip
    project.broken = set()
    assert run().code == 0


def test_an_address_that_is_not_storages_is_said(project: StorageApi) -> None:
    project.answer = (200, "<html>a parked domain</html>")
    done = run("--json")
    assert done.code == 3
    assert "is not Supabase Storage" in done.result("ocr-documents")["error"]
    project.answer = (502, "<html>bad gateway</html>")
    assert "502" in run("--json").result("ocr-documents")["error"]


def test_nothing_at_the_address_and_no_database_are_both_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with StorageApi() as gone:
        url = gone.url
    monkeypatch.setenv("MILLRACE_STORAGE", f"supabase:{url}")
    monkeypatch.setenv("MILLRACE_SUPABASE_KEY", KEY)
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", "postgresql://postgres:secret-word@127.0.0.1:9/postgres")
    done = run("--json")
    assert done.code == 3
    assert list(done.outcomes) == NAMES
    assert "created" not in done.outcomes.values()
    assert "does not answer" in done.result("ocr-documents")["error"]
    assert "does not answer" in done.result("millrace_engine")["error"]
    assert "secret-word" not in done.stdout + done.stderr


def test_a_role_that_may_not_is_told_which_may(
    project: StorageApi, db: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", db.url("millrace_api"))
    done = run("--renew-passwords", "--json")
    assert done.code == 4
    assert {done.outcomes[name] for name in BUCKETS} == {"created"}
    assert {done.outcomes[name] for name in NAMES[5:]} == {"failed"}
    assert done.json["variables"] == {}
    assert "with the role `postgres`" in json.loads(done.stderr)["remedy"]


def test_before_the_migrations_it_says_so(
    project: StorageApi, blank: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", blank.url("postgres"))
    done = run("--json")
    assert done.code == 1
    assert done.outcomes["storage.objects"] == "failed"
    assert "millrace migrate up" in json.loads(done.stderr)["remedy"]


def test_a_database_that_keeps_no_objects_is_told_from_the_projects(project: StorageApi, db: TestDatabase) -> None:
    db.connect("supabase_admin").execute("drop schema storage cascade")
    done = run("--json")
    assert done.code == 1
    assert "has no storage.objects" in done.result("storage.objects")["error"]


def test_with_objects_elsewhere_only_the_roles_are_looked_after(
    db: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", db.url("postgres"))
    monkeypatch.setenv("MILLRACE_STORAGE", "s3:millrace-prod-123456789012")
    assert list(run("--json").outcomes) == ["millrace_api", "millrace_engine"]
    assert "no buckets and no trigger are needed" in run().stdout

"""Everything of an owner, or of the installation, in plain files; interrupted anywhere, it goes on where it stopped."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import cli
from infra.cli.exits import Exit
from infra.export import rows
from infra.export.export import Wanted, export, file_name
from shared.errors import Conflict, Forbidden, NotFound
from shared.secrets import LocalKeyring, seal
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase, User
from tests.sql.catalogue import Rows, tables

WIDE = 'ü \U0001f30a \\ " \n\t' * 50_000


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "objects")


@pytest.fixture
def keyring(tmp_path: Path) -> LocalKeyring:
    return LocalKeyring(tmp_path / "keys.json")


@pytest.fixture
def take(db: TestDatabase, store: DirectoryStorage, keyring: LocalKeyring, tmp_path: Path) -> Callable[..., Any]:
    """Exports into ``tmp_path/out``."""

    def take(owner: str | None = None, *, secrets: bool = False, to: str = "out", **more: Any) -> dict[str, Any]:
        return export(
            more.pop("url", db.url()),
            tmp_path / to,
            Wanted(owner, secrets),
            storage=lambda: store,
            keyring=lambda: keyring,
            **more,
        )

    return take


@pytest.fixture
def _full(db: TestDatabase, user: User, other_user: User, store: DirectoryStorage, keyring: LocalKeyring) -> None:
    """A row of each of two tenants in every table that can hold one, secrets, and objects."""
    for whose in (user, other_user):
        made = Rows(db.owner, whose)
        for table in tables(db.owner, "public"):
            if table.name not in ("alembic_version", "secret"):
                made.make(table)
        id_ = uuid.uuid4()
        sealed = seal(keyring, whose.id, id_, f"secret of {whose.email}")
        db.owner.execute(
            "insert into secret (id, owner_id, name, key_id, nonce, ciphertext) values (%s, %s, 'a', %s, %s, %s)",
            [id_, whose.id, *sealed],
        )
        for key in ("a.txt", "deep/b.txt", "../../c", "é" * 450):
            store.put("user-uploads", f"{whose.id}/{key}", key.encode() * 100, "text/plain")
    db.owner.execute("update workflow set description = %s where owner_id = %s", [WIDE, user.id])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.usefixtures("_full")
def test_every_row_of_every_table_is_there_and_reads_back_as_postgres_has_it(
    db: TestDatabase, take: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = take()
    assert manifest["complete"]
    for table in tables(db.owner):
        name = table.name if table.schema == "public" else str(table)
        left_out = list(rows.LEFT_OUT.get(str(table), ()))
        held = db.owner.execute(
            b"select to_jsonb(held) - %s::text[] as held from " + table.identifier.as_bytes() + b" as held", [left_out]
        ).fetchall()
        found = lines(tmp_path / "out" / "tables" / f"{name}.jsonl")
        assert sorted(json.dumps(row["held"], sort_keys=True) for row in held) == sorted(
            json.dumps(row, sort_keys=True) for row in found
        ), name
        assert manifest["tables"][name]["rows"] == len(found)
    assert manifest["tables"]["workflow"]["rows"] == 2
    assert any(row["description"] == WIDE for row in lines(tmp_path / "out" / "tables" / "workflow.jsonl"))


@pytest.mark.usefixtures("_full")
def test_rows_can_be_loaded_again(db: TestDatabase, take: Callable[..., Any], tmp_path: Path) -> None:
    take()
    db.owner.execute("create table copy (like workflow)")
    for row in (tmp_path / "out" / "tables" / "workflow.jsonl").read_text().splitlines():
        db.owner.execute("insert into copy select * from jsonb_populate_record(null::copy, %s::jsonb)", [row])
    differing = db.owner.execute("select * from workflow except select * from copy").fetchall()
    assert differing == []


@pytest.mark.usefixtures("_full")
def test_an_owner_gets_theirs_and_nothing_of_another(
    user: User, other_user: User, take: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = take(user.email.upper())
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.jsonl"))
    assert str(other_user.id).encode() not in everything
    assert other_user.email.encode() not in everything
    assert manifest["tables"]["user"]["rows"] == 1
    assert "alembic_version" not in manifest["tables"]
    empty = [
        name for name, found in manifest["tables"].items() if not found["rows"] and not name.startswith("millrace.")
    ]
    assert empty == []
    assert [row["key"] for row in lines(tmp_path / "out" / "objects" / "user-uploads.jsonl")] == sorted(
        f"{user.id}/{key}" for key in ("a.txt", "deep/b.txt", "../../c", "é" * 450)
    )


@pytest.mark.usefixtures("_full")
def test_objects_are_there_as_they_were_stored_and_their_names_lead_nowhere_else(
    take: Callable[..., Any], store: DirectoryStorage, tmp_path: Path
) -> None:
    take()
    listed = lines(tmp_path / "out" / "objects" / "user-uploads.jsonl")
    assert len(listed) == 8
    for one in listed:
        path = (tmp_path / "out" / one["file"]).resolve()
        assert path.is_relative_to((tmp_path / "out" / "objects" / "user-uploads").resolve())
        assert path.read_bytes() == store.get("user-uploads", one["key"])
        assert one["media_type"] == "text/plain"


@pytest.mark.usefixtures("_full")
def test_secrets_come_along_only_when_asked_for(
    user: User, other_user: User, take: Callable[..., Any], tmp_path: Path
) -> None:
    take()
    assert not (tmp_path / "out" / "secrets.jsonl").exists()
    written = b"".join(path.read_bytes() for path in (tmp_path / "out" / "tables").iterdir())
    assert b"secret of" not in written
    assert b"ciphertext" not in written
    assert b"token_hash" not in written
    take(user.email, secrets=True, to="mine")
    assert [row["plaintext"] for row in lines(tmp_path / "mine" / "secrets.jsonl")] == [f"secret of {user.email}"]
    for path in (tmp_path / "mine").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


class Dead(BaseException):
    """The process is gone."""


@pytest.mark.usefixtures("_full")
def test_it_may_die_anywhere_and_goes_on_where_it_stopped(
    take: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = take(secrets=True, to="whole")
    died: set[tuple[str, int]] = set()
    original = rows.read

    def mortal(connection: Any, table: rows.Table, owner: Any, after: Any) -> Iterator[str]:
        for number, line in enumerate(original(connection, table, owner, after), 1):
            yield line
            if (str(table), number) not in died and number == 1:
                died.add((str(table), number))
                raise Dead

    class Dying:
        def at(self, what: str, done: int) -> None:
            if (what, done) not in died:
                died.add((what, done))
                raise Dead

    monkeypatch.setattr(rows, "read", mortal)
    deaths = 0
    while True:
        try:
            manifest = take(secrets=True, progress=Dying())
        except Dead:
            deaths += 1
            assert deaths < 300
            for part in (tmp_path / "out").rglob("*.jsonl.part"):
                with part.open("ab") as file:
                    file.write(b'{"half a line')  # as a kill may leave it
        else:
            break
    assert deaths > 40
    assert manifest["tables"] == whole["tables"]
    # The index says when an object was copied of nothing, so that both are the same.
    assert manifest["objects"] == whole["objects"]
    assert not list((tmp_path / "out").rglob("*.part"))


def test_an_export_that_is_complete_is_left_as_it_is(
    take: Callable[..., Any], db: TestDatabase, tmp_path: Path
) -> None:
    first = take()
    db.make_user()
    assert take() == first
    assert lines(tmp_path / "out" / "tables" / "user.jsonl") == []


def test_what_stands_in_the_way_is_said(db: TestDatabase, user: User, take: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no user 'who@example\.com'"):
        take("who@example.com")
    assert not (tmp_path / "out").exists()
    take(user.email)
    with pytest.raises(Conflict, match="holds another export"):
        take()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Conflict, match="is not empty"):
        take(to="full")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("[]")
    with pytest.raises(Conflict, match="is not an export of this version"):
        take(to="other")
    (tmp_path / "other" / "manifest.json").unlink()


def test_a_role_that_does_not_see_every_row_exports_nothing_silently(
    db: TestDatabase, user: User, take: Callable[..., Any]
) -> None:
    db.connect("supabase_admin").execute("grant usage on schema supabase_migrations to millrace_api")
    db.connect("supabase_admin").execute("grant select on supabase_migrations.schema_migrations to millrace_api")
    with pytest.raises(Forbidden, match="does not see every row"):
        take(url=db.url("millrace_api"))


@given(st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_no_two_keys_have_one_file(keys: list[str]) -> None:
    names = [file_name(key.encode(errors="replace").decode()) for key in keys]
    replaced = {key.encode(errors="replace").decode() for key in keys}
    assert len(set(names)) == len(replaced)
    for name in names:
        assert "/" not in name
        assert "\0" not in name
        assert name not in (".", "..")
        assert len(name) <= 255


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("_full")
def test_the_command_tells_what_it_took(
    db: TestDatabase,
    user: User,
    store: DirectoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", db.url())
    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{store.root}")
    assert run(str(tmp_path / "out"), "--owner", user.email) == Exit.OK
    told = capsys.readouterr().out
    assert "workflowexecution" in told
    assert f"All of it is in {tmp_path / 'out'}." in " ".join(told.split())
    assert run(str(tmp_path / "out")) == Exit.FAILED
    assert "holds another export" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(str(tmp_path / "file" / "below")) == Exit.FAILED
    assert "cannot be written" in capsys.readouterr().err
    assert run(str(tmp_path / "new"), "--with-secrets") == Exit.FAILED
    assert "No key" in capsys.readouterr().err

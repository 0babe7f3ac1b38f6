"""`expected.json` is what the migrations make, on every server version that we have."""

from __future__ import annotations

import pytest

from infra.local.postgres import VERSIONS, EmbeddedPostgres
from infra.migrations import read
from infra.review import snapshot
from infra.review.remedy import function_text
from infra.review.snapshot import Snapshot, expected
from tests.cluster import TestDatabase


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Made on a server of its own: roles belong to the server, and one that others use has ours already."""
    directory = tmp_path_factory.mktemp("expected")
    with EmbeddedPostgres(directory / "postgres", durable=False, version=request.param) as server:
        return snapshot.make(server.url())


def test_the_file_is_what_the_migrations_make_now(made: Snapshot) -> None:
    assert made.text() == snapshot.FILE.read_text(encoding="utf-8"), "run `make reference`"


def test_what_is_read_back_is_what_was_written() -> None:
    assert expected().text() == snapshot.FILE.read_text(encoding="utf-8")


def test_the_inherited_tables_are_45() -> None:
    tables = expected().objects["table"]
    assert sum(one.since < "20261122100000" for one in tables.values()) == 45
    assert expected().versions == [migration.version for migration in read()]


def test_every_function_is_found_in_the_migration_that_defines_it() -> None:
    functions = expected().objects["function"]
    assert len(functions) > 60
    for name in functions:
        text = function_text(name, expected())
        assert text.startswith("create ")
        assert text.endswith(";")


def test_the_catalogue_looks_at_every_kind_of_object_that_migrations_make(db: TestDatabase) -> None:
    """A migration that makes a view, a type or a sequence needs a statement in sql/queries/review.sql."""
    rows = db.owner.execute(
        """
        select 'relation ' || relkind::text || ' ' || relname as unseen
        from pg_class
        where relnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and relkind not in ('r', 'p', 'i', 'I', 't')
            and not exists (  -- the sequence of an identity column goes with it
                select
                from pg_depend
                where classid = 'pg_class'::regclass
                    and objid = pg_class.oid
                    and deptype = 'i'
            )
        union all
        select 'type ' || typname
        from pg_type
        where typnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and typtype not in ('b', 'c')
        union all
        select 'function ' || proname
        from pg_proc
        where pronamespace = 'public'::regnamespace
        union all
        select 'rule ' || rulename
        from pg_rewrite
        join pg_class on pg_class.oid = ev_class
        where relnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
        """
    ).fetchall()
    assert [row["unseen"] for row in rows] == []

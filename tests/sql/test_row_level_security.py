"""Who sees and changes which rows: each table of the catalogue, as owner, other tenant, anon and service_role."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from tests.cluster import Connection, TestDatabase, User
from tests.sql.catalogue import Rows, Table, columns, matching, tables

#: How a tenant comes in: through our faces, or through PostgREST.
TENANT_ROLES = ("millrace_api", "authenticated")

#: Tables of ``public`` that no tenant may read at all.
CLOSED = {"alembic_version"}

#: Tables whose rows a tenant changes directly; all others change through functions.
WRITABLE = {"item"}

#: Columns that a tenant may not read even of its own rows.
HIDDEN = {
    "user": {"hashed_password"},
    "workflowwebhooksubscription": {"secret"},
    "webhooksubscription": {"endpoint_secret"},
    "user_api_key": {"infisical_path", "key_hash"},
    "secret": {"nonce", "ciphertext"},
    "apitoken": {"token_hash"},
}


@pytest.fixture
def rows_of(db: TestDatabase) -> Callable[[User], Rows]:
    """Fills every table for a user, as the engine would."""

    def fill(user: User) -> Rows:
        rows = Rows(db.owner, user)
        for table in tables(db.owner):
            rows.make(table)
        return rows

    return fill


def readable(connection: Connection, table: Table) -> list[sql.Identifier]:
    hidden = HIDDEN.get(table.name, set())
    return [sql.Identifier(column.name) for column in columns(connection, table) if column.name not in hidden]


def count(connection: Connection, table: Table, key: dict[str, object], listed: list[sql.Identifier]) -> int:
    statement = sql.SQL("select {} from {} where {}").format(
        sql.SQL(", ").join(listed), table.identifier, matching(key)
    )
    return len(connection.execute(statement, key).fetchall())


def refused(connection: Connection, statement: sql.Composable) -> bool:
    try:
        connection.execute(statement)
    except InsufficientPrivilege:
        return True
    except psycopg.Error as error:
        raise AssertionError(f"{statement.as_string()}: refused for another reason: {error}") from error
    return False


def test_every_table_has_row_level_security(db: TestDatabase) -> None:
    without = db.owner.execute(
        """
        select oid::regclass::text as table
        from pg_class
        where relnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and relkind in ('r', 'p')
            and not relrowsecurity
        """
    ).fetchall()
    assert without == [], "end the migration that adds a table with: enable row level security, policy, grant"


def test_every_policy_is_for_tenants_and_asks_our_own_function_once_a_statement(still: TestDatabase) -> None:
    policies = still.owner.execute(
        "select tablename, roles::text[], qual, with_check from pg_policies where schemaname in ('public', 'millrace')"
    ).fetchall()
    assert policies
    for policy in policies:
        assert set(policy["roles"]) == set(TENANT_ROLES), policy
        for condition in filter(None, (policy["qual"], policy["with_check"])):
            assert "( SELECT millrace.user_id() AS user_id)" in condition, policy
            assert "auth." not in condition, policy


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_an_owner_sees_its_row_of_every_table_and_nobody_else_does(
    db: TestDatabase, user: User, other_user: User, rows_of: Callable[[User], Rows], role: str
) -> None:
    mine, theirs = rows_of(user), rows_of(other_user)
    gone = db.make_user(is_active=False)
    me, someone_gone, nobody = (
        db.connect(role, claims=user),
        db.connect(role, claims=gone),
        db.connect(role),
    )
    for table in tables(db.owner, "public"):
        if table.name in CLOSED:
            assert refused(me, sql.SQL("select from {}").format(table.identifier)), table
            continue
        listed = readable(db.owner, table)
        assert count(me, table, mine.make(table), listed) == 1, f"the owner does not see its row of {table}"
        assert count(me, table, theirs.make(table), listed) == 0, f"{table} shows another tenant's row"
        assert count(nobody, table, mine.make(table), listed) == 0, f"{table} shows a row to nobody"
        assert count(someone_gone, table, mine.make(table), listed) == 0, f"{table} shows a row to an inactive user"


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_a_row_without_an_owner_is_no_tenants(db: TestDatabase, user: User, role: str) -> None:
    db.owner.execute("insert into ocrjob (document_url, engine, status) values ('u', 'e', 'completed')")
    db.owner.execute("insert into eventlog (event_type, status) values ('t', 's')")
    me = db.connect(role, claims=user)
    assert me.execute("select from ocrjob").fetchall() == []
    assert me.execute("select from eventlog").fetchall() == []
    assert len(db.connect("service_role").execute("select from ocrjob").fetchall()) == 1


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_the_platforms_connectors_are_everyones_and_a_users_own_are_not(
    db: TestDatabase, user: User, other_user: User, role: str
) -> None:
    for owner in (user, other_user):
        (connector,) = db.owner.execute(
            "insert into connector (slug, name, owner_id) values ('own', 'Own', %s) returning id", [owner.id]
        ).fetchall()
        db.owner.execute(
            "insert into connectorversion (connector_id, version, owner_id) values (%s, '1.0.0', %s)",
            [connector["id"], owner.id],
        )
    me = db.connect(role, claims=user)
    assert me.execute("select count(*) from connector where owner_id is null").fetchone() == {"count": 99}
    assert me.execute("select owner_id from connector where not is_platform").fetchall() == [{"owner_id": user.id}]
    assert me.execute("select count(*) from connectorversion where owner_id is null").fetchone() == {"count": 101}
    assert me.execute("select owner_id from connectorversion where owner_id is not null").fetchall() == [
        {"owner_id": user.id}
    ]


def test_a_version_under_the_platforms_connector_is_not_public_when_it_is_someones(
    db: TestDatabase, user: User, other_user: User
) -> None:
    db.owner.execute(
        """
        insert into connectorversion (connector_id, version, owner_id)
        select id, '9.9.9', %s from connector where slug = 'github'
        """,
        [other_user.id],
    )
    me = db.connect("millrace_api", claims=user)
    assert me.execute("select from connectorversion where version = '9.9.9'").fetchall() == []


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_a_user_sees_itself_and_no_other_user(db: TestDatabase, user: User, other_user: User, role: str) -> None:
    me = db.connect(role, claims=user)
    assert me.execute('select id, email from "user"').fetchall() == [{"id": user.id, "email": user.email}]


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_what_is_secret_cannot_be_read_even_by_its_owner(db: TestDatabase, user: User, role: str) -> None:
    me = db.connect(role, claims=user)
    for name, hidden in HIDDEN.items():
        table = Table("public", name)
        assert hidden <= {column.name for column in columns(db.owner, table)}
        for column in hidden:
            assert refused(me, sql.SQL("select {} from {}").format(sql.Identifier(column), table.identifier))
        assert refused(me, sql.SQL("select * from {}").format(table.identifier))
        assert refused(me, sql.SQL("select {0} from {0}").format(sql.Identifier(name)))


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_an_owner_cannot_change_what_only_the_engine_may(
    db: TestDatabase, user: User, rows_of: Callable[[User], Rows], role: str
) -> None:
    """Status, epoch, lease, cost, version, owner: every column of every table that is not the tenant's outright."""
    rows_of(user)
    me = db.connect(role, claims=user)
    for table in tables(db.owner):
        if table.name in WRITABLE:
            continue
        for column in columns(db.owner, table):
            name = sql.Identifier(column.name)
            change = sql.SQL("update {} set {} = default").format(table.identifier, name)
            assert refused(me, change), f"a tenant may change {table}.{column.name}"
            insert = sql.SQL("insert into {} ({}) values (default)").format(table.identifier, name)
            assert refused(me, insert), f"a tenant may insert into {table} ({column.name})"
        for verb in ("delete from", "truncate"):
            assert refused(me, sql.SQL(verb + " {}").format(table.identifier)), f"a tenant may {verb} {table}"


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_a_tenant_cannot_read_the_engines_state(
    db: TestDatabase, user: User, rows_of: Callable[[User], Rows], role: str
) -> None:
    rows_of(user)
    me = db.connect(role, claims=user)
    for table in tables(db.owner, "millrace"):
        assert refused(me, sql.SQL("select from {}").format(table.identifier)), table


def test_anon_may_do_nothing(db: TestDatabase, user: User) -> None:
    anon = db.connect("anon", claims=user)
    for table in tables(db.owner):
        for statement in ("select from {}", "insert into {} default values", "delete from {}", "truncate {}"):
            assert refused(anon, sql.SQL(statement).format(table.identifier)), f"anon: {statement} on {table}"
        for column in columns(db.owner, table):
            change = sql.SQL("update {} set {} = default").format(table.identifier, sql.Identifier(column.name))
            assert refused(anon, change), f"anon may change {table}.{column.name}"
    for schema in ("millrace", "public"):
        functions = db.owner.execute(
            "select oid::regprocedure::text as name from pg_proc "
            "where pronamespace = %s::regnamespace and has_function_privilege('anon', oid, 'execute')",
            [schema],
        ).fetchall()
        assert functions == []


def test_service_role_sees_and_changes_every_tenants_rows(
    db: TestDatabase, user: User, other_user: User, rows_of: Callable[[User], Rows]
) -> None:
    everyone = [rows_of(user), rows_of(other_user)]
    service = db.connect("service_role")
    for table in tables(db.owner, "public"):
        listed = [sql.Identifier(column.name) for column in columns(db.owner, table)]
        for rows in everyone:
            key = rows.make(table)
            assert count(service, table, key, listed) == 1, f"service_role does not see {table}"
            changed = service.execute(
                sql.SQL("update {} set {} = {} where {}").format(
                    table.identifier, sql.Identifier(next(iter(key))), sql.Placeholder(next(iter(key))), matching(key)
                ),
                key,
            )
            assert changed.rowcount == 1, f"service_role may not change {table}"


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_an_item_is_its_owners_to_change_and_nobody_elses(
    db: TestDatabase, user: User, other_user: User, role: str
) -> None:
    me, other = db.connect(role, claims=user), db.connect(role, claims=other_user)
    item = me.execute("insert into item (title, owner_id) values ('mine', %s) returning id", [user.id]).fetchone()
    assert item is not None
    assert other.execute("update item set title = 'theirs'").rowcount == 0
    assert other.execute("delete from item").rowcount == 0
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        other.execute("insert into item (title, owner_id) values ('planted', %s)", [user.id])
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        me.execute("update item set owner_id = %s", [other_user.id])
    assert me.execute("update item set title = 'changed'").rowcount == 1
    assert me.execute("delete from item where id = %s", [item["id"]]).rowcount == 1


def test_the_tables_belong_to_a_role_that_is_no_superuser(still: TestDatabase) -> None:
    owners = still.owner.execute(
        """
        select distinct rolname, rolsuper, rolbypassrls
        from pg_class
        join pg_roles on pg_roles.oid = relowner
        where relnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
        """
    ).fetchall()
    assert owners == [{"rolname": "postgres", "rolsuper": False, "rolbypassrls": True}]


def test_the_test_of_a_new_table_fails_until_it_is_guarded(db: TestDatabase) -> None:
    db.owner.execute("create table public.forgotten (id uuid primary key, owner_id uuid)")
    with pytest.raises(AssertionError, match="forgotten"):
        test_every_table_has_row_level_security(db)
    assert refused(db.connect("anon"), sql.SQL("select from public.forgotten")), "open by default"
    assert refused(db.connect("authenticated"), sql.SQL("select from public.forgotten")), "open by default"

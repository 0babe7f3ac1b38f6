"""Whatever is not as the migrations made it is named, and the SQL that is named restores it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.review.review import Review
from tests.cluster import TestDatabase
from tests.infra.review.conftest import restore

#: What is done to the database; what is said of it: kind, object, and a part of the sentence.
DAMAGE: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "an index is dropped": (
        "drop index public.ix_workflow_owner_id",
        [("index", "public.workflow.ix_workflow_owner_id", "is missing")],
    ),
    "an index is on other columns": (
        "drop index public.ix_workflow_owner_id; create index ix_workflow_owner_id on public.workflow (name)",
        [("index", "public.workflow.ix_workflow_owner_id", "has definition")],
    ),
    "a unique index that nobody ordered": (
        "create unique index one_name on public.workflow (name)",
        [("index", "public.workflow.one_name", "is not ours")],
    ),
    "a policy is dropped": (
        "drop policy workflow_owner on public.workflow",
        [("policy", "public.workflow.workflow_owner", "is missing")],
    ),
    "a policy lets everyone in": (
        "alter policy item_owner on public.item using (true)",
        [("policy", "public.item.item_owner", "has using `true`")],
    ),
    "a policy that nobody ordered": (
        "create policy open_door on public.secret for select to anon using (true)",
        [("policy", "public.secret.open_door", "is not ours")],
    ),
    "row-level security is off": (
        "alter table public.secret disable row level security",
        [("table", "public.secret", "has row-level security off")],
    ),
    "a column is dropped": (
        "alter table public.workflowexecution drop column retry_of",
        [
            ("column", "public.workflowexecution.retry_of", "is missing"),
        ],
    ),
    "a column is dropped, with what hangs on it": (
        "alter table public.storagetrigger drop column workflow_id cascade",
        [
            ("column", "public.storagetrigger.workflow_id", "is missing"),
            ("constraint", "public.storagetrigger.storagetrigger_workflow_id_fkey", "is missing"),
            ("index", "public.storagetrigger.ix_storagetrigger_workflow_id", "is missing"),
        ],
    ),
    "a type is changed": (
        "alter table public.workflowexecution alter column trigger_type type varchar(20)",
        [("column", "public.workflowexecution.trigger_type", "has type `character varying(20)`, should be `text`")],
    ),
    "the type of a column with a default is changed": (
        "alter table public.workflowschedule alter column jitter_seconds type bigint",
        [("column", "public.workflowschedule.jitter_seconds", "has type `bigint`, should be `integer`")],
    ),
    "a default is gone": (
        "alter table public.workflow alter column id drop default",
        [("column", "public.workflow.id", "has default none, should be `gen_random_uuid()`")],
    ),
    "null is allowed": (
        "alter table public.workflow alter column name drop not null",
        [("column", "public.workflow.name", "may be null")],
    ),
    "null is forbidden": (
        "alter table public.workflow alter column description set not null",
        [("column", "public.workflow.description", "is not null, should be nullable")],
    ),
    "a foreign key is dropped": (
        "alter table public.workflowversion drop constraint workflowversion_workflow_id_fkey",
        [("constraint", "public.workflowversion.workflowversion_workflow_id_fkey", "is missing")],
    ),
    "a foreign key does not cascade": (
        "alter table public.workflowversion drop constraint workflowversion_workflow_id_fkey;"
        "alter table public.workflowversion add constraint workflowversion_workflow_id_fkey"
        " foreign key (workflow_id) references public.workflow (id)",
        [("constraint", "public.workflowversion.workflowversion_workflow_id_fkey", "has definition")],
    ),
    "a foreign key was never validated": (
        "alter table public.workflowversion drop constraint workflowversion_workflow_id_fkey;"
        "alter table public.workflowversion add constraint workflowversion_workflow_id_fkey"
        " foreign key (workflow_id) references public.workflow (id) on delete cascade not valid",
        [("constraint", "public.workflowversion.workflowversion_workflow_id_fkey", "was never validated")],
    ),
    "a check that nobody ordered": (
        "alter table public.item add constraint short check (length(title) < 9)",
        [("constraint", "public.item.short", "is not ours")],
    ),
    "a grant is revoked": (
        "revoke update on public.item from millrace_api",
        [("grant", "table public.item to millrace_api", "lacks update")],
    ),
    "a column's grant is revoked": (
        "revoke select (prefix) on public.apitoken from authenticated",
        [("grant", "table public.apitoken to authenticated", "lacks select on prefix")],
    ),
    "a secret column is granted": (
        "grant select (ciphertext) on public.secret to authenticated",
        [("grant", "table public.secret to authenticated", "also has select on ciphertext")],
    ),
    "a table is granted to anon": (
        "grant select on public.workflow to anon",
        [("grant", "table public.workflow to anon", "has select, should have nothing")],
    ),
    "a function is granted to everyone": (
        "grant execute on function millrace.user_id() to public",
        [("grant", "function millrace.user_id() to public", "has execute, should have nothing")],
    ),
    "the engine may not call its function": (
        "revoke execute on function millrace.due_jobs from millrace_engine",
        [("grant", "", "lacks execute")],
    ),
    "the schema is closed to the engine": (
        "revoke usage on schema millrace from millrace_engine",
        [("grant", "schema millrace to millrace_engine", "lacks usage")],
    ),
    "what is made next is open to anon": (
        "alter default privileges in schema public grant select on tables to anon",
        [("default privilege", "tables in public to anon", "has select")],
    ),
    "a function's body is edited": (
        "create or replace function millrace.now() returns timestamptz language plpgsql volatile parallel safe"
        " set search_path = '' as $$ begin return clock_timestamp(); end $$",
        [("function", "millrace.now()", "has an edited body")],
    ),
    "a function runs as its caller": (
        "alter function millrace.user_id() security invoker",
        [("function", "millrace.user_id()", "should be security definer")],
    ),
    "a function's search_path is open": (
        "alter function millrace.user_id() reset search_path",
        [("function", "millrace.user_id()", "has settings none")],
    ),
    "a function is dropped": (
        "drop function millrace.due_jobs",
        [("function", "", "is missing")],
    ),
    "a function that nobody ordered": (
        "create function millrace.back_door() returns int language sql as 'select 1'",
        [("function", "millrace.back_door()", "is not ours")],
    ),
    "a trigger that nobody ordered": (
        "create trigger quiet before update on public.item"
        " for each row execute function suppress_redundant_updates_trigger()",
        [("trigger", "public.item.quiet", "is not ours")],
    ),
    "a table is dropped": (
        "drop table public.item",
        [("table", "public.item", "is missing"), ("constraint", "public.item.item_owner_id_fkey", "is missing")],
    ),
    "a table's storage is as by default": (
        "alter table millrace.run reset (fillfactor)",
        [("table", "millrace.run", "has options")],
    ),
    "a view shows every tenant's rows": (
        "create view public.everything as select * from public.workflow;"
        "grant select on public.everything to authenticated",
        [("view", "public.everything", "shows authenticated our rows past row-level security")],
    ),
    "a column refuses our inserts": (
        "alter table public.item add column colour text not null",
        [("column", "public.item.colour", "refuses our inserts")],
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_drift_is_named_and_its_remedy_restores_it(
    damage: str, db: TestDatabase, reviewed: Callable[[], Review]
) -> None:
    statements, named = DAMAGE[damage]
    db.owner.execute(statements)  # type: ignore[arg-type]
    found = reviewed()
    assert not found.clean
    assert len(found.drifts) == len(named), found.drifts
    for drift, (kind, name, says) in zip(found.drifts, named, strict=True):
        assert drift.kind == kind
        assert drift.object == name or not name
        assert says in drift.says
    restore(db.url(), found.drifts)
    assert reviewed().drifts == []


def test_a_fresh_database_is_clean(reviewed: Callable[[], Review]) -> None:
    found = reviewed()
    assert (found.drifts, found.notes, found.mismatches) == ([], [], [])
    assert all(good == all_ for good, all_ in found.counts.values())
    assert sum(table.inherited for table in found.tables) == 45
    assert all(table.there and table.row_security for table in found.tables)


def test_everything_that_was_dropped_comes_back(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    """All policies, all plain indexes, all foreign keys and checks, and every function with what hangs on it."""
    db.owner.execute(
        """
        do $$
        declare
            line text;
        begin
            for line in
                select format('drop policy %I on %s', polname, polrelid::regclass) from pg_policy
                union all
                select format('alter table %s drop constraint %I', conrelid::regclass, conname)
                from pg_constraint
                where contype in ('f', 'c') and connamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            loop
                execute line;
            end loop;
            for line in
                select format('drop index %s', indexrelid::regclass)
                from pg_index
                join pg_class on pg_class.oid = indrelid
                where relnamespace in ('public'::regnamespace, 'millrace'::regnamespace)
                    and not exists (select from pg_constraint where conindid = indexrelid)
                union all
                select format('drop function %s cascade', oid::regprocedure)
                from pg_proc
                where pronamespace = 'millrace'::regnamespace
            loop
                execute line;
            end loop;
        end
        $$
        """
    )
    found = reviewed()
    assert {drift.kind for drift in found.drifts} == {"policy", "constraint", "index", "function", "column", "trigger"}
    assert len(found.drifts) > 300
    restore(db.url(), found.drifts)
    assert reviewed().drifts == []


def test_a_tables_remedy_brings_back_all_of_it(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.owner.execute("drop table public.workflowwebhooksubscription, public.webhookdelivery, millrace.job cascade")
    db.owner.execute("drop table if exists millrace.webhook_dedupe cascade")
    for _ in range(2):  # a foreign key of another table comes back after its target
        restore(db.url(), reviewed().drifts)
    assert reviewed().drifts == []


def test_the_engines_whole_schema_comes_back(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    """With it went defaults, foreign keys and every policy, for they call its functions."""
    db.owner.execute("drop schema millrace cascade")
    found = reviewed()
    assert found.drifts[0].object == "millrace"
    assert {"function", "table", "column", "policy", "constraint"} <= {drift.kind for drift in found.drifts}
    restore(db.url(), found.drifts)
    assert reviewed().drifts == []


def test_an_index_whose_building_was_interrupted_is_named(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.connect("supabase_admin").execute(
        "update pg_index set indisvalid = false where indexrelid = 'public.ix_workflow_owner_id'::regclass"
    )
    [drift] = reviewed().drifts
    assert drift.says == "is invalid: building it was interrupted"
    assert drift.remedy.sql == ("reindex index concurrently public.ix_workflow_owner_id;",)
    restore(db.url(), [drift])
    assert reviewed().clean


def test_foreign_keys_that_were_switched_off_are_named(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    """As a restore with `--disable-triggers` leaves them when it is interrupted."""
    db.connect("supabase_admin").execute("alter table public.workflowversion disable trigger all")
    [drift] = reviewed().drifts
    assert drift.says == "does not enforce its foreign keys: their triggers are disabled"
    restore(db.url("supabase_admin"), [drift])
    assert reviewed().clean


def test_a_view_that_asks_as_its_reader_is_no_drift(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.owner.execute("create view public.mine with (security_invoker = true) as select * from public.workflow")
    db.owner.execute("grant select on public.mine to authenticated")
    assert reviewed().drifts == []


def test_a_table_of_a_teams_own_that_is_open_to_all_is_noted(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.owner.execute("create table public.invoice (id int); grant select on public.invoice to anon")
    assert reviewed().notes == ["table public.invoice is not ours, and open to anon without row-level security"]


def test_the_same_rule_under_another_name_is_no_drift(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.owner.execute("alter index public.ix_workflow_owner_id rename to workflow_by_owner")
    db.owner.execute(
        "alter table public.workflowversion rename constraint workflowversion_workflow_id_fkey to fk_of_another_tool"
    )
    assert reviewed().drifts == []


def test_what_a_team_added_is_noted_and_is_no_drift(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    db.owner.execute("create table public.invoice (id int primary key, total int check (total > 0))")
    db.owner.execute("create index invoice_total on public.invoice (total)")
    db.owner.execute("alter table public.item add column colour text")
    db.owner.execute("create index item_colour on public.item (colour)")
    found = reviewed()
    assert found.drifts == []
    assert found.notes == [
        "table public.invoice is not ours",
        "column public.item.colour is not ours",
        "index public.item.item_colour is not ours",
    ]


def test_an_old_rule_that_was_since_validated_is_no_drift(db: TestDatabase, reviewed: Callable[[], Review]) -> None:
    row = db.owner.execute(
        "select conrelid::regclass::text as table, conname from pg_constraint where not convalidated limit 1"
    ).fetchone()
    assert row is not None
    db.owner.execute(f"alter table {row['table']} validate constraint {row['conname']}".encode())
    assert reviewed().drifts == []


def test_a_dropped_column_is_named_once_and_its_row_model_is_shown(
    db: TestDatabase, reviewed: Callable[[], Review]
) -> None:
    db.owner.execute("alter table public.item drop column description")
    found = reviewed()
    assert [(drift.kind, drift.object) for drift in found.drifts] == [("column", "public.item.description")]
    assert [mismatch.says for mismatch in found.mismatches] == ["ItemRow.description has no column"]

"""Objects in Supabase Storage: written down with the object, drained by the tick, each version once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from functions.schedule_tick.tick import Done, Tick
from infra.buckets import declared
from infra.provision.trigger import install
from shared.doorbell import RecordingDoorbell
from shared.storage.names import name_of
from tests.cluster import Connection, TestDatabase, User
from tests.intake import make_workflow


@dataclass
class Store:
    """A project's Storage, as its API writes it: logged in as the role that owns the tables."""

    db: TestDatabase
    user: User
    workflow: uuid.UUID
    api: Connection
    bell: RecordingDoorbell = field(default_factory=RecordingDoorbell)

    def put(self, key: str, bucket: str = "user-uploads", size: Any = 3, connection: Connection | None = None) -> str:
        """An upload: a new version, as the Storage API upserts it."""
        version = str(uuid.uuid4())
        (connection or self.api).execute(
            """
            insert into storage.objects (bucket_id, name, version, metadata)
            values (%s, %s, %s, %s)
            on conflict (bucket_id, name) do update
            set version = excluded.version, metadata = excluded.metadata
            """,
            [
                bucket,
                key,
                version,
                {"eTag": '"9a0364b9e99bb480dd25e1f0284c8555"', "size": size, "mimetype": "text/plain"},
            ],
        )
        return version

    def mine(self, name: str) -> str:
        return f"{self.user.id}/{name}"

    def tick(self, limit: int = 100) -> Done:
        return Tick(self.db.engine, self.bell, horizon=60, grace=5, limit=limit).run(30)

    def waiting(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from millrace.storage_event order by id").fetchall()

    def runs(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from workflowexecution order by id").fetchall()


@pytest.fixture
def store(db: TestDatabase, user: User) -> Store:
    workflow = make_workflow(db, user)
    db.owner.execute(
        "insert into storagetrigger (id, owner_id, workflow_id, bucket) values (%s, %s, %s, %s)",
        [uuid.uuid4(), user.id, workflow, "user-uploads"],
    )
    with psycopg.connect(db.url("postgres"), autocommit=True) as owner:
        install(owner, declared({}))
    api = db.connect("supabase_storage_admin")
    for bucket in (*(found.name for found in declared({})), "someone-elses"):
        api.execute("insert into storage.buckets (id, name) values (%s, %s)", [bucket, bucket])
    return Store(db, user, workflow, api)


def test_an_upload_starts_its_workflow_at_the_next_tick(store: Store) -> None:
    version = store.put(store.mine("in/a.txt"))
    [event] = store.waiting()
    assert store.tick().stored == 1
    [run] = store.runs()
    assert (run["workflow_id"], run["owner_id"], run["trigger_type"]) == (store.workflow, store.user.id, "storage")
    trigger = dict(run["trigger_data"])
    assert trigger.pop("storage_trigger_id")
    assert trigger.pop("timestamp") == event["stored_at"].strftime("%Y-%m-%dT%H:%M:%S.") + (
        f"{event['stored_at'].microsecond // 1000:03d}Z"
    )
    assert trigger == {
        "trigger_type": "storage",
        "event": "ObjectCreated:Put",
        "payload": {
            "bucket": "user-uploads",
            "key": store.mine("in/a.txt"),
            "size": 3,
            "etag": "9a0364b9e99bb480dd25e1f0284c8555",
            "version_id": version,
        },
    }
    assert store.bell.rung == [("workflow-run", str(run["id"]), 0)]
    assert store.waiting() == []
    assert store.tick().stored == 0


def test_the_event_commits_with_the_object_or_not_at_all(store: Store) -> None:
    with store.api.transaction(force_rollback=True):
        store.put(store.mine("a.txt"))  # the Storage API tries each upload like this, before it takes the bytes
    assert store.waiting() == []


def test_each_version_of_an_object_starts_once_however_often_its_row_is_written(store: Store) -> None:
    key = store.mine("a.txt")
    store.put(key)
    store.api.execute("update storage.objects set last_accessed_at = now(), metadata = metadata, version = version")
    store.api.execute("update storage.objects set user_metadata = '{\"a\": 1}'")
    assert len(store.waiting()) == 1
    assert store.tick().stored == 1
    store.put(key)
    assert store.tick().stored == 1
    assert len(store.runs()) == 2


def test_an_event_that_comes_again_starts_nothing(store: Store) -> None:
    store.put(store.mine("a.txt"))
    [event] = store.waiting()
    assert store.tick().stored == 1
    store.db.owner.execute(
        "insert into millrace.storage_event (bucket, name, sequencer, event) values (%s, %s, %s, 'ObjectCreated:Put')",
        [event["bucket"], event["name"], event["sequencer"]],
    )
    assert store.tick().stored == 0
    assert store.waiting() == []


def test_an_object_deleted_before_the_tick_starts_nothing(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.put(store.mine("b.txt"))
    store.api.execute("delete from storage.objects where name = %s", [store.mine("a.txt")])
    assert store.tick().stored == 1
    assert store.runs()[0]["trigger_data"]["payload"]["key"] == store.mine("b.txt")


def test_a_renamed_object_starts_under_its_new_name_only(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.api.execute("update storage.objects set name = %s, version = 'v2'", [store.mine("b.txt")])
    assert store.tick().stored == 1
    trigger = store.runs()[0]["trigger_data"]
    assert (trigger["payload"]["key"], trigger["event"]) == (store.mine("b.txt"), "ObjectCreated:Copy")


def test_what_is_not_stored_yet_or_not_ours_is_no_event(store: Store) -> None:
    store.api.execute(
        "insert into storage.objects (bucket_id, name) values ('user-uploads', %s)", [store.mine("pending.txt")]
    )
    store.put(store.mine("a.txt"), bucket="someone-elses")
    store.put(f"{store.user.id}/payloads/{'0' * 64}", bucket="workflow-attachments")
    assert store.waiting() == []
    store.put(store.mine("pending.txt"))
    assert len(store.waiting()) == 1


@pytest.mark.parametrize("key", ["loose.txt", "not-an-id/a.txt", "a" * 36 + "/x", "ünï/…"])
def test_an_object_in_nobodys_folder_starts_nothing_and_is_done(store: Store, key: str) -> None:
    store.put(key)
    assert store.tick().stored == 0
    assert store.waiting() == []


@pytest.mark.parametrize("size", ["many", None, 1.5])
def test_an_odd_size_keeps_no_upload_from_being_stored(store: Store, size: Any) -> None:
    store.put(store.mine("a.txt"), size=size)
    assert store.tick().stored == 1


def test_a_key_that_storage_does_not_take_as_a_name_comes_back_as_it_was(store: Store) -> None:
    key = store.mine("Rechnung März.pdf")
    store.put(name_of(key))
    assert store.tick().stored == 1
    assert store.runs()[0]["trigger_data"]["payload"]["key"] == key


def test_whoever_may_upload_needs_no_right_of_ours(store: Store) -> None:
    store.put(store.mine("a.txt"), connection=store.db.connect("service_role"))
    assert len(store.waiting()) == 1


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "millrace_api", "millrace_engine"])
def test_nobody_reads_or_forges_events(store: Store, role: str) -> None:
    connection = store.db.connect(role)
    for statement in ("select from millrace.storage_event", "delete from millrace.storage_event"):
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement)


def test_many_uploads_are_drained_in_batches(store: Store) -> None:
    for number in range(7):
        store.put(store.mine(f"{number}.txt"))
    store.put("loose.txt")
    assert store.tick(limit=2).stored == 7
    assert store.waiting() == []


def test_two_ticks_start_a_file_once(store: Store) -> None:
    """The second passes over what the first holds, rather than wait for it."""
    store.put(store.mine("a.txt"))
    first = store.db.connect("millrace_engine")
    with first.transaction():
        drained = first.execute(
            """
            select *
            from millrace.start_for_storage_events(
                (select jsonb_agg(jsonb_build_object('id', id, 'key', name)) from millrace.due_storage_events(10))
            )
            """
        ).fetchall()
        assert len(drained) == 1
        assert store.tick().stored == 0
    assert store.tick().stored == 0
    assert len(store.runs()) == 1


def test_the_tick_passes_over_what_a_deletion_holds(store: Store) -> None:
    store.put(store.mine("a.txt"))
    with store.api.transaction():
        store.api.execute("delete from storage.objects")
        assert store.tick().stored == 0  # passed over: the deletion holds it
    assert store.waiting() == []
    assert store.runs() == []


def test_what_fails_is_tried_again_and_kept_in_the_end_while_others_go_on(store: Store) -> None:
    store.db.owner.execute(
        """
        create function public.refuse() returns trigger language plpgsql as $$
        begin
            if new.trigger_data #>> '{payload,key}' like '%bad.txt' then raise exception 'no such luck'; end if;
            return new;
        end $$;
        create trigger refuse before insert on workflowexecution for each row execute function public.refuse();
        """
    )
    store.put(store.mine("bad.txt"))
    store.put(store.mine("good.txt"))
    assert store.tick().stored == 1
    [event] = store.waiting()
    assert (event["attempts"], event["failure"]) == (1, "no such luck")
    assert event["due_at"] > event["stored_at"]
    assert store.tick().stored == 0
    for attempts in (2, 3, 4, 5):
        store.db.owner.execute("update millrace.storage_event set due_at = now() - interval '1 minute'")
        store.tick()
        assert store.waiting()[0]["attempts"] == attempts
    assert store.waiting()[0]["due_at"] is None
    store.db.owner.execute("update millrace.storage_event set stored_at = now() - interval '31 days'")
    store.tick()  # a new process's first tick sweeps
    assert store.waiting() == []


def test_the_triggers_are_all_that_our_role_may_do_to_supabases_tables(store: Store) -> None:
    owner = store.db.owner
    for statement in (
        "alter table storage.objects add column mine int",
        "drop trigger millrace_stored on storage.objects",
        "create function storage.mine() returns int language sql as 'select 1'",
        "create index mine on storage.objects (version)",
        "alter table storage.objects disable trigger millrace_stored",
    ):
        with pytest.raises(InsufficientPrivilege):
            owner.execute(statement)

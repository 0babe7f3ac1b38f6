"""Objects in Supabase Storage: written down with the object, rung by the tick, taken by the intake, each once."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from functions.schedule_tick.tick import Done, Tick
from functions.storage_intake import batch, event_table
from infra.buckets import declared
from infra.provision.trigger import install
from shared import statements
from shared.doorbell import RecordingDoorbell
from shared.storage.names import name_of
from tests.cluster import Connection, TestDatabase, User
from tests.functions.storage_intake.shelf import Shelf
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

    def later(self, interval: str) -> None:
        """As if this much time had passed since the bells."""
        self.db.owner.execute("update millrace.storage_event set rung_at = rung_at - %s::interval", [interval])

    def bells(self) -> list[str]:
        """The events that were rung for since this was last asked."""
        rung = [id_ for queue, id_, _ in self.bell.rung if queue == "storage-events"]
        self.bell.rung = [one for one in self.bell.rung if one[0] != "storage-events"]
        return rung

    def take(self, bells: list[str]) -> list[str]:
        return batch.start(self.db.engine, self.bell, {f"m{id_}": json.dumps({"id": id_}) for id_ in bells}, {})

    def drain(self, limit: int = 100) -> int:
        """A tick, and the intake that it rings; how many runs were started."""
        before = len(self.runs())
        self.tick(limit)
        assert self.take(self.bells()) == []
        return len(self.runs()) - before

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
    assert store.drain() == 1
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
    assert store.drain() == 0


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
    assert store.drain() == 1
    store.put(key)
    assert store.drain() == 1
    assert len(store.runs()) == 2


def test_an_event_that_comes_again_starts_nothing(store: Store) -> None:
    store.put(store.mine("a.txt"))
    [event] = store.waiting()
    assert store.drain() == 1
    store.db.owner.execute(
        "insert into millrace.storage_event (bucket, name, sequencer, event) values (%s, %s, %s, 'ObjectCreated:Put')",
        [event["bucket"], event["name"], event["sequencer"]],
    )
    assert store.drain() == 0
    assert store.waiting() == []


def test_an_object_deleted_before_the_tick_starts_nothing(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.put(store.mine("b.txt"))
    store.api.execute("delete from storage.objects where name = %s", [store.mine("a.txt")])
    assert store.drain() == 1
    assert store.runs()[0]["trigger_data"]["payload"]["key"] == store.mine("b.txt")


def test_a_renamed_object_starts_under_its_new_name_only(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.api.execute("update storage.objects set name = %s, version = 'v2'", [store.mine("b.txt")])
    assert store.drain() == 1
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
    assert store.drain() == 0
    assert store.waiting() == []


@pytest.mark.parametrize("size", ["many", None, 1.5])
def test_an_odd_size_keeps_no_upload_from_being_stored(store: Store, size: Any) -> None:
    store.put(store.mine("a.txt"), size=size)
    assert store.drain() == 1


def test_a_key_that_storage_does_not_take_as_a_name_comes_back_as_it_was(store: Store) -> None:
    key = store.mine("Rechnung März.pdf")
    store.put(name_of(key))
    assert store.drain() == 1
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
    assert store.drain(limit=2) == 7
    assert store.waiting() == []


def test_two_bells_for_an_event_start_its_file_once(store: Store) -> None:
    """The second passes over what the first holds, rather than wait for it."""
    store.put(store.mine("a.txt"))
    store.tick()
    [bell] = store.bells()
    [change] = event_table.take(store.db.engine, [int(bell)])
    first = store.db.connect("millrace_engine")
    with first.transaction():
        told = {"objects": json.dumps([change.told(0)]), "jobs": "{}"}
        assert len(first.execute(statements.load("storage_intake")["start"], told).fetchall()) == 1
        assert store.take([bell]) == []
        assert store.runs() == []
    assert store.take([bell]) == []
    assert len(store.runs()) == 1
    assert store.waiting() == []


def test_a_bell_is_rung_once_and_again_when_nobody_took_the_event_for_five_minutes(store: Store) -> None:
    store.put(store.mine("a.txt"))
    assert [store.tick().stored for _ in range(3)] == [1, 0, 0]
    store.later("5 minutes")
    assert store.tick().stored == 1
    assert len(store.bells()) == 2


def test_a_worker_that_dies_at_any_step_loses_nothing(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.tick()  # and its bell is lost
    store.bells()
    store.later("5 minutes")
    store.tick()
    [bell] = store.bells()
    assert len(event_table.take(store.db.engine, [int(bell)])) == 1  # and its worker dies
    assert store.drain() == 0
    store.later("5 minutes")
    assert store.drain() == 1
    assert store.waiting() == []


def test_an_event_whose_worker_dies_each_time_is_given_up(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.tick()
    [bell] = store.bells()
    for _ in range(5):
        assert len(event_table.take(store.db.engine, [int(bell)])) == 1
    assert event_table.take(store.db.engine, [int(bell)]) == []
    [event] = store.waiting()
    assert (event["due_at"], event["failure"]) == (None, "Its worker was lost in each of five attempts.")
    store.later("10 minutes")
    assert store.tick().stored == 0


def test_bells_and_notifications_of_s3_come_in_one_batch(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.tick()
    [bell] = store.bells()
    theirs = Shelf(store.db, store.user, store.workflow).message(store.mine("b.txt"))
    messages = {"m1": json.dumps({"id": bell}), "m2": theirs, "m3": '{"id": "x"}', "m4": '{"id": "999999"}'}
    assert batch.start(store.db.engine, store.bell, messages, {}) == ["m3"]
    assert {run["trigger_data"]["payload"]["key"] for run in store.runs()} == {
        store.mine("a.txt"),
        store.mine("b.txt"),
    }


def test_a_deletion_that_is_under_way_is_waited_for(store: Store) -> None:
    store.put(store.mine("a.txt"))
    store.tick()
    bells = store.bells()
    with store.api.transaction():
        store.api.execute("delete from storage.objects")
        assert store.take(bells) == []  # passed over: the deletion holds it
    assert store.runs() == []
    [event] = store.waiting()
    assert event["event"] == "ObjectRemoved:Delete"


def test_a_removal_starts_who_asked_for_it_even_when_the_creation_was_not_heard_yet(store: Store) -> None:
    store.db.owner.execute("update storagetrigger set events = 'removed'")
    store.put(store.mine("a.txt"))
    store.api.execute("delete from storage.objects")
    assert store.drain() == 1
    trigger = store.runs()[0]["trigger_data"]
    assert trigger["event"] == "ObjectRemoved:Delete"
    assert trigger["payload"] == {
        "bucket": "user-uploads",
        "key": store.mine("a.txt"),
        "size": None,
        "etag": None,
        "version_id": None,
    }
    store.put(store.mine("a.txt"))
    store.api.execute("delete from storage.objects")
    assert store.drain() == 1  # each time anew


def test_a_rename_is_a_removal_and_a_creation(store: Store) -> None:
    store.db.owner.execute("update storagetrigger set events = 'both'")
    store.put(store.mine("a.txt"))
    assert store.drain() == 1
    store.api.execute("update storage.objects set name = %s", [store.mine("b.txt")])
    assert store.drain() == 2
    assert [(run["trigger_data"]["event"], run["trigger_data"]["payload"]["key"][-5:]) for run in store.runs()[1:]] == [
        ("ObjectRemoved:Delete", "a.txt"),
        ("ObjectCreated:Copy", "b.txt"),
    ]


def test_uploads_that_were_not_looked_at_and_payloads_are_no_events_coming_or_going(store: Store) -> None:
    store.put(f"incoming/{store.user.id}/0192")
    store.put(f"{store.user.id}/payloads/{'0' * 64}", bucket="workflow-attachments")
    store.put(store.mine(f"{store.user.id}/chart.png"), bucket="code-executions")
    store.api.execute("delete from storage.objects")
    assert store.waiting() == []
    store.put(f"incoming/{store.user.id}/0192")
    store.api.execute("update storage.objects set name = %s", [store.mine("x/a.txt")])
    assert [event["name"] for event in store.waiting()] == [store.mine("x/a.txt")]


def test_filters_judge_these_too(store: Store) -> None:
    store.db.owner.execute("update storagetrigger set filter_expression = 'trigger.payload.size > 2'")
    store.put(store.mine("small.txt"), size=1)
    store.put(store.mine("large.txt"), size=3)
    assert store.drain() == 1
    assert store.runs()[0]["trigger_data"]["payload"]["size"] == 3
    assert store.waiting() == []


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
    assert store.drain() == 1
    [event] = store.waiting()
    assert (event["attempts"], event["failure"]) == (1, "no such luck")
    assert event["due_at"] > event["stored_at"]
    assert store.drain() == 0
    assert store.take([str(event["id"])]) == []  # a doubled bell does not hurry it
    assert store.waiting()[0]["attempts"] == 1
    for attempts in (2, 3, 4, 5):
        store.db.owner.execute("update millrace.storage_event set due_at = now() - interval '1 minute'")
        store.drain()
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

"""A stored file starts the workflows that wait for it: once, only its owner's, and at no neighbour's cost."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from functions.storage_intake import batch, notification, worker
from shared.database import Database
from shared.errors import BadRequest, Invalid, Unavailable
from tests.cluster import TestDatabase, User
from tests.functions.storage_intake.shelf import BUCKET, Shelf, changes
from tests.intake import Context, event, make_workflow


def test_aws_s_own_message_starts_the_workflow(
    db: TestDatabase, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user(id=uuid.UUID("7b5e6c1a-4a0e-4a6f-9f53-2f1d8c0b7e11"))
    shelf = Shelf(db, user, make_workflow(db, user))
    trigger = shelf.trigger(prefix="in/", suffix=".pdf")
    monkeypatch.setenv("MILLRACE_DATABASE_URL", db.url("millrace_engine"))
    monkeypatch.setattr(worker, "doorbell", lambda: shelf.bell)
    assert worker.handler(event("sqs_s3_object_created"), Context()) == {"batchItemFailures": []}
    [run] = shelf.runs()
    assert run["trigger_data"] == {
        "trigger_type": "storage",
        "storage_trigger_id": str(trigger),
        "event": "ObjectCreated:Put",
        "timestamp": "2026-03-11T17:02:42.114Z",
        "payload": {
            "bucket": BUCKET,
            "key": f"{user.id}/in/Rechnung März 2026 (100%).pdf",
            "size": 91834,
            "etag": "d41d8cd98f00b204e9800998ecf8427e",
            "version_id": None,
        },
    }
    assert (run["trigger_type"], run["owner_id"]) == ("storage", user.id)
    assert shelf.bell.rung == [("workflow-run", str(run["id"]), 0)]


def test_s3_s_test_message_is_passed_over(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", shelf.db.url("millrace_engine"))
    assert worker.handler(event("sqs_s3_test_event"), Context()) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a+b.txt", "a b.txt"),
        ("a%2Bb.txt", "a+b.txt"),
        ("a%252Fb.txt", "a%2Fb.txt"),  # decoded once, not twice
        ("in%2Fa.txt", "in/a.txt"),
        ("%E6%97%A5%E6%9C%AC.txt", "日本.txt"),
    ],
)
def test_keys_are_decoded_once(shelf: Shelf, encoded: str, key: str) -> None:
    shelf.trigger()
    assert shelf.start(shelf.message(f"{shelf.user.id}/{encoded}")) == []
    assert shelf.found() == [f"{shelf.user.id}/{key}"]


def test_prefix_and_suffix_choose_within_the_owner_s_folder(shelf: Shelf, other_user: User) -> None:
    shelf.trigger(prefix="in_%/", suffix=".pdf")
    mine, theirs = shelf.user.id, other_user.id
    chosen = f"{mine}/in_%25/a.pdf"
    others = [
        f"{mine}/in_x/a.pdf",
        f"{mine}/in_%25/a.txt",
        f"{theirs}/in_%25/a.pdf",
        "in_%25/a.pdf",
        f"{mine}x/in_%25/a.pdf",
    ]
    assert shelf.start(shelf.message(chosen, *others)) == []
    assert shelf.found() == [f"{mine}/in_%/a.pdf"]


def test_no_tenant_hears_of_another_s_files(shelf: Shelf, other_user: User) -> None:
    """Though a trigger row of theirs names our workflow, or our folder."""
    theirs = make_workflow(shelf.db, other_user)
    shelf.trigger(owner_id=other_user.id, workflow_id=theirs, prefix=f"{shelf.user.id}/")
    shelf.trigger(owner_id=other_user.id, workflow_id=shelf.workflow)
    shelf.trigger(workflow_id=theirs)
    assert shelf.start(shelf.message(f"{shelf.user.id}/a", f"{other_user.id}/a")) == []
    assert shelf.runs() == []


def test_every_trigger_that_fits_starts_its_workflow(shelf: Shelf) -> None:
    other = make_workflow(shelf.db, shelf.user)
    shelf.trigger()
    shelf.trigger(workflow_id=other, prefix="a")
    shelf.trigger(bucket="another-bucket")
    shelf.trigger(is_active=False)
    assert shelf.start(shelf.message(f"{shelf.user.id}/a")) == []
    assert {run["workflow_id"] for run in shelf.runs()} == {shelf.workflow, other}
    assert len(shelf.runs()) == 2


def test_a_disabled_workflow_starts_nothing(shelf: Shelf) -> None:
    shelf.trigger()
    shelf.db.owner.execute("update workflow set is_active = false")
    assert shelf.start(shelf.message(f"{shelf.user.id}/a")) == []
    assert shelf.runs() == []


def test_an_event_that_comes_again_starts_nothing_again(shelf: Shelf) -> None:
    shelf.trigger()
    message = shelf.message(f"{shelf.user.id}/a")
    assert shelf.start(message, message) == []
    assert shelf.start(message) == []
    assert len(shelf.runs()) == 1
    assert shelf.start(shelf.message(f"{shelf.user.id}/a", sequencer="02")) == []  # written anew
    assert len(shelf.runs()) == 2


def test_two_batches_with_the_same_event_start_one_run(shelf: Shelf) -> None:
    """The second waits on the key for the first."""
    import threading

    from shared import statements

    shelf.trigger()
    [change] = changes(shelf.message(shelf.mine("a")))
    statement = statements.load("storage_intake")["start"]
    parameters = {"objects": json.dumps([change.told(0)]), "jobs": "{}"}
    one, two = shelf.db.connect("millrace_engine"), shelf.db.connect("millrace_engine")
    with one.transaction():
        assert len(one.execute(statement, parameters).fetchall()) == 1
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(two.execute(statement, parameters).fetchall()))
        thread.start()
        shelf.db.wait_until_blocked(two)
    thread.join()
    assert found == []
    assert len(shelf.runs()) == 1


@pytest.mark.parametrize(
    "poison",
    [
        None,
        "",
        "not json",
        "[]",
        '"text"',
        "{}",
        '{"Records": [{}]}',
        '{"Records": [{"eventSource": "aws:sns", "eventName": "ObjectCreated:Put"}]}',
        '{"detail-type": "Object Created", "source": "aws.s3", "detail": {}}',
        "[" * 100_000,
    ],
)
def test_a_poisoned_message_fails_alone(shelf: Shelf, poison: Any) -> None:
    shelf.trigger()
    good = [shelf.message(f"{shelf.user.id}/{name}") for name in "ab"]
    assert shelf.start(good[0], poison, good[1]) == ["m2"]
    assert len(shelf.runs()) == 2


@pytest.mark.parametrize("id_", [7, True, None, "-1", "1.5", "x", str(2**63), "9" * 5000, {"id": "1"}])
def test_a_bell_for_no_row_of_ours_is_poison(shelf: Shelf, id_: Any) -> None:
    shelf.trigger()
    assert shelf.start(json.dumps({"id": id_}), shelf.message(shelf.mine("a"))) == ["m1"]
    assert len(shelf.runs()) == 1


@pytest.mark.parametrize(
    "object_",
    [{"eTag": "\0"}, {"eTag": 7}, {"versionId": "\ud800"}, {"size": float("inf")}, {"size": "many"}, {"key": "\ud800"}],
)
def test_a_text_that_cannot_be_kept_fails_alone(shelf: Shelf, object_: dict[str, Any]) -> None:
    shelf.trigger()
    bad = json.loads(shelf.message(shelf.mine("b")))
    bad["Records"][0]["s3"]["object"] |= object_
    assert shelf.start(json.dumps(bad), shelf.message(shelf.mine("a"))) == ["m1"]
    assert shelf.found() == [shelf.mine("a")]


@pytest.mark.parametrize("key", ["%00", "a%FF", ""])
def test_a_key_that_nobody_could_have_written_is_poison(shelf: Shelf, key: str) -> None:
    shelf.trigger()
    assert shelf.start(shelf.message(key), shelf.message(f"{shelf.user.id}/a")) == ["m1"]
    assert len(shelf.runs()) == 1


def test_an_object_that_cannot_be_handled_fails_alone_and_succeeds_later(shelf: Shelf) -> None:
    """Its dedupe row is undone with it, so it is not taken for a repeat when it comes again."""
    shelf.trigger()
    shelf.db.owner.execute(
        """
        create function public.refuse_b() returns trigger language plpgsql as $$
        begin
            if new.trigger_data #>> '{payload,key}' like '%/b' then raise exception 'not b'; end if;
            return new;
        end $$;
        create trigger refuse_b before insert on workflowexecution for each row execute function public.refuse_b();
        """
    )
    messages = [shelf.message(f"{shelf.user.id}/{name}") for name in "abc"]
    assert shelf.start(*messages) == ["m2"]
    assert sorted(key[-1] for key in shelf.found()) == ["a", "c"]
    shelf.db.owner.execute("drop trigger refuse_b on workflowexecution")
    assert shelf.start(*messages) == []
    assert sorted(key[-1] for key in shelf.found()) == ["a", "b", "c"]


def test_what_neither_comes_nor_goes_is_passed_over(shelf: Shelf) -> None:
    shelf.trigger(events="both")
    for name in (
        "ObjectRestore:Completed",
        "ObjectTagging:Put",
        "ReducedRedundancyLostObject",
        "Replication:OperationX",
    ):
        assert shelf.start(shelf.message(f"{shelf.user.id}/a", eventName=name)) == []
    assert shelf.start(shelf.message(f"{shelf.user.id}/a", eventName="s3:ObjectCreated:Copy")) == []
    assert [run["trigger_data"]["event"] for run in shelf.runs()] == ["ObjectCreated:Copy"]


def test_our_own_payload_objects_start_nothing(shelf: Shelf) -> None:
    shelf.trigger(bucket="workflow-attachments")
    key = f"{shelf.user.id}/payloads/{'0' * 64}"
    message = json.loads(shelf.message(key, f"{shelf.user.id}/note.txt"))
    for record in message["Records"]:
        record["s3"]["bucket"]["name"] = "workflow-attachments"
    assert shelf.start(json.dumps(message)) == []
    assert shelf.found() == [f"{shelf.user.id}/note.txt"]


def test_a_foreign_event_is_refused_with_a_clear_word(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", shelf.db.url("millrace_engine"))
    direct = json.loads(event("sqs_s3_object_created")["Records"][0]["body"])
    for foreign in (direct, event("eventbridge_schedule"), {}, None):
        with pytest.raises(BadRequest, match="SQS"):
            worker.handler(foreign, Context())


def test_a_database_that_is_down_fails_the_batch(shelf: Shelf, tmp_path: Any) -> None:
    down = Database(f"postgresql://millrace_engine@/x?host={tmp_path}", connect_timeout=1, deadline=1)
    with pytest.raises(Unavailable):
        batch.start(down, shelf.bell, {"m1": shelf.message(f"{shelf.user.id}/a")}, {})


def test_the_entity_tag_stands_in_for_a_missing_sequencer() -> None:
    made = json.loads(event("sqs_s3_object_created")["Records"][0]["body"])
    del made["Records"][0]["s3"]["object"]["sequencer"]
    [created] = changes(json.dumps(made))
    assert created.sequencer == created.etag
    del made["Records"][0]["s3"]["object"]["eTag"]
    with pytest.raises(Invalid):
        notification.read(json.dumps(made))

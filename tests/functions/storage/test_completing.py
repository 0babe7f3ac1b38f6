"""One upload makes one object, however often it is completed, by how many, and wherever they are killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

import shared.storage
from functions.storage import buckets
from functions.storage.uploads import Uploads
from infra.buckets import declared, spoken
from shared.database import Database
from shared.errors import Conflict, Forbidden, MillraceError
from shared.models.upload import UploadCompletion
from shared.storage import Storage
from tests.cluster import As, TestDatabase, User
from tests.functions.storage.conftest import PNG, Files, S, sha256

NONE = UploadCompletion()


class Killed(BaseException):
    """What a function that is killed does not get past."""


def uploads(store: Any) -> Uploads:
    return Uploads(
        store, buckets.read(spoken(declared({}))), seconds=3600, whole_bytes=10**8, part_bytes=32 * 1024 * 1024
    )


def at_place(bucket: str = "user-uploads") -> list[str]:
    return [found.key for found in shared.storage.storage().list(bucket) if not found.key.startswith("incoming/")]


def landed() -> list[str]:
    return [found.key for found in shared.storage.storage().list("user-uploads", "incoming/")]


class Watched:
    """A store that stops somebody where the test says."""

    def __init__(self, store: Storage, **before: Callable[[], None]) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._store, name)

        def watched(*args: Any, **given: Any) -> Any:
            if name in self._before:
                self._before[name]()
            answer = act(*args, **given)
            if f"{name}_done" in self._before:
                self._before[f"{name}_done"]()
            return answer

        return watched


def kill() -> None:
    raise Killed


def test_a_completion_that_is_killed_anywhere_is_healed_by_the_next(
    anywhere: str, files: Files, db: TestDatabase, user: User
) -> None:
    for where in ("head", "read", "copy", "copy_done", "purge"):
        ticket = files.begin(PNG)
        files.bring(ticket, PNG)
        with pytest.raises(Killed):
            uploads(Watched(shared.storage.storage(), **{where: kill})).complete(
                db.as_user(user), UUID(ticket["id"]), NONE
            )
        answer = files.complete(ticket)
        assert answer.status == 200, (where, answer)
        assert answer.json["sha256"] == sha256(PNG)
        assert at_place() == [answer.json["key"]]
        assert files.read(ticket)["status"] == "stored"
        assert files.api.delete(f"{S}/delete/user-uploads/{answer.json['key']}").status == 204


def test_a_large_file_is_read_through_once_however_often_it_is_completed(
    files: Files, db: TestDatabase, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.storage.uploads.LARGE_BYTES", 100)
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    store = shared.storage.storage()
    with pytest.raises(Killed):
        uploads(Watched(store, copy=kill)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    done = uploads(Watched(store, read=kill)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    assert (done.media_type, done.sha256) == ("image/png", sha256(PNG))


def test_what_was_found_of_other_content_is_not_believed(
    files: Files, db: TestDatabase, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.storage.uploads.LARGE_BYTES", 100)
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    store = shared.storage.storage()
    with pytest.raises(Killed):
        uploads(Watched(store, copy=kill)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    store.put("user-uploads", landed()[0], b"<script>" + bytes(len(PNG) - 8))
    assert files.complete(ticket).problem["status"] == 422
    assert at_place() == []


def test_a_copy_that_nobody_wrote_down_starts_its_work_once(
    files: Files, db: TestDatabase, user: User, objects: Storage
) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    with pytest.raises(Killed):
        uploads(Watched(shared.storage.storage(), copy_done=kill)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    assert files.read(ticket)["status"] == "pending"
    files.complete(ticket)
    told = [event.object.key for event in objects.events()]  # type: ignore[attr-defined]
    assert told.count(ticket["key"]) == 1


def test_of_two_that_complete_at_once_both_are_told_the_same_and_one_object_is_there(
    anywhere: str, files: Files, db: TestDatabase, user: User
) -> None:
    """Two connections, held at the copy until both are there: then each has looked at the file and found it good."""
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    both = threading.Barrier(2, timeout=20)
    answers: list[Any] = []

    def complete() -> None:
        connection = Database(db.url("millrace_api"))
        try:
            found = uploads(Watched(shared.storage.storage(), copy=both.wait)).complete(
                As(connection, user.claims), UUID(ticket["id"]), NONE
            )
            answers.append(found.model_dump())
        except MillraceError as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=complete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1]
    assert at_place() == [ticket["key"]] == [answers[0]["key"]]
    assert landed() == []


def test_whoever_comes_second_is_told_what_the_first_decided(
    files: Files, db: TestDatabase, user: User, other_user: User
) -> None:
    """The rule is the row's: of two statements that settle it, the one that waits changes nothing."""
    ticket = files.begin(PNG)
    first, second = (db.connect("millrace_api", claims=user) for _ in range(2))
    settle = "select status, reason from millrace.settle_upload(%s, %s, %s, null, null)"
    with first.transaction():
        first.execute(settle, [ticket["id"], "refused", "first"])
        rows: list[Any] = []
        waiting = threading.Thread(
            target=lambda: rows.extend(second.execute(settle, [ticket["id"], "stored", "second"]).fetchall())
        )
        waiting.start()
        db.wait_until_blocked(second)
    waiting.join()
    assert rows == [{"status": "refused", "reason": "first"}]


def test_an_upload_that_is_given_up_while_it_is_completed_leaves_nothing(
    anywhere: str, files: Files, db: TestDatabase, user: User
) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    gave_up = lambda: files.api.delete(f"{S}/uploads/{ticket['id']}")  # noqa: E731
    with pytest.raises(Conflict, match="cancelled"):
        uploads(Watched(shared.storage.storage(), copy_done=gave_up)).complete(
            db.as_user(user), UUID(ticket["id"]), NONE
        )
    assert at_place() == landed() == []


def test_content_that_is_changed_after_it_was_looked_at_is_not_stored(
    anywhere: str, files: Files, db: TestDatabase, user: User
) -> None:
    """The address refuses a second upload; this is what holds even if a store did not."""
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    store = shared.storage.storage()
    [landing] = landed()
    change = lambda: store.put("user-uploads", landing, b"<script>" + bytes(len(PNG) - 8))  # noqa: E731
    with pytest.raises(Conflict, match="changed while"):
        uploads(Watched(store, copy=change)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    assert at_place() == []
    assert files.complete(ticket).problem["status"] == 422
    assert at_place() == landed() == []


def test_a_store_in_trouble_costs_no_upload(files: Files, db: TestDatabase, user: User) -> None:
    from shared.errors import Unavailable

    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    store = shared.storage.storage()

    def fail() -> None:
        raise Unavailable("no room")

    for act in ("head", "read", "copy"):
        with pytest.raises(Unavailable):
            uploads(Watched(store, **{act: fail})).complete(db.as_user(user), UUID(ticket["id"]), NONE)
        assert files.read(ticket)["status"] == "pending"
    done = uploads(Watched(store, purge=fail)).complete(db.as_user(user), UUID(ticket["id"]), NONE)
    assert at_place() == [done.key]
    assert len(landed()) == 1


# --- landing places ---------------------------------------------------------------------------------------------------


def test_what_nobody_completed_expires_and_its_landing_place_is_cleared_at_the_next_use(
    files: Files, others: Files, db: TestDatabase
) -> None:
    late, done = files.begin(PNG), files.begin(PNG)
    for ticket in (late, done):
        files.bring(ticket, PNG)
    assert files.complete(done).status == 200
    assert db.owner.execute("select millrace.sweep_uploads(100) as n").fetchall() == [{"n": 0}]
    db.owner.execute("update upload set expires_at = expires_at - interval '2 hours'")
    assert db.owner.execute("select millrace.sweep_uploads(100) as n").fetchall() == [{"n": 1}]
    read = files.read(late)
    assert (read["status"], read["reason"]) == ("expired", "It was not completed in time.")
    assert files.complete(late).problem["status"] == 409
    assert len(landed()) == 1
    db.owner.execute("update upload set clear_at = clear_at - interval '2 hours'")
    others.begin(PNG)
    assert landed() == []
    assert db.owner.execute("select count(*) as n from upload where clear_at is null").fetchall() == [{"n": 2}]
    assert at_place() == [done["key"]]


def test_what_arrives_after_the_end_is_cleared_when_its_address_has_ended(files: Files, db: TestDatabase) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    assert files.complete(ticket).status == 200
    files.bring(ticket, PNG)  # its address is still good, and the landing place is empty
    assert len(landed()) == 1
    db.owner.execute(
        "update upload set expires_at = now() - interval '2 minutes', clear_at = now() - interval '1 minute'"
    )
    files.begin(PNG)
    assert landed() == []
    assert len(at_place()) == 1


def test_a_landing_place_that_could_not_be_cleared_is_handed_out_again(
    files: Files, db: TestDatabase, user: User
) -> None:
    ticket = files.begin(PNG)
    db.owner.execute("update upload set expires_at = now() - interval '2 hours', clear_at = now() - interval '1 hour'")
    clear = "select id::text from millrace.uploads_to_clear(5)"
    me = db.connect("millrace_api", claims=user)
    assert me.execute(clear).fetchall() == [{"id": ticket["id"]}]
    assert me.execute(clear).fetchall() == []
    db.owner.execute("update upload set clear_at = clear_at - interval '5 minutes'")
    assert me.execute(clear).fetchall() == [{"id": ticket["id"]}]


def test_an_old_upload_is_forgotten_and_its_file_stays(files: Files, db: TestDatabase) -> None:
    done = files.upload(PNG).json
    db.owner.execute("update upload set id = millrace.uuid7_floor(now() - interval '31 days'), clear_at = null")
    assert db.owner.execute("select millrace.sweep_uploads(100) as n").fetchall() == [{"n": 1}]
    assert at_place() == [done["key"]]


def test_nobody_fills_the_table_with_uploads_that_never_come(files: Files, db: TestDatabase, user: User) -> None:
    db.owner.execute(
        """
        insert into upload (owner_id, bucket, key, landing_key, filename, declared_bytes, expires_at)
        select %s, 'user-uploads', n::text, n::text, 'x', 1, now() + interval '1 hour'
        from generate_series(1, 1000) n
        """,
        [user.id],
    )
    answer = files.api.post(f"{S}/upload", {"bucket": "user-uploads", "filename": "x", "size": 1})
    assert answer.problem["status"] == 429


def test_the_database_itself_writes_down_no_key_of_anothers(db: TestDatabase, user: User) -> None:
    id_ = "01900000-0000-7000-8000-000000000000"
    upload = {
        "id": id_,
        "bucket": "user-uploads",
        "key": f"{user.id}/x",
        "landing_key": f"incoming/{user.id}/{id_}",
        "filename": "x",
        "declared_bytes": 1,
        "seconds": 60,
    }
    begin = "select * from millrace.begin_upload(%(upload)s)"
    assert len(db.as_user(user).call(begin, {"upload": upload})) == 1
    assert len(db.as_user(user).call(begin, {"upload": upload})) == 1
    nobody = "00000000-0000-0000-0000-000000000000"
    for wrong in (
        {"key": f"{nobody}/x"},
        {"key": f"{user.id}x"},
        {"landing_key": f"incoming/{nobody}/{id_}"},
        {"landing_key": f"{user.id}/x"},
    ):
        with pytest.raises(Forbidden):
            db.as_user(user).call(begin, {"upload": upload | wrong})

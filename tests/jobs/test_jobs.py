"""The job contract: one claim, one end, one dead letter, whoever made the job."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

import shared.database
from shared import jobs
from shared.database import Database
from tests.cluster import User
from tests.jobs.aviary import Aviary


def say(job: jobs.Claimed) -> Any:
    return {"said": job.input["say"]}


def test_a_job_is_done_once(aviary: Aviary) -> None:
    job = aviary.make()
    assert aviary.work(job, perform=say) == 1
    assert aviary.work(job, perform=say) == 0
    assert (aviary.row(job)["status"], aviary.row(job)["result"]) == ("completed", {"said": "hello"})


def test_an_idempotency_key_makes_one_job_per_owner(aviary: Aviary, other_user: User) -> None:
    assert aviary.make(key="k") == aviary.make(key="k")
    assert aviary.make(key="k") != aviary.make(key="k", user=other_user)


def test_two_workers_share_nothing(aviary: Aviary) -> None:
    job = aviary.make()
    inside = []

    def perform(claimed: jobs.Claimed) -> Any:
        inside.append(aviary.work(job, perform=say))
        return say(claimed)

    aviary.work(job, perform=perform)
    assert inside == [0]


def test_a_failure_that_may_pass_is_queued_again_with_backoff_until_the_attempts_end(aviary: Aviary) -> None:
    job = aviary.make()

    def fail(claimed: jobs.Claimed) -> Any:
        raise jobs.JobError("busy", kind="busy", retryable=True)

    for attempt in range(1, 6):
        assert aviary.work(job, perform=fail) == 1, attempt
        assert aviary.work(job, perform=fail) == 0  # not before its backoff
        aviary.pass_time()
    row = aviary.row(job)
    assert (row["status"], row["attempts"], row["error"]) == ("failed", 5, {"kind": "busy", "message": "busy"})
    assert [delay for _, _, delay in aviary.bell.rung] == [1, 2, 4, 8]


def test_a_failure_that_cannot_pass_is_not_tried_again(aviary: Aviary) -> None:
    job = aviary.make("nothing")
    from tests.jobs.parrot import perform

    aviary.work(job, perform=perform)
    assert aviary.row(job)["error"] == {"kind": "silent", "message": "It will not speak."}


def test_an_unexpected_error_is_told_without_its_details(aviary: Aviary) -> None:
    job = aviary.make()

    def bug(claimed: jobs.Claimed) -> Any:
        raise KeyError("s3cret")

    aviary.work(job, perform=bug)
    assert aviary.row(job)["status"] == "queued"
    assert "s3cret" not in str(aviary.row(job))


def test_a_worker_that_lost_its_lease_ends_nothing(aviary: Aviary) -> None:
    job = aviary.make()

    def slow(claimed: jobs.Claimed) -> Any:
        aviary.pass_time()
        aviary.work(job, perform=lambda _claimed: "the other's")
        return "too late"

    aviary.work(job, perform=slow)
    assert aviary.row(job)["result"] == "the other's"


def test_a_job_that_loses_its_worker_in_every_attempt_is_dead(aviary: Aviary) -> None:
    job = aviary.make()

    class Dead(BaseException):
        pass

    def die(claimed: jobs.Claimed) -> Any:
        raise Dead

    for _ in range(5):
        with pytest.raises(Dead):
            aviary.work(job, perform=die)
        aviary.pass_time()
    assert aviary.work(job, perform=say) == 0
    assert (aviary.row(job)["status"], aviary.row(job)["error"]["kind"]) == ("failed", "worker_lost")


def test_a_long_job_keeps_its_lease_and_learns_that_it_was_cancelled(aviary: Aviary) -> None:
    job = aviary.make()
    seen: set[Any] = set()

    def long(claimed: jobs.Claimed) -> Any:
        watcher = Database(aviary.db.url("postgres"))
        while len(seen) < 3:  # the claim and two renewals
            seen.update(row["lease_until"] for row in watcher.call("select lease_until from millrace.job"))
        watcher.call("update millrace.job set status = 'cancelled', epoch = epoch + 1")
        watcher.close()
        assert claimed.lost.wait(10)
        return "unwanted"

    aviary.work(job, perform=long, lease=0.3)
    assert aviary.row(job)["status"] == "cancelled"


def test_jobs_that_nobody_attends_are_found_by_the_tick(aviary: Aviary) -> None:
    waiting, lost = aviary.make(), aviary.make()
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [lost]})
    due = "select id::text as id, kind from millrace.due_jobs(10, 5)"
    assert aviary.database.call(due) == []
    aviary.pass_time()
    assert {row["id"] for row in aviary.database.call(due)} == {waiting, lost}


def test_the_face_does_what_the_bells_name_and_returns_what_is_no_bell(
    aviary: Aviary, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.jobs.parrot import handler

    monkeypatch.setenv("MILLRACE_DATABASE_URL", aviary.db.url("millrace_engine"))
    job = aviary.make()
    bodies = [f'{{"id": "{job}"}}', "no bell", '{"id": 3}', f'{{"id": "{uuid.uuid4()}"}}']
    event = {
        "Records": [{"messageId": str(n), "eventSource": "aws:sqs", "body": body} for n, body in enumerate(bodies)]
    }
    assert handler(event, None) == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}
    assert aviary.row(job)["status"] == "completed"
    shared.database.database().close()


def test_ending_a_job_and_advancing_its_run_wait_for_each_other(aviary: Aviary) -> None:
    """Both take the run's row first, so they queue instead of deadlocking."""
    aviary.db.owner.execute(
        "with w as (insert into public.workflow (id, name, owner_id, is_active, version) "
        "values (gen_random_uuid(), 'w', %(owner)s, true, 1) returning id) "
        "insert into public.workflowexecution "
        "(id, workflow_id, workflow_version, owner_id, execution_id, status, started_at) "
        "select gen_random_uuid(), id, 1, %(owner)s, 'exec-1', 'running', now() from w",
        {"owner": aviary.user.id},
    )
    aviary.db.owner.execute(
        "insert into millrace.run (execution_id, owner_id, due_at, changed_at, opened_at, state) "
        "select id, owner_id, null, now(), now(), 'waiting' from public.workflowexecution"
    )
    job = aviary.make()
    aviary.db.owner.execute("update millrace.job set execution_id = (select id from public.workflowexecution)")
    holder = aviary.db.connect("postgres")
    ending = aviary.db.connect("postgres")
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [job]})

    def end() -> None:
        ending.execute(
            "select millrace.end_jobs(%s::jsonb)", [f'[{{"id": "{job}", "epoch": 1, "status": "completed"}}]']
        )

    with holder.transaction():
        holder.execute("select 1 from millrace.run for update")
        thread = threading.Thread(target=end)
        thread.start()
        aviary.db.wait_until_blocked(ending)
        holder.execute("update millrace.job set max_attempts = 4")  # the ender holds no job while it waits
    thread.join(10)
    assert aviary.row(job)["status"] == "completed"
    assert aviary.db.owner.execute("select state, news from millrace.run").fetchone() == {"state": "ready", "news": 1}


def test_a_job_is_claimed_when_its_turn_comes(aviary: Aviary) -> None:
    ids = [aviary.make() for _ in range(3)]
    seen = []

    def look(claimed: jobs.Claimed) -> Any:
        seen.append([aviary.row(job)["status"] for job in ids])
        return "done"

    assert aviary.work(*ids, perform=look) == 3
    assert seen == [
        ["running", "queued", "queued"],
        ["completed", "running", "queued"],
        ["completed", "completed", "running"],
    ]


def test_a_claim_repeated_after_a_lost_reply_gives_the_same_job(aviary: Aviary) -> None:
    params = {"ids": [aviary.make()], "claim": uuid.uuid4()}
    statement = "select * from millrace.claim_jobs('parrot', %(ids)s::uuid[], 60, %(claim)s)"
    first = aviary.database.call(statement, params)
    assert len(first) == 1
    assert aviary.database.call(statement, params) == first
    assert aviary.row(params["ids"][0])["attempts"] == 1


@pytest.mark.parametrize("result", [object(), "a\0b", {"x": float("nan")}])
def test_a_result_that_cannot_be_stored_fails_its_job_once_and_no_other(aviary: Aviary, result: Any) -> None:
    bad, good = aviary.make("bad"), aviary.make("good")
    aviary.work(bad, good, perform=lambda job: result if job.input["say"] == "bad" else "fine")
    assert aviary.row(bad)["error"]["kind"] == "invalid_output"
    assert aviary.row(bad)["status"] == "failed"
    assert aviary.row(good)["status"] == "completed"

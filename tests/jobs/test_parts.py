"""Work that was split: parts run in parallel, the whole is woken once, and whoever dies anywhere loses nothing."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from shared import jobs
from tests.jobs.aviary import Aviary


class Dead(BaseException):
    """The worker is gone, in the middle."""


def chorus(job: jobs.Claimed) -> Any:
    """Split what is to be said into words; the parts say one each; the whole puts them together."""
    if job.parent_id is not None:
        return job.input["say"].upper()
    if job.parts is None:
        return job.split([{"say": word} for word in job.input["say"].split()], {"words": 0})
    return [part.result if part.status == "completed" else part.error for part in job.parts]


def test_a_split_job_is_given_its_parts_in_order_when_the_last_has_ended(aviary: Aviary) -> None:
    whole = aviary.make("to be or not")
    aviary.work(whole, perform=chorus)
    rung = [id_ for _, id_, _ in aviary.bell.rung]
    assert rung == [str(part["id"]) for part in aviary.parts(whole)]
    assert (aviary.row(whole)["status"], aviary.row(whole)["lease_until"]) == ("running", None)
    assert aviary.work(whole, perform=chorus) == 0  # nobody claims it while it waits, and no lease runs out
    aviary.bell.rung.clear()
    for id_ in reversed(rung):
        assert aviary.bell.rung == []
        aviary.work(id_, perform=chorus)
    assert aviary.bell.rung == [("parrot", whole, 0)]
    aviary.work(whole, perform=chorus)
    assert aviary.row(whole)["result"] == ["TO", "BE", "OR", "NOT"]


def test_the_whole_sees_which_parts_failed_and_why(aviary: Aviary) -> None:
    def perform(job: jobs.Claimed) -> Any:
        if job.input["say"] == "be":
            raise jobs.JobError("It will not speak.", kind="silent")
        return chorus(job)

    whole = aviary.make("to be")
    aviary.work(whole, perform=perform)
    aviary.work_on(perform=perform)
    assert aviary.row(whole)["result"] == ["TO", {"kind": "silent", "message": "It will not speak."}]


def test_a_lost_bell_of_the_last_part_is_rung_by_the_tick(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    aviary.work(whole, perform=chorus)
    parts = [str(part["id"]) for part in aviary.parts(whole)]
    assert aviary.due() == set(parts)
    aviary.work(*parts, perform=chorus)
    aviary.bell.rung.clear()  # lost
    assert aviary.due() == {whole}


def test_a_part_that_loses_its_worker_is_done_again_alone(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    aviary.work(whole, perform=chorus)
    first, second = [str(part["id"]) for part in aviary.parts(whole)]

    def die(job: jobs.Claimed) -> Any:
        raise Dead

    with pytest.raises(Dead):
        aviary.work(first, perform=die)
    aviary.work(second, perform=chorus)
    aviary.pass_time()
    assert aviary.due() == {first}
    aviary.work(first, perform=chorus)
    aviary.work(whole, perform=chorus)
    assert aviary.row(whole)["status"] == "completed"
    assert [part["attempts"] for part in aviary.parts(whole)] == [2, 1]


def test_waking_counts_for_no_attempt(aviary: Aviary) -> None:
    """Four lost workers, a split, and then four more: the fifth of each time does it."""
    whole = aviary.make("to be")

    def die(job: jobs.Claimed) -> Any:
        raise Dead

    def lose_four() -> None:
        for _ in range(4):
            with pytest.raises(Dead):
                aviary.work(whole, perform=die)
            aviary.pass_time()

    lose_four()
    aviary.work(whole, perform=chorus)
    aviary.work(*[str(part["id"]) for part in aviary.parts(whole)], perform=chorus)
    lose_four()
    aviary.work(whole, perform=chorus)
    assert aviary.row(whole)["status"] == "completed"


def test_a_part_whose_workers_all_die_fails_and_wakes_the_whole(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    aviary.work(whole, perform=chorus)
    first, second = [str(part["id"]) for part in aviary.parts(whole)]
    aviary.work(second, perform=chorus)

    def die(job: jobs.Claimed) -> Any:
        raise Dead

    for _ in range(5):
        with pytest.raises(Dead):
            aviary.work(first, perform=die)
        aviary.pass_time()
    assert aviary.work(first, perform=chorus) == 0
    assert aviary.due() == {whole}
    aviary.work(whole, perform=chorus)
    assert aviary.row(whole)["result"][0]["kind"] == "worker_lost"


def test_cancelling_the_whole_cancels_its_parts_whoever_holds_them(aviary: Aviary) -> None:
    whole = aviary.make("to be or not")
    aviary.work(whole, perform=chorus)
    first, second, *_ = [str(part["id"]) for part in aviary.parts(whole)]
    aviary.work(first, perform=chorus)

    def cancelled(job: jobs.Claimed) -> Any:
        jobs.cancel(aviary.db.as_user(aviary.user), aviary.bell, aviary.row(whole)["id"])
        assert not job.report({"words": 1})
        assert job.lost.is_set()
        return "unwanted"

    aviary.work(second, perform=cancelled)
    assert [part["status"] for part in aviary.parts(whole)] == ["completed", "cancelled", "cancelled", "cancelled"]
    assert aviary.row(whole)["status"] == "cancelled"
    assert aviary.due() == set()


def test_what_was_split_stays_so_when_the_reply_is_lost(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [whole]})
    end = {"id": whole, "epoch": 1, "status": "split", "parts": [{"say": "to"}, {"say": "be"}]}
    statement = "select millrace.end_jobs(%(ends)s) as answers"
    first = aviary.database.call(statement, {"ends": [end]})
    assert aviary.database.call(statement, {"ends": [end]}) == first
    assert first[0]["answers"][whole]["parts"] == [str(part["id"]) for part in aviary.parts(whole)]
    renewed = aviary.database.call("select millrace.renew_job(%(id)s, 1, 60) as held", {"id": whole})
    assert renewed == [{"held": False}]  # it needs no lease, and must not get one


def test_a_worker_that_lost_its_lease_splits_nothing(aviary: Aviary) -> None:
    whole = aviary.make("to be")

    def slow(job: jobs.Claimed) -> Any:
        aviary.pass_time()
        aviary.work(whole, perform=lambda _job: "the other's")
        return chorus(job)

    aviary.work(whole, perform=slow)
    assert aviary.row(whole)["result"] == "the other's"
    assert aviary.parts(whole) == []


@pytest.mark.parametrize("again", ["a part", "a second time", "none", "too many"])
def test_what_cannot_be_split_fails_and_says_so(aviary: Aviary, again: str) -> None:
    def perform(job: jobs.Claimed) -> Any:
        if again == "none":
            return job.split([])
        if again == "too many":
            return job.split([{"say": "a"}] * 1001)
        if job.parent_id is None and job.parts is not None and again == "a part":
            return job.parts[0].error
        return job.split([{"say": "a"}]) if job.parent_id is None or again == "a part" else "said"

    whole = aviary.make("to be")
    aviary.work(whole, perform=perform)
    aviary.work_on(perform=perform)
    row = aviary.row(whole)
    told = row["result"] if again == "a part" else row["error"]
    assert (told["kind"], "split" in told["message"] or "parts" in told["message"]) == ("invalid_output", True)


def test_two_parts_that_end_at_once_wake_the_whole_once(aviary: Aviary) -> None:
    """The second waits for the first at the parent's row, and so sees that it is the last."""
    whole = aviary.make("to be")
    aviary.work(whole, perform=chorus)
    parts = [str(part["id"]) for part in aviary.parts(whole)]
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": parts})
    first, second = aviary.db.connect("postgres"), aviary.db.connect("postgres")
    statement = "select millrace.end_jobs(jsonb_build_array(%s::jsonb)) as answers"
    ends = [{"id": part, "epoch": 1, "status": "completed", "result": "said"} for part in parts]
    answers: list[Any] = []

    def end() -> None:
        answers.append(second.execute(statement, [ends[1]]).fetchone())

    with first.transaction():
        assert first.execute(statement, [ends[0]]).fetchone() == {
            "answers": {parts[0]: {"ended": True, "execution_id": None, "parent": None}}
        }
        thread = threading.Thread(target=end)
        thread.start()
        aviary.db.wait_until_blocked(second)
    thread.join(10)
    assert answers == [{"answers": {parts[1]: {"ended": True, "execution_id": None, "parent": whole}}}]
    assert aviary.row(whole)["status"] == "queued"


def test_cancelling_and_a_part_that_ends_wait_for_each_other(aviary: Aviary) -> None:
    """Both take the parent's row first, so they queue instead of deadlocking."""
    whole = aviary.make("to be")
    aviary.work(whole, perform=chorus)
    part, _ = [str(part["id"]) for part in aviary.parts(whole)]
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [part]})
    ending = aviary.db.connect("postgres")
    cancelling = aviary.db.connect("postgres", claims=aviary.user)
    end = {"id": part, "epoch": 1, "status": "completed"}

    def finish() -> None:
        ending.execute("select millrace.end_jobs(jsonb_build_array(%s::jsonb))", [end])

    with cancelling.transaction():
        cancelling.execute("select 1 from millrace.job where id = %s for update", [whole])
        thread = threading.Thread(target=finish)
        thread.start()
        aviary.db.wait_until_blocked(ending)
        cancelling.execute("select millrace.cancel_job(%s)", [whole])
    thread.join(10)
    assert aviary.row(whole)["status"] == "cancelled"
    assert {row["status"] for row in aviary.parts(whole)} == {"cancelled"}


@pytest.mark.parametrize("seed", range(4))
def test_whoever_dies_wherever_the_whole_completes_with_every_part_once(aviary: Aviary, seed: int) -> None:
    """Workers die before, in and after the work, bells are lost and doubled; the tick and time do the rest."""
    chance = random.Random(seed)
    words = [f"word{number}" for number in range(12)]
    whole = aviary.make(" ".join(words))

    def perform(job: jobs.Claimed) -> Any:
        if chance.random() < 0.25 and job.attempt < job.max_attempts:
            raise Dead
        return chorus(job)

    for _ in range(400):
        if aviary.row(whole)["status"] == "completed":
            break
        aviary.bell.rung.clear()
        due = sorted(aviary.due())
        for id_ in chance.sample(due * 2, len(due)):
            try:
                aviary.work(id_, perform=perform)
            except Dead:
                aviary.pass_time()
    assert aviary.row(whole)["result"] == [word.upper() for word in words]
    assert len(aviary.parts(whole)) == len(words)


def test_progress_of_parts_adds_up(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    caller = aviary.db.as_user(aviary.user)

    def perform(job: jobs.Claimed) -> Any:
        if job.parent_id is not None:
            assert job.report({"words": 1, "word": job.input["say"]})
            return "said"
        return job.split([{"say": "to"}, {"say": "be"}], {"words": 0, "all": 2}) if job.parts is None else "all said"

    aviary.work(whole, perform=perform)
    first, second = [str(part["id"]) for part in aviary.parts(whole)]
    seen = [jobs.read(caller, "parrot", aviary.row(whole)["id"]).progress]
    for part in (first, second):
        aviary.work(part, perform=perform)
        seen.append(jobs.read(caller, "parrot", aviary.row(whole)["id"]).progress)
    assert seen == [{"all": 2, "words": words} for words in (0, 1, 2)]


def waiting_run(aviary: Aviary, job: str) -> str:
    """A run that waits for this job; its id."""
    for statement in (
        "insert into public.workflow (id, name, owner_id, is_active, version) select gen_random_uuid(), 'w', owner_id, "
        "true, 1 from millrace.job where id = %(job)s",
        "insert into public.workflowexecution (id, workflow_id, workflow_version, owner_id, execution_id, status, "
        "started_at) select gen_random_uuid(), id, 1, owner_id, 'exec-1', 'running', now() from public.workflow",
        "insert into millrace.run (execution_id, owner_id, due_at, changed_at, opened_at, state) "
        "select id, owner_id, null, now(), now(), 'waiting' from public.workflowexecution",
        "update millrace.job set execution_id = (select id from public.workflowexecution) where id = %(job)s",
    ):
        aviary.db.owner.execute(statement, {"job": job})
    return str(aviary.row(job)["execution_id"])


def test_a_run_that_ends_takes_the_parts_of_its_job_along(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    run = waiting_run(aviary, whole)
    aviary.work(whole, perform=chorus)
    aviary.db.owner.execute("select millrace.cancel_run(%s)", [run])
    assert aviary.row(whole)["status"] == "cancelled"
    assert {part["status"] for part in aviary.parts(whole)} == {"cancelled"}
    assert aviary.due() == set()


def test_a_run_is_told_of_the_whole_and_of_no_part(aviary: Aviary) -> None:
    whole = aviary.make("to be")
    run = waiting_run(aviary, whole)
    aviary.work(whole, perform=chorus)
    aviary.work_on(perform=chorus)
    assert aviary.row(whole)["result"] == ["TO", "BE"]
    assert aviary.db.owner.execute("select news, state from millrace.run").fetchone() == {"news": 1, "state": "ready"}
    assert run


def test_ending_a_part_and_cancelling_its_run_wait_for_each_other(aviary: Aviary) -> None:
    """Both take the run's row first, then the parent's, then the parts'."""
    whole = aviary.make("to be")
    run = waiting_run(aviary, whole)
    aviary.work(whole, perform=chorus)
    part, _ = [str(part["id"]) for part in aviary.parts(whole)]
    aviary.database.call("select millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [part]})
    ending, cancelling = aviary.db.connect("postgres"), aviary.db.connect("postgres")
    end = {"id": part, "epoch": 1, "status": "completed"}

    def finish() -> None:
        ending.execute("select millrace.end_jobs(jsonb_build_array(%s::jsonb))", [end])

    with cancelling.transaction():
        cancelling.execute("select 1 from millrace.run for update")
        thread = threading.Thread(target=finish)
        thread.start()
        aviary.db.wait_until_blocked(ending)
        cancelling.execute("select 1 from millrace.job where id = %s for update", [part])  # the ender holds no part yet
        cancelling.execute("select millrace.cancel_run(%s)", [run])
    thread.join(10)
    assert {row["status"] for row in aviary.parts(whole)} == {"cancelled"}


def test_work_that_is_put_off_uses_up_no_attempt(aviary: Aviary) -> None:
    job = aviary.make()
    for _ in range(7):
        assert aviary.work(job, perform=lambda _job: jobs.Later(5)) == 1
        assert (aviary.row(job)["status"], aviary.row(job)["attempts"]) == ("queued", 0)
        assert aviary.bell.rung.pop() == ("parrot", job, 5)
        aviary.pass_time()
    aviary.work(job, perform=lambda _job: "done")
    assert aviary.row(job)["result"] == "done"

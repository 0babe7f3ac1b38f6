"""What tenants may ask of jobs: make them once, look at their own, cancel them; nothing of anybody else's."""

from __future__ import annotations

import uuid

import pytest

import shared.settings
from shared import jobs
from shared.errors import Conflict, Invalid, NotFound, TooLarge, TooMany
from tests.cluster import As, User
from tests.jobs.aviary import Aviary


@pytest.fixture
def caller(aviary: Aviary) -> As:
    return aviary.db.as_user(aviary.user)


def test_a_request_makes_a_job_and_rings_for_it(aviary: Aviary, caller: As) -> None:
    id_ = jobs.request(caller, aviary.bell, "parrot", {"say": "hello"})
    assert aviary.bell.rung == [("parrot", str(id_), 0)]
    aviary.work(str(id_), perform=lambda job: {"said": job.input["say"]})
    job = jobs.read(caller, "parrot", id_)
    assert (job.status, job.result, job.attempts) == ("completed", {"said": "hello"}, 1)
    assert job.started_at is not None


def test_the_same_key_gives_the_same_jobs_and_other_inputs_under_it_are_refused(aviary: Aviary, caller: As) -> None:
    inputs = [{"say": "to"}, {"say": "be"}]
    first = jobs.request_all(caller, aviary.bell, "parrot", inputs, "k")
    assert jobs.request_all(caller, aviary.bell, "parrot", inputs, "k") == first
    for others in ([{"say": "to"}], [{"say": "to"}, {"say": "see"}], [*inputs, {"say": "or"}]):
        with pytest.raises(Invalid, match="another request"):
            jobs.request_all(caller, aviary.bell, "parrot", others, "k")
    assert aviary.db.owner.execute("select count(*) from millrace.job").fetchone() == {"count": 2}


def test_another_tenant_sees_and_cancels_nothing(aviary: Aviary, caller: As, other_user: User) -> None:
    id_ = jobs.request(caller, aviary.bell, "parrot", {"say": "hello"}, "k")
    other = aviary.db.as_user(other_user)
    for mine in (id_, uuid.uuid4()):
        with pytest.raises(NotFound):
            jobs.read(other, "parrot", mine)
        with pytest.raises(NotFound):
            jobs.cancel(other, aviary.bell, mine)
    assert jobs.request(other, aviary.bell, "parrot", {"say": "hello"}, "k") != id_
    assert jobs.read(caller, "parrot", id_).status == "queued"
    with pytest.raises(NotFound):
        jobs.read(caller, "owl", id_)


def test_cancelling_twice_is_no_mistake_but_what_has_ended_stays(aviary: Aviary, caller: As) -> None:
    cancelled, done = (jobs.request(caller, aviary.bell, "parrot", {"say": "x"}) for _ in range(2))
    jobs.cancel(caller, aviary.bell, cancelled)
    jobs.cancel(caller, aviary.bell, cancelled)
    assert jobs.read(caller, "parrot", cancelled).status == "cancelled"
    aviary.work(str(done), str(cancelled), perform=lambda job: "said")
    with pytest.raises(Conflict, match="completed"):
        jobs.cancel(caller, aviary.bell, done)


def test_a_tenant_reaches_no_part(aviary: Aviary, caller: As) -> None:
    whole = aviary.make("to be")
    aviary.work(whole, perform=lambda job: job.split([{"say": "to"}]))
    part = aviary.parts(whole)[0]["id"]
    with pytest.raises(NotFound):
        jobs.cancel(caller, aviary.bell, part)
    with pytest.raises(NotFound):
        jobs.read(caller, "parrot", part)


def test_what_one_tenant_has_under_way_is_bounded(
    aviary: Aviary, caller: As, other_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_JOBS_OPEN", "2")
    monkeypatch.setenv("MILLRACE_JOB_INPUT_BYTES", "1024")
    shared.settings.forget()
    first = jobs.request(caller, aviary.bell, "parrot", {"say": "one"}, "k")
    with pytest.raises(TooMany):
        jobs.request_all(caller, aviary.bell, "parrot", [{"say": "two"}, {"say": "three"}])
    jobs.request(caller, aviary.bell, "parrot", {"say": "two"})
    with pytest.raises(TooMany):
        jobs.request(caller, aviary.bell, "parrot", {"say": "three"})
    assert jobs.request(caller, aviary.bell, "parrot", {"say": "one"}, "k") == first  # that is no new one
    jobs.request(aviary.db.as_user(other_user), aviary.bell, "parrot", {"say": "one"})
    with pytest.raises(TooLarge):
        jobs.request(caller, aviary.bell, "parrot", {"say": "a" * 1024})
    shared.settings.forget()


def test_cancelling_a_job_of_a_run_tells_the_run(aviary: Aviary, caller: As) -> None:
    aviary.db.owner.execute(
        "insert into public.workflow (id, name, owner_id, is_active, version) "
        "values (gen_random_uuid(), 'w', %s, true, 1)",
        [aviary.user.id],
    )
    aviary.db.owner.execute(
        "insert into public.workflowexecution "
        "(id, workflow_id, workflow_version, owner_id, execution_id, status, started_at) "
        "select gen_random_uuid(), id, 1, owner_id, 'exec-1', 'running', now() from public.workflow"
    )
    aviary.db.owner.execute(
        "insert into millrace.run (execution_id, owner_id, due_at, changed_at, opened_at, state) "
        "select id, owner_id, null, now(), now(), 'waiting' from public.workflowexecution"
    )
    job = aviary.make()
    aviary.db.owner.execute("update millrace.job set execution_id = (select id from public.workflowexecution)")
    jobs.cancel(caller, aviary.bell, aviary.row(job)["id"])
    assert aviary.bell.rung == [("workflow-run", str(aviary.row(job)["execution_id"]), 0)]
    assert aviary.db.owner.execute("select state, news from millrace.run").fetchone() == {"state": "ready", "news": 1}

"""Those who start a run and those who delete its workflow wait for each other; they never deadlock."""

from __future__ import annotations

import json
import threading

import pytest

from tests.workflow.engine.harness import Engine, chain, probe

HOLDS = {
    "schedule": (  # as the tick does, before it starts the run
        "insert into public.workflowschedule (id, workflow_id, owner_id, cron_expression) "
        "values (gen_random_uuid(), %(workflow)s, %(owner)s, '@daily')",
        "select 1 from public.workflowschedule for update",
    ),
    "subscription": (  # as an accepted delivery does, whose rows refer to it
        "insert into public.workflowwebhooksubscription (id, workflow_id, owner_id, webhook_path) "
        "values (gen_random_uuid(), %(workflow)s, %(owner)s, '/x/y')",
        "select 1 from public.workflowwebhooksubscription for key share",
    ),
}


DELETES = {
    "workflow": "select millrace.delete_workflow(%s, true)",
    "account": "select millrace.delete_account() from (select %s::uuid) as workflow",
}


@pytest.mark.parametrize("deleted", list(DELETES))
@pytest.mark.parametrize("what", list(HOLDS))
def test_deleting_waits_for_the_run_that_is_being_started(engine: Engine, what: str, deleted: str) -> None:
    workflow = engine.save(chain(probe("a")))
    insert, hold = HOLDS[what]
    engine.db.owner.execute(insert, {"workflow": workflow, "owner": engine.user.id})  # type: ignore[arg-type]
    starting, deleting = engine.db.connect("postgres"), engine.db.connect("postgres")
    deleting.execute("select set_config('request.jwt.claims', %s, false)", [json.dumps(engine.user.claims)])
    failures: list[Exception] = []

    def delete() -> None:
        try:
            deleting.execute(DELETES[deleted], [workflow])  # type: ignore[arg-type]
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=delete)
    with starting.transaction():
        starting.execute(hold)  # type: ignore[arg-type]
        thread.start()
        engine.db.wait_until_blocked(deleting)
        starting.execute("select millrace.start_run(%s, %s, 'manual', '{}')", [workflow, engine.user.id])
    thread.join(10)
    assert failures == []
    assert engine.db.owner.execute("select count(*) as n from millrace.run").fetchone() == {"n": 0}

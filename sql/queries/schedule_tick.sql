-- name: due
-- Whatever wants attention: runs and jobs that nobody attends, schedules whose time has come, and, by their numbers,
-- events of files in Supabase Storage.
select 'run' as what, r.execution_id as id, null as kind, r.delay, null::jsonb as row
from millrace.due_runs(%(limit)s, %(grace)s, %(horizon)s) r
union all
select 'job', j.id, j.kind, 0, null
from millrace.due_jobs(%(limit)s, %(grace)s) j
union all
select 'schedule', s.id, null, 0, to_jsonb(s)
from millrace.due_schedules(%(limit)s) s
union all
select 'stored', null, null, 0, to_jsonb(e.id)
from millrace.due_storage_events(%(limit)s) e;

-- name: fire
-- Fire schedules as planned; what is not due any more is passed over.
select *
from millrace.fire_schedules(%(plans)s);

-- name: sweep
-- Forget what need not be remembered any longer; how much of what is many, each up to a limit.
select
    millrace.sweep_intake(),
    millrace.sweep_storage_events(),
    millrace.sweep_uploads(%(limit)s) as uploads,
    millrace.sweep_deliveries(%(delivery_days)s, %(limit)s) as deliveries,
    millrace.sweep_runs(%(run_days)s, %(limit)s) as runs;

-- name: ticked
-- Write down that a tick ended; how many seconds after the one before.
select millrace.record_tick() as seconds;

-- name: due
-- Whatever wants attention: runs and jobs that nobody attends, and schedules whose time has come.
select 'run' as what, r.execution_id as id, null as kind, r.delay, null::jsonb as schedule
from millrace.due_runs(%(limit)s, %(grace)s, %(horizon)s) r
union all
select 'job', j.id, j.kind, 0, null
from millrace.due_jobs(%(limit)s, %(grace)s) j
union all
select 'schedule', s.id, null, 0, to_jsonb(s)
from millrace.due_schedules(%(limit)s) s;

-- name: fire
-- Fire schedules as planned; what is not due any more is passed over.
select *
from millrace.fire_schedules(%(plans)s);

-- name: sweep
-- Forget what the intake need not remember any longer.
select millrace.sweep_intake();

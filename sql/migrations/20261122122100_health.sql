-- When the tick last ended, and what that and the queues say about the installation's health. Apply before the code.
--
-- The tick ends with record_tick. So its lag (the time since) grows when it is not called, when it cannot reach the
-- database and when it fails on its way; the health route, `millrace doctor` and the alarm all look at this one figure.

create table millrace.tick (
    name text primary key,
    ticked_at timestamptz not null
)
with (fillfactor = 50);

alter table millrace.tick enable row level security;


-- A tick ended. Answers how many seconds after the one before; null for the first.
create function millrace.record_tick()
returns double precision
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_before timestamptz;
begin
    select t.ticked_at
    into v_before
    from millrace.tick t
    where t.name = 'schedule-tick'
    for update;
    insert into millrace.tick as t (name, ticked_at)
    values ('schedule-tick', v_now)
    on conflict (name) do update
    set ticked_at = greatest(t.ticked_at, excluded.ticked_at);
    return case when v_before is not null then greatest(0, extract(epoch from v_now - v_before)) end::double precision;
end
$$;


-- What the health route tells: figures of the whole installation, and of nobody in it. Seconds: since the last tick (null:
-- it never ticked), and by how much the run, the job and the stored file that wait longest are overdue (0: none is).
create function millrace.health(
    out now timestamptz,
    out server_version integer,
    out tick_lag double precision,
    out runs_late double precision,
    out jobs_late double precision,
    out files_late double precision
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
begin
    now := v_now;
    server_version := current_setting('server_version_num')::integer;
    tick_lag := extract(epoch from v_now - (select t.ticked_at from millrace.tick t where t.name = 'schedule-tick'));
    runs_late := millrace.late(v_now, (select min(r.due_at) from millrace.run r where r.state <> 'leased'));
    jobs_late := millrace.late(v_now, (select min(j.due_at) from millrace.job j where j.status = 'queued'));
    files_late := millrace.late(v_now, (select min(e.due_at) from millrace.storage_event e where e.due_at is not null));
end
$$;


-- By how many seconds p_due is over; 0 when it is not, or there is none. Internal.
create function millrace.late(p_now timestamptz, p_due timestamptz)
returns double precision
language sql
immutable
set search_path = ''
as $$
    select greatest(0, coalesce(extract(epoch from p_now - p_due), 0))::double precision
$$;


grant execute on function millrace.record_tick() to millrace_engine;

grant execute on function millrace.health() to millrace_api;

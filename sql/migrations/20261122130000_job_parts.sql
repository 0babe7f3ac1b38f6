-- Jobs in parts, progress, and jobs that tenants ask for and cancel. Apply before the code.
--
-- A worker may hand a job's work to parts: jobs of the same kind, each with its own lease, attempts and epoch, which run
-- in parallel. The parent then stays `running` without a lease, so that nobody claims it and nothing of it runs out;
-- whoever ends its last part (completed or failed) makes it `queued` in the same transaction and rings for it, and a
-- bell that is lost is rung again by the tick. Claimed again, it is given its parts and what became of each, in order.
--
--     queued -> running -> split: running, no lease -> last part ended: queued -> running -> completed | failed
--                             cancelled: the open parts are cancelled with it
--
-- Guarantees. The parts are written in the transaction that splits, under the fence of the parent's epoch: once. A part
-- that loses its worker is done again alone, up to its own attempts; the parent's attempts begin anew when it has split,
-- so that its waking counts for nothing. A parent is woken exactly once, for its row is locked by whoever ends a part.
--
-- Lock order: millrace.run, then millrace.job: rows without a parent in the order of their ids, then parts in the order
-- of theirs. A part has no parts.
--
-- A capability's own row (ocrjob, codeexecution) shares the job's id and is kept by triggers on millrace.job, so that a
-- caller, a stored file and a run's step all make the same row in the same transaction.

alter table millrace.job
    add column parent_id uuid references millrace.job (id) on delete cascade,
    add column part integer,
    add column parts integer,
    add column progress jsonb,
    add column started_at timestamptz,
    add constraint job_part_of_one check ((parent_id is null) = (part is null) and (parent_id is null or parts is null));

comment on column millrace.job.part is 'of a part: its number, from 0';
comment on column millrace.job.parts is 'of a job that was split: how many parts it has';
comment on column millrace.job.progress is 'what its worker last reported; numbers of parts add up to their parent''s';
comment on column millrace.job.started_at is 'when a worker first claimed it';

create unique index job_part on millrace.job (parent_id, part) where parent_id is not null;

-- What one owner has under way is counted before more is taken in.
create index job_open on millrace.job (owner_id) where parent_id is null and status in ('queued', 'running');


-- What became of the parts of a job, in order: [{id, input, status, result, error}]. Internal.
create function millrace.job_parts(p_parent uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_agg(
        jsonb_build_object('id', j.id, 'input', j.input, 'status', j.status, 'result', j.result, 'error', j.error)
        order by j.part
    )
    from millrace.job j
    where j.parent_id = p_parent
$$;


-- Claim those of p_ids that may run now, for p_lease seconds. A job whose lease expired on its last attempt is failed
-- here as `worker_lost` (the dead letter), and the run or the parent that waits for it is woken. p_claim names this
-- claim: repeated after a lost reply, it claims nothing more and gives the same jobs. `parts` are those of a job that
-- was split, in order. Locks: runs, then jobs, as end_jobs does; then what is free.
drop function millrace.claim_jobs(text, uuid[], double precision, uuid);

create function millrace.claim_jobs(
    p_kind text,
    p_ids uuid[],
    p_lease double precision,
    p_claim uuid default gen_random_uuid()
)
returns table (
    id uuid,
    owner_id uuid,
    input jsonb,
    epoch integer,
    attempts integer,
    max_attempts integer,
    idempotency_key text,
    execution_id uuid,
    node_id text,
    lease_until timestamptz,
    parent_id uuid,
    part integer,
    parts jsonb
)
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
begin
    if not exists (select from millrace.job j where j.id = any (p_ids) and j.claim = p_claim) then
        perform millrace.end_jobs(
            coalesce(
                (
                    select jsonb_agg(
                        jsonb_build_object(
                            'id', j.id,
                            'epoch', j.epoch,
                            'status', 'failed',
                            'error', jsonb_build_object(
                                'kind', 'worker_lost',
                                'message', format('The worker was lost in each of %s attempts.', j.attempts)
                            )
                        )
                    )
                    from millrace.job j
                    where j.id = any (p_ids)
                        and j.kind = p_kind
                        and j.status = 'running'
                        and j.lease_until < v_now
                        and j.attempts >= j.max_attempts
                ),
                '[]'
            )
        );

        with claimable as materialized (
            select j.id
            from millrace.job j
            where j.id = any (p_ids)
                and j.kind = p_kind
                and (
                    (j.status = 'queued' and j.due_at <= v_now)
                    or (j.status = 'running' and j.lease_until < v_now)
                )
            order by j.id
            for update skip locked
        )
        update millrace.job j
        set status = 'running',
            epoch = j.epoch + 1,
            attempts = j.attempts + 1,
            lease_until = v_now + make_interval(secs => p_lease),
            started_at = coalesce(j.started_at, v_now),
            claim = p_claim
        from claimable c
        where j.id = c.id;
    end if;

    return query
    select
        j.id, j.owner_id, j.input, j.epoch, j.attempts, j.max_attempts, j.idempotency_key, j.execution_id,
        j.node_id::text, j.lease_until, j.parent_id, j.part,
        case when j.parts is not null then millrace.job_parts(j.id) end
    from millrace.job j
    where j.id = any (p_ids)
        and j.claim = p_claim
        and j.status = 'running'
    order by j.id;
end
$$;


-- End claimed jobs, put them back for another try, or split them. p_ends is [{id, epoch, status: completed | failed |
-- queued | split, result?, error?, delay?, counts?, parts?, progress?}]: with `queued`, delay in seconds and whether the
-- attempt counts (unless said: it does); with `split`, parts being the input of each, 1 to 1,000. Those whose epoch is not the job's are left as they are.
-- Answers {job id: {ended: bool, execution_id?, parts?: [id], parent?}}; the caller rings the bells of the runs, of the
-- parts and of the parents it names. Repeating the call changes nothing and names the same.
-- Locks: runs in id order, then jobs without a parent (of the parts: their parents) in id order, then parts in id order.
create or replace function millrace.end_jobs(p_ends jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_end record;
    v_job millrace.job;
    v_ended boolean;
    v_answer jsonb;
    v_answers jsonb := '{}';
begin
    perform 1
    from millrace.run r
    where r.execution_id in (
        select coalesce(j.execution_id, p.execution_id)
        from jsonb_to_recordset(p_ends) as e (id uuid)
        join millrace.job j on j.id = e.id
        left join millrace.job p on p.id = j.parent_id
    )
    order by r.execution_id
    for update;

    perform 1
    from millrace.job o
    where o.id in (
        select coalesce(j.parent_id, j.id)
        from jsonb_to_recordset(p_ends) as e (id uuid)
        join millrace.job j on j.id = e.id
    )
    order by o.id
    for update;

    for v_end in
        select e.*
        from jsonb_to_recordset(p_ends) as e (
            id uuid, epoch integer, status text, result jsonb, error jsonb, delay double precision, counts boolean,
            parts jsonb, progress jsonb
        )
        order by e.id
    loop
        if v_end.status = 'split' then
            v_answer := millrace.split_job(v_end.id, v_end.epoch, v_end.parts, v_end.progress);
        else
            update millrace.job j
            set status = v_end.status,
                result = v_end.result,
                error = v_end.error,
                progress = coalesce(v_end.progress, j.progress),
                lease_until = null,
                attempts = j.attempts - (v_end.counts is false)::integer,
                due_at = v_now + make_interval(secs => coalesce(v_end.delay, 0)),
                completed_at = case when v_end.status <> 'queued' then v_now end
            where j.id = v_end.id
                and j.epoch = v_end.epoch
                and j.status = 'running'
                and j.lease_until is not null
            returning j.*
            into v_job;
            v_ended := found;
            if v_ended then
                if v_end.status <> 'queued' and v_job.execution_id is not null then
                    perform millrace.wake_run(v_job.execution_id);
                elsif v_end.status <> 'queued' and v_job.parent_id is not null then
                    perform millrace.wake_parent(v_job.parent_id);
                end if;
            else
                select j.*
                into v_job
                from millrace.job j
                where j.id = v_end.id
                    and j.epoch = v_end.epoch
                    and j.status = v_end.status;
                v_ended := found;
            end if;
            v_answer := jsonb_build_object('ended', v_ended, 'execution_id', v_job.execution_id);
            if v_job.parent_id is not null then
                v_answer := v_answer || jsonb_build_object(
                    'parent',
                    (select p.id from millrace.job p where p.id = v_job.parent_id and p.status = 'queued')
                );
            end if;
        end if;
        v_answers := v_answers || jsonb_build_object(v_end.id::text, v_answer);
    end loop;
    return v_answers;
end
$$;


-- Hand a claimed job's work to parts. Internal; the caller holds the job's row lock, if it is there.
create function millrace.split_job(p_id uuid, p_epoch integer, p_parts jsonb, p_progress jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_job millrace.job;
    v_parts integer := jsonb_array_length(p_parts);
begin
    if v_parts is null or v_parts not between 1 and 1000 then
        raise exception 'A job is split into 1 to 1,000 parts, not %.', coalesce(v_parts, 0) using errcode = 'MR422';
    end if;
    select j.*
    into v_job
    from millrace.job j
    where j.id = p_id
        and j.epoch = p_epoch
        and j.status = 'running'
        and j.lease_until is not null;
    if found then
        if v_job.parent_id is not null or v_job.parts is not null then
            raise exception 'A part has no parts, and a job is split once.' using errcode = 'MR422';
        end if;
        update millrace.job j
        set parts = v_parts,
            progress = coalesce(p_progress, j.progress),
            lease_until = null,
            claim = null,
            attempts = 0
        where j.id = p_id;
        insert into millrace.job (owner_id, kind, input, max_attempts, due_at, created_at, parent_id, part)
        select v_job.owner_id, v_job.kind, p.value, v_job.max_attempts, v_now, v_now, p_id, p.ordinality - 1
        from jsonb_array_elements(p_parts) with ordinality p;
    end if;
    return (
        select jsonb_build_object('ended', count(*) > 0, 'execution_id', null, 'parts', jsonb_agg(j.id order by j.part))
        from millrace.job j
        join millrace.job o on o.id = j.parent_id
        where o.id = p_id
            and o.epoch = p_epoch
            and o.status in ('queued', 'running')
    );
end
$$;


-- Make a split job due when its last part has ended. Internal; the caller holds its row lock, which is what makes the
-- last one see that it is the last.
create function millrace.wake_parent(p_id uuid)
returns void
language sql
set search_path = ''
as $$
    update millrace.job p
    set status = 'queued',
        due_at = millrace.now()
    where p.id = p_id
        and p.status = 'running'
        and p.lease_until is null
        and not exists (
            select
            from millrace.job j
            where j.parent_id = p.id
                and j.status in ('queued', 'running')
        )
$$;


-- Trigger: with a job that was split, its open parts are cancelled, whoever cancelled it. The parent's row is locked by
-- the update that fires this.
create function millrace.cancel_parts()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update millrace.job j
    set status = 'cancelled',
        epoch = j.epoch + 1,
        lease_until = null,
        completed_at = millrace.now()
    from (
        select o.id
        from millrace.job o
        where o.parent_id = new.id
            and o.status in ('queued', 'running')
        order by o.id
        for update
    ) o
    where j.id = o.id;
    return null;
end
$$;

create trigger job_parts_go_with_it
    after update of status on millrace.job
    for each row
    when (new.parts is not null and new.status = 'cancelled' and old.status <> 'cancelled')
    execute function millrace.cancel_parts();


-- Write down how far a claimed job is and extend its lease; false when it is no longer this worker's.
create function millrace.report_job(p_id uuid, p_epoch integer, p_lease double precision, p_progress jsonb)
returns boolean
language sql
security definer
set search_path = ''
as $$
    with reported as (
        update millrace.job j
        set progress = p_progress,
            lease_until = millrace.now() + make_interval(secs => p_lease)
        where j.id = p_id
            and j.epoch = p_epoch
            and j.status = 'running'
            and j.lease_until is not null
        returning 1
    )
    select exists (select from reported)
$$;


-- Extend a claimed job's lease; false when it is no longer this worker's (taken over, cancelled, or handed to parts).
create or replace function millrace.renew_job(p_id uuid, p_epoch integer, p_lease double precision)
returns boolean
language sql
security definer
set search_path = ''
as $$
    with renewed as (
        update millrace.job j
        set lease_until = millrace.now() + make_interval(secs => p_lease)
        where j.id = p_id
            and j.epoch = p_epoch
            and j.status = 'running'
            and j.lease_until is not null
        returning 1
    )
    select exists (select from renewed)
$$;


-- How far a job is: what it reported, and over it the sums of the numbers that its parts reported. Internal.
create function millrace.job_progress(p_id uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select nullif(
        coalesce(j.progress, '{}') || coalesce(
            (
                select jsonb_object_agg(s.key, s.total)
                from (
                    select n.key, sum(n.value::text::numeric) as total
                    from millrace.job p
                    cross join jsonb_each(p.progress) n
                    where p.parent_id = j.id
                        and jsonb_typeof(n.value) = 'number'
                    group by n.key
                ) s
            ),
            '{}'
        ),
        '{}'
    )
    from millrace.job j
    where j.id = p_id
$$;


-- What tenants may do ----------------------------------------------------------------------------------------------------

-- Ask for work: p_inputs is one input for each job of the kind. Answers their ids, in that order; the caller rings for
-- them. Under the same key the same jobs are the answer, and other inputs under it are refused. An owner has at most
-- p_open jobs under way; many callers at once may go over it by what they ask for in that moment.
create function millrace.request_jobs(p_kind text, p_inputs jsonb, p_key text, p_open integer)
returns uuid[]
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_wanted integer := jsonb_array_length(p_inputs);
    v_known integer;
    v_open integer;
    v_input record;
    v_id uuid;
    v_ids uuid[] := '{}';
begin
    if p_key is null or length(p_key) not between 1 and 255 then
        raise exception 'An idempotency key has 1 to 255 characters.' using errcode = 'MR422';
    end if;
    -- What was asked for under this key is numbered from 0: as many as now, or none.
    select count(*)
    into v_known
    from millrace.job j
    where j.owner_id = v_owner
        and j.kind = p_kind
        and j.idempotency_key in (
            'request/' || p_key || '/0', 'request/' || p_key || '/' || v_wanted - 1, 'request/' || p_key || '/' || v_wanted
        );
    if v_known = 0 then
        select count(*)
        into v_open
        from (
            select
            from millrace.job j
            where j.owner_id = v_owner
                and j.parent_id is null
                and j.status in ('queued', 'running')
            limit p_open
        ) o;
        if v_open + v_wanted > p_open then
            raise exception 'That would be more than % jobs under way.', p_open
                using errcode = 'MR429', hint = 'Wait until some have ended, or cancel some.';
        end if;
    end if;
    for v_input in
        select i.value, i.ordinality - 1 as number
        from jsonb_array_elements(p_inputs) with ordinality i
    loop
        v_id := millrace.enqueue_job(v_owner, p_kind, v_input.value, 'request/' || p_key || '/' || v_input.number);
        if v_known not in (0, least(v_wanted, 2))
            or (select j.input from millrace.job j where j.id = v_id) is distinct from v_input.value
        then
            raise exception 'This idempotency key was used for another request.'
                using errcode = 'MR422', hint = 'Use a new key for each new request.';
        end if;
        v_ids := v_ids || v_id;
    end loop;
    return v_ids;
end
$$;


-- Ask for one job; as request_jobs.
create function millrace.request_job(p_kind text, p_input jsonb, p_key text, p_open integer default 1000)
returns uuid
language sql
security definer
set search_path = ''
as $$
    select (millrace.request_jobs(p_kind, jsonb_build_array(p_input), p_key, p_open))[1]
$$;


-- Cancel one's own job and its parts; whoever works at it learns it at its next report or renewal, and can end nothing.
-- The run that waits for it is told: the caller rings for it. To cancel what was cancelled is no mistake. Locks: the run,
-- then the job, then its parts.
create function millrace.cancel_job(p_id uuid, out status text, out execution_id uuid)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_owner uuid := millrace.require_user();
    v_job millrace.job;
begin
    perform 1
    from millrace.run r
    where r.execution_id = (
        select j.execution_id from millrace.job j where j.id = p_id and j.owner_id = v_owner
    )
    for update;
    select j.*
    into v_job
    from millrace.job j
    where j.id = p_id
        and j.owner_id = v_owner
        and j.parent_id is null
    for update;
    if not found then
        raise exception 'There is no such job, or it is not yours.' using errcode = 'MR404';
    end if;
    if v_job.status in ('completed', 'failed') then
        raise exception 'The job has ended: it %.', v_job.status using errcode = 'MR409';
    end if;
    status := 'cancelled';
    execution_id := v_job.execution_id;
    if v_job.status = 'cancelled' then
        return;
    end if;
    update millrace.job j
    set status = 'cancelled',
        epoch = j.epoch + 1,
        lease_until = null,
        completed_at = millrace.now()
    where j.id = p_id;
    if v_job.execution_id is not null then
        perform millrace.wake_run(v_job.execution_id);
    end if;
end
$$;


-- What an owner sees of these jobs of its own. Nothing of others, and no parts.
create function millrace.read_jobs(p_ids uuid[])
returns table (
    id uuid,
    kind text,
    status text,
    input jsonb,
    result jsonb,
    error jsonb,
    progress jsonb,
    parts integer,
    attempts integer,
    execution_id uuid,
    node_id text,
    created_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    return query
    select
        j.id, j.kind, j.status, j.input, j.result, j.error, millrace.job_progress(j.id), j.parts, j.attempts,
        j.execution_id, j.node_id::text, j.created_at, j.started_at, j.completed_at
    from millrace.job j
    where j.id = any (p_ids)
        and j.owner_id = v_owner
        and j.parent_id is null
    order by j.id;
end
$$;


-- One line of `toolusagelog` for a job that ended, under its id, so that it is written once. Internal: for the triggers
-- that keep a capability's own row. Latency is from the first claim; of what was never claimed, 0.
create function millrace.log_tool_use(p_job millrace.job, p_tool_id text, p_tool_type text)
returns void
language sql
set search_path = ''
as $$
    insert into public.toolusagelog (id, tool_id, tool_type, status, latency_ms, error_message, created_at, owner_id)
    select
        p_job.id,
        left(p_tool_id, 255),
        p_tool_type,
        p_job.status,
        least(
            2147483647,
            greatest(0, extract(epoch from p_job.completed_at - coalesce(p_job.started_at, p_job.completed_at)) * 1000)
        )::integer,
        left(p_job.error ->> 'message', 10000),
        p_job.completed_at at time zone 'utc',
        p_job.owner_id
    on conflict (id) do nothing
$$;


-- Grants ---------------------------------------------------------------------------------------------------------------

grant execute on function millrace.claim_jobs(text, uuid[], double precision, uuid) to millrace_engine;

grant execute on function millrace.report_job(uuid, integer, double precision, jsonb) to millrace_engine;

grant execute on function millrace.request_jobs(text, jsonb, text, integer) to millrace_api;

grant execute on function millrace.request_job(text, jsonb, text, integer) to millrace_api;

grant execute on function millrace.cancel_job(uuid) to millrace_api;

grant execute on function millrace.read_jobs(uuid[]) to millrace_api;

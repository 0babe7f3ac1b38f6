-- The engine: runs, jobs and their transitions. Apply before the code.
--
-- A run is a row of public.workflowexecution (what people see: written at the start, at status changes and at the end)
-- and, while it lives, a narrow row of millrace.run (what workers fight over). A bell brings a worker the run's id; the
-- worker claims the run, which raises its epoch and lends it a lease; every later write names that epoch and the next
-- checkpoint number, so a worker that lost its lease changes nothing and a call repeated after a lost reply gives the
-- answer of the first. Steps that ended are rows of public.executionstep; steps that are open (waiting, retrying,
-- handed to a job, begun at most once, in doubt) are the run's frontier. Which steps come next follows from the two.
--
--     start_run -> ready -> claim_runs -> leased -> advance (checkpoint)* -> advance (finish) -> row gone
--                    ^                      |
--                    |                      +-> advance (release) -> waiting -+
--                    +---- due, signal_run, finished job, expired lease ------+
--
-- Work for another function is a row of millrace.job with the same claim, lease and fence, in shared/jobs.py.
--
-- Lock order, everywhere: millrace.run, then millrace.job, then public.workflowexecution, then rows below it; several
-- rows of one table in the order of their ids. So two transitions wait for each other but never deadlock.

create table millrace.run (
    execution_id uuid primary key references public.workflowexecution (id) on delete cascade,
    owner_id uuid not null,
    epoch integer not null default 0,
    seq integer not null default 0,
    state text not null default 'ready' check (state in ('ready', 'leased', 'waiting')),
    due_at timestamptz,
    changed_at timestamptz not null,
    opened_at timestamptz not null,
    lease_until timestamptz,
    claim uuid,
    losses smallint not null default 0,
    news integer not null default 0,
    cancel_requested boolean not null default false,
    frontier jsonb not null default '{}'
)
-- Half-empty pages, and no index on what a checkpoint writes, keep checkpoints heap-only (HOT) updates.
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

comment on column millrace.run.seq is 'checkpoints written in this opening; the next one must carry seq + 1';
comment on column millrace.run.due_at is 'while not leased: not to be claimed before this; null waits for news only';
comment on column millrace.run.changed_at is 'when it was last started, released or woken; decides whether a bell is under way';
comment on column millrace.run.claim is 'the claim that leased it, as its caller named it; the same claim again is answered the same';

comment on column millrace.run.losses is 'leases that expired since the last checkpoint';
comment on column millrace.run.news is 'signals, finished jobs and cancellations so far; a release that has not seen them is refused';
comment on column millrace.run.frontier is 'open steps by node id: {attempt, iteration, due, signal, state, job, started, in_doubt}';

create index run_due on millrace.run (due_at) where state <> 'leased';

create index run_leased on millrace.run (execution_id) where state = 'leased';

create table millrace.job (
    id uuid primary key default millrace.uuid7(),
    owner_id uuid not null references public."user" (id) on delete cascade,
    kind text not null,
    status text not null default 'queued' check (status in ('queued', 'running', 'completed', 'failed', 'cancelled')),
    input jsonb not null default '{}',
    result jsonb,
    error jsonb,
    epoch integer not null default 0,
    attempts integer not null default 0,
    max_attempts integer not null default 5 check (max_attempts between 1 and 100),
    due_at timestamptz not null default millrace.now(),
    lease_until timestamptz,
    claim uuid,
    execution_id uuid references public.workflowexecution (id) on delete cascade,
    node_id varchar(255),
    iteration integer,
    idempotency_key text,
    created_at timestamptz not null default millrace.now(),
    completed_at timestamptz
);

create unique index job_idempotency on millrace.job (owner_id, kind, idempotency_key) where idempotency_key is not null;

create index job_due on millrace.job (due_at) where status = 'queued';

create index job_running on millrace.job (id) where status = 'running';

create index job_execution on millrace.job (execution_id) where execution_id is not null;

create index job_owner on millrace.job (owner_id);

alter table millrace.run enable row level security;

alter table millrace.job enable row level security;


-- Runs ---------------------------------------------------------------------------------------------------------------

-- Start one run of a workflow's present version. Internal: callers have checked that p_owner may.
-- One insert into each of two tables; the caller rings `workflow-run` with the id after its commit.
create function millrace.start_run(p_workflow uuid, p_owner uuid, p_trigger_type text, p_trigger jsonb)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    v_id uuid := millrace.uuid7();
    v_now timestamptz := millrace.now();
    v_workflow record;
begin
    select w.version, w.version_id, w.is_active
    into v_workflow
    from public.workflow w
    where w.id = p_workflow
        and w.owner_id = p_owner;
    if not found then
        raise exception 'There is no such workflow, or it is not yours.' using errcode = 'MR404';
    end if;
    if not v_workflow.is_active then
        raise exception 'The workflow is disabled.' using errcode = 'MR409', hint = 'Enable it: set is_active to true.';
    end if;
    if v_workflow.version_id is null then
        raise exception 'The workflow has no version to run.' using errcode = 'MR409', hint = 'Save its graph first.';
    end if;
    insert into public.workflowexecution (
        id, workflow_id, workflow_version, version_id, owner_id, execution_id, status, started_at,
        trigger_type, trigger_data, execution_state, retry_count
    )
    values (
        v_id, p_workflow, v_workflow.version, v_workflow.version_id, p_owner, 'exec-' || replace(v_id::text, '-', ''),
        'running', v_now at time zone 'utc', p_trigger_type, p_trigger, '{}', 0
    );
    insert into millrace.run (execution_id, owner_id, due_at, changed_at, opened_at)
    values (v_id, p_owner, v_now, v_now, v_now);
    return v_id;
end
$$;


-- Everything that news brings to a run: unprocessed signals in order, and the jobs it waits for that ended.
create function millrace.inbox(p_execution uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select jsonb_build_object(
        'signals',
        coalesce(
            (
                select jsonb_agg(
                    jsonb_build_object('id', s.id, 'type', s.signal_type, 'data', s.signal_data)
                    order by s.received_at, s.id
                )
                from public.workflowsignal s
                where s.execution_id = p_execution
                    and not s.processed
            ),
            '[]'
        ),
        'jobs',
        coalesce(
            (
                select jsonb_object_agg(
                    j.id, jsonb_build_object('status', j.status, 'result', j.result, 'error', j.error)
                )
                from millrace.run r
                cross join jsonb_each(r.frontier) f
                join millrace.job j on j.id = (f.value ->> 'job')::uuid
                where r.execution_id = p_execution
                    and j.execution_id = p_execution
                    and j.status in ('completed', 'failed', 'cancelled')
            ),
            '{}'
        )
    )
$$;


-- End a run: its row goes, its open jobs are cancelled, what people see is written. Internal; the caller holds the run's
-- row lock. p_end: {status, output, error, error_message, node, epoch, state, frontier}, the frontier left out where it is
-- the row's. At-most-once steps of which only the beginning is known stay in execution_state.begun, for retry_run.
create function millrace.close_run(p_execution uuid, p_end jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_begun jsonb;
begin
    with closed as (
        delete from millrace.run r
        where r.execution_id = p_execution
        returning r.frontier
    )
    select jsonb_build_object('begun', jsonb_object_agg(f.key, f.value))
    into v_begun
    from closed c
    cross join jsonb_each(coalesce(p_end -> 'frontier', c.frontier)) f
    where f.value ?| array['started', 'in_doubt']
    having count(*) > 0;
    update millrace.job j
    set status = 'cancelled',
        epoch = j.epoch + 1,
        lease_until = null,
        completed_at = millrace.now()
    where j.execution_id = p_execution
        and j.status in ('queued', 'running');
    update public.workflowexecution e
    set status = p_end ->> 'status',
        completed_at = millrace.now() at time zone 'utc',
        output = nullif(p_end -> 'output', 'null'),
        response = coalesce(nullif(p_end -> 'response', 'null'), e.response),
        error = nullif(p_end -> 'error', 'null'),
        error_message = p_end ->> 'error_message',
        current_node_id = p_end ->> 'node',
        execution_state = coalesce(p_end -> 'state', e.execution_state - 'begun', '{}') || coalesce(v_begun, '{}'),
        epoch = (p_end ->> 'epoch')::integer,
        next_retry_at = null
    where e.id = p_execution;
end
$$;


-- Claim those of p_ids that may be driven now, for p_lease seconds, and return all that the engine needs to drive them.
--
-- Not claimed, and simply absent from the answer: runs that ended, are leased to a living worker, or are not due (a wait
-- is never early). Rows that another transition holds are passed over; whoever holds them rings again. A run that lost
-- its fifth worker since its last checkpoint is failed here as `worker_lost`, for no worker would survive to say so.
-- A run that has lost a worker is claimed alone, so that one that kills its workers takes no others with it: `left_out`
-- counts those that are due but must wait for a claim of their own.
-- `graph` is null for versions in p_known, which the caller keeps; versions never change.
-- p_claim names this claim: repeated after a lost reply, it claims nothing more and gives the same runs.
create function millrace.claim_runs(
    p_ids uuid[],
    p_lease double precision,
    p_known uuid[],
    p_claim uuid default gen_random_uuid()
)
returns table (
    execution_id uuid,
    owner_id uuid,
    workflow_id uuid,
    version integer,
    version_id uuid,
    graph jsonb,
    epoch integer,
    seq integer,
    news integer,
    cancel_requested boolean,
    frontier jsonb,
    opened_at timestamptz,
    lease_until timestamptz,
    status text,
    trigger_type text,
    trigger_data jsonb,
    steps jsonb,
    inbox jsonb,
    left_out integer
)
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_again integer;
    v_due integer;
    v_doomed integer;
    v_claimed integer := 0;
    v_lost record;
begin
    select
        count(*) filter (where r.claim = p_claim),
        count(*) filter (where case when r.state = 'leased' then r.lease_until < v_now else r.due_at <= v_now end),
        count(*) filter (where r.state = 'leased' and r.lease_until < v_now and r.losses >= 4)
    into v_again, v_due, v_doomed
    from millrace.run r
    where r.execution_id = any (p_ids);

    if v_doomed > 0 then
        for v_lost in
            select r.execution_id, r.epoch
            from millrace.run r
            where r.execution_id = any (p_ids)
                and r.state = 'leased'
                and r.lease_until < v_now
                and r.losses >= 4
            order by r.execution_id
            for update skip locked
        loop
            perform millrace.close_run(
                v_lost.execution_id,
                jsonb_build_object(
                    'status', 'failed',
                    'epoch', v_lost.epoch + 1,
                    'error_message', 'Five workers in a row were lost while they drove this run.',
                    'error', jsonb_build_object(
                        'kind', 'worker_lost',
                        'message', 'Five workers in a row were lost while they drove this run.'
                    )
                )
            );
        end loop;
    end if;

    if v_again = 0 then
        with due as materialized (
            select r.execution_id, r.losses > 0 or r.state = 'leased' as suspect
            from millrace.run r
            where r.execution_id = any (p_ids)
                and (
                    (r.state <> 'leased' and r.due_at <= v_now)
                    or (r.state = 'leased' and r.lease_until < v_now)
                )
            order by r.execution_id
            for update skip locked
        ),
        claimable as (
            (select d.execution_id from due d where not d.suspect)
            union all
            (
                select d.execution_id
                from due d
                where d.suspect
                    and not exists (select from due h where not h.suspect)
                order by d.execution_id
                limit 1
            )
        )
        update millrace.run r
        set epoch = r.epoch + 1,
            seq = 0,
            losses = r.losses + (r.state = 'leased')::integer,
            state = 'leased',
            lease_until = v_now + make_interval(secs => p_lease),
            claim = p_claim
        from claimable c
        where r.execution_id = c.execution_id;
        get diagnostics v_claimed = row_count;
    end if;

    return query
    select
        c.execution_id,
        c.owner_id,
        e.workflow_id,
        e.workflow_version,
        e.version_id,
        case when e.version_id = any (p_known) then null else v.graph end,
        c.epoch,
        c.seq,
        c.news,
        c.cancel_requested,
        c.frontier,
        c.opened_at,
        c.lease_until,
        e.status::text,
        e.trigger_type,
        e.trigger_data,
        (
            select jsonb_agg(
                jsonb_build_object(
                    'node_id', s.node_id,
                    'iteration', s.iteration,
                    'attempt', s.attempt,
                    'seq', s.seq,
                    'status', s.status,
                    'branch', s.branch,
                    'output', case when s.status = 'completed' or s.branch is not null then s.output end,
                    'variables', s.variables
                )
                order by s.seq
            )
            from public.executionstep s
            where s.execution_id = c.execution_id
        ),
        case when c.news > 0 then millrace.inbox(c.execution_id) end,
        v_due - v_doomed - v_claimed
    from millrace.run c
    join public.workflowexecution e on e.id = c.execution_id
    left join public.workflowversion v on v.id = e.version_id
    where c.execution_id = any (p_ids)
        and c.claim = p_claim
        and c.state = 'leased'
    order by c.execution_id;
end
$$;


-- Advance leased runs: one call for one checkpoint of each of several runs, all in one transaction.
--
-- p_items: [{run, epoch, seq, lease, news, frontier, steps: [...], jobs: [...], cancel_jobs: [id], signals: [id],
--            logs: [...], response, then: "go_on" | "release" | "finish", due, status, end: {...}}]
-- where seq is the checkpoint's number (the run's seq + 1), news the count that the worker has seen, lease in seconds,
-- due an instant or null (only news wakes it), status what people shall see from now on (left out: as before).
-- Answers {run: {outcome, news?, cancel?, inbox?}}, outcome being
--   advanced   the checkpoint is written and the lease extended; with then=release: something became ready since the
--              last checkpoint, so the run stays with this worker, and the inbox says what;
--   released   it is written and the run waits;
--   finished   it is written and the run ended;
--   lost       the lease is another's: nothing was written.
-- Repeated with the same epoch and seq it writes nothing and gives the same outcome. Locks: runs in id order.
create function millrace.advance(p_items jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_item jsonb;
    v_id uuid;
    v_then text;
    v_run millrace.run;
    v_outcome text;
    v_answer jsonb;
    v_answers jsonb := '{}';
begin
    for v_item in
        select i.value
        from jsonb_array_elements(p_items) i
        order by i.value ->> 'run'
    loop
        v_id := (v_item ->> 'run')::uuid;
        v_then := v_item ->> 'then';
        if v_then = 'finish' then
            select r.*
            into v_run
            from millrace.run r
            where r.execution_id = v_id
                and r.epoch = (v_item ->> 'epoch')::integer
                and r.seq = (v_item ->> 'seq')::integer - 1
                and r.state = 'leased'
            for update;
        else
            update millrace.run r
            set seq = r.seq + 1,
                losses = 0,
                frontier = v_item -> 'frontier',
                lease_until = v_now + make_interval(secs => (v_item ->> 'lease')::double precision),
                state = case
                    when v_then = 'release' and r.news <= (v_item ->> 'news')::integer then 'waiting'
                    else r.state
                end,
                due_at = case
                    when v_then = 'release' and r.news <= (v_item ->> 'news')::integer
                        then (v_item ->> 'due')::timestamptz
                    else r.due_at
                end,
                changed_at = case when v_then = 'release' then v_now else r.changed_at end
            where r.execution_id = v_id
                and r.epoch = (v_item ->> 'epoch')::integer
                and r.seq = (v_item ->> 'seq')::integer - 1
                and r.state = 'leased'
            returning r.*
            into v_run;
        end if;

        if not found then
            v_outcome := millrace.repeated_advance(v_id, (v_item ->> 'epoch')::integer, (v_item ->> 'seq')::integer);
            select r.*
            into v_run
            from millrace.run r
            where r.execution_id = v_id;
        else
            v_outcome := case
                when v_then = 'finish' then 'finished'
                when v_run.state = 'waiting' then 'released'
                else 'advanced'
            end;
            perform millrace.record_advance(v_id, v_run.owner_id, v_item, v_now);
            if v_then = 'finish' then
                perform millrace.close_run(v_id, v_item -> 'end');
            elsif v_item ? 'status' or v_item ? 'response' then
                update public.workflowexecution e
                set status = case when v_outcome = 'released' then v_item ->> 'status' else 'running' end,
                    response = coalesce(v_item -> 'response', e.response)
                where e.id = v_id
                    and (
                        v_item ? 'response'
                        or e.status <> case when v_outcome = 'released' then v_item ->> 'status' else 'running' end
                    );
            end if;
        end if;

        v_answer := jsonb_build_object('outcome', v_outcome);
        if v_outcome = 'advanced' and v_run.news > (v_item ->> 'news')::integer then
            v_answer := v_answer || jsonb_build_object(
                'news', v_run.news, 'cancel', v_run.cancel_requested, 'inbox', millrace.inbox(v_id)
            );
        end if;
        v_answers := v_answers || jsonb_build_object(v_id::text, v_answer);
    end loop;
    return v_answers;
end
$$;


-- The outcome of a checkpoint that could not be written: what it was the first time, or `lost`.
create function millrace.repeated_advance(p_execution uuid, p_epoch integer, p_seq integer)
returns text
language sql
stable
set search_path = ''
as $$
    select coalesce(
        (
            select case when r.state = 'leased' then 'advanced' else 'released' end
            from millrace.run r
            where r.execution_id = p_execution
                and r.epoch = p_epoch
                and r.seq = p_seq
        ),
        (
            select 'finished'
            from public.workflowexecution e
            where e.id = p_execution
                and e.epoch = p_epoch
                and e.completed_at is not null
        ),
        'lost'
    )
$$;


-- What one checkpoint adds besides the run's own row: ended steps, jobs for others, signals used up, log lines.
create function millrace.record_advance(p_execution uuid, p_owner uuid, p_item jsonb, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if p_item ? 'cancel_jobs' then
        update millrace.job j
        set status = 'cancelled',
            epoch = j.epoch + 1,
            lease_until = null,
            completed_at = p_now
        where j.id in (select value::uuid from jsonb_array_elements_text(p_item -> 'cancel_jobs'))
            and j.execution_id = p_execution
            and j.status in ('queued', 'running');
    end if;
    if p_item ? 'jobs' then
        insert into millrace.job (id, owner_id, kind, input, execution_id, node_id, iteration, due_at, created_at)
        select j.id, p_owner, j.kind, j.input, p_execution, j.node_id, j.iteration, p_now, p_now
        from jsonb_to_recordset(p_item -> 'jobs') as j (
            id uuid, kind text, input jsonb, node_id text, iteration integer
        );
    end if;
    if p_item ? 'steps' then
        -- A step in doubt has its row already; its resolution replaces it. Any other clash is a second commit: an error.
        insert into public.executionstep (
            execution_id, node_id, iteration, attempt, seq, owner_id, node_type, status, branch, output, error,
            variables, started_at, duration_ms
        )
        select
            p_execution, s.node_id, s.iteration, s.attempt, s.seq, p_owner, s.node_type, s.status, s.branch, s.output,
            s.error, s.variables, s.started_at, s.duration_ms
        from jsonb_to_recordset(p_item -> 'steps') as s (
            node_id text, iteration integer, attempt integer, seq integer, node_type text, status text, branch text,
            output jsonb, error jsonb, variables jsonb, started_at timestamptz, duration_ms double precision
        );
    end if;
    if p_item ? 'resolved' then
        update public.executionstep t
        set status = s.status,
            branch = s.branch,
            output = s.output,
            error = s.error,
            seq = s.seq
        from jsonb_to_recordset(p_item -> 'resolved') as s (
            node_id text, iteration integer, attempt integer, seq integer, status text, branch text, output jsonb,
            error jsonb
        )
        where t.execution_id = p_execution
            and t.node_id = s.node_id
            and t.iteration = s.iteration
            and t.attempt = s.attempt
            and t.status = 'in_doubt';
    end if;
    if p_item ? 'signals' then
        update public.workflowsignal g
        set processed = true
        where g.execution_id = p_execution
            and g.id in (select value::uuid from jsonb_array_elements_text(p_item -> 'signals'));
    end if;
    if p_item ? 'logs' then
        insert into public.executionlog (id, execution_id, owner_id, node_id, level, message, timestamp)
        select millrace.uuid7(), p_execution, p_owner, l.node_id, l.level, l.message, p_now at time zone 'utc'
        from jsonb_to_recordset(p_item -> 'logs') as l (node_id text, level text, message text);
    end if;
end
$$;


-- Runs that are due and that no worker attends, with the seconds until they are due (0 when they are).
--
-- A run started, released or woken less than p_grace seconds ago has its bell under way and is left to it. Waits longer
-- than a queue's delay (15 minutes) have no bell, so they are listed p_horizon seconds early, to be rung on time.
create function millrace.due_runs(p_limit integer, p_grace double precision, p_horizon double precision)
returns table (execution_id uuid, delay double precision)
language plpgsql
security definer
set search_path = ''
as $$
declare
    -- In variables, for the index to be read up to them; compared with an expression, all that waits would be.
    v_now timestamptz := millrace.now();
    v_attended timestamptz := v_now - make_interval(secs => p_grace);
    v_soon timestamptz := v_now + make_interval(secs => p_horizon);
begin
    return query
    with unattended as (
        (
            select r.execution_id, r.due_at
            from millrace.run r
            where r.state <> 'leased'
                and r.due_at <= v_soon
                and (
                    greatest(r.due_at, r.changed_at) <= v_attended
                    or (r.due_at > v_attended and r.due_at - r.changed_at > interval '15 minutes')
                )
            order by r.due_at
            limit p_limit
        )
        union all
        (
            select r.execution_id, r.lease_until
            from millrace.run r
            where r.state = 'leased'
                and r.lease_until < v_now
            limit p_limit
        )
    )
    select u.execution_id, greatest(0, extract(epoch from u.due_at - v_now))::double precision
    from unattended u
    order by u.due_at
    limit p_limit;
end
$$;


-- Wake a run: count the news, and make it ready if it waits. Internal; the caller holds or takes the row lock.
create function millrace.wake_run(p_execution uuid)
returns void
language sql
set search_path = ''
as $$
    update millrace.run r
    set news = r.news + 1,
        state = case when r.state = 'waiting' then 'ready' else r.state end,
        due_at = case when r.state = 'leased' then r.due_at else least(r.due_at, millrace.now()) end,
        changed_at = case when r.state = 'leased' then r.changed_at else millrace.now() end
    where r.execution_id = p_execution
$$;


-- Give a live run a signal. Internal: the caller has checked the owner, and rings the run's bell afterwards.
-- A signal that comes before the run waits for it is kept until it does; a run keeps at most 100 of those.
create function millrace.signal_run(p_execution uuid, p_type text, p_data jsonb)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    v_id uuid := millrace.uuid7();
    v_owner uuid;
begin
    select r.owner_id
    into v_owner
    from millrace.run r
    where r.execution_id = p_execution
    for update;
    if not found then
        raise exception 'The run has ended; it takes no more signals.' using errcode = 'MR409';
    end if;
    if (select count(*) from public.workflowsignal s where s.execution_id = p_execution and not s.processed) >= 100 then
        raise exception 'The run already keeps 100 signals that it has not waited for.'
            using errcode = 'MR429', hint = 'Send signals that its workflow waits for.';
    end if;
    insert into public.workflowsignal (id, execution_id, owner_id, signal_type, signal_data, received_at, processed)
    values (v_id, p_execution, v_owner, p_type, p_data, millrace.now() at time zone 'utc', false);
    perform millrace.wake_run(p_execution);
    return v_id;
end
$$;


-- Cancel a live run: at once when no worker has it, else as soon as that worker checkpoints. Internal: the caller has
-- checked the owner, and rings the run's bell when the answer is `cancelling`. A run that ended stays as it ended.
create function millrace.cancel_run(p_execution uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
    v_run millrace.run;
begin
    select r.*
    into v_run
    from millrace.run r
    where r.execution_id = p_execution
    for update;
    if not found then
        raise exception 'The run has ended; there is nothing to cancel.' using errcode = 'MR409';
    end if;
    if v_run.state = 'leased' and v_run.lease_until >= millrace.now() then
        update millrace.run r
        set cancel_requested = true,
            news = r.news + 1
        where r.execution_id = p_execution;
        return 'cancelling';
    end if;
    perform millrace.close_run(
        p_execution,
        jsonb_build_object(
            'status', 'cancelled',
            'epoch', v_run.epoch + 1,
            'error_message', 'The run was cancelled.',
            'error', jsonb_build_object('kind', 'cancelled', 'message', 'The run was cancelled.')
        )
    );
    return 'cancelled';
end
$$;


-- Open a run again that failed, timed out or was cancelled: completed steps stay, failed ones are tried anew, on the
-- version it started with; at-most-once steps of which only the beginning is known are in doubt and stay so. Internal:
-- the caller has checked the owner, and rings the run's bell afterwards.
create function millrace.retry_run(p_execution uuid)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_execution record;
begin
    select e.owner_id, e.status, e.epoch, e.execution_state -> 'begun' as begun
    into v_execution
    from public.workflowexecution e
    where e.id = p_execution
    for update;
    if not found then
        raise exception 'There is no such run, or it is not yours.' using errcode = 'MR404';
    end if;
    if v_execution.status not in ('failed', 'timed_out', 'cancelled') then
        raise exception 'Only a run that failed, timed out or was cancelled can be retried; this one is %.', v_execution.status
            using errcode = 'MR409';
    end if;
    insert into millrace.run (execution_id, owner_id, epoch, due_at, changed_at, opened_at, frontier)
    select
        p_execution,
        v_execution.owner_id,
        coalesce(v_execution.epoch, 0),
        v_now,
        v_now,
        v_now,
        coalesce(jsonb_object_agg(s.node_id, jsonb_build_object('attempt', s.attempt + 1)), '{}')
            || coalesce(v_execution.begun, '{}')
    from (
        select t.node_id, max(t.attempt) as attempt
        from public.executionstep t
        where t.execution_id = p_execution
        group by t.node_id
        having bool_and(t.status <> 'completed' and t.branch is null)
    ) s;
    update public.workflowexecution e
    set status = 'running',
        completed_at = null,
        error = null,
        error_message = null,
        output = null,
        retry_count = e.retry_count + 1
    where e.id = p_execution;
    return p_execution;
end
$$;


-- Decide a step that is in doubt: retry it, take it as completed with p_output, or fail it. Internal: the caller has
-- checked the owner, and rings the run's bell afterwards. The decision travels as a signal, for the frontier is the
-- lease holder's alone to write.
create function millrace.resolve_step(p_execution uuid, p_node text, p_iteration integer, p_decision text, p_output jsonb)
returns uuid
language plpgsql
set search_path = ''
as $$
begin
    if p_decision not in ('retry', 'complete', 'fail') then
        raise exception 'decision must be retry, complete or fail.' using errcode = 'MR422';
    end if;
    perform 1
    from millrace.run r
    where r.execution_id = p_execution
        and (r.frontier -> p_node ->> 'in_doubt')::boolean
    for update;
    if not found then
        raise exception 'Step % is not in doubt.', p_node using errcode = 'MR409';
    end if;
    return millrace.signal_run(
        p_execution,
        'millrace.resolve_step',
        jsonb_build_object('node_id', p_node, 'iteration', p_iteration, 'decision', p_decision, 'output', p_output)
    );
end
$$;


-- Jobs ---------------------------------------------------------------------------------------------------------------

-- Put work for a capability in its queue; the caller rings the kind's bell. Internal. With an idempotency key the same
-- owner, kind and key make one job, and the first one's id is the answer to every repeat.
create function millrace.enqueue_job(p_owner uuid, p_kind text, p_input jsonb, p_idempotency_key text)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    v_id uuid;
begin
    insert into millrace.job (owner_id, kind, input, idempotency_key)
    values (p_owner, p_kind, p_input, p_idempotency_key)
    on conflict (owner_id, kind, idempotency_key) where idempotency_key is not null do nothing
    returning id
    into v_id;
    if v_id is null then
        select j.id
        into v_id
        from millrace.job j
        where j.owner_id = p_owner
            and j.kind = p_kind
            and j.idempotency_key = p_idempotency_key;
    end if;
    return v_id;
end
$$;


-- Claim those of p_ids that may run now, for p_lease seconds. A job whose lease expired on its last attempt is failed
-- here as `worker_lost` (the dead letter), and the run that waits for it is woken. p_claim names this claim: repeated
-- after a lost reply, it claims nothing more and gives the same jobs. Locks: runs, then jobs.
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
    lease_until timestamptz
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
            claim = p_claim
        from claimable c
        where j.id = c.id;
    end if;

    return query
    select
        j.id, j.owner_id, j.input, j.epoch, j.attempts, j.max_attempts, j.idempotency_key, j.execution_id,
        j.node_id::text, j.lease_until
    from millrace.job j
    where j.id = any (p_ids)
        and j.claim = p_claim
        and j.status = 'running'
    order by j.id;
end
$$;


-- End claimed jobs, or put them back for another try: p_ends is [{id, epoch, status: completed | failed | queued,
-- result?, error?, delay?}], delay in seconds with `queued`. Those whose epoch is not the job's are left as they are.
-- Answers {job id: {ended: bool, execution_id?}}; the caller rings the bells of the runs it names. Repeating the call
-- changes nothing and names the same runs. Locks: runs in id order, then jobs in id order.
create function millrace.end_jobs(p_ends jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_end record;
    v_execution uuid;
    v_answers jsonb := '{}';
begin
    perform 1
    from millrace.run r
    where r.execution_id in (
        select j.execution_id
        from jsonb_to_recordset(p_ends) as e (id uuid)
        join millrace.job j on j.id = e.id
    )
    order by r.execution_id
    for update;

    for v_end in
        select e.*
        from jsonb_to_recordset(p_ends) as e (
            id uuid, epoch integer, status text, result jsonb, error jsonb, delay double precision
        )
        order by e.id
    loop
        update millrace.job j
        set status = v_end.status,
            result = v_end.result,
            error = v_end.error,
            lease_until = null,
            due_at = v_now + make_interval(secs => coalesce(v_end.delay, 0)),
            completed_at = case when v_end.status <> 'queued' then v_now end
        where j.id = v_end.id
            and j.epoch = v_end.epoch
            and j.status = 'running'
        returning j.execution_id
        into v_execution;
        if found then
            if v_end.status <> 'queued' and v_execution is not null then
                perform millrace.wake_run(v_execution);
            end if;
            v_answers := v_answers || jsonb_build_object(
                v_end.id::text, jsonb_build_object('ended', true, 'execution_id', v_execution)
            );
        else
            v_answers := v_answers || jsonb_build_object(
                v_end.id::text,
                (
                    select jsonb_build_object(
                        'ended', count(*) filter (where j.status = v_end.status) > 0,
                        'execution_id', max(j.execution_id::text)
                    )
                    from millrace.job j
                    where j.id = v_end.id
                        and j.epoch = v_end.epoch
                )
            );
        end if;
    end loop;
    return v_answers;
end
$$;


-- Extend a claimed job's lease; false when it is no longer this worker's (taken over, or cancelled).
create function millrace.renew_job(p_id uuid, p_epoch integer, p_lease double precision)
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
        returning 1
    )
    select exists (select from renewed)
$$;


-- Jobs that are due and that no worker attends, by kind. A job queued less than p_grace seconds ago has its bell under way.
create function millrace.due_jobs(p_limit integer, p_grace double precision)
returns table (id uuid, kind text)
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now timestamptz := millrace.now();
    v_attended timestamptz := v_now - make_interval(secs => p_grace);
begin
    return query
    (
        select j.id, j.kind
        from millrace.job j
        where j.status = 'queued'
            and j.due_at <= v_attended
        order by j.due_at
        limit p_limit
    )
    union all
    (
        select j.id, j.kind
        from millrace.job j
        where j.status = 'running'
            and j.lease_until < v_now
        limit p_limit
    );
end
$$;


-- Grants: workers may claim, advance and end; nothing else. ------------------------------------------------------------

revoke all on all functions in schema millrace from public;

grant execute on function millrace.claim_runs(uuid[], double precision, uuid[], uuid) to millrace_engine;

grant execute on function millrace.advance(jsonb) to millrace_engine;

grant execute on function millrace.due_runs(integer, double precision, double precision) to millrace_engine;

grant execute on function millrace.claim_jobs(text, uuid[], double precision, uuid) to millrace_engine;

grant execute on function millrace.end_jobs(jsonb) to millrace_engine;

grant execute on function millrace.renew_job(uuid, integer, double precision) to millrace_engine;

grant execute on function millrace.due_jobs(integer, double precision) to millrace_engine;

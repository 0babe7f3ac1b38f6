-- The intake: webhooks, schedules and stored files start runs. Apply before the code.
--
-- Three faces log in as millrace_engine and call what is below, each once for a delivery, a tick or a batch:
--
--     webhook_intake   find_subscription (kept for seconds) -> accept_delivery | record_refusal -> run_answer (?wait=)
--     schedule_tick    due_schedules (with due_runs, due_jobs) -> fire_schedules
--     storage_intake   start_for_objects
--
-- Guarantees. A delivery id starts one run, decided by the key of webhook_dedupe; a schedule's instant fires once,
-- decided by the key of scheduleoccurrence; an object's event starts its workflows once, decided by the key of
-- storage_event_dedupe. Each is decided in the transaction that starts the run, so what was answered is durable and what
-- was not answered may be sent again. A call repeated after a lost reply gives the first call's answer.
--
-- An acceptance never trusts the face's copy of a subscription: it names the revision it was judged by, and a
-- subscription or secret that changed since is answered `stale`, nothing written.
--
-- Lock order: webhook_dedupe, webhook_tally, then what start_run inserts, the ledger, the advisory lock of webhook_wait.
-- Schedules are locked in the order of their ids and passed over when another tick holds them; objects in the order of
-- bucket, key and event.

-- Counts by subscription and minute: refusals, so that a flood writes a bounded number of ledger rows, and acceptances
-- of those subscriptions that have a rate. The nil subscription counts requests to paths that nobody has.
create table millrace.webhook_tally (
    subscription_id uuid not null,
    minute timestamptz not null,
    accepted integer not null default 0,
    refused integer not null default 0,
    primary key (subscription_id, minute)
)
with (fillfactor = 70);

-- Callers that wait for a run's answer (`?wait=`). A row whose time has passed counts for nothing.
create table millrace.webhook_wait (
    delivery_id uuid primary key,
    subscription_id uuid not null,
    until timestamptz not null
);

-- What senders post is kept as they sent it: the default compression (pglz) costs a third of an acceptance. Where the
-- server has lz4, that costs next to nothing.
do $compression$
begin
    alter table public.workflowexecution alter column trigger_data set compression lz4;
exception
    when feature_not_supported then
        alter table public.workflowexecution alter column trigger_data set storage external;
end
$compression$;

create index webhook_wait_subscription on millrace.webhook_wait (subscription_id, until);

alter table millrace.webhook_tally enable row level security;

alter table millrace.webhook_wait enable row level security;

-- The overlap policy looks for the last runs that a schedule started, however many occurrences it skipped since.
create index scheduleoccurrence_started on public.scheduleoccurrence (schedule_id, fire_at) where status = 'started';


-- Webhooks -----------------------------------------------------------------------------------------------------------

-- The subscription at a path, with its sealed secret: the active one, else the one last changed, so that a disabled
-- path can be told from an unknown one. A secret of another owner is no secret. `revision` is what a delivery is judged
-- by: it changes with every write of the subscription or of its secret.
create function millrace.find_subscription(p_path text)
returns table (
    id uuid,
    workflow_id uuid,
    owner_id uuid,
    revision text,
    is_active boolean,
    workflow_is_active boolean,
    scheme text,
    secret_id uuid,
    secret_key_id text,
    secret_nonce bytea,
    secret_ciphertext bytea,
    delivery_id_header text,
    tolerance_seconds integer,
    headers jsonb,
    required_headers jsonb,
    filters jsonb,
    filter_expression text,
    method text
)
language sql
stable
security definer
set search_path = ''
as $$
    select
        s.id,
        s.workflow_id,
        w.owner_id,
        s.xmin::text || '.' || coalesce(k.xmin::text, ''),
        s.is_active,
        w.is_active,
        s.scheme,
        k.id,
        k.key_id,
        k.nonce,
        k.ciphertext,
        s.delivery_id_header,
        s.tolerance_seconds,
        s.headers,
        s.required_headers,
        s.filters,
        s.filter_expression,
        upper(coalesce(w.trigger_config ->> 'webhook_method', w.trigger_config ->> 'method'))
    from public.workflowwebhooksubscription s
    join public.workflow w on w.id = s.workflow_id
    left join public.secret k on k.id = s.secret_id and k.owner_id = w.owner_id
    where s.webhook_path = p_path
    order by s.is_active desc, s.updated_at desc
    limit 1
$$;


-- Count refusals of this minute; true while their ledger rows are within p_bound. Internal.
create function millrace.count_refusals(p_subscription uuid, p_refused integer, p_bound integer)
returns boolean
language sql
set search_path = ''
as $$
    insert into millrace.webhook_tally as t (subscription_id, minute, refused)
    values (p_subscription, date_trunc('minute', millrace.now()), p_refused)
    on conflict (subscription_id, minute) do update
    set refused = t.refused + excluded.refused
    returning t.refused <= p_bound
$$;


-- Accept one delivery: its run, its ledger row and, when it has an id, its dedupe row; or why not. One transaction.
--
-- p_id is the ledger row's id, made by the face: when the same call comes again after a lost reply, its key refuses the
-- second (unique_violation, all undone), and recall_delivery tells what the first gave. p_revision is the one that the
-- subscription was judged by. p_wait is for how many seconds the caller would wait, p_waiters how many may by default,
-- p_bound how many refusals are written per minute.
-- Outcome: accepted | duplicate (with the first run's id) | disabled | limited (over its rate; see retry_after) |
--          stale (nothing was judged or written: look the subscription up again).
create function millrace.accept_delivery(
    p_id uuid,
    p_subscription uuid,
    p_revision text,
    p_delivery_id text,
    p_trigger jsonb,
    p_bytes integer,
    p_source_ip text,
    p_content_type text,
    p_wait double precision,
    p_waiters integer,
    p_bound integer,
    out outcome text,
    out execution_id uuid,
    out may_wait boolean,
    out retry_after integer
)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := millrace.now();
    v_workflow uuid;
    v_owner uuid;
    v_active boolean;
    v_workflow_active boolean;
    v_rate integer;
    v_waiters integer;
    v_revision text;
    v_reason text;
begin
    select
        s.workflow_id,
        w.owner_id,
        s.is_active,
        w.is_active,
        s.rate_per_minute,
        coalesce(s.wait_limit, p_waiters),
        s.xmin::text || '.' || coalesce(k.xmin::text, '')
    into v_workflow, v_owner, v_active, v_workflow_active, v_rate, v_waiters, v_revision
    from public.workflowwebhooksubscription s
    join public.workflow w on w.id = s.workflow_id
    left join public.secret k on k.id = s.secret_id and k.owner_id = w.owner_id
    where s.id = p_subscription;

    may_wait := false;
    outcome := case
        when v_revision is distinct from p_revision then 'stale'
        when v_active and v_workflow_active then 'accepted'
        else 'disabled'
    end;
    if outcome = 'stale' then
        return;
    end if;
    if outcome = 'disabled' then
        v_reason := case when v_active then 'the workflow is disabled' else 'the subscription is disabled' end;
    end if;

    -- The key decides: a second delivery with this id waits here for the first, then finds its run.
    if outcome = 'accepted' and p_delivery_id is not null then
        insert into millrace.webhook_dedupe (subscription_id, delivery_id, received_at)
        values (p_subscription, p_delivery_id, v_now)
        on conflict (subscription_id, delivery_id) do nothing;
        if not found then
            outcome := 'duplicate';
            select d.execution_id
            into execution_id
            from millrace.webhook_dedupe d
            where d.subscription_id = p_subscription
                and d.delivery_id = p_delivery_id;
        end if;
    end if;

    if outcome = 'accepted' and v_rate is not null then
        insert into millrace.webhook_tally as t (subscription_id, minute, accepted)
        values (p_subscription, date_trunc('minute', v_now), 1)
        on conflict (subscription_id, minute) do update
        set accepted = t.accepted + 1
        where t.accepted < v_rate;
        if not found then
            outcome := 'limited';
            v_reason := 'over ' || v_rate || ' deliveries per minute';
            retry_after := ceil(
                extract(epoch from date_trunc('minute', v_now) + interval '1 minute' - v_now)
            )::integer;
            delete from millrace.webhook_dedupe d
            where d.subscription_id = p_subscription
                and d.delivery_id = p_delivery_id;
        end if;
    end if;

    if outcome = 'accepted' then
        execution_id := millrace.start_run(v_workflow, v_owner, 'webhook', p_trigger);
        if p_delivery_id is not null then
            update millrace.webhook_dedupe d
            set execution_id = accept_delivery.execution_id
            where d.subscription_id = p_subscription
                and d.delivery_id = p_delivery_id;
        end if;
    end if;

    if outcome in ('accepted', 'duplicate') or millrace.count_refusals(p_subscription, 1, p_bound) then
        insert into public.webhookdelivery (
            id, owner_id, subscription_id, received_at, verdict, reason, delivery_id, execution_id, bytes, source_ip,
            content_type
        )
        values (
            p_id, v_owner, p_subscription, v_now, case outcome when 'limited' then 'refused' else outcome end, v_reason,
            p_delivery_id, accept_delivery.execution_id, p_bytes, p_source_ip, p_content_type
        );
    end if;

    if p_wait > 0 and outcome in ('accepted', 'duplicate') then
        perform pg_advisory_xact_lock(hashtext('millrace.webhook_wait'), hashtext(p_subscription::text));
        delete from millrace.webhook_wait t
        where t.subscription_id = p_subscription
            and t.until < v_now;
        insert into millrace.webhook_wait (delivery_id, subscription_id, until)
        select p_id, p_subscription, v_now + make_interval(secs => p_wait)
        where v_waiters > (
            select count(*)
            from millrace.webhook_wait t
            where t.subscription_id = p_subscription
        );
        may_wait := found;
    end if;
end
$$;


-- What accept_delivery gave for this ledger row, for a call whose reply was lost.
create function millrace.recall_delivery(p_id uuid)
returns table (outcome text, execution_id uuid, may_wait boolean, retry_after integer)
language sql
stable
security definer
set search_path = ''
as $$
    select
        case d.verdict when 'refused' then 'limited' else d.verdict end,
        d.execution_id,
        exists (select from millrace.webhook_wait t where t.delivery_id = d.id),
        60
    from public.webhookdelivery d
    where d.id = p_id
$$;


-- Write down a delivery that starts nothing: filtered, or refused, disabled or failed, of which p_bound are written per
-- subscription and minute. p_unrecorded is how many more were refused since without a call. False when it was over the
-- bound and only counted.
create function millrace.record_refusal(
    p_id uuid,
    p_subscription uuid,
    p_verdict text,
    p_reason text,
    p_delivery_id text,
    p_bytes integer,
    p_source_ip text,
    p_content_type text,
    p_bound integer,
    p_unrecorded integer
)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
    if p_verdict <> 'filtered' and not millrace.count_refusals(p_subscription, 1 + p_unrecorded, p_bound) then
        return false;
    end if;
    insert into public.webhookdelivery (
        id, owner_id, subscription_id, received_at, verdict, reason, delivery_id, bytes, source_ip, content_type
    )
    select
        p_id, w.owner_id, s.id, millrace.now(), p_verdict, p_reason, p_delivery_id, p_bytes, p_source_ip, p_content_type
    from public.workflowwebhooksubscription s
    join public.workflow w on w.id = s.workflow_id
    where s.id = p_subscription
    on conflict (id) do nothing;
    return true;
end
$$;


-- Count requests to paths that nobody has, under the nil subscription. No row is written for any of them.
create function millrace.count_unknown(p_requests integer)
returns void
language sql
security definer
set search_path = ''
as $$
    select millrace.count_refusals('00000000-0000-0000-0000-000000000000', p_requests, 0)
$$;


-- What a waiting caller may be told by now. One read by key; the caller's place is given back with the last read, or as
-- soon as the run responded or ended.
create function millrace.run_answer(p_execution uuid, p_delivery uuid, p_last boolean)
returns table (status text, response jsonb, output jsonb, error_message text)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_run record;
begin
    select e.status::text as status, e.response, e.output, e.error_message::text as error_message
    into v_run
    from public.workflowexecution e
    where e.id = p_execution;
    if p_last
        or v_run.response is not null
        or v_run.status is null
        or v_run.status in ('completed', 'failed', 'cancelled', 'timed_out')
    then
        delete from millrace.webhook_wait t
        where t.delivery_id = p_delivery;
    end if;
    if v_run.status is not null then
        return query select v_run.status, v_run.response, v_run.output, v_run.error_message;
    end if;
end
$$;


-- Schedules ----------------------------------------------------------------------------------------------------------

-- By how many seconds a schedule starts later than its instant: its own share of its jitter, always the same, so that a
-- thousand hourly schedules do not start in the same second. Internal.
create function millrace.schedule_offset(p_schedule uuid, p_jitter integer)
returns integer
language sql
immutable
set search_path = ''
as $$
    select (('x' || left(md5(p_schedule::text), 8))::bit(32)::bigint % (p_jitter + 1))::integer
$$;


-- Schedules that are due, or that have no next instant yet; not those that another tick is firing at this moment.
create function millrace.due_schedules(p_limit integer)
returns table (
    id uuid,
    cron_expression text,
    timezone text,
    next_run_at timestamptz,
    missed_policy text,
    missed_cap integer,
    offset_seconds integer,
    now timestamptz
)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := millrace.now();
begin
    return query
    select
        s.id,
        s.cron_expression::text,
        s.timezone,
        s.next_run_at at time zone 'utc',
        s.missed_policy,
        s.missed_cap,
        millrace.schedule_offset(s.id, s.jitter_seconds),
        v_now
    from public.workflowschedule s
    where s.is_active
        and (
            s.next_run_at is null
            or (
                s.next_run_at <= v_now at time zone 'utc'
                and s.next_run_at + make_interval(secs => millrace.schedule_offset(s.id, s.jitter_seconds))
                    <= v_now at time zone 'utc'
            )
        )
    order by s.next_run_at nulls first, s.id
    limit p_limit
    for update skip locked;
end
$$;


-- Fire schedules as planned, all in one transaction, each on its own: what one of them raises is written down as its
-- failed occurrence and the others go on.
--
-- p_plans: [{schedule, seen, next_run_at, occurrences: [{fire_at, status, reason}]}], seen being the next_run_at that the
-- plan was made from (null: none yet). A schedule that changed since, or that another tick holds, is passed over.
-- Answers every occurrence written, with its run if it started one; the caller rings for those.
create function millrace.fire_schedules(p_plans jsonb)
returns table (schedule_id uuid, fire_at timestamptz, status text, reason text, execution_id uuid)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_plan record;
    v_schedule record;
    v_occurrence record;
    v_status text;
    v_reason text;
    v_run uuid;
    v_last timestamptz;
begin
    for v_plan in
        select p.schedule, p.seen, p.next_run_at, p.occurrences
        from jsonb_to_recordset(p_plans) as p (
            schedule uuid, seen timestamptz, next_run_at timestamptz, occurrences jsonb
        )
        order by p.schedule
    loop
        select s.id, s.workflow_id, s.cron_expression, s.timezone, s.name, s.input, s.overlap_policy, w.owner_id, w.is_active
        into v_schedule
        from public.workflowschedule s
        join public.workflow w on w.id = s.workflow_id
        where s.id = v_plan.schedule
            and s.is_active
            and s.next_run_at is not distinct from v_plan.seen at time zone 'utc'
        for update of s skip locked;
        continue when not found;
        v_last := null;

        for v_occurrence in
            select o.fire_at, o.status, o.reason
            from jsonb_to_recordset(v_plan.occurrences) as o (fire_at timestamptz, status text, reason text)
            order by o.fire_at
        loop
            v_status := v_occurrence.status;
            v_reason := v_occurrence.reason;
            v_run := null;
            if v_status = 'started' and not v_schedule.is_active then
                v_status := 'skipped';
                v_reason := 'the workflow is disabled';
            elsif v_status = 'started'
                and v_schedule.overlap_policy = 'skip'
                and millrace.schedule_is_running(v_schedule.id)
            then
                v_status := 'skipped';
                v_reason := 'the run before it has not ended';
            end if;
            insert into public.scheduleoccurrence (schedule_id, fire_at, owner_id, status, reason, created_at)
            values (v_schedule.id, v_occurrence.fire_at, v_schedule.owner_id, v_status, v_reason, millrace.now())
            on conflict (schedule_id, fire_at) do nothing;
            continue when not found;
            if v_status = 'started' then
                begin
                    v_run := millrace.start_run(
                        v_schedule.workflow_id,
                        v_schedule.owner_id,
                        'schedule',
                        jsonb_build_object(
                            'trigger_type', 'schedule',
                            'schedule_id', v_schedule.id,
                            'name', v_schedule.name,
                            'cron_expression', v_schedule.cron_expression,
                            'timezone', v_schedule.timezone,
                            'timestamp', v_occurrence.fire_at,
                            'payload', case
                                -- the user's own, though it looks like a reference to a stored value
                                when v_schedule.input ? '$payload' then
                                    jsonb_build_object('$payload', jsonb_build_object('value', v_schedule.input))
                                else v_schedule.input
                            end
                        )
                    );
                    v_last := v_occurrence.fire_at;
                exception
                    when others then
                        if millrace.is_passing(sqlstate) then
                            raise;
                        end if;
                        v_status := 'failed';
                        v_reason := sqlerrm;
                end;
                update public.scheduleoccurrence o
                set status = v_status,
                    reason = v_reason,
                    execution_id = v_run
                where o.schedule_id = v_schedule.id
                    and o.fire_at = v_occurrence.fire_at;
            end if;
            return query select v_schedule.id, v_occurrence.fire_at, v_status, v_reason, v_run;
        end loop;

        update public.workflowschedule s
        set next_run_at = v_plan.next_run_at at time zone 'utc',
            last_run_at = coalesce(v_last at time zone 'utc', s.last_run_at)
        where s.id = v_schedule.id;
    end loop;
end
$$;


-- Whether one of the last runs that a schedule started has not ended. Internal.
create function millrace.schedule_is_running(p_schedule uuid)
returns boolean
language sql
stable
set search_path = ''
as $$
    select exists (
        select
        from (
            select o.execution_id
            from public.scheduleoccurrence o
            where o.schedule_id = p_schedule
                and o.status = 'started'
            order by o.fire_at desc
            limit 20
        ) as latest
        join millrace.run r on r.execution_id = latest.execution_id
    )
$$;


-- Whether an error says that the server is in trouble, not the row: to be raised, so that all is tried again later.
-- Classes: transaction rollback, out of resources, operator intervention, system error, internal error.
create function millrace.is_passing(p_sqlstate text)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select left(p_sqlstate, 2) in ('40', '53', '57', '58', 'XX')
$$;


-- Stored files -------------------------------------------------------------------------------------------------------

-- Start the workflows that wait for these objects, all in one transaction, each object on its own.
--
-- p_objects: [{message, owner, bucket, key, sequencer, trigger}], owner being the first part of the key when it is an id,
-- sequencer the event's, or the object's entity tag, trigger the run's trigger data. A trigger hears only of objects in its
-- owner's folder: key = <owner>/<prefix>...<suffix>. An object's event that was here before starts nothing.
-- Answers one row for each run started, and one with a failure for each object that could not be handled.
create function millrace.start_for_objects(p_objects jsonb)
returns table (message text, execution_id uuid, failure text)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_object record;
    v_trigger record;
    v_runs uuid[];
begin
    for v_object in
        select o.message, o.owner, o.bucket, o.key, o.sequencer, o.trigger
        from jsonb_to_recordset(p_objects) as o (
            message text, owner uuid, bucket text, key text, sequencer text, trigger jsonb
        )
        order by o.bucket, o.key, o.sequencer
    loop
        v_runs := '{}';
        begin
            insert into millrace.storage_event_dedupe (bucket, key, sequencer, received_at)
            values (v_object.bucket, v_object.key, v_object.sequencer, millrace.now())
            on conflict (bucket, key, sequencer) do nothing;
            continue when not found;
            for v_trigger in
                select t.id, t.workflow_id, t.owner_id
                from public.storagetrigger t
                join public.workflow w on w.id = t.workflow_id and w.owner_id = t.owner_id
                where t.owner_id = v_object.owner
                    and t.bucket = v_object.bucket
                    and t.is_active
                    and w.is_active
                    and w.version_id is not null
                    and starts_with(v_object.key, t.owner_id::text || '/' || t.prefix)
                    and right(v_object.key, length(t.suffix)) = t.suffix
                order by t.id
            loop
                v_runs := v_runs || millrace.start_run(
                    v_trigger.workflow_id,
                    v_trigger.owner_id,
                    'storage',
                    v_object.trigger || jsonb_build_object('storage_trigger_id', v_trigger.id)
                );
            end loop;
        exception
            when others then
                if millrace.is_passing(sqlstate) then
                    raise;
                end if;
                return query select v_object.message, null::uuid, sqlerrm;
                continue;
        end;
        return query select v_object.message, r.id, null::text from unnest(v_runs) as r (id);
    end loop;
end
$$;


-- Housekeeping -------------------------------------------------------------------------------------------------------

-- Forget counts of yesterday, callers that left, and ids older than anyone would send again (30 days).
create function millrace.sweep_intake()
returns void
language sql
security definer
set search_path = ''
as $$
    delete from millrace.webhook_tally t
    where t.minute < (select millrace.now() - interval '1 day');
    delete from millrace.webhook_wait t
    where t.until < (select millrace.now());
    delete from millrace.webhook_dedupe d
    where d.received_at < (select millrace.now() - interval '30 days');
    delete from millrace.storage_event_dedupe d
    where d.received_at < (select millrace.now() - interval '30 days');
$$;

-- The least id that millrace.uuid7() makes at this time: what is older has a smaller one, and needs no index of its own.
create function millrace.uuid7_floor(p_at timestamptz)
returns uuid
language sql
immutable
set search_path = ''
as $$
    select (lpad(to_hex((extract(epoch from p_at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Delete up to p_limit deliveries older than p_days days from the ledger; how many it were.
create function millrace.sweep_deliveries(p_days integer, p_limit integer)
returns integer
language sql
security definer
set search_path = ''
as $$
    with old as (
        select d.id
        from public.webhookdelivery d
        where d.id < (select millrace.uuid7_floor(millrace.now() - make_interval(days => p_days)))
            and d.received_at < (select millrace.now() - make_interval(days => p_days))
        order by d.id
        limit p_limit
    ),
    gone as (
        delete from public.webhookdelivery d
        using old
        where d.id = old.id
        returning 1
    )
    select count(*)::integer from gone
$$;

-- Delete up to p_limit runs that ended more than p_days days ago, with their steps, logs and jobs; how many it were. With
-- p_days 0 runs are kept. Runs from before this system have ids without time, and are kept too.
create function millrace.sweep_runs(p_days integer, p_limit integer)
returns integer
language sql
security definer
set search_path = ''
as $$
    with old as (
        select e.id
        from public.workflowexecution e
        where p_days > 0
            and e.id < (select millrace.uuid7_floor(millrace.now() - make_interval(days => p_days)))
            and e.status in ('completed', 'failed', 'cancelled', 'timed_out')
            and e.completed_at < (select (millrace.now() - make_interval(days => p_days)) at time zone 'utc')
        order by e.id
        limit p_limit
        for update skip locked
    ),
    gone as (
        delete from public.workflowexecution e
        using old
        where e.id = old.id
        returning 1
    )
    select count(*)::integer from gone
$$;


-- Grants: the intake's faces may call these and nothing beneath them. ----------------------------------------------------

grant execute on function millrace.find_subscription(text) to millrace_engine;

grant execute on function millrace.accept_delivery(
    uuid, uuid, text, text, jsonb, integer, text, text, double precision, integer, integer
) to millrace_engine;

grant execute on function millrace.recall_delivery(uuid) to millrace_engine;

grant execute on function millrace.record_refusal(
    uuid, uuid, text, text, text, integer, text, text, integer, integer
) to millrace_engine;

grant execute on function millrace.count_unknown(integer) to millrace_engine;

grant execute on function millrace.run_answer(uuid, uuid, boolean) to millrace_engine;

grant execute on function millrace.due_schedules(integer) to millrace_engine;

grant execute on function millrace.fire_schedules(jsonb) to millrace_engine;

grant execute on function millrace.start_for_objects(jsonb) to millrace_engine;

grant execute on function millrace.sweep_intake() to millrace_engine;

grant execute on function millrace.sweep_deliveries(integer, integer) to millrace_engine;

grant execute on function millrace.sweep_runs(integer, integer) to millrace_engine;

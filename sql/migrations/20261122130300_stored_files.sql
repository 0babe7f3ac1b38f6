-- Stored files: triggers with filters and for deletions, jobs of their own, one road for S3 and Supabase. Apply before the
-- code; between the two, storage_intake and (on Supabase) the tick fail for stored files only, and all of it comes again.
--
--     S3 -> queue ------------------------------------------------------> storage_intake -> start_for_objects
--     storage.objects -> note_stored -> storage_event -> tick -> queue -> storage_intake -> take_storage_events
--                                                                                        -> start_for_objects
--
-- A trigger chooses by bucket, prefix, suffix, by whether it hears of objects that came to be or that went, and by a CEL
-- expression. CEL is not spoken here: an object with a trigger whose expression was not judged yet is given back, nothing
-- written for it, and comes again in a second call with the verdicts. A verdict names the expression that it is of, so a
-- trigger that was changed in between is judged anew.
--
-- Guarantees. An object's event starts its workflows and its job once, all in one transaction, decided by the key of
-- storage_event_dedupe, which is written by that transaction: whoever dies before it has done nothing, and the event
-- comes again (the queue's message, or the row of storage_event). An event that starts nothing leaves nothing. An object
-- that fails does so alone; a trigger whose expression fails does not fire and says so in last_error, the others do.
--
-- Lock order: storage.objects (Supabase's), storage_event in the order of id, then objects in the order of bucket, key and
-- event: storage_event_dedupe, what start_run inserts, job; last the rows of storagetrigger in the order of id.

-- Triggers -----------------------------------------------------------------------------------------------------------

alter table public.storagetrigger
    add column filter_expression text,
    add column events text not null default 'created' check (events in ('created', 'removed', 'both')),
    add column last_error text,
    add column last_error_at timestamptz;

comment on column public.storagetrigger.filter_expression is 'CEL over trigger, as the run would see it; true: start';
comment on column public.storagetrigger.last_error is 'why the filter last had no answer, so that nothing was started';


-- A new trigger; an owner has at most p_most for one bucket. Two at once may make one more: the bound is for the work of
-- one event, not for bookkeeping.
drop function millrace.create_storage_trigger(uuid, uuid, jsonb);

create function millrace.create_storage_trigger(p_id uuid, p_workflow uuid, p_new jsonb, p_most integer default 100)
returns setof public.storagetrigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_workflow(p_workflow);
begin
    if p_most <= (
        select count(*)
        from public.storagetrigger t
        where t.owner_id = v_owner
            and t.bucket = p_new ->> 'bucket'
            and t.id <> p_id
    ) then
        raise exception 'You have % storage triggers for this bucket already, which is the most.', p_most
            using errcode = 'MR409', hint = 'Delete one, or let one workflow choose by the key.';
    end if;
    insert into public.storagetrigger (
        id, owner_id, workflow_id, bucket, prefix, suffix, filter_expression, events, is_active, created_at
    )
    values (
        p_id, v_owner, p_workflow, p_new ->> 'bucket', p_new ->> 'prefix', p_new ->> 'suffix',
        p_new ->> 'filter_expression', coalesce(p_new ->> 'events', 'created'), (p_new ->> 'is_active')::boolean,
        millrace.now()
    )
    on conflict (id) do nothing;
    return query select t.* from public.storagetrigger t where t.id = p_id and t.owner_id = v_owner;
end
$$;


-- Change what p_changes names. Another filter begins without the old one's error.
create or replace function millrace.update_storage_trigger(p_id uuid, p_changes jsonb)
returns setof public.storagetrigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    return query
    update public.storagetrigger t
    set prefix = coalesce(p_changes ->> 'prefix', t.prefix),
        suffix = coalesce(p_changes ->> 'suffix', t.suffix),
        filter_expression = case
            when p_changes ? 'filter_expression' then p_changes ->> 'filter_expression'
            else t.filter_expression
        end,
        events = coalesce(p_changes ->> 'events', t.events),
        is_active = coalesce((p_changes ->> 'is_active')::boolean, t.is_active),
        last_error = case when not p_changes ? 'filter_expression' then t.last_error end,
        last_error_at = case when not p_changes ? 'filter_expression' then t.last_error_at end
    where t.id = p_id
        and t.owner_id = v_owner
    returning t.*;
    if not found then
        raise exception 'There is no such storage trigger, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Events -------------------------------------------------------------------------------------------------------------

drop function millrace.start_for_storage_events(jsonb);

drop function millrace.due_storage_events(integer);

drop function millrace.start_for_objects(jsonb);

alter table millrace.storage_event add column rung_at timestamptz;

comment on column millrace.storage_event.rung_at is 'when storage_intake was last rung for it, or took it';


-- Whether an object is the system's own, about which nobody is told: a large value that a row refers to
-- (shared.payloads), an upload that was not looked at yet (it is heard of when it is moved to its place), and what a run
-- of code left, lest a workflow starts itself (functions/code_exec keeps it as <owner>/<run>/<name>).
create function millrace.is_own_object(p_bucket text, p_key text)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select case p_bucket
        when 'workflow-attachments' then p_key ~ '^[0-9a-f-]{36}/payloads/[0-9a-f]{64}$'
        when 'user-uploads' then starts_with(p_key, 'incoming/')
        when 'code-executions' then p_key ~ '^[0-9a-f-]{36}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/'
        else false
    end
$$;


-- Trigger on storage.objects: writes down what was stored and what was removed, in the transaction that does it. An object
-- counts as stored when it has metadata. What is removed or renamed is forgotten under its old name, if nobody has heard of
-- it yet, and told as removed.
create or replace function millrace.note_stored()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and (old.bucket_id, old.name) is distinct from (new.bucket_id, new.name)) then
        delete from millrace.storage_event e
        where e.bucket = old.bucket_id
            and e.name = old.name
            and e.event like 'ObjectCreated:%';
        if old.metadata is not null and not millrace.is_own_object(old.bucket_id, old.name) then
            insert into millrace.storage_event (bucket, name, sequencer, event)
            values (
                old.bucket_id,
                old.name,
                'removed ' || gen_random_uuid(),
                'ObjectRemoved:Delete'
            );
        end if;
    end if;
    if tg_op = 'DELETE' or new.metadata is null or millrace.is_own_object(new.bucket_id, new.name) then
        return null;
    end if;
    insert into millrace.storage_event (bucket, name, sequencer, size, etag, event)
    values (
        new.bucket_id,
        new.name,
        coalesce(new.version, new.metadata ->> 'eTag', new.id::text),
        case when jsonb_typeof(new.metadata -> 'size') = 'number' then trunc((new.metadata ->> 'size')::numeric)::bigint end,
        btrim(new.metadata ->> 'eTag', '"'),
        case when tg_op = 'UPDATE' and old.name is distinct from new.name then 'ObjectCreated:Copy' else 'ObjectCreated:Put' end
    )
    on conflict (bucket, name, sequencer) do nothing;
    return null;
end
$$;


-- The oldest events that are due and for which nobody was rung in the last five minutes; the caller rings for them. A bell
-- that is lost, and a worker that is, cost those minutes.
create function millrace.due_storage_events(p_limit integer)
returns table (id bigint)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    -- In a variable, for the index to be read up to it.
    v_now timestamptz := millrace.now();
begin
    return query
    with due as materialized (
        select e.id
        from millrace.storage_event e
        where e.due_at <= v_now
            and (e.rung_at is null or e.rung_at <= v_now - interval '5 minutes')
        order by e.due_at, e.id
        limit p_limit
        for update skip locked
    )
    update millrace.storage_event e
    set rung_at = v_now
    from due d
    where e.id = d.id
    returning e.id;
end
$$;


-- Take those of these events that are due, to be handed to start_for_objects: each taking is an attempt, and one that was
-- taken five times without an end is given up. The caller tells each object's key from its name
-- (shared.storage.names.key_of).
create function millrace.take_storage_events(p_ids bigint[])
returns table (
    id bigint,
    bucket text,
    name text,
    sequencer text,
    size bigint,
    etag text,
    event text,
    stored_at timestamptz
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
    with due as materialized (
        select e.id
        from millrace.storage_event e
        where e.id = any (p_ids)
            and e.due_at <= v_now
        order by e.id
        for update skip locked
    ),
    taken as (
        update millrace.storage_event e
        set attempts = least(e.attempts + 1, 5),
            rung_at = v_now,
            due_at = case when e.attempts < 5 then e.due_at end,
            failure = case
                when e.attempts < 5 then e.failure
                else coalesce(e.failure, 'Its worker was lost in each of five attempts.')
            end
        from due d
        where e.id = d.id
        returning e.*
    )
    select t.id, t.bucket, t.name, t.sequencer, t.size, t.etag, t.event, t.stored_at
    from taken t
    where t.due_at is not null
    order by t.id;
end
$$;


-- Start the workflows that wait for these objects, and make the jobs that their buckets make; all in one transaction, each
-- object on its own.
--
-- p_objects: [{number, owner, bucket, key, sequencer, removed, trigger, event?, verdicts?}], number being the caller's,
-- owner the first part of the key when it is an id, sequencer what tells two events of one key apart, removed whether the
-- object is gone, trigger the run's trigger data, event the row of storage_event that tells of it, verdicts
-- {trigger's id: {expression, holds, error}}. p_jobs: {bucket: kind} of the jobs that a new object makes.
--
-- A trigger hears only of objects in its owner's folder: key = <owner>/<prefix>...<suffix>. An object's event that was here
-- before starts nothing, and one whose row of storage_event is gone or held neither.
--
-- Answers rows of (number, outcome, id, detail):
--     run      id is the run's; the caller rings for it
--     job      id is the job's, detail its kind; the caller rings for it
--     judge    id is a trigger's, detail its expression: nothing was written for the object; call again with verdicts
--     failed   detail is why: nothing was written for the object
create function millrace.start_for_objects(p_objects jsonb, p_jobs jsonb)
returns table (number integer, outcome text, id uuid, detail text)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := millrace.now();
    v_events bigint[];
    v_failed jsonb := '{}'; -- failures by event
    v_open bigint[] := '{}'; -- events whose object waits for verdicts
    v_errors jsonb := '[]'; -- of filters: [{id, error}]
    v_object record;
    v_trigger record;
    v_triggers jsonb;
    v_kind text;
    v_job uuid;
    v_runs uuid[];
begin
    select array_agg(held.id)
    into v_events
    from (
        select e.id
        from millrace.storage_event e
        where e.id in (select o.event from jsonb_to_recordset(p_objects) as o (event bigint))
            and e.due_at is not null
        order by e.id
        for update skip locked
    ) held;

    for v_object in
        select o.*
        from jsonb_to_recordset(p_objects) as o (
            number integer, owner uuid, bucket text, key text, sequencer text, removed boolean, trigger jsonb, event bigint,
            verdicts jsonb
        )
        where o.event is null
            or o.event = any (v_events)
        order by o.bucket, o.key, o.sequencer
    loop
        select jsonb_agg(
            jsonb_build_object(
                'id', t.id,
                'workflow', t.workflow_id,
                'expression', t.filter_expression,
                'judged', t.filter_expression is null or coalesce(v.verdict ->> 'expression' = t.filter_expression, false),
                'holds', t.filter_expression is null or coalesce((v.verdict ->> 'holds')::boolean, false),
                'error', case when t.filter_expression is not null then v.verdict ->> 'error' end
            )
            order by t.id
        )
        into v_triggers
        from public.storagetrigger t
        join public.workflow w on w.id = t.workflow_id and w.owner_id = t.owner_id
        cross join lateral (select v_object.verdicts -> t.id::text as verdict) v
        where t.owner_id = v_object.owner
            and t.bucket = v_object.bucket
            and t.is_active
            and t.events in ('both', case when v_object.removed then 'removed' else 'created' end)
            and w.is_active
            and w.version_id is not null
            and starts_with(v_object.key, t.owner_id::text || '/' || t.prefix)
            and right(v_object.key, length(t.suffix)) = t.suffix;
        v_kind := (
            select p_jobs ->> v_object.bucket
            from public."user" u
            where u.id = v_object.owner
                and not v_object.removed
        );
        continue when v_triggers is null and v_kind is null;
        continue when exists (
            select
            from millrace.storage_event_dedupe d
            where d.bucket = v_object.bucket
                and d.key = v_object.key
                and d.sequencer = v_object.sequencer
        );

        return query
        select v_object.number, 'judge', (t.value ->> 'id')::uuid, t.value ->> 'expression'
        from jsonb_array_elements(v_triggers) as t (value)
        where not (t.value ->> 'judged')::boolean;
        if found then
            if v_object.event is not null then
                v_open := v_open || v_object.event;
            end if;
            continue;
        end if;

        v_runs := '{}';
        v_job := null;
        begin
            insert into millrace.storage_event_dedupe (bucket, key, sequencer, received_at)
            values (v_object.bucket, v_object.key, v_object.sequencer, v_now)
            on conflict (bucket, key, sequencer) do nothing;
            continue when not found;
            for v_trigger in
                select t.id, t.workflow
                from jsonb_to_recordset(v_triggers) as t (id uuid, workflow uuid, holds boolean)
                where t.holds
                order by t.id
            loop
                v_runs := v_runs || millrace.start_run(
                    v_trigger.workflow,
                    v_object.owner,
                    'storage',
                    v_object.trigger || jsonb_build_object('storage_trigger_id', v_trigger.id)
                );
            end loop;
            if v_kind is not null then
                v_job := millrace.enqueue_job(
                    v_object.owner,
                    v_kind,
                    jsonb_build_object(
                        'document', jsonb_build_object('bucket', v_object.bucket, 'key', v_object.key)
                    ),
                    millrace.object_key(v_object.bucket, v_object.key, v_object.sequencer)
                );
            end if;
        exception
            when others then
                if millrace.is_passing(sqlstate) then
                    raise;
                end if;
                v_failed := v_failed || jsonb_build_object(coalesce(v_object.event::text, ''), sqlerrm);
                return query select v_object.number, 'failed', null::uuid, sqlerrm;
                continue;
        end;
        v_errors := v_errors || coalesce(jsonb_path_query_array(v_triggers, '$[*] ? (@.error != null)'), '[]');
        return query select v_object.number, 'run', r.id, null::text from unnest(v_runs) as r (id);
        if v_job is not null then
            return query select v_object.number, 'job', v_job, v_kind;
        end if;
    end loop;

    update millrace.storage_event e
    set failure = v_failed ->> e.id::text,
        rung_at = null,
        due_at = case when e.attempts < 5 then v_now + interval '1 minute' * 8 ^ greatest(e.attempts - 1, 0) end
    where e.id = any (v_events)
        and v_failed ? e.id::text;
    delete from millrace.storage_event e
    where e.id = any (v_events)
        and not v_failed ? e.id::text
        and not e.id = any (v_open);
    perform millrace.tell_filter_errors(v_errors);
end
$$;


-- The idempotency key of the job that an object's event makes. Internal.
create function millrace.object_key(p_bucket text, p_key text, p_sequencer text)
returns text
language sql
immutable
set search_path = ''
as $$
    select case
        when length(named.key) <= 200 then named.key
        else 'object/' || encode(sha256(convert_to(named.key, 'UTF8')), 'hex')
    end
    from (select 'object/' || p_bucket || '/' || p_key || '/' || p_sequencer as key) named
$$;


-- Tell the owners of these triggers ([{id, error}]) why their filters had no answer, each at most once a minute. Internal.
create function millrace.tell_filter_errors(p_errors jsonb)
returns void
language sql
set search_path = ''
as $$
    with told as materialized (
        select t.id
        from public.storagetrigger t
        where t.id in (select e.id from jsonb_to_recordset(p_errors) as e (id uuid))
            and (t.last_error_at is null or t.last_error_at <= (select millrace.now() - interval '1 minute'))
        order by t.id
        for no key update
    )
    update public.storagetrigger t
    set last_error = left(e.error, 1000),
        last_error_at = millrace.now()
    from told
    join (
        select f.id, max(f.error) as error
        from jsonb_to_recordset(p_errors) as f (id uuid, error text)
        group by f.id
    ) e on e.id = told.id
    where t.id = told.id
$$;


-- Grants ---------------------------------------------------------------------------------------------------------------

revoke all on function
    millrace.create_storage_trigger(uuid, uuid, jsonb, integer),
    millrace.is_own_object(text, text),
    millrace.due_storage_events(integer),
    millrace.take_storage_events(bigint[]),
    millrace.start_for_objects(jsonb, jsonb),
    millrace.object_key(text, text, text),
    millrace.tell_filter_errors(jsonb)
from public;

grant execute on function millrace.create_storage_trigger(uuid, uuid, jsonb, integer) to millrace_api;

grant execute on function
    millrace.due_storage_events(integer),
    millrace.take_storage_events(bigint[]),
    millrace.start_for_objects(jsonb, jsonb)
to millrace_engine;

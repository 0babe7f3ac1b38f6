-- Stored files on Supabase Storage: the events, written in the transaction that stores the object. Apply before the code.
--
-- Supabase's Storage keeps a row of storage.objects for each object. `millrace provision` puts three triggers on that
-- table (the schema belongs to supabase_storage_admin and is not there on a plain Postgres, so no migration may); they
-- call note_stored, which writes millrace.storage_event. The tick drains it:
--
--     storage.objects -> note_stored -> storage_event -> due_storage_events -> start_for_storage_events -> the runs' bells
--
-- Guarantees. An event exists if and only if its object was stored: they commit together. One version of an object is
-- one event, however often its row is written, and starts its workflows once: start_for_storage_events calls what
-- storage_intake calls (start_for_objects), and deletes the event in the transaction that starts the runs. An object that is deleted or
-- renamed before that starts nothing under its old name. What cannot be handled is tried five times in a day and a half,
-- then kept for 30 days to be looked at.
--
-- Lock order: storage.objects (Supabase's), then storage_event. The tick passes over events that a deletion holds and takes
-- nothing of storage.objects, so the two never wait for each other in a circle.

create table millrace.storage_event (
    id bigint generated always as identity primary key,
    bucket text not null,
    name text not null,
    sequencer text not null,
    size bigint,
    etag text,
    event text not null,
    stored_at timestamptz not null default millrace.now(),
    due_at timestamptz default millrace.now(),
    attempts smallint not null default 0,
    failure text,
    unique (bucket, name, sequencer)
);

comment on column millrace.storage_event.sequencer is 'the version of the object, else its entity tag: tells two writes of one key apart';
comment on column millrace.storage_event.due_at is 'not to be handled before this; null: given up';

create index storage_event_due on millrace.storage_event (due_at, id) where due_at is not null;

alter table millrace.storage_event enable row level security;


-- Trigger on storage.objects: writes down what was stored, and forgets what is there no longer. An object counts as
-- stored when it has metadata; our own payloads are nobody's event.
create function millrace.note_stored()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and (old.bucket_id, old.name) is distinct from (new.bucket_id, new.name)) then
        delete from millrace.storage_event e
        where e.bucket = old.bucket_id
            and e.name = old.name;
    end if;
    if tg_op = 'DELETE'
        or new.metadata is null
        or (new.bucket_id = 'workflow-attachments' and new.name ~ '^[0-9a-f-]{36}/payloads/[0-9a-f]{64}$')
    then
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


-- The oldest events that are due. The caller tells each object's key from its name (shared.storage.names.key_of) and
-- gives both to start_for_storage_events.
create function millrace.due_storage_events(p_limit integer)
returns table (id bigint, name text)
language plpgsql
stable
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    -- In a variable, for the index to be read up to it.
    v_now timestamptz := millrace.now();
begin
    return query
    select e.id, e.name
    from millrace.storage_event e
    where e.due_at <= v_now
    order by e.due_at, e.id
    limit p_limit;
end
$$;


-- Start what waits for the objects of these events, all in one transaction, each on its own, and forget the events.
--
-- p_events: [{id, key}]. An event that is gone, is not due or is held by another tick is passed over. Answers one row for
-- each run started, and one with a failure for each event that could not be handled; the caller rings for the runs.
create function millrace.start_for_storage_events(p_events jsonb)
returns table (event_id bigint, execution_id uuid, failure text)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := millrace.now();
    v_ids bigint[];
    v_failed bigint[] := '{}';
    v_objects jsonb;
    v_done record;
begin
    with due as (
        select e.*, p.key, split_part(p.key, '/', 1) as folder
        from jsonb_to_recordset(p_events) as p (id bigint, key text)
        join millrace.storage_event e on e.id = p.id
        where e.due_at <= v_now
        order by e.id
        for update of e skip locked
    )
    select
        array_agg(d.id),
        jsonb_agg(
            jsonb_build_object(
                'message', d.id,
                'owner', case
                    when length(d.folder) = 36 and pg_input_is_valid(d.folder, 'uuid') and d.key <> d.folder then d.folder
                end,
                'bucket', d.bucket,
                'key', d.key,
                'sequencer', d.sequencer,
                'trigger', jsonb_build_object(
                    'trigger_type', 'storage',
                    'event', d.event,
                    'timestamp', to_char(d.stored_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                    'payload', jsonb_build_object(
                        'bucket', d.bucket,
                        'key', d.key,
                        'size', d.size,
                        'etag', d.etag,
                        'version_id', d.sequencer
                    )
                )
            )
        )
    into v_ids, v_objects
    from due d;
    if v_ids is null then
        return;
    end if;
    for v_done in
        select s.message::bigint as id, s.execution_id, s.failure
        from millrace.start_for_objects(v_objects) s
    loop
        if v_done.failure is not null then
            v_failed := v_failed || v_done.id;
            update millrace.storage_event e
            set attempts = e.attempts + 1,
                failure = v_done.failure,
                due_at = case when e.attempts < 4 then v_now + interval '1 minute' * 8 ^ e.attempts end
            where e.id = v_done.id;
        end if;
        return query select v_done.id, v_done.execution_id, v_done.failure;
    end loop;
    delete from millrace.storage_event e
    where e.id = any (v_ids)
        and not e.id = any (v_failed);
end
$$;


-- Forget what was given up 30 days ago.
create function millrace.sweep_storage_events()
returns void
language sql
security definer
set search_path = ''
as $$
    delete from millrace.storage_event e
    where e.due_at is null
        and e.stored_at < (select millrace.now() - interval '30 days')
$$;


grant execute on function millrace.due_storage_events(integer) to millrace_engine;

grant execute on function millrace.start_for_storage_events(jsonb) to millrace_engine;

grant execute on function millrace.sweep_storage_events() to millrace_engine;

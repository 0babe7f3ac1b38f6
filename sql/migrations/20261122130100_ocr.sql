-- Document reading: its own row for each job, the pages that a job has read so far, and what was read before. Apply before
-- the code.
--
-- `ocrjob` shares the id of the job in millrace.job and is kept by triggers on that table, so that a caller, a stored file
-- and a run's step all make and end the same rows. A worker ends a job with {output, text, structured, confidence, engine,
-- summary, document}; in the transaction of that end the trigger writes ocrdocument and ocrresult of it, one line of
-- toolusagelog, and leaves in the job's result what the run's step is given: the output.
--
-- Each page that is read is kept at once, under the fence of the job that read it, until the job (with parts: the whole)
-- has ended: a killed worker's successor begins at the page where the kill struck.
--
-- Lock order: millrace.job, then millrace.ocr_page, then ocrjob, ocrdocument, ocrresult, toolusagelog.

create table millrace.ocr_page (
    job_id uuid not null references millrace.job (id) on delete cascade,
    page integer not null,
    data jsonb not null,
    read_at timestamptz not null default millrace.now(),
    primary key (job_id, page)
);

comment on column millrace.ocr_page.job_id is 'of a part: the whole''s';
comment on column millrace.ocr_page.data is 'the page as functions.ocr.document has it, or a reference to it';

alter table millrace.ocr_page enable row level security;

-- What a document was read by: the hash of its content, of how it was to be read, and of what read it.
alter table public.ocrdocument add column fingerprint text;

create index ix_ocrdocument_fingerprint on public.ocrdocument (owner_id, fingerprint) where fingerprint is not null;

create index ix_ocrjob_newest on public.ocrjob (owner_id, started_at desc, id desc);


-- Keep a page that a worker read, and say how far it is; false, and nothing kept, when the job is no longer its own.
-- Attempts are counted from the last page on: what gets further each time is not given up.
create function millrace.keep_ocr_page(p_job uuid, p_epoch integer, p_page integer, p_data jsonb, p_progress jsonb)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_whole uuid;
begin
    update millrace.job j
    set progress = p_progress,
        attempts = 1
    where j.id = p_job
        and j.epoch = p_epoch
        and j.kind = 'ocr'
        and j.status = 'running'
        and j.lease_until is not null
    returning coalesce(j.parent_id, j.id)
    into v_whole;
    if not found then
        return false;
    end if;
    insert into millrace.ocr_page (job_id, page, data)
    values (v_whole, p_page, p_data)
    on conflict (job_id, page) do nothing;
    return true;
end
$$;


-- The pages that were kept for a job, or for the whole that it is a part of, from p_after on, in order.
create function millrace.ocr_pages(p_job uuid, p_after integer, p_limit integer)
returns table (page integer, data jsonb)
language sql
stable
security definer
set search_path = ''
as $$
    select o.page, o.data
    from millrace.job j
    join millrace.ocr_page o on o.job_id = coalesce(j.parent_id, j.id)
    where j.id = p_job
        and j.kind = 'ocr'
        and o.page > p_after
    order by o.page
    limit p_limit
$$;


-- What this owner was told the last time that the same content was read in the same way; no row when it never was.
create function millrace.find_ocr_result(p_owner uuid, p_fingerprint text)
returns table (
    job_id uuid,
    engine text,
    output jsonb,
    summary jsonb,
    text text,
    structured jsonb,
    confidence double precision,
    document jsonb
)
language sql
stable
security definer
set search_path = ''
as $$
    select
        d.job_id, o.engine::text, j.result, o.result, r.extracted_text, r.structured_data, r.confidence_score,
        d.document_metadata || jsonb_build_object('media_type', d.file_type)
    from public.ocrdocument d
    join public.ocrjob o on o.id = d.job_id
    join public.ocrresult r on r.job_id = d.job_id
    join millrace.job j on j.id = d.job_id
    where d.owner_id = p_owner
        and d.fingerprint = p_fingerprint
        and o.status = 'completed'
    order by d.created_at desc
    limit 1
$$;


-- Whether another job of this owner is reading the same stored file and was made before this one (or at once with it,
-- and has the smaller id): its result is worth waiting for.
create function millrace.ocr_under_way(p_job uuid)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
    select exists (
        select
        from millrace.job j
        join millrace.job o on o.owner_id = j.owner_id
        where j.id = p_job
            and o.kind = 'ocr'
            and o.parent_id is null
            and o.status = 'running'
            and (o.created_at, o.id) < (j.created_at, j.id)
            and (coalesce(o.input -> 'document', o.input) ->> 'key') = (coalesce(j.input -> 'document', j.input) ->> 'key')
            and (coalesce(o.input -> 'document', o.input) ->> 'bucket')
                = (coalesce(j.input -> 'document', j.input) ->> 'bucket')
    )
$$;


-- Where a job's document is, for people: its address, or bucket and key. Internal.
create function millrace.ocr_place(p_input jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
    select left(
        coalesce(
            d.document ->> 'url',
            concat_ws('/', d.document ->> 'bucket', d.document ->> 'key')
        ),
        1000
    )
    from (select coalesce(p_input -> 'document', p_input)) as d (document)
$$;


-- Trigger: a new job of kind `ocr` has its row of `ocrjob`.
create function millrace.make_ocr_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.ocrjob (id, document_url, engine, status, started_at, owner_id)
    values (
        new.id,
        millrace.ocr_place(new.input),
        left(coalesce(new.input #>> '{asked,engine}', 'auto'), 100),
        new.status,
        new.created_at at time zone 'utc',
        new.owner_id
    )
    on conflict (id) do nothing;
    return null;
end
$$;

create trigger job_has_ocr_row
    after insert on millrace.job
    for each row
    when (new.kind = 'ocr' and new.parent_id is null)
    execute function millrace.make_ocr_job();


-- Trigger: `ocrjob` follows the job, and what a job ended with goes where it is looked for. Before the update, for the
-- job itself keeps only the output.
create function millrace.keep_ocr_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_told jsonb := new.result;
    v_now timestamp := coalesce(new.completed_at, millrace.now()) at time zone 'utc';
    v_engine text;
begin
    if new.status = 'completed' then
        new.result := v_told -> 'output';
    end if;
    update public.ocrjob o
    set status = new.status,
        engine = coalesce(left(v_told ->> 'engine', 100), o.engine),
        result = case when new.status = 'completed' then v_told -> 'summary' end,
        started_at = coalesce(new.started_at at time zone 'utc', o.started_at),
        completed_at = new.completed_at at time zone 'utc',
        error_message = new.error ->> 'message'
    where o.id = new.id
    returning o.engine
    into v_engine;
    if new.status = 'completed' then
        insert into public.ocrdocument (
            id, job_id, file_url, file_type, document_metadata, created_at, owner_id, fingerprint
        )
        values (
            new.id,
            new.id,
            millrace.ocr_place(new.input),
            left(coalesce(v_told #>> '{document,media_type}', ''), 50),
            (v_told -> 'document') - 'media_type',
            v_now,
            new.owner_id,
            v_told #>> '{document,fingerprint}'
        )
        on conflict (id) do nothing;
        insert into public.ocrresult (
            id, job_id, extracted_text, structured_data, confidence_score, created_at, owner_id
        )
        values (
            new.id,
            new.id,
            coalesce(v_told ->> 'text', ''),
            v_told -> 'structured',
            (v_told ->> 'confidence')::double precision,
            v_now,
            new.owner_id
        )
        on conflict (id) do nothing;
    end if;
    if new.status in ('completed', 'failed', 'cancelled') then
        delete from millrace.ocr_page p
        where p.job_id = new.id;
        perform millrace.log_tool_use(new, coalesce(v_engine, 'auto'), 'ocr');
    end if;
    return new;
end
$$;

create trigger job_keeps_ocr_row
    before update of status on millrace.job
    for each row
    when (new.kind = 'ocr' and new.parent_id is null and old.status is distinct from new.status)
    execute function millrace.keep_ocr_job();


grant execute on function millrace.keep_ocr_page(uuid, integer, integer, jsonb, jsonb) to millrace_engine;

grant execute on function millrace.ocr_pages(uuid, integer, integer) to millrace_engine;

grant execute on function millrace.find_ocr_result(uuid, text) to millrace_engine;

grant execute on function millrace.ocr_under_way(uuid) to millrace_engine;

-- Code execution: runs of code, tools, sandboxes, and what one owner may run. Apply before the code.
--
-- A run of code is a job of kind `code`, whoever asked for it: a caller over HTTP, a workflow's node, a call of a tool,
-- the tests of a tool that registers. Its row in public.codeexecution shares the job's id and is written by the triggers
-- here, in the transaction that writes the job, so it never tells anything else. The job's input is
--
--     {code | tool, tool_version?, language, runtime, decision, input_data, requirements, timeout_seconds, sandbox, files,
--      tests?, registers?}
--
-- and a worker that has claimed it asks prepare_code what to run: the version of the tool is chosen once and stays with
-- the run, however often it is tried. What came of it is the job's result {result, stdout, stderr, artifacts, usage, …},
-- or, of a run that failed, `output` in the job's error, of the same shape.
--
-- Tools and sandboxes are read by their owner through row-level security and changed by the functions here only. A tool
-- with tests appears in the transaction that ends the job in which all of them passed.
--
-- Lock order: millrace.job, then public.codeexecution (the job's own row), then one row of public.codetoolregistry.

alter table public.codeexecution
    add column decision jsonb,
    add column tool_id varchar(255),
    add column tool_version varchar(50),
    add column sandbox_id uuid,
    add column limit_hit varchar(50),
    add column error jsonb,
    add column stdout text,
    add column stderr text,
    add column artifacts jsonb not null default '[]',
    add column usage jsonb;

comment on column public.codeexecution.decision is 'the runtime that was asked for, the one that was chosen, and why';
comment on column public.codeexecution.limit_hit is 'the limit that ended it: wall, memory, output, …';
comment on column public.codeexecution.artifacts is 'files it left: [{name, key, bytes, media_type, sha256}], of the bucket code-executions';

create index ix_codeexecution_owner_started on public.codeexecution (owner_id, started_at);

alter table public.codetoolregistry
    add column language varchar(50) not null default 'python',
    add column tests jsonb not null default '[]',
    add column deprecation_message text;


-- A text that sorts (collate "C") as SemVer 2.0.0 orders versions; null for what is no version. Numbers carry their length
-- before them; a release comes after all its pre-releases, and fewer identifiers before more. Build metadata counts for
-- nothing. Source: semver.org, item 11.
create function millrace.semver_key(p_version text)
returns text
language sql
immutable
set search_path = ''
as $$
    with version as (
        select regexp_match(
            p_version,
            '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$'
        ) as parts
    )
    select
        (
            select string_agg(lpad(length(n.value)::text, 2, '0') || n.value, '' order by n.ordinality)
            from unnest(v.parts[1:3]) with ordinality n (value, ordinality)
        )
        || case
            when v.parts[4] is null then '~'
            else (
                select string_agg(
                    case
                        when i.value ~ '^[0-9]+$' then '0' || lpad(length(i.value)::text, 2, '0') || i.value
                        else '1' || i.value || ' '
                    end,
                    '' order by i.ordinality
                )
                from unnest(string_to_array(v.parts[4], '.')) with ordinality i (value, ordinality)
            ) || ' '
        end
    from version v
    where v.parts is not null
$$;


-- Whether a version is one that callers get who name none: no pre-release.
create function millrace.is_release(p_version text)
returns boolean
language sql
immutable
set search_path = ''
as $$
    select position('-' in split_part(p_version, '+', 1)) = 0
$$;


-- Runs -----------------------------------------------------------------------------------------------------------------

-- Trigger: a job of kind `code` was made, and with it what people see of it. Never refuses: a bad input is the worker's
-- to tell, for here it would break whoever writes many jobs at a time.
create function millrace.begin_code()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.codeexecution (
        id, runtime, language, code, input_data, status, started_at, owner_id, decision, tool_id, tool_version
    )
    values (
        new.id,
        left(coalesce(new.input ->> 'runtime', 'wasm'), 100),
        left(coalesce(new.input ->> 'language', 'python'), 50),
        coalesce(new.input ->> 'code', new.input -> 'registers' ->> 'code', ''),
        new.input -> 'input_data',
        new.status,
        new.created_at at time zone 'utc',
        new.owner_id,
        new.input -> 'decision',
        left(coalesce(new.input ->> 'tool', new.input -> 'registers' ->> 'tool_id'), 255),
        left(coalesce(new.input ->> 'tool_version', new.input -> 'registers' ->> 'version'), 50)
    );
    return null;
end
$$;

create trigger job_begins_code
    after insert on millrace.job
    for each row
    when (new.kind = 'code' and new.parent_id is null)
    execute function millrace.begin_code();


-- Trigger: a job of kind `code` moved on. What ended is told whole; a tool's call is counted when its code ran to an end
-- of its own, and a tool that registers appears.
create function millrace.follow_code()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_told jsonb := coalesce(nullif(new.result, 'null'), new.error -> 'output', '{}');
    v_limit text := left(v_told ->> 'limit', 50);
    v_execution public.codeexecution;
begin
    if new.status in ('queued', 'running') then
        update public.codeexecution e
        set status = new.status,
            started_at = coalesce(new.started_at at time zone 'utc', e.started_at)
        where e.id = new.id;
        return null;
    end if;
    update public.codeexecution e
    set status = case when v_limit = 'wall' then 'timed_out' else new.status end,
        completed_at = new.completed_at at time zone 'utc',
        output_data = v_told -> 'result',
        exit_code = (v_told ->> 'exit_code')::integer,
        duration_ms = coalesce((v_told -> 'usage' ->> 'wall_ms')::numeric::integer, 0),
        memory_mb = ceil((v_told -> 'usage' ->> 'memory_bytes')::numeric / 1048576)::integer,
        error_message = new.error ->> 'message',
        error = coalesce(nullif(v_told -> 'error', 'null'), '{}') || (new.error - 'output'),
        limit_hit = v_limit,
        stdout = v_told ->> 'stdout',
        stderr = v_told ->> 'stderr',
        artifacts = coalesce(v_told -> 'artifacts', '[]'),
        usage = v_told -> 'usage'
    where e.id = new.id
    returning e.*
    into v_execution;
    if v_execution.tool_id is not null and not new.input ? 'registers' and v_told ? 'usage' then
        update public.codetoolregistry t
        set usage_count = t.usage_count + 1
        where t.owner_id = new.owner_id
            and t.tool_id = v_execution.tool_id
            and t.version = v_execution.tool_version;
    end if;
    if new.status = 'completed' and new.input ? 'registers' then
        perform millrace.write_tool(new.owner_id, new.input -> 'registers');
    end if;
    perform millrace.log_tool_use(new, coalesce(v_execution.tool_id, 'code'), 'code');
    return null;
end
$$;

create trigger job_follows_code
    after update of status on millrace.job
    for each row
    when (new.kind = 'code' and new.parent_id is null and new.status is distinct from old.status)
    execute function millrace.follow_code();


-- What an owner's code took in the last hour: runs, and processor seconds of those that ended. For one that is about to
-- begin, p_but: without it, and without those that still wait.
create function millrace.code_used(p_owner uuid, p_but uuid default null, out runs bigint, out cpu_seconds double precision)
language sql
stable
set search_path = ''
as $$
    select count(*), coalesce(sum((e.usage ->> 'cpu_ms')::double precision) / 1000, 0)
    from public.codeexecution e
    where e.owner_id = p_owner
        and e.started_at > (millrace.now() - interval '1 hour') at time zone 'utc'
        and (p_but is null or (e.id <> p_but and e.status <> 'queued'))
$$;


-- Ask for a run of code: the job's id, and the same for a repeat under the same key. An owner who has run p_runs times or
-- p_cpu_seconds in the last hour is told to wait.
create function millrace.request_code(
    p_input jsonb, p_key text, p_open integer, p_runs integer, p_cpu_seconds integer
)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_used record;
begin
    select u.runs, u.cpu_seconds
    into v_used
    from millrace.code_used(v_owner) u;
    if (v_used.runs >= p_runs or v_used.cpu_seconds >= p_cpu_seconds) and not exists (
        select
        from millrace.job j
        where j.owner_id = v_owner
            and j.kind = 'code'
            and j.idempotency_key = 'request/' || p_key || '/0'
    ) then
        raise exception 'Your code ran % times and % processor seconds in the last hour; % and % are allowed.',
            v_used.runs, round(v_used.cpu_seconds), p_runs, p_cpu_seconds
            using errcode = 'MR429', hint = 'Wait, or ask the operator for more.', detail = '{"retry_after": 60}';
    end if;
    return millrace.request_job('code', p_input, p_key, p_open);
end
$$;


-- What a worker that holds this job is to run, and what its owner used in the last hour: {tool, sandbox, used}, null where
-- none was named or there is none. Null when the job is no longer this worker's. The tool's version is chosen at the first
-- call (the highest release, one that is not deprecated if there is one) and stays; the sandbox is named by id or name.
create function millrace.prepare_code(p_id uuid, p_epoch integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_job millrace.job;
    v_version text;
    v_tool public.codetoolregistry;
    v_sandbox public.codesandbox;
    v_used record;
begin
    select j.*
    into v_job
    from millrace.job j
    where j.id = p_id
        and j.epoch = p_epoch
        and j.kind = 'code'
        and j.status = 'running';
    if not found then
        return null;
    end if;
    if v_job.input ->> 'tool' is not null then
        select e.tool_version
        into v_version
        from public.codeexecution e
        where e.id = p_id;
        select t.*
        into v_tool
        from public.codetoolregistry t
        where t.owner_id = v_job.owner_id
            and t.tool_id = v_job.input ->> 'tool'
            and case when v_version is null then millrace.is_release(t.version) else t.version = v_version end
        order by t.is_deprecated, millrace.semver_key(t.version) collate "C" desc nulls last
        limit 1;
    end if;
    if v_job.input ->> 'sandbox' is not null then
        select s.*
        into v_sandbox
        from public.codesandbox s
        where s.owner_id = v_job.owner_id
            and v_job.input ->> 'sandbox' in (s.id::text, s.name)
        order by s.id::text = v_job.input ->> 'sandbox' desc, s.created_at desc
        limit 1;
    end if;
    if v_tool.id is not null or v_sandbox.id is not null then
        update public.codeexecution e
        set code = coalesce(v_tool.code, e.code),
            language = coalesce(v_tool.language, e.language),
            tool_version = coalesce(v_tool.version, e.tool_version),
            sandbox_id = coalesce(v_sandbox.id, e.sandbox_id)
        where e.id = p_id;
    end if;
    select u.runs, u.cpu_seconds
    into v_used
    from millrace.code_used(v_job.owner_id, p_id) u;
    return jsonb_build_object(
        'tool', case when v_tool.id is not null then to_jsonb(v_tool) end,
        'sandbox', case when v_sandbox.id is not null then to_jsonb(v_sandbox) end,
        'used', to_jsonb(v_used)
    );
end
$$;


-- Tools ----------------------------------------------------------------------------------------------------------------

-- Write a version of a tool; null when it is there already. Internal.
create function millrace.write_tool(p_owner uuid, p_tool jsonb)
returns uuid
language sql
set search_path = ''
as $$
    insert into public.codetoolregistry (
        id, tool_id, name, version, description, code, input_schema, output_schema, runtime, owner_id, language, tests
    )
    select
        millrace.uuid7(), t.tool_id, t.name, t.version, t.description, t.code, t.input_schema, t.output_schema, t.runtime,
        p_owner, t.language, t.tests
    from jsonb_to_record(p_tool) as t (
        tool_id text, name text, version text, description text, code text, input_schema jsonb, output_schema jsonb,
        runtime text, language text, tests jsonb
    )
    on conflict (owner_id, tool_id, version) do nothing
    returning id
$$;


-- Register a tool that has no tests to pass first.
create function millrace.register_tool(p_tool jsonb)
returns setof public.codetoolregistry
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_id uuid;
begin
    if jsonb_array_length(p_tool -> 'tests') > 0 then
        raise exception 'A tool with tests registers by passing them.' using errcode = 'MR422';
    end if;
    v_id := millrace.write_tool(v_owner, p_tool);
    if v_id is null then
        raise exception 'Version % of the tool % is there already.', p_tool ->> 'version', p_tool ->> 'tool_id'
            using errcode = 'MR409', hint = 'A version never changes: give the new one another number.';
    end if;
    return query select t.* from public.codetoolregistry t where t.id = v_id;
end
$$;


-- Mark a version of one's own tool, or with p_version null all of them, as deprecated, with what to use instead.
create function millrace.deprecate_tool(p_tool_id text, p_version text, p_message text)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_changed integer;
begin
    update public.codetoolregistry t
    set is_deprecated = true,
        deprecation_message = p_message,
        updated_at = millrace.now() at time zone 'utc'
    where t.owner_id = v_owner
        and t.tool_id = p_tool_id
        and (p_version is null or t.version = p_version);
    get diagnostics v_changed = row_count;
    if v_changed = 0 then
        raise exception 'There is no such tool, or it is not yours.' using errcode = 'MR404';
    end if;
    return v_changed;
end
$$;


-- Sandboxes ------------------------------------------------------------------------------------------------------------

-- Make a sandbox, or change one's own: p_changes names what it is to be. A name is an owner's once; of two who make the
-- same at a time, one waits for the other.
create function millrace.write_sandbox(p_id uuid, p_new boolean, p_changes jsonb)
returns setof public.codesandbox
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    perform pg_advisory_xact_lock(hashtextextended('codesandbox/' || v_owner::text, 0));
    if exists (
        select
        from public.codesandbox s
        where s.owner_id = v_owner
            and s.name = p_changes ->> 'name'
            and s.id <> p_id
    ) then
        raise exception 'There is a sandbox named % already.', p_changes ->> 'name'
            using errcode = 'MR409', hint = 'Choose another name, or change that one.';
    end if;
    if p_new then
        return query
        insert into public.codesandbox (id, name, runtime, config, owner_id)
        values (p_id, p_changes ->> 'name', p_changes ->> 'runtime', p_changes -> 'config', v_owner)
        on conflict (id) do nothing
        returning *;
    else
        return query
        update public.codesandbox s
        set name = coalesce(p_changes ->> 'name', s.name),
            runtime = coalesce(p_changes ->> 'runtime', s.runtime),
            config = coalesce(s.config, '{}') || coalesce(p_changes -> 'config', '{}')
        where s.id = p_id
            and s.owner_id = v_owner
        returning s.*;
    end if;
    if not found then
        raise exception 'There is no such sandbox, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Delete one's own sandbox. Runs that used it keep what it was for them.
create function millrace.delete_sandbox(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from public.codesandbox s
    where s.id = p_id
        and s.owner_id = millrace.require_user();
    if not found then
        raise exception 'There is no such sandbox, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Grants ---------------------------------------------------------------------------------------------------------------

grant execute on function millrace.semver_key(text) to millrace_api;

grant execute on function millrace.is_release(text) to millrace_api;

grant execute on function millrace.request_code(jsonb, text, integer, integer, integer) to millrace_api;

grant execute on function millrace.register_tool(jsonb) to millrace_api;

grant execute on function millrace.deprecate_tool(text, text, text) to millrace_api;

grant execute on function millrace.write_sandbox(uuid, boolean, jsonb) to millrace_api;

grant execute on function millrace.delete_sandbox(uuid) to millrace_api;

grant execute on function millrace.prepare_code(uuid, integer) to millrace_engine;

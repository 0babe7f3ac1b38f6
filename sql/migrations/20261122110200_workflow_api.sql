-- What tenants may do to workflows, to what starts them, and to their runs. Apply before the code.
--
-- functions/workflow_api makes one call a request, as millrace_api with the caller's claims; each call is one transaction.
-- Reading is row-level security's business. Changing goes through the functions below, because a change is more than a
-- row: a workflow's graph is also an immutable row of workflowversion, a subscription has a sealed secret beside it, a
-- run has its state in millrace.run. Each function asks millrace.require_user() who calls and touches that owner's rows
-- only; what another tenant owns is answered exactly like what does not exist (MR404).
--
-- Repeats: the connection may be lost after a commit and before its reply, and then the call is made once more. So rows
-- get their ids from the caller and a second insert of the same id answers with the first row; an update that already
-- holds changes nothing; and what is neither (start a run, send a signal, retry) is remembered under a request key, which
-- the caller of the API may choose himself (Idempotency-Key).
--
-- Lock order: millrace.request, then workflow, then what hangs on it; run state last, inside the engine's own functions.

create function millrace.require_user()
returns uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.user_id();
begin
    if v_user is null then
        raise exception 'These credentials belong to no active account.' using errcode = 'MR401', hint = 'Sign in again.';
    end if;
    return v_user;
end
$$;


create function millrace.own_workflow(p_workflow uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    -- The key share lock is the one that a row that refers to the workflow takes anyway: it cannot be deleted meanwhile.
    perform 1
    from public.workflow w
    where w.id = p_workflow
        and w.owner_id = v_owner
    for key share;
    if not found then
        raise exception 'There is no such workflow, or it is not yours.' using errcode = 'MR404';
    end if;
    return v_owner;
end
$$;


create function millrace.own_execution(p_execution uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    perform 1
    from public.workflowexecution e
    where e.id = p_execution
        and e.owner_id = v_owner;
    if not found then
        raise exception 'There is no such run, or it is not yours.' using errcode = 'MR404';
    end if;
    return v_owner;
end
$$;


-- Requests -------------------------------------------------------------------------------------------------------------

-- What was asked under a key, and what it was answered; kept for a day.
create table millrace.request (
    owner_id uuid not null references public."user" (id) on delete cascade,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null,
    answer uuid,
    created_at timestamptz not null default millrace.now(),
    primary key (owner_id, key)
);

create index request_age on millrace.request (owner_id, created_at);

alter table millrace.request enable row level security;


-- Take a request key: null when it is new, else the answer that its first use got. Two at once: the unique key lets one
-- in, the other waits for its commit and reads its answer. The same key for something else is refused.
create function millrace.take_request(p_owner uuid, p_key text, p_asked text)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
    v_fingerprint bytea := sha256(convert_to(p_asked, 'utf8'));
    v_earlier millrace.request;
begin
    delete from millrace.request r
    where r.ctid in (
        select o.ctid
        from millrace.request o
        where o.owner_id = p_owner
            and o.created_at < (select millrace.now() - interval '24 hours')
        limit 20
        for update skip locked
    );
    insert into millrace.request (owner_id, key, fingerprint)
    values (p_owner, p_key, v_fingerprint)
    on conflict do nothing;
    if found then
        return null;
    end if;
    select r.*
    into v_earlier
    from millrace.request r
    where r.owner_id = p_owner
        and r.key = p_key;
    if v_earlier.fingerprint <> v_fingerprint then
        raise exception 'This idempotency key was used for another request.'
            using errcode = 'MR422', hint = 'Use a new key for each new request.';
    end if;
    return v_earlier.answer;
end
$$;


create function millrace.answer_request(p_owner uuid, p_key text, p_answer uuid)
returns void
language sql
set search_path = ''
as $$
    update millrace.request r
    set answer = p_answer
    where r.owner_id = p_owner
        and r.key = p_key
$$;


-- Workflows ------------------------------------------------------------------------------------------------------------

-- Give a workflow its next version: an immutable row, and the workflow pointing at it. The caller holds the row's lock.
create function millrace.write_version(p_workflow uuid, p_owner uuid, p_version integer, p_graph jsonb, p_trigger jsonb)
returns public.workflow
language plpgsql
set search_path = ''
as $$
declare
    v_version uuid := millrace.uuid7();
    v_workflow public.workflow;
begin
    insert into public.workflowversion (id, owner_id, workflow_id, version, graph, trigger_config, created_at, created_by)
    values (v_version, p_owner, p_workflow, p_version, p_graph, p_trigger, millrace.now(), p_owner);
    update public.workflow w
    set version = p_version,
        version_id = v_version,
        graph_config = p_graph,
        trigger_config = p_trigger,
        updated_at = millrace.now() at time zone 'utc'
    where w.id = p_workflow
    returning w.*
    into v_workflow;
    return v_workflow;
end
$$;


-- Keep the schedule that trigger_config asks for: p_schedule {id, cron_expression, timezone, next_run_at}, or null for
-- none. It is a schedule like any other but for its name, which no one else can give.
create function millrace.keep_trigger_schedule(p_workflow uuid, p_owner uuid, p_schedule jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if p_schedule is null or p_schedule = 'null' then
        delete from public.workflowschedule s
        where s.workflow_id = p_workflow
            and s.name = '@trigger';
        return;
    end if;
    update public.workflowschedule s
    set cron_expression = p_schedule ->> 'cron_expression',
        timezone = p_schedule ->> 'timezone',
        next_run_at = (p_schedule ->> 'next_run_at')::timestamptz at time zone 'utc'
    where s.workflow_id = p_workflow
        and s.name = '@trigger';
    if not found then
        insert into public.workflowschedule (
            id, owner_id, workflow_id, name, cron_expression, timezone, is_active, next_run_at
        )
        values (
            (p_schedule ->> 'id')::uuid, p_owner, p_workflow, '@trigger', p_schedule ->> 'cron_expression',
            p_schedule ->> 'timezone', true, (p_schedule ->> 'next_run_at')::timestamptz at time zone 'utc'
        );
    end if;
end
$$;


create function millrace.create_workflow(
    p_id uuid,
    p_name text,
    p_description text,
    p_is_active boolean,
    p_graph jsonb,
    p_trigger jsonb,
    p_schedule jsonb
)
returns setof public.workflow
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_now timestamp := millrace.now() at time zone 'utc';
begin
    insert into public.workflow (
        id, owner_id, name, description, is_active, version, graph_config, trigger_config, created_at, updated_at
    )
    values (p_id, v_owner, p_name, p_description, p_is_active, 1, p_graph, p_trigger, v_now, v_now)
    on conflict (id) do nothing;
    if found then
        perform millrace.keep_trigger_schedule(p_id, v_owner, p_schedule);
        return query select w.* from millrace.write_version(p_id, v_owner, 1, p_graph, p_trigger) w;
    else
        return query select w.* from public.workflow w where w.id = p_id and w.owner_id = v_owner;
    end if;
end
$$;


-- Change what p_changes names: name, description, is_active, graph_config, trigger_config (with `schedule` beside it, see
-- keep_trigger_schedule). Another graph or trigger is another version; with p_expected, only if the present one is that.
create function millrace.update_workflow(p_id uuid, p_changes jsonb, p_expected integer)
returns setof public.workflow
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_old public.workflow;
    v_new public.workflow;
begin
    select w.*
    into v_old
    from public.workflow w
    where w.id = p_id
        and w.owner_id = v_owner
    for no key update;
    if not found then
        raise exception 'There is no such workflow, or it is not yours.' using errcode = 'MR404';
    end if;

    v_new := v_old;
    if p_changes ? 'name' then
        v_new.name := p_changes ->> 'name';
    end if;
    if p_changes ? 'description' then
        v_new.description := p_changes ->> 'description';
    end if;
    if p_changes ? 'is_active' then
        v_new.is_active := (p_changes ->> 'is_active')::boolean;
    end if;
    if p_changes ? 'graph_config' then
        v_new.graph_config := p_changes -> 'graph_config';
    end if;
    if p_changes ? 'trigger_config' then
        v_new.trigger_config := nullif(p_changes -> 'trigger_config', 'null');
    end if;

    if v_new is not distinct from v_old and (p_expected is null or p_expected in (v_old.version, v_old.version - 1)) then
        return next v_old;  -- nothing to do, or done by this very request before its reply was lost
        return;
    end if;
    if p_expected <> v_old.version then
        raise exception 'The workflow is at version % by now.', v_old.version
            using errcode = 'MR412', hint = 'Read it again, and repeat the change on what you find.';
    end if;

    update public.workflow w
    set name = v_new.name,
        description = v_new.description,
        is_active = v_new.is_active,
        updated_at = millrace.now() at time zone 'utc'
    where w.id = p_id
    returning w.*
    into v_old;
    if (v_new.graph_config, v_new.trigger_config) is distinct from (v_old.graph_config, v_old.trigger_config) then
        if v_new.trigger_config is distinct from v_old.trigger_config then
            perform millrace.keep_trigger_schedule(p_id, v_owner, p_changes -> 'schedule');
        end if;
        v_old := millrace.write_version(
            p_id,
            v_owner,
            greatest(v_old.version, (select max(v.version) from public.workflowversion v where v.workflow_id = p_id)) + 1,
            v_new.graph_config,
            v_new.trigger_config
        );
    end if;
    return next v_old;
end
$$;


-- Delete a workflow with its versions, triggers, runs and secrets. With live runs only when p_force: they are cancelled.
create function millrace.delete_workflow(p_id uuid, p_force boolean)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_live uuid[];
    v_secrets uuid[];
begin
    perform 1
    from public.workflow w
    where w.id = p_id
        and w.owner_id = v_owner
    for no key update;
    if not found then
        raise exception 'There is no such workflow, or it is not yours.' using errcode = 'MR404';
    end if;
    -- Who starts a run holds its schedule or subscription before the workflow's key; so these first, then the key.
    perform 1
    from public.workflowschedule s
    where s.workflow_id = p_id
    order by s.id
    for update;
    perform 1
    from public.workflowwebhooksubscription s
    where s.workflow_id = p_id
    order by s.id
    for update;
    perform 1
    from public.workflow w
    where w.id = p_id
    for update;
    select array_agg(e.id order by e.id)
    into v_live
    from public.workflowexecution e
    where e.workflow_id = p_id
        and e.completed_at is null
        and exists (select from millrace.run r where r.execution_id = e.id);
    if v_live is not null and not p_force then
        raise exception '% of its runs have not ended.', cardinality(v_live)
            using errcode = 'MR409', hint = 'Cancel them, or delete with force=true.';
    end if;
    -- The engine's order is run, job, execution, steps; the cascade below would go another way, so take the runs first.
    perform 1
    from millrace.run r
    where r.execution_id = any (v_live)
    order by r.execution_id
    for update;
    select array_agg(s.secret_id)
    into v_secrets
    from public.workflowwebhooksubscription s
    where s.workflow_id = p_id
        and s.secret_id is not null;
    delete from public.workflow w
    where w.id = p_id;
    delete from public.secret s
    where s.id = any (v_secrets)
        and s.owner_id = v_owner;
end
$$;


-- Make an old version's graph and trigger the present ones, as a new version.
create function millrace.restore_version(p_id uuid, p_version integer, p_expected integer, p_schedule jsonb)
returns setof public.workflow
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_changes jsonb;
begin
    select jsonb_build_object('graph_config', v.graph, 'trigger_config', v.trigger_config, 'schedule', p_schedule)
    into v_changes
    from public.workflowversion v
    where v.workflow_id = p_id
        and v.owner_id = v_owner
        and v.version = p_version;
    if not found then
        raise exception 'There is no such version, or it is not yours.' using errcode = 'MR404';
    end if;
    return query select w.* from millrace.update_workflow(p_id, v_changes, p_expected) w;
end
$$;


-- Runs -----------------------------------------------------------------------------------------------------------------

-- Start a run by hand, once per p_key; p_trigger is an object. The caller rings `workflow-run` with the id.
create function millrace.run_workflow(p_workflow uuid, p_trigger jsonb, p_key text)
returns setof public.workflowexecution
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_id uuid := millrace.take_request(v_owner, p_key, concat_ws(' ', 'run', p_workflow, p_trigger));
begin
    if v_id is null then
        v_id := millrace.start_run(
            p_workflow, v_owner, 'manual', p_trigger || jsonb_build_object('timestamp', millrace.now())
        );
        perform millrace.answer_request(v_owner, p_key, v_id);
    end if;
    return query select e.* from public.workflowexecution e where e.id = v_id and e.owner_id = v_owner;
end
$$;


create function millrace.signal_execution(p_execution uuid, p_type text, p_data jsonb, p_key text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_execution(p_execution);
    v_id uuid := millrace.take_request(v_owner, p_key, concat_ws(' ', 'signal', p_execution, p_type, p_data));
begin
    if v_id is null then
        v_id := millrace.signal_run(p_execution, p_type, p_data);
        perform millrace.answer_request(v_owner, p_key, v_id);
    end if;
    return v_id;
end
$$;


-- `cancelled`, or `cancelling` while a worker has it. Cancelling what was cancelled is no mistake.
create function millrace.cancel_execution(p_execution uuid)
returns text
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform millrace.own_execution(p_execution);
    if exists (select from public.workflowexecution e where e.id = p_execution and e.status = 'cancelled') then
        return 'cancelled';
    end if;
    return millrace.cancel_run(p_execution);
end
$$;


create function millrace.retry_execution(p_execution uuid, p_key text)
returns setof public.workflowexecution
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_execution(p_execution);
    v_id uuid := millrace.take_request(v_owner, p_key, concat_ws(' ', 'retry', p_execution));
begin
    if v_id is null then
        v_id := millrace.retry_run(p_execution);
        perform millrace.answer_request(v_owner, p_key, v_id);
    end if;
    return query select e.* from public.workflowexecution e where e.id = v_id and e.owner_id = v_owner;
end
$$;


create function millrace.resolve_execution_step(
    p_execution uuid,
    p_node text,
    p_iteration integer,
    p_decision text,
    p_output jsonb,
    p_key text
)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_execution(p_execution);
    v_id uuid := millrace.take_request(
        v_owner, p_key, concat_ws(' ', 'resolve', p_execution, p_node, p_iteration, p_decision, p_output)
    );
begin
    if v_id is null then
        v_id := millrace.resolve_step(p_execution, p_node, p_iteration, p_decision, p_output);
        perform millrace.answer_request(v_owner, p_key, v_id);
    end if;
    return v_id;
end
$$;


-- Webhook subscriptions ------------------------------------------------------------------------------------------------

-- Keep a sealed secret: p_secret {id, name, key_id, nonce, ciphertext}, the last two in hexadecimal digits.
create function millrace.write_secret(p_owner uuid, p_secret jsonb)
returns uuid
language sql
set search_path = ''
as $$
    insert into public.secret (id, owner_id, name, key_id, nonce, ciphertext, created_at, updated_at)
    values (
        (p_secret ->> 'id')::uuid, p_owner, p_secret ->> 'name', p_secret ->> 'key_id',
        decode(p_secret ->> 'nonce', 'hex'), decode(p_secret ->> 'ciphertext', 'hex'), millrace.now(), millrace.now()
    )
    returning id
$$;


create function millrace.create_subscription(p_id uuid, p_new jsonb, p_secret jsonb)
returns setof public.workflowwebhooksubscription
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_workflow((p_new ->> 'workflow_id')::uuid);
    v_now timestamp := millrace.now() at time zone 'utc';
begin
    if not exists (select from public.workflowwebhooksubscription s where s.id = p_id) then
        insert into public.workflowwebhooksubscription (
            id, owner_id, workflow_id, webhook_path, name, scheme, secret_id, headers, filters, filter_expression,
            required_headers, delivery_id_header, tolerance_seconds, rate_per_minute, wait_limit, is_active,
            created_at, updated_at
        )
        values (
            p_id, v_owner, (p_new ->> 'workflow_id')::uuid, p_new ->> 'webhook_path', p_new ->> 'name',
            p_new ->> 'scheme', case when p_secret is not null then millrace.write_secret(v_owner, p_secret) end,
            '{}', p_new -> 'filters', p_new ->> 'filter_expression', p_new -> 'required_headers',
            p_new ->> 'delivery_id_header', (p_new ->> 'tolerance_seconds')::integer,
            (p_new ->> 'rate_per_minute')::integer, (p_new ->> 'wait_limit')::integer,
            (p_new ->> 'is_active')::boolean, v_now, v_now
        );
    end if;
    return query select s.* from public.workflowwebhooksubscription s where s.id = p_id and s.owner_id = v_owner;
end
$$;


create function millrace.update_subscription(p_id uuid, p_changes jsonb)
returns setof public.workflowwebhooksubscription
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_row public.workflowwebhooksubscription;
begin
    select s.*
    into v_row
    from public.workflowwebhooksubscription s
    where s.id = p_id
        and s.owner_id = v_owner
    for no key update;
    if not found then
        raise exception 'There is no such subscription, or it is not yours.' using errcode = 'MR404';
    end if;
    v_row := jsonb_populate_record(v_row, p_changes);
    update public.workflowwebhooksubscription s
    set name = v_row.name,
        filters = v_row.filters,
        filter_expression = v_row.filter_expression,
        required_headers = v_row.required_headers,
        delivery_id_header = v_row.delivery_id_header,
        tolerance_seconds = v_row.tolerance_seconds,
        rate_per_minute = v_row.rate_per_minute,
        wait_limit = v_row.wait_limit,
        is_active = v_row.is_active,
        updated_at = millrace.now() at time zone 'utc'
    where s.id = p_id;
    return query select s.* from public.workflowwebhooksubscription s where s.id = p_id;
exception
    when unique_violation then
        raise exception 'Another active subscription has this path.' using errcode = 'MR409';
end
$$;


-- Put another secret in the place of the present one, which is forgotten.
create function millrace.rotate_secret(p_id uuid, p_secret jsonb)
returns setof public.workflowwebhooksubscription
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_old uuid;
begin
    select s.secret_id
    into v_old
    from public.workflowwebhooksubscription s
    where s.id = p_id
        and s.owner_id = v_owner
    for no key update;
    if not found then
        raise exception 'There is no such subscription, or it is not yours.' using errcode = 'MR404';
    end if;
    if v_old is distinct from (p_secret ->> 'id')::uuid then
        update public.workflowwebhooksubscription s
        set secret_id = millrace.write_secret(v_owner, p_secret),
            updated_at = millrace.now() at time zone 'utc'
        where s.id = p_id;
        delete from public.secret s
        where s.id = v_old;
    end if;
    return query select s.* from public.workflowwebhooksubscription s where s.id = p_id;
end
$$;


create function millrace.delete_subscription(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_secret uuid;
begin
    delete from public.workflowwebhooksubscription s
    where s.id = p_id
        and s.owner_id = v_owner
    returning s.secret_id
    into v_secret;
    if not found then
        raise exception 'There is no such subscription, or it is not yours.' using errcode = 'MR404';
    end if;
    delete from public.secret s
    where s.id = v_secret;
end
$$;


-- Schedules ------------------------------------------------------------------------------------------------------------

create function millrace.create_schedule(p_id uuid, p_workflow uuid, p_new jsonb)
returns setof public.workflowschedule
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_workflow(p_workflow);
begin
    insert into public.workflowschedule (
        id, owner_id, workflow_id, name, cron_expression, timezone, missed_policy, missed_cap, overlap_policy,
        jitter_seconds, input, is_active, next_run_at
    )
    values (
        p_id, v_owner, p_workflow, p_new ->> 'name', p_new ->> 'cron_expression', p_new ->> 'timezone',
        p_new ->> 'missed_policy', (p_new ->> 'missed_cap')::integer, p_new ->> 'overlap_policy',
        (p_new ->> 'jitter_seconds')::integer, p_new -> 'input', (p_new ->> 'is_active')::boolean,
        (p_new ->> 'next_run_at')::timestamptz at time zone 'utc'
    )
    on conflict (id) do nothing;
    return query select s.* from public.workflowschedule s where s.id = p_id and s.owner_id = v_owner;
end
$$;


-- Change what p_changes names; who changes when it fires says when it fires next.
create function millrace.update_schedule(p_id uuid, p_changes jsonb)
returns setof public.workflowschedule
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
    v_row public.workflowschedule;
begin
    select s.*
    into v_row
    from public.workflowschedule s
    where s.id = p_id
        and s.owner_id = v_owner
    for no key update;
    if not found then
        raise exception 'There is no such schedule, or it is not yours.' using errcode = 'MR404';
    end if;
    v_row := jsonb_populate_record(v_row, p_changes - 'next_run_at');
    update public.workflowschedule s
    set name = v_row.name,
        cron_expression = v_row.cron_expression,
        timezone = v_row.timezone,
        missed_policy = v_row.missed_policy,
        missed_cap = v_row.missed_cap,
        overlap_policy = v_row.overlap_policy,
        jitter_seconds = v_row.jitter_seconds,
        input = v_row.input,
        is_active = v_row.is_active,
        next_run_at = case
            when p_changes ? 'next_run_at' then (p_changes ->> 'next_run_at')::timestamptz at time zone 'utc'
            else s.next_run_at
        end
    where s.id = p_id;
    return query select s.* from public.workflowschedule s where s.id = p_id;
end
$$;


create function millrace.delete_schedule(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    delete from public.workflowschedule s
    where s.id = p_id
        and s.owner_id = v_owner;
    if not found then
        raise exception 'There is no such schedule, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Storage triggers -----------------------------------------------------------------------------------------------------

create function millrace.create_storage_trigger(p_id uuid, p_workflow uuid, p_new jsonb)
returns setof public.storagetrigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.own_workflow(p_workflow);
begin
    insert into public.storagetrigger (id, owner_id, workflow_id, bucket, prefix, suffix, is_active, created_at)
    values (
        p_id, v_owner, p_workflow, p_new ->> 'bucket', p_new ->> 'prefix', p_new ->> 'suffix',
        (p_new ->> 'is_active')::boolean, millrace.now()
    )
    on conflict (id) do nothing;
    return query select t.* from public.storagetrigger t where t.id = p_id and t.owner_id = v_owner;
end
$$;


create function millrace.update_storage_trigger(p_id uuid, p_changes jsonb)
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
        is_active = coalesce((p_changes ->> 'is_active')::boolean, t.is_active)
    where t.id = p_id
        and t.owner_id = v_owner
    returning t.*;
    if not found then
        raise exception 'There is no such storage trigger, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


create function millrace.delete_storage_trigger(p_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid := millrace.require_user();
begin
    delete from public.storagetrigger t
    where t.id = p_id
        and t.owner_id = v_owner;
    if not found then
        raise exception 'There is no such storage trigger, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Grants ---------------------------------------------------------------------------------------------------------------

revoke all on function
    millrace.require_user(),
    millrace.own_workflow(uuid),
    millrace.own_execution(uuid),
    millrace.take_request(uuid, text, text),
    millrace.answer_request(uuid, text, uuid),
    millrace.write_version(uuid, uuid, integer, jsonb, jsonb),
    millrace.keep_trigger_schedule(uuid, uuid, jsonb),
    millrace.create_workflow(uuid, text, text, boolean, jsonb, jsonb, jsonb),
    millrace.update_workflow(uuid, jsonb, integer),
    millrace.delete_workflow(uuid, boolean),
    millrace.restore_version(uuid, integer, integer, jsonb),
    millrace.run_workflow(uuid, jsonb, text),
    millrace.signal_execution(uuid, text, jsonb, text),
    millrace.cancel_execution(uuid),
    millrace.retry_execution(uuid, text),
    millrace.resolve_execution_step(uuid, text, integer, text, jsonb, text),
    millrace.write_secret(uuid, jsonb),
    millrace.create_subscription(uuid, jsonb, jsonb),
    millrace.update_subscription(uuid, jsonb),
    millrace.rotate_secret(uuid, jsonb),
    millrace.delete_subscription(uuid),
    millrace.create_schedule(uuid, uuid, jsonb),
    millrace.update_schedule(uuid, jsonb),
    millrace.delete_schedule(uuid),
    millrace.create_storage_trigger(uuid, uuid, jsonb),
    millrace.update_storage_trigger(uuid, jsonb),
    millrace.delete_storage_trigger(uuid)
from public;

grant execute on function
    millrace.create_workflow(uuid, text, text, boolean, jsonb, jsonb, jsonb),
    millrace.update_workflow(uuid, jsonb, integer),
    millrace.delete_workflow(uuid, boolean),
    millrace.restore_version(uuid, integer, integer, jsonb),
    millrace.run_workflow(uuid, jsonb, text),
    millrace.signal_execution(uuid, text, jsonb, text),
    millrace.cancel_execution(uuid),
    millrace.retry_execution(uuid, text),
    millrace.resolve_execution_step(uuid, text, integer, text, jsonb, text),
    millrace.create_subscription(uuid, jsonb, jsonb),
    millrace.update_subscription(uuid, jsonb),
    millrace.rotate_secret(uuid, jsonb),
    millrace.delete_subscription(uuid),
    millrace.create_schedule(uuid, uuid, jsonb),
    millrace.update_schedule(uuid, jsonb),
    millrace.delete_schedule(uuid),
    millrace.create_storage_trigger(uuid, uuid, jsonb),
    millrace.update_storage_trigger(uuid, jsonb),
    millrace.delete_storage_trigger(uuid)
to millrace_api;

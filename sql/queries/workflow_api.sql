-- What the workflow API reads under row-level security, and the functions of millrace it changes things with.

-- name: list_workflows
-- A page of the caller's workflows, newest first.
select id, name, description, is_active, version, trigger_config, created_at, updated_at
from public.workflow
where (%(name)s::text is null or name = %(name)s)
    and (%(is_active)s::boolean is null or is_active = %(is_active)s)
    and (%(at)s::timestamp is null or (created_at, id) < (%(at)s::timestamp, %(before)s::uuid))
order by created_at desc, id desc
limit %(limit)s;

-- name: create_workflow
-- A new workflow with its first version.
select *
from millrace.create_workflow(
    %(id)s, %(name)s, %(description)s, %(is_active)s, %(graph)s, %(trigger)s, %(schedule)s::jsonb
);

-- name: read_workflow
-- One workflow.
select *
from public.workflow
where id = %(id)s;

-- name: update_workflow
-- Change the fields that %(changes)s names, if the workflow is at the expected version or none is expected.
select *
from millrace.update_workflow(%(id)s, %(changes)s, %(expected)s::integer);

-- name: delete_workflow
-- Delete a workflow and all that hangs on it.
select millrace.delete_workflow(%(id)s, %(force)s);

-- name: list_versions
-- A page of a workflow's versions, newest first; one row without version when it has no more, none when it is not there.
select v.version, v.created_at, v.created_by
from public.workflow w
left join lateral (
    select v.version, v.created_at, v.created_by
    from public.workflowversion v
    where v.workflow_id = w.id
        and (%(before)s::integer is null or v.version < %(before)s)
    order by v.version desc
    limit %(limit)s
) v on true
where w.id = %(workflow)s
order by v.version desc;

-- name: read_version
-- One version of a workflow.
select v.version, v.created_at, v.created_by, v.graph as graph_config, v.trigger_config
from public.workflowversion v
where v.workflow_id = %(workflow)s
    and v.version = %(version)s;

-- name: restore_version
-- Make an old version's graph and trigger the present ones.
select *
from millrace.restore_version(%(id)s, %(version)s, %(expected)s::integer, %(schedule)s::jsonb);

-- name: run_workflow
-- Start a run by hand.
select
    id, workflow_id, workflow_version, status, trigger_type, current_node_id, started_at, completed_at, error,
    error_message, retry_count
from millrace.run_workflow(%(workflow)s, %(trigger)s, %(key)s);

-- name: list_executions
-- A page of the caller's runs, newest first, without what may be large.
select
    id, workflow_id, workflow_version, status, trigger_type, current_node_id, started_at, completed_at, error,
    error_message, retry_count
from public.workflowexecution
where (%(workflow)s::uuid is null or workflow_id = %(workflow)s)
    and (%(statuses)s::text[] is null or status = any (%(statuses)s::text[]))
    and (%(trigger_type)s::text is null or trigger_type = %(trigger_type)s)
    and (%(since)s::timestamptz is null or started_at >= %(since)s::timestamptz at time zone 'utc')
    and (%(until)s::timestamptz is null or started_at < %(until)s::timestamptz at time zone 'utc')
    and (%(at)s::timestamp is null or (started_at, id) < (%(at)s::timestamp, %(before)s::uuid))
order by started_at desc, id desc
limit %(limit)s;

-- name: read_execution
-- One run with its data.
select
    id, workflow_id, workflow_version, status, trigger_type, current_node_id, started_at, completed_at, error,
    error_message, retry_count, trigger_data, output, response
from public.workflowexecution
where id = %(id)s;

-- name: read_status
-- How one run stands.
select
    id, workflow_id, workflow_version, status, trigger_type, current_node_id, started_at, completed_at, error,
    error_message, retry_count
from public.workflowexecution
where id = %(id)s;

-- name: execution_timeline
-- A run and a page of its steps in brief, in the order in which they ended; one row without step when there are no more.
select
    e.id, e.workflow_id, e.status, e.current_node_id, e.started_at, e.completed_at, e.error, e.error_message,
    to_jsonb(s) as step
from public.workflowexecution e
left join lateral (
    select
        s.seq, s.node_id, s.node_type, s.iteration, s.attempt, s.status, s.branch, s.started_at, s.duration_ms, s.error,
        case
            when length(s.output::text) > 200 then to_jsonb(left(s.output::text, 200) || '…')
            else s.output
        end as output
    from public.executionstep s
    where s.execution_id = e.id
        and s.seq > %(after)s
    order by s.seq
    limit %(limit)s
) s on true
where e.id = %(execution)s
order by s.seq;

-- name: execution_steps
-- A page of a run's steps in full, in the order in which they ended; one row without step when there are no more.
select s.*
from public.workflowexecution e
left join lateral (
    select s.*
    from public.executionstep s
    where s.execution_id = e.id
        and s.seq > %(after)s
        and (%(node)s::text is null or s.node_id = %(node)s)
    order by s.seq
    limit %(limit)s
) s on true
where e.id = %(execution)s
order by s.seq;

-- name: execution_logs
-- A page of a run's log, oldest first; one row without line when there are no more.
select l.id, l.timestamp, l.level, l.node_id, l.message
from public.workflowexecution e
left join lateral (
    select l.*
    from public.executionlog l
    where l.execution_id = e.id
        and (%(level)s::text is null or l.level = %(level)s)
        and (%(at)s::timestamp is null or (l.timestamp, l.id) > (%(at)s::timestamp, %(after)s::uuid))
    order by l.timestamp, l.id
    limit %(limit)s
) l on true
where e.id = %(execution)s
order by l.timestamp, l.id;

-- name: signal_execution
-- Give a live run a signal.
select millrace.signal_execution(%(execution)s, %(type)s, %(data)s::jsonb, %(key)s) as id;

-- name: cancel_execution
-- Cancel a live run.
select millrace.cancel_execution(%(execution)s) as status;

-- name: retry_execution
-- Open a run again that failed, timed out or was cancelled.
select
    id, workflow_id, workflow_version, status, trigger_type, current_node_id, started_at, completed_at, error,
    error_message, retry_count
from millrace.retry_execution(%(execution)s, %(key)s);

-- name: resolve_step
-- Decide about a step in doubt.
select millrace.resolve_execution_step(
    %(execution)s, %(node)s, %(iteration)s, %(decision)s, %(output)s::jsonb, %(key)s
) as id;

-- name: list_subscriptions
-- A page of the caller's webhook subscriptions, newest first.
select
    id, workflow_id, name, webhook_path, scheme, filters, filter_expression, required_headers, delivery_id_header,
    tolerance_seconds, rate_per_minute, wait_limit, is_active, created_at, updated_at
from public.workflowwebhooksubscription
where (%(workflow)s::uuid is null or workflow_id = %(workflow)s)
    and (%(at)s::timestamp is null or (created_at, id) < (%(at)s::timestamp, %(before)s::uuid))
order by created_at desc, id desc
limit %(limit)s;

-- name: create_subscription
-- A new subscription with its sealed secret.
select *
from millrace.create_subscription(%(id)s, %(new)s, %(secret)s::jsonb);

-- name: read_subscription
-- One subscription.
select
    id, workflow_id, name, webhook_path, scheme, filters, filter_expression, required_headers, delivery_id_header,
    tolerance_seconds, rate_per_minute, wait_limit, is_active, created_at, updated_at
from public.workflowwebhooksubscription
where id = %(id)s;

-- name: update_subscription
-- Change the fields that %(changes)s names.
select *
from millrace.update_subscription(%(id)s, %(changes)s);

-- name: rotate_secret
-- Put another sealed secret in the place of the present one.
select *
from millrace.rotate_secret(%(id)s, %(secret)s);

-- name: delete_subscription
-- Delete a subscription with its secret and its ledger.
select millrace.delete_subscription(%(id)s);

-- name: list_deliveries
-- A page of a subscription's ledger, newest first; one row without delivery when there are no more.
select d.*
from public.workflowwebhooksubscription s
left join lateral (
    select d.*
    from public.webhookdelivery d
    where d.subscription_id = s.id
        and (%(verdict)s::text is null or d.verdict = %(verdict)s)
        and (%(at)s::timestamptz is null or (d.received_at, d.id) < (%(at)s::timestamptz, %(before)s::uuid))
    order by d.received_at desc, d.id desc
    limit %(limit)s
) d on true
where s.id = %(subscription)s
order by d.received_at desc, d.id desc;

-- name: list_schedules
-- A page of a workflow's schedules; one row without schedule when there are no more.
select s.*
from public.workflow w
left join lateral (
    select s.*
    from public.workflowschedule s
    where s.workflow_id = w.id
        and (%(after)s::uuid is null or s.id > %(after)s)
    order by s.id
    limit %(limit)s
) s on true
where w.id = %(workflow)s
order by s.id;

-- name: create_schedule
-- A new schedule.
select *
from millrace.create_schedule(%(id)s, %(workflow)s, %(new)s);

-- name: read_schedule
-- One schedule.
select *
from public.workflowschedule
where id = %(id)s;

-- name: update_schedule
-- Change the fields that %(changes)s names.
select *
from millrace.update_schedule(%(id)s, %(changes)s);

-- name: delete_schedule
-- Delete a schedule with its ledger.
select millrace.delete_schedule(%(id)s);

-- name: list_occurrences
-- A page of a schedule's ledger, newest first; one row without instant when there are no more.
select o.fire_at, o.status, o.reason, o.execution_id
from public.workflowschedule s
left join lateral (
    select o.*
    from public.scheduleoccurrence o
    where o.schedule_id = s.id
        and (%(before)s::timestamptz is null or o.fire_at < %(before)s)
    order by o.fire_at desc
    limit %(limit)s
) o on true
where s.id = %(schedule)s
order by o.fire_at desc;

-- name: list_storage_triggers
-- A page of a workflow's storage triggers; one row without trigger when there are no more.
select t.*
from public.workflow w
left join lateral (
    select t.*
    from public.storagetrigger t
    where t.workflow_id = w.id
        and (%(after)s::uuid is null or t.id > %(after)s)
    order by t.id
    limit %(limit)s
) t on true
where w.id = %(workflow)s
order by t.id;

-- name: create_storage_trigger
-- A new storage trigger.
select *
from millrace.create_storage_trigger(%(id)s, %(workflow)s, %(new)s, %(most)s);

-- name: read_storage_trigger
-- One storage trigger.
select *
from public.storagetrigger
where id = %(id)s;

-- name: update_storage_trigger
-- Change the fields that %(changes)s names.
select *
from millrace.update_storage_trigger(%(id)s, %(changes)s);

-- name: delete_storage_trigger
-- Delete a storage trigger.
select millrace.delete_storage_trigger(%(id)s);

-- Whose each row is: `owner_id` on every inherited table, an index on every foreign key, keys that are unique inside a
-- tenant, and the words a status may be. Runs before the code.
--
-- `owner_id` is nullable on what we inherit: it is filled in along the foreign keys, and a row without a path to an
-- owner is seen by service_role only. A row that can outlive its parent, or has none, refers to its owner and goes
-- with that user. A row that always goes with its parent carries a copy of the parent's owner without a reference of
-- its own: checking one would lock the user's row on every insert into the tables that are written most.

-- Rows that stand on their own ---------------------------------------------------------------------------------------

alter table public.workflowschedule
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.workflowwebhooksubscription
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.webhooksubscription
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.agenttask
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.agentframeworkconfig
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.agentcontextcache
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.ragswitchlog
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.ragfinetunejob
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.ocrjob
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.scrapejob
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.proxylog
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.domainprofile
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.contentchecksum
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.browsersession
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.changedetection
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.osintstream
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.osintalert
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.codeexecution
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.modelcostlog
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.toolusagelog
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.eventlog
    add column if not exists owner_id uuid references public."user" (id) on delete cascade;

-- Rows that go with their parent -------------------------------------------------------------------------------------

alter table public.workflownode add column if not exists owner_id uuid;
alter table public.workflowexecution add column if not exists owner_id uuid;
alter table public.executionlog add column if not exists owner_id uuid;
alter table public.workflowsignal add column if not exists owner_id uuid;
alter table public.connectorversion add column if not exists owner_id uuid;
alter table public.agenttasklog add column if not exists owner_id uuid;
alter table public.ragdocument add column if not exists owner_id uuid;
alter table public.ragquery add column if not exists owner_id uuid;
alter table public.ragfinetunedataset add column if not exists owner_id uuid;
alter table public.ocrdocument add column if not exists owner_id uuid;
alter table public.ocrresult add column if not exists owner_id uuid;
alter table public.scraperesult add column if not exists owner_id uuid;
alter table public.browseraction add column if not exists owner_id uuid;
alter table public.osintsignal add column if not exists owner_id uuid;

-- These two call their owner `user_id`.
alter table public.user_connector_connection
    add column if not exists owner_id uuid not null generated always as (user_id) stored;
alter table public.user_api_key
    add column if not exists owner_id uuid not null generated always as (user_id) stored;

-- A user's keys go with the user, as every other row of theirs does.
alter table public.user_api_key
    drop constraint if exists user_api_key_user_id_fkey,
    add constraint user_api_key_user_id_fkey foreign key (user_id) references public."user" (id) on delete cascade;

-- Filling in, parents first ------------------------------------------------------------------------------------------

update public.webhooksubscription as row
set owner_id = owner.id
from public."user" as owner
where row.owner_id is null and owner.id = row.tenant_id;

-- The old agents kept their memory under their user's id.
update public.agentcontextcache as row
set owner_id = owner.id
from public."user" as owner
where row.owner_id is null and owner.id::text = row.agent_id;

update public.workflownode as row
set owner_id = parent.owner_id
from public.workflow as parent
where row.owner_id is null and parent.id = row.workflow_id;

update public.workflowexecution as row
set owner_id = parent.owner_id
from public.workflow as parent
where row.owner_id is null and parent.id = row.workflow_id;

update public.workflowschedule as row
set owner_id = parent.owner_id
from public.workflow as parent
where row.owner_id is null and parent.id = row.workflow_id;

update public.workflowwebhooksubscription as row
set owner_id = parent.owner_id
from public.workflow as parent
where row.owner_id is null and parent.id = row.workflow_id;

update public.executionlog as row
set owner_id = parent.owner_id
from public.workflowexecution as parent
where row.owner_id is null and parent.id = row.execution_id;

update public.workflowsignal as row
set owner_id = parent.owner_id
from public.workflowexecution as parent
where row.owner_id is null and parent.id = row.execution_id;

update public.connectorversion as row
set owner_id = parent.owner_id
from public.connector as parent
where row.owner_id is null and parent.id = row.connector_id;

update public.agenttasklog as row
set owner_id = parent.owner_id
from public.agenttask as parent
where row.owner_id is null and parent.id = row.task_id;

update public.ragdocument as row
set owner_id = parent.owner_id
from public.ragindex as parent
where row.owner_id is null and parent.id = row.index_id;

update public.ragquery as row
set owner_id = parent.owner_id
from public.ragindex as parent
where row.owner_id is null and parent.id = row.index_id;

update public.ragswitchlog as row
set owner_id = parent.owner_id
from public.ragquery as parent
where row.owner_id is null and parent.id = row.query_id;

update public.ragfinetunejob as row
set owner_id = parent.owner_id
from public.ragindex as parent
where row.owner_id is null and parent.id = row.index_id;

update public.ragfinetunedataset as row
set owner_id = parent.owner_id
from public.ragfinetunejob as parent
where row.owner_id is null and parent.id = row.job_id;

update public.ocrdocument as row
set owner_id = parent.owner_id
from public.ocrjob as parent
where row.owner_id is null and parent.id = row.job_id;

update public.ocrresult as row
set owner_id = parent.owner_id
from public.ocrjob as parent
where row.owner_id is null and parent.id = row.job_id;

update public.scraperesult as row
set owner_id = parent.owner_id
from public.scrapejob as parent
where row.owner_id is null and parent.id = row.job_id;

update public.browseraction as row
set owner_id = parent.owner_id
from public.browsersession as parent
where row.owner_id is null and parent.id = row.session_id;

update public.osintsignal as row
set owner_id = parent.owner_id
from public.osintstream as parent
where row.owner_id is null and parent.id = row.stream_id;

update public.osintalert as row
set owner_id = parent.owner_id
from public.osintstream as parent
where row.owner_id is null and parent.id = row.stream_id;

-- An index on every foreign key, and on every owner ------------------------------------------------------------------

create index if not exists ix_item_owner_id on public.item (owner_id);
create index if not exists ix_workflow_owner_id on public.workflow (owner_id);
create index if not exists ix_workflownode_workflow_id on public.workflownode (workflow_id);
create index if not exists ix_workflownode_owner_id on public.workflownode (owner_id);
create index if not exists ix_workflowschedule_workflow_id on public.workflowschedule (workflow_id);
create index if not exists ix_workflowschedule_owner_id on public.workflowschedule (owner_id);
create index if not exists ix_workflowsignal_execution_id on public.workflowsignal (execution_id);
create index if not exists ix_workflowsignal_owner_id on public.workflowsignal (owner_id);
create index if not exists ix_workflowwebhooksubscription_owner_id on public.workflowwebhooksubscription (owner_id);
create index if not exists ix_connectorversion_owner_id on public.connectorversion (owner_id);
create index if not exists ix_webhooksubscription_connector_version_id
    on public.webhooksubscription (connector_version_id);
create index if not exists ix_webhooksubscription_owner_id on public.webhooksubscription (owner_id);
create index if not exists ix_agenttask_owner_id on public.agenttask (owner_id);
create index if not exists ix_agenttasklog_owner_id on public.agenttasklog (owner_id);
create index if not exists ix_agentcontextcache_owner_id on public.agentcontextcache (owner_id);
create index if not exists ix_ragindex_owner_id on public.ragindex (owner_id);
create index if not exists ix_ragdocument_index_id on public.ragdocument (index_id);
create index if not exists ix_ragdocument_owner_id on public.ragdocument (owner_id);
create index if not exists ix_ragquery_owner_id on public.ragquery (owner_id);
create index if not exists ix_ragswitchlog_query_id on public.ragswitchlog (query_id);
create index if not exists ix_ragswitchlog_owner_id on public.ragswitchlog (owner_id);
create index if not exists ix_ragfinetunejob_index_id on public.ragfinetunejob (index_id);
create index if not exists ix_ragfinetunejob_owner_id on public.ragfinetunejob (owner_id);
create index if not exists ix_ragfinetunedataset_job_id on public.ragfinetunedataset (job_id);
create index if not exists ix_ragfinetunedataset_owner_id on public.ragfinetunedataset (owner_id);
create index if not exists ix_ocrjob_owner_id on public.ocrjob (owner_id);
create index if not exists ix_ocrdocument_job_id on public.ocrdocument (job_id);
create index if not exists ix_ocrdocument_owner_id on public.ocrdocument (owner_id);
create index if not exists ix_ocrresult_job_id on public.ocrresult (job_id);
create index if not exists ix_ocrresult_owner_id on public.ocrresult (owner_id);
create index if not exists ix_scrapejob_owner_id on public.scrapejob (owner_id);
create index if not exists ix_scraperesult_job_id on public.scraperesult (job_id);
create index if not exists ix_scraperesult_owner_id on public.scraperesult (owner_id);
create index if not exists ix_proxylog_owner_id on public.proxylog (owner_id);
create index if not exists ix_contentchecksum_owner_id on public.contentchecksum (owner_id);
create index if not exists ix_browsersession_owner_id on public.browsersession (owner_id);
create index if not exists ix_browseraction_session_id on public.browseraction (session_id);
create index if not exists ix_browseraction_owner_id on public.browseraction (owner_id);
create index if not exists ix_changedetection_owner_id on public.changedetection (owner_id);
create index if not exists ix_osintstream_owner_id on public.osintstream (owner_id);
create index if not exists ix_osintalert_stream_id on public.osintalert (stream_id);
create index if not exists ix_osintalert_owner_id on public.osintalert (owner_id);
create index if not exists ix_osintsignal_stream_id on public.osintsignal (stream_id);
create index if not exists ix_osintsignal_owner_id on public.osintsignal (owner_id);
create index if not exists ix_codeexecution_owner_id on public.codeexecution (owner_id);
create index if not exists ix_codesandbox_owner_id on public.codesandbox (owner_id);
create index if not exists ix_modelcostlog_owner_id on public.modelcostlog (owner_id);
create index if not exists ix_toolusagelog_owner_id on public.toolusagelog (owner_id);
create index if not exists ix_eventlog_owner_id on public.eventlog (owner_id);
create index if not exists ix_user_connector_connection_owner_id on public.user_connector_connection (owner_id);
create index if not exists ix_user_api_key_owner_id on public.user_api_key (owner_id);

-- Lists of runs are read per owner or per workflow, newest first, a page at a time. The three indexes they replace
-- hold a column that changes (status), or an order that spans tenants; without them a change of status is a HOT
-- update.
create index if not exists ix_workflowexecution_owner on public.workflowexecution (owner_id, started_at desc);
create index if not exists ix_workflowexecution_workflow on public.workflowexecution (workflow_id, started_at desc);
drop index if exists public.ix_workflowexecution_workflow_id;
drop index if exists public.ix_workflowexecution_status;
drop index if exists public.ix_workflowexecution_started_at;
alter table public.workflowexecution set (fillfactor = 85);

-- A log is read by its execution, in order; `owner_id` needs no index of its own there.
create index if not exists ix_executionlog_execution on public.executionlog (execution_id, timestamp);
drop index if exists public.ix_executionlog_execution_id;
drop index if exists public.ix_executionlog_timestamp;

-- Keys that spanned tenants are unique inside one --------------------------------------------------------------------
-- Each stood either as a unique index or as a constraint with a plain index beside it. `nulls not distinct`: the rows
-- without an owner, the platform's, are one more tenant.

drop index if exists public.ix_connector_slug;
alter table public.connector drop constraint if exists connector_slug_key;
create unique index if not exists ix_connector_owner_slug
    on public.connector (owner_id, slug) nulls not distinct;
create index if not exists ix_connector_slug on public.connector (slug);

drop index if exists public.ix_codetoolregistry_tool_id;
alter table public.codetoolregistry drop constraint if exists codetoolregistry_tool_id_key;
create unique index if not exists ix_codetoolregistry_owner_tool_version
    on public.codetoolregistry (owner_id, tool_id, version);

drop index if exists public.ix_domainprofile_domain;
alter table public.domainprofile drop constraint if exists domainprofile_domain_key;
create unique index if not exists ix_domainprofile_owner_domain
    on public.domainprofile (owner_id, domain) nulls not distinct;

alter table public.agentframeworkconfig drop constraint if exists agentframeworkconfig_framework_key;
create unique index if not exists ix_agentframeworkconfig_owner_framework
    on public.agentframeworkconfig (owner_id, framework) nulls not distinct;

-- The words a status may be ------------------------------------------------------------------------------------------
-- The old words are among them, and rows from before are not checked (`not valid`): adoption never fails on data.

alter table public.workflowexecution
    drop constraint if exists workflowexecution_status_known,
    add constraint workflowexecution_status_known check (
        status in (
            'running', 'waiting', 'waiting_for_signal', 'paused',
            'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.connector
    drop constraint if exists connector_status_known,
    add constraint connector_status_known check (
        status in (
            'draft', 'beta', 'stable', 'deprecated'
        )
    ) not valid;
alter table public.agenttask
    drop constraint if exists agenttask_status_known,
    add constraint agenttask_status_known check (
        status in (
            'pending', 'queued', 'running', 'processing', 'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.ragfinetunejob
    drop constraint if exists ragfinetunejob_status_known,
    add constraint ragfinetunejob_status_known check (
        status in (
            'pending', 'queued', 'running', 'processing', 'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.ocrjob
    drop constraint if exists ocrjob_status_known,
    add constraint ocrjob_status_known check (
        status in (
            'pending', 'queued', 'running', 'processing', 'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.scrapejob
    drop constraint if exists scrapejob_status_known,
    add constraint scrapejob_status_known check (
        status in (
            'pending', 'queued', 'running', 'processing', 'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.codeexecution
    drop constraint if exists codeexecution_status_known,
    add constraint codeexecution_status_known check (
        status in (
            'pending', 'queued', 'running', 'processing', 'completed', 'failed', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.browsersession
    drop constraint if exists browsersession_status_known,
    add constraint browsersession_status_known check (
        status in (
            'active', 'closing', 'closed', 'expired', 'failed', 'error'
        )
    ) not valid;
alter table public.toolusagelog
    drop constraint if exists toolusagelog_status_known,
    add constraint toolusagelog_status_known check (
        status in (
            'success', 'completed', 'failed', 'error', 'cancelled', 'timed_out'
        )
    ) not valid;
alter table public.user_connector_connection
    drop constraint if exists user_connector_connection_status_known,
    add constraint user_connector_connection_status_known check (
        status in (
            'pending', 'connected', 'disconnected', 'expired', 'error'
        )
    ) not valid;
alter table public.executionlog
    drop constraint if exists executionlog_level_known,
    add constraint executionlog_level_known check (
        lower(level) in ('debug', 'info', 'warning', 'error', 'critical')
    ) not valid;
alter table public.agenttasklog
    drop constraint if exists agenttasklog_level_known,
    add constraint agenttasklog_level_known check (
        lower(level) in ('debug', 'info', 'warning', 'error', 'critical')
    ) not valid;

-- What everyone may read belongs to no one.
alter table public.connector
    drop constraint if exists connector_platform_unowned,
    add constraint connector_platform_unowned check (not is_platform or owner_id is null) not valid;

-- Row-level security on every table, and what tenants are granted. Runs before the code.
--
-- A tenant, whether it comes through PostgREST (`authenticated`) or through our faces (`millrace_api`), sees the rows
-- whose `owner_id` is its own; platform connectors are everyone's. It changes rows directly only where it owns them
-- outright (`item`): whatever the engine, jobs, ledgers and logs write, and whatever has rules, changes through
-- functions in `millrace` that check the owner. `anon` has nothing. `service_role` bypasses policies, as on Supabase.
--
-- Policies call `(select millrace.user_id())`: once a statement, and not `auth.uid()`, which a custom role may not
-- execute. None reads the table it stands on, and the one that reads another (connectorversion) reads one whose policy
-- reads none. Row-level security is not forced: the functions of `millrace` run as the tables' owner, and are to see
-- every row.
--
-- A migration that adds a table ends likewise: enable, policy, grant. A test reads the catalogue and fails without.

-- Nothing but what is granted below ----------------------------------------------------------------------------------

revoke all on all tables in schema public from public, anon, authenticated, millrace_api;
grant all on all tables in schema public to service_role;

-- Users: oneself, without what is secret -----------------------------------------------------------------------------

alter table public."user" enable row level security;
create policy user_self on public."user"
    for select
    to authenticated, millrace_api
    using (id = (select millrace.user_id()));
grant select (
    id, email, is_active, is_superuser, full_name, auth_id
) on public."user" to authenticated, millrace_api;

-- Items: the tenant's own --------------------------------------------------------------------------------------------

alter table public.item enable row level security;
create policy item_owner on public.item
    for all
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()))
    with check (owner_id = (select millrace.user_id()));
grant select, insert, update, delete on public.item to authenticated, millrace_api;

-- Connectors: one's own, and the platform's --------------------------------------------------------------------------

alter table public.connector enable row level security;
create policy connector_owner_or_platform on public.connector
    for select
    to authenticated, millrace_api
    using (is_platform or owner_id = (select millrace.user_id()));
grant select on public.connector to authenticated, millrace_api;

alter table public.connectorversion enable row level security;
create policy connectorversion_owner_or_platform on public.connectorversion
    for select
    to authenticated, millrace_api
    using (
        owner_id = (select millrace.user_id())
        or owner_id is null and exists (
            select
            from public.connector
            where connector.id = connectorversion.connector_id
                and connector.is_platform
        )
    );
grant select on public.connectorversion to authenticated, millrace_api;

-- Left by the old migration tool: for service_role only --------------------------------------------------------------

alter table public.alembic_version enable row level security;

-- Everything else: its owner reads it --------------------------------------------------------------------------------

alter table public.workflow enable row level security;
create policy workflow_owner on public.workflow
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflow to authenticated, millrace_api;

alter table public.workflownode enable row level security;
create policy workflownode_owner on public.workflownode
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflownode to authenticated, millrace_api;

alter table public.workflowexecution enable row level security;
create policy workflowexecution_owner on public.workflowexecution
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflowexecution to authenticated, millrace_api;

alter table public.executionlog enable row level security;
create policy executionlog_owner on public.executionlog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.executionlog to authenticated, millrace_api;

alter table public.workflowschedule enable row level security;
create policy workflowschedule_owner on public.workflowschedule
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflowschedule to authenticated, millrace_api;

alter table public.workflowsignal enable row level security;
create policy workflowsignal_owner on public.workflowsignal
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflowsignal to authenticated, millrace_api;

alter table public.workflowwebhooksubscription enable row level security;
create policy workflowwebhooksubscription_owner on public.workflowwebhooksubscription
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select (
    id, workflow_id, webhook_path, headers, filters, is_active, created_at, updated_at, owner_id, name, scheme,
    secret_id, delivery_id_header, tolerance_seconds, required_headers, filter_expression, rate_per_minute,
    wait_limit
) on public.workflowwebhooksubscription to authenticated, millrace_api;

alter table public.webhooksubscription enable row level security;
create policy webhooksubscription_owner on public.webhooksubscription
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select (
    id, connector_version_id, trigger_id, tenant_id, created_at, owner_id
) on public.webhooksubscription to authenticated, millrace_api;

alter table public.agenttask enable row level security;
create policy agenttask_owner on public.agenttask
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.agenttask to authenticated, millrace_api;

alter table public.agenttasklog enable row level security;
create policy agenttasklog_owner on public.agenttasklog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.agenttasklog to authenticated, millrace_api;

alter table public.agentframeworkconfig enable row level security;
create policy agentframeworkconfig_owner on public.agentframeworkconfig
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.agentframeworkconfig to authenticated, millrace_api;

alter table public.agentcontextcache enable row level security;
create policy agentcontextcache_owner on public.agentcontextcache
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.agentcontextcache to authenticated, millrace_api;

alter table public.ragindex enable row level security;
create policy ragindex_owner on public.ragindex
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragindex to authenticated, millrace_api;

alter table public.ragdocument enable row level security;
create policy ragdocument_owner on public.ragdocument
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragdocument to authenticated, millrace_api;

alter table public.ragquery enable row level security;
create policy ragquery_owner on public.ragquery
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragquery to authenticated, millrace_api;

alter table public.ragswitchlog enable row level security;
create policy ragswitchlog_owner on public.ragswitchlog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragswitchlog to authenticated, millrace_api;

alter table public.ragfinetunejob enable row level security;
create policy ragfinetunejob_owner on public.ragfinetunejob
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragfinetunejob to authenticated, millrace_api;

alter table public.ragfinetunedataset enable row level security;
create policy ragfinetunedataset_owner on public.ragfinetunedataset
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ragfinetunedataset to authenticated, millrace_api;

alter table public.ocrjob enable row level security;
create policy ocrjob_owner on public.ocrjob
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ocrjob to authenticated, millrace_api;

alter table public.ocrdocument enable row level security;
create policy ocrdocument_owner on public.ocrdocument
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ocrdocument to authenticated, millrace_api;

alter table public.ocrresult enable row level security;
create policy ocrresult_owner on public.ocrresult
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.ocrresult to authenticated, millrace_api;

alter table public.scrapejob enable row level security;
create policy scrapejob_owner on public.scrapejob
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.scrapejob to authenticated, millrace_api;

alter table public.scraperesult enable row level security;
create policy scraperesult_owner on public.scraperesult
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.scraperesult to authenticated, millrace_api;

alter table public.proxylog enable row level security;
create policy proxylog_owner on public.proxylog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.proxylog to authenticated, millrace_api;

alter table public.domainprofile enable row level security;
create policy domainprofile_owner on public.domainprofile
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.domainprofile to authenticated, millrace_api;

alter table public.contentchecksum enable row level security;
create policy contentchecksum_owner on public.contentchecksum
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.contentchecksum to authenticated, millrace_api;

alter table public.browsersession enable row level security;
create policy browsersession_owner on public.browsersession
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.browsersession to authenticated, millrace_api;

alter table public.browseraction enable row level security;
create policy browseraction_owner on public.browseraction
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.browseraction to authenticated, millrace_api;

alter table public.changedetection enable row level security;
create policy changedetection_owner on public.changedetection
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.changedetection to authenticated, millrace_api;

alter table public.osintstream enable row level security;
create policy osintstream_owner on public.osintstream
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.osintstream to authenticated, millrace_api;

alter table public.osintalert enable row level security;
create policy osintalert_owner on public.osintalert
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.osintalert to authenticated, millrace_api;

alter table public.osintsignal enable row level security;
create policy osintsignal_owner on public.osintsignal
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.osintsignal to authenticated, millrace_api;

alter table public.codeexecution enable row level security;
create policy codeexecution_owner on public.codeexecution
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.codeexecution to authenticated, millrace_api;

alter table public.codetoolregistry enable row level security;
create policy codetoolregistry_owner on public.codetoolregistry
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.codetoolregistry to authenticated, millrace_api;

alter table public.codesandbox enable row level security;
create policy codesandbox_owner on public.codesandbox
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.codesandbox to authenticated, millrace_api;

alter table public.modelcostlog enable row level security;
create policy modelcostlog_owner on public.modelcostlog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.modelcostlog to authenticated, millrace_api;

alter table public.toolusagelog enable row level security;
create policy toolusagelog_owner on public.toolusagelog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.toolusagelog to authenticated, millrace_api;

alter table public.eventlog enable row level security;
create policy eventlog_owner on public.eventlog
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.eventlog to authenticated, millrace_api;

alter table public.user_connector_connection enable row level security;
create policy user_connector_connection_owner on public.user_connector_connection
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.user_connector_connection to authenticated, millrace_api;

alter table public.user_api_key enable row level security;
create policy user_api_key_owner on public.user_api_key
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select (
    id, user_id, service_name, service_display_name, credential_type, is_active, last_used_at, created_at,
    updated_at, owner_id
) on public.user_api_key to authenticated, millrace_api;

alter table public.workflowversion enable row level security;
create policy workflowversion_owner on public.workflowversion
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.workflowversion to authenticated, millrace_api;

alter table public.executionstep enable row level security;
create policy executionstep_owner on public.executionstep
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.executionstep to authenticated, millrace_api;

alter table public.secret enable row level security;
create policy secret_owner on public.secret
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select (
    id, owner_id, name, key_id, created_at, updated_at
) on public.secret to authenticated, millrace_api;

alter table public.apitoken enable row level security;
create policy apitoken_owner on public.apitoken
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select (
    id, owner_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
) on public.apitoken to authenticated, millrace_api;

alter table public.webhookdelivery enable row level security;
create policy webhookdelivery_owner on public.webhookdelivery
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.webhookdelivery to authenticated, millrace_api;

alter table public.scheduleoccurrence enable row level security;
create policy scheduleoccurrence_owner on public.scheduleoccurrence
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.scheduleoccurrence to authenticated, millrace_api;

alter table public.storagetrigger enable row level security;
create policy storagetrigger_owner on public.storagetrigger
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.storagetrigger to authenticated, millrace_api;

-- The engine's own: through functions only ---------------------------------------------------------------------------

alter table millrace.webhook_dedupe enable row level security;
alter table millrace.storage_event_dedupe enable row level security;

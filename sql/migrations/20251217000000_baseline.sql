-- The tables of the system this one replaces, as they stood before any named migration. Runs before the code.
-- millrace: re-runnable
--
-- Everything is written `if not exists`, so that an existing database is adopted as it is: same tables, same columns.
-- Where that system had two variants of a column, a new database gets the wider type and the variant with a default;
-- an adopted one is brought level by 20261122100050_defaults. Timestamps without zone hold UTC. Three tables that had
-- migrations of their own follow under their names: user_connector_connection, user_api_key,
-- workflowwebhooksubscription.

-- Users, and what the template left behind ---------------------------------------------------------------------------

create table if not exists public."user" (
    id uuid not null,
    email varchar(255) not null,
    is_active boolean not null,
    is_superuser boolean not null,
    full_name varchar(255),
    hashed_password varchar not null,
    primary key (id)
);

create unique index if not exists ix_user_email on public."user" (email);

create table if not exists public.item (
    id uuid not null,
    title varchar(255) not null,
    description varchar(255),
    owner_id uuid not null,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table if not exists public.alembic_version (
    version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num)
);

-- Workflows and their executions -------------------------------------------------------------------------------------

create table if not exists public.workflow (
    name varchar(255) not null,
    description text,
    is_active boolean not null default true,
    version integer not null default 1,
    trigger_config jsonb,
    graph_config jsonb,
    id uuid not null,
    owner_id uuid not null,
    created_at timestamp not null,
    updated_at timestamp not null,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table if not exists public.workflownode (
    id uuid not null,
    workflow_id uuid not null,
    node_type varchar(100) not null,
    node_id varchar(255) not null,
    position_x double precision not null,
    position_y double precision not null,
    config jsonb,
    primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create table if not exists public.workflowexecution (
    id uuid not null,
    workflow_id uuid not null,
    workflow_version integer not null,
    execution_id varchar(255) not null,
    status varchar(50) not null,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    current_node_id varchar(255),
    execution_state jsonb,
    retry_count integer not null default 0,
    next_retry_at timestamp,
    primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create unique index if not exists ix_workflowexecution_execution_id on public.workflowexecution (execution_id);
create index if not exists ix_workflowexecution_workflow_id on public.workflowexecution (workflow_id);
create index if not exists ix_workflowexecution_status on public.workflowexecution (status);
create index if not exists ix_workflowexecution_started_at on public.workflowexecution (started_at);

create table if not exists public.executionlog (
    id uuid not null,
    execution_id uuid not null,
    node_id varchar(255) not null,
    level varchar(20) not null,
    message text not null,
    timestamp timestamp not null,
    primary key (id),
    foreign key (execution_id) references public.workflowexecution (id) on delete cascade
);

create index if not exists ix_executionlog_execution_id on public.executionlog (execution_id);
create index if not exists ix_executionlog_timestamp on public.executionlog (timestamp);

create table if not exists public.workflowschedule (
    id uuid not null,
    workflow_id uuid not null,
    cron_expression varchar(100) not null,
    is_active boolean not null default true,
    next_run_at timestamp,
    last_run_at timestamp,
    primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create table if not exists public.workflowsignal (
    id uuid not null,
    execution_id uuid not null,
    signal_type varchar(100) not null,
    signal_data jsonb,
    received_at timestamp not null,
    processed boolean not null default false,
    primary key (id),
    foreign key (execution_id) references public.workflowexecution (id) on delete cascade
);

-- Connectors: a registry of manifests --------------------------------------------------------------------------------

create table if not exists public.connector (
    id uuid not null,
    slug varchar(100) not null,
    name varchar(255) not null,
    status varchar(50) not null,
    latest_version_id uuid,
    created_at timestamp not null,
    owner_id uuid,
    is_platform boolean default true,
    created_by uuid,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade,
    foreign key (created_by) references public."user" (id) on delete set null
);

-- The first shape of this table lacked who owns a connector.
alter table public.connector add column if not exists owner_id uuid references public."user" (id) on delete cascade;
alter table public.connector add column if not exists is_platform boolean default true;
alter table public.connector add column if not exists created_by uuid references public."user" (id) on delete set null;

create unique index if not exists ix_connector_slug on public.connector (slug);
create index if not exists idx_connector_owner_id on public.connector (owner_id);
create index if not exists idx_connector_is_platform on public.connector (is_platform);
create index if not exists idx_connector_created_by on public.connector (created_by);

create table if not exists public.connectorversion (
    id uuid not null,
    connector_id uuid not null,
    version varchar(50) not null,
    manifest jsonb,
    wheel_url varchar(1000),
    created_at timestamp not null,
    primary key (id),
    foreign key (connector_id) references public.connector (id) on delete cascade
);

create index if not exists ix_connectorversion_connector_id on public.connectorversion (connector_id);

create table if not exists public.webhooksubscription (
    id uuid not null,
    connector_version_id uuid not null,
    trigger_id varchar(255) not null,
    tenant_id uuid not null,
    endpoint_secret varchar(255) not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (connector_version_id) references public.connectorversion (id) on delete cascade
);

-- Agents -------------------------------------------------------------------------------------------------------------

create table if not exists public.agenttask (
    id uuid not null,
    agent_framework varchar(100) not null,
    task_type varchar(100) not null,
    status varchar(50) not null,
    input_data jsonb,
    output_data jsonb,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    primary key (id)
);

create table if not exists public.agenttasklog (
    id uuid not null,
    task_id uuid not null,
    level varchar(20) not null,
    message text not null,
    timestamp timestamp not null,
    primary key (id),
    foreign key (task_id) references public.agenttask (id) on delete cascade
);

create index if not exists ix_agenttasklog_task_id on public.agenttasklog (task_id);

create table if not exists public.agentframeworkconfig (
    id uuid not null,
    framework varchar(100) not null,
    config jsonb,
    is_enabled boolean not null,
    created_at timestamp not null,
    updated_at timestamp not null,
    primary key (id),
    unique (framework)
);

create table if not exists public.agentcontextcache (
    id uuid not null,
    agent_id varchar(255) not null,
    context_key varchar(255) not null,
    context_data jsonb,
    expires_at timestamp,
    created_at timestamp not null,
    primary key (id)
);

create index if not exists ix_agentcontextcache_agent_id on public.agentcontextcache (agent_id);
create index if not exists ix_agentcontextcache_context_key on public.agentcontextcache (context_key);

-- Retrieval ----------------------------------------------------------------------------------------------------------

create table if not exists public.ragindex (
    id uuid not null,
    name varchar(255) not null,
    vector_db_type varchar(50) not null,
    owner_id uuid not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table if not exists public.ragdocument (
    id uuid not null,
    index_id uuid not null,
    content text not null,
    document_metadata jsonb,
    embedding jsonb,
    created_at timestamp not null,
    primary key (id),
    foreign key (index_id) references public.ragindex (id) on delete cascade
);

create table if not exists public.ragquery (
    id uuid not null,
    index_id uuid not null,
    query_text text not null,
    results jsonb,
    latency_ms integer not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (index_id) references public.ragindex (id) on delete cascade
);

create index if not exists ix_ragquery_index_id on public.ragquery (index_id);
create index if not exists ix_ragquery_created_at on public.ragquery (created_at);

create table if not exists public.ragswitchlog (
    id uuid not null,
    query_id uuid,
    routing_decision varchar(100) not null,
    routing_reason varchar(500) not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (query_id) references public.ragquery (id) on delete set null
);

create table if not exists public.ragfinetunejob (
    id uuid not null,
    index_id uuid not null,
    status varchar(50) not null,
    config jsonb,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    primary key (id),
    foreign key (index_id) references public.ragindex (id)
);

create table if not exists public.ragfinetunedataset (
    id uuid not null,
    job_id uuid not null,
    dataset_url varchar(1000) not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (job_id) references public.ragfinetunejob (id) on delete cascade
);

-- Document reading ---------------------------------------------------------------------------------------------------

create table if not exists public.ocrjob (
    id uuid not null,
    document_url varchar(1000) not null,
    engine varchar(100) not null,
    status varchar(50) not null,
    result jsonb,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    primary key (id)
);

create table if not exists public.ocrdocument (
    id uuid not null,
    job_id uuid not null,
    file_url varchar(1000) not null,
    file_type varchar(50) not null,
    document_metadata jsonb,
    created_at timestamp not null,
    primary key (id),
    foreign key (job_id) references public.ocrjob (id) on delete cascade
);

create table if not exists public.ocrresult (
    id uuid not null,
    job_id uuid not null,
    extracted_text text not null,
    structured_data jsonb,
    confidence_score double precision,
    created_at timestamp not null,
    primary key (id),
    foreign key (job_id) references public.ocrjob (id) on delete cascade
);

-- Scraping -----------------------------------------------------------------------------------------------------------

create table if not exists public.scrapejob (
    id uuid not null,
    url varchar(2000) not null,
    engine varchar(100) not null,
    proxy_id varchar(255),
    status varchar(50) not null,
    result jsonb,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    primary key (id)
);

create table if not exists public.scraperesult (
    id uuid not null,
    job_id uuid not null,
    content text not null,
    html text,
    result_metadata jsonb,
    created_at timestamp not null,
    primary key (id),
    foreign key (job_id) references public.scrapejob (id) on delete cascade
);

create table if not exists public.proxylog (
    id uuid not null,
    ip_id varchar(255) not null,
    agent_id varchar(255),
    domain_scraped varchar(255) not null,
    status_code integer,
    retry_count integer not null,
    block_reason varchar(500),
    latency_ms integer not null,
    timestamp timestamp not null,
    primary key (id)
);

create index if not exists ix_proxylog_domain_scraped on public.proxylog (domain_scraped);
create index if not exists ix_proxylog_ip_id on public.proxylog (ip_id);

create table if not exists public.domainprofile (
    id uuid not null,
    domain varchar(255) not null,
    max_requests_per_hour integer not null,
    requires_login boolean not null,
    captcha_likelihood varchar(50) not null,
    scroll_needed boolean not null,
    idle_before_click double precision not null,
    config jsonb,
    created_at timestamp not null,
    updated_at timestamp not null,
    primary key (id)
);

create unique index if not exists ix_domainprofile_domain on public.domainprofile (domain);

create table if not exists public.contentchecksum (
    id uuid not null,
    url varchar(2000) not null,
    content_hash varchar(64) not null,
    last_scraped_at timestamp not null,
    created_at timestamp not null,
    primary key (id)
);

create index if not exists ix_contentchecksum_content_hash on public.contentchecksum (content_hash);
create index if not exists ix_contentchecksum_url on public.contentchecksum (url);

-- Browser sessions and page changes ----------------------------------------------------------------------------------

create table if not exists public.browsersession (
    id uuid not null,
    session_id varchar(255) not null,
    browser_tool varchar(100) not null,
    proxy_id varchar(255),
    status varchar(50) not null,
    started_at timestamp not null,
    closed_at timestamp,
    primary key (id)
);

create unique index if not exists ix_browsersession_session_id on public.browsersession (session_id);

create table if not exists public.browseraction (
    id uuid not null,
    session_id uuid not null,
    action_type varchar(100) not null,
    action_data jsonb,
    result jsonb,
    timestamp timestamp not null,
    primary key (id),
    foreign key (session_id) references public.browsersession (id) on delete cascade
);

create table if not exists public.changedetection (
    id uuid not null,
    url varchar(2000) not null,
    diff_hash varchar(64) not null,
    previous_content text,
    current_content text,
    detected_at timestamp not null,
    primary key (id)
);

create index if not exists ix_changedetection_diff_hash on public.changedetection (diff_hash);
create index if not exists ix_changedetection_url on public.changedetection (url);

-- Public sources -----------------------------------------------------------------------------------------------------

create table if not exists public.osintstream (
    id uuid not null,
    platform varchar(100) not null,
    keywords jsonb,
    engine varchar(100) not null,
    is_active boolean not null,
    created_at timestamp not null,
    primary key (id)
);

create table if not exists public.osintalert (
    id uuid not null,
    stream_id uuid,
    alert_type varchar(100) not null,
    message text not null,
    severity varchar(50) not null,
    is_read boolean not null default false,
    created_at timestamp not null,
    primary key (id),
    foreign key (stream_id) references public.osintstream (id) on delete set null
);

create table if not exists public.osintsignal (
    id uuid not null,
    stream_id uuid not null,
    source varchar(100) not null,
    author varchar(255),
    text text not null,
    media jsonb,
    link varchar(2000),
    sentiment_score double precision,
    created_at timestamp not null,
    primary key (id),
    foreign key (stream_id) references public.osintstream (id) on delete cascade
);

-- Code and tools -----------------------------------------------------------------------------------------------------

create table if not exists public.codeexecution (
    id uuid not null,
    runtime varchar(100) not null,
    language varchar(50) not null,
    code text not null,
    input_data jsonb,
    output_data jsonb,
    status varchar(50) not null,
    exit_code integer,
    duration_ms integer not null,
    memory_mb integer,
    started_at timestamp not null,
    completed_at timestamp,
    error_message text,
    primary key (id)
);

create table if not exists public.codetoolregistry (
    id uuid not null,
    tool_id varchar(255) not null,
    name varchar(255) not null,
    version varchar(50) not null,
    description text,
    code text not null,
    input_schema jsonb,
    output_schema jsonb,
    runtime varchar(100) not null,
    owner_id uuid not null,
    usage_count integer not null default 0,
    is_deprecated boolean not null default false,
    created_at timestamp not null,
    updated_at timestamp not null,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create unique index if not exists ix_codetoolregistry_tool_id on public.codetoolregistry (tool_id);

create table if not exists public.codesandbox (
    id uuid not null,
    name varchar(255) not null,
    runtime varchar(100) not null,
    config jsonb,
    owner_id uuid not null,
    created_at timestamp not null,
    primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

-- Costs, usage and events --------------------------------------------------------------------------------------------

create table if not exists public.modelcostlog (
    id uuid not null,
    agent_id uuid,
    model varchar(100) not null,
    tokens_input integer not null,
    tokens_output integer not null,
    usd_cost double precision not null,
    created_at timestamp not null,
    primary key (id)
);

create index if not exists ix_modelcostlog_agent_id on public.modelcostlog (agent_id);
create index if not exists ix_modelcostlog_created_at on public.modelcostlog (created_at);
create index if not exists ix_modelcostlog_model on public.modelcostlog (model);

create table if not exists public.toolusagelog (
    id uuid not null,
    tool_id varchar(255) not null,
    tool_type varchar(100) not null,
    status varchar(50) not null,
    latency_ms integer not null,
    error_message text,
    created_at timestamp not null,
    primary key (id)
);

create index if not exists ix_toolusagelog_created_at on public.toolusagelog (created_at);
create index if not exists ix_toolusagelog_tool_id on public.toolusagelog (tool_id);
create index if not exists ix_toolusagelog_tool_type on public.toolusagelog (tool_type);

create table if not exists public.eventlog (
    id uuid not null,
    event_type varchar(100) not null,
    context jsonb,
    status varchar(50) not null,
    created_at timestamp not null,
    primary key (id)
);

create index if not exists ix_eventlog_created_at on public.eventlog (created_at);
create index if not exists ix_eventlog_event_type on public.eventlog (event_type);

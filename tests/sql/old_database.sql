-- A database of the system we adopt, as it stood on 23 December 2025, with a little of everything in it.
--
-- The variant that differs most from our baseline: bounded varchars, no defaults, most foreign keys without an index.
-- Two tables have their unique key in that system's other form, a constraint with a plain index beside it.

create table public."user" (
    id uuid not null, email varchar(255) not null, is_active boolean not null, is_superuser boolean not null,
    full_name varchar(255), hashed_password varchar not null, primary key (id)
);
create unique index ix_user_email on public."user" (email);

create table public.item (
    id uuid not null, title varchar(255) not null, description varchar(255), owner_id uuid not null, primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table public.alembic_version (
    version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num)
);

create table public.workflow (
    name varchar(255) not null, description varchar(1000), is_active boolean not null, version integer not null,
    trigger_config jsonb, graph_config jsonb, id uuid not null, owner_id uuid not null, created_at timestamp not null,
    updated_at timestamp not null, primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table public.workflownode (
    id uuid not null, workflow_id uuid not null, node_type varchar(100) not null, node_id varchar(255) not null,
    position_x double precision not null, position_y double precision not null, config jsonb, primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create table public.workflowexecution (
    id uuid not null, workflow_id uuid not null, workflow_version integer not null,
    execution_id varchar(255) not null, status varchar(50) not null, started_at timestamp not null,
    completed_at timestamp, error_message varchar, current_node_id varchar(255), execution_state jsonb,
    retry_count integer not null, next_retry_at timestamp, primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);
create unique index ix_workflowexecution_execution_id on public.workflowexecution (execution_id);
create index ix_workflowexecution_workflow_id on public.workflowexecution (workflow_id);
create index ix_workflowexecution_status on public.workflowexecution (status);
create index ix_workflowexecution_started_at on public.workflowexecution (started_at);

create table public.executionlog (
    id uuid not null, execution_id uuid not null, node_id varchar(255) not null, level varchar(20) not null,
    message varchar(5000) not null, timestamp timestamp not null, primary key (id),
    foreign key (execution_id) references public.workflowexecution (id) on delete cascade
);
create index ix_executionlog_execution_id on public.executionlog (execution_id);
create index ix_executionlog_timestamp on public.executionlog (timestamp);

create table public.workflowschedule (
    id uuid not null, workflow_id uuid not null, cron_expression varchar(100) not null, is_active boolean not null,
    next_run_at timestamp, last_run_at timestamp, primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create table public.workflowsignal (
    id uuid not null, execution_id uuid not null, signal_type varchar(100) not null, signal_data jsonb,
    received_at timestamp not null, processed boolean not null, primary key (id),
    foreign key (execution_id) references public.workflowexecution (id) on delete cascade
);

create table public.workflowwebhooksubscription (
    id uuid not null, workflow_id uuid not null, webhook_path varchar(500) not null, secret varchar(255),
    headers jsonb default '{}', filters jsonb default '{}', is_active boolean not null default true,
    created_at timestamp not null, updated_at timestamp not null, primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);
create index ix_workflowwebhooksubscription_workflow_id on public.workflowwebhooksubscription (workflow_id);
create index ix_workflowwebhooksubscription_webhook_path on public.workflowwebhooksubscription (webhook_path);
create index ix_workflowwebhooksubscription_is_active on public.workflowwebhooksubscription (is_active);
create unique index ix_workflowwebhooksubscription_webhook_path_unique
    on public.workflowwebhooksubscription (webhook_path)
    where is_active = true;

create table public.connector (
    id uuid not null, slug varchar(100) not null, name varchar(255) not null, status varchar(50) not null,
    latest_version_id uuid, created_at timestamp not null, owner_id uuid, is_platform boolean default true,
    created_by uuid, primary key (id), unique (slug),
    foreign key (owner_id) references public."user" (id) on delete cascade,
    foreign key (created_by) references public."user" (id) on delete set null
);
create index ix_connector_slug on public.connector (slug);
create index idx_connector_owner_id on public.connector (owner_id);
create index idx_connector_is_platform on public.connector (is_platform);
create index idx_connector_created_by on public.connector (created_by);

create table public.connectorversion (
    id uuid not null, connector_id uuid not null, version varchar(50) not null, manifest jsonb,
    wheel_url varchar(1000), created_at timestamp not null, primary key (id),
    foreign key (connector_id) references public.connector (id) on delete cascade
);
create index ix_connectorversion_connector_id on public.connectorversion (connector_id);

create table public.webhooksubscription (
    id uuid not null, connector_version_id uuid not null, trigger_id varchar(255) not null, tenant_id uuid not null,
    endpoint_secret varchar(255) not null, created_at timestamp not null, primary key (id),
    foreign key (connector_version_id) references public.connectorversion (id) on delete cascade
);

create table public.agenttask (
    id uuid not null, agent_framework varchar(100) not null, task_type varchar(100) not null,
    status varchar(50) not null, input_data jsonb, output_data jsonb, started_at timestamp not null,
    completed_at timestamp, error_message varchar, primary key (id)
);

create table public.agenttasklog (
    id uuid not null, task_id uuid not null, level varchar(20) not null, message varchar(5000) not null,
    timestamp timestamp not null, primary key (id),
    foreign key (task_id) references public.agenttask (id) on delete cascade
);
create index ix_agenttasklog_task_id on public.agenttasklog (task_id);

create table public.agentframeworkconfig (
    id uuid not null, framework varchar(100) not null, config jsonb, is_enabled boolean not null,
    created_at timestamp not null, updated_at timestamp not null, primary key (id), unique (framework)
);

create table public.agentcontextcache (
    id uuid not null, agent_id varchar(255) not null, context_key varchar(255) not null, context_data jsonb,
    expires_at timestamp, created_at timestamp not null, primary key (id)
);
create index ix_agentcontextcache_agent_id on public.agentcontextcache (agent_id);
create index ix_agentcontextcache_context_key on public.agentcontextcache (context_key);

create table public.ragindex (
    id uuid not null, name varchar(255) not null, vector_db_type varchar(50) not null, owner_id uuid not null,
    created_at timestamp not null, primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table public.ragdocument (
    id uuid not null, index_id uuid not null, content varchar(100000) not null, document_metadata jsonb,
    embedding jsonb, created_at timestamp not null, primary key (id),
    foreign key (index_id) references public.ragindex (id) on delete cascade
);

create table public.ragquery (
    id uuid not null, index_id uuid not null, query_text varchar(5000) not null, results jsonb,
    latency_ms integer not null, created_at timestamp not null, primary key (id),
    foreign key (index_id) references public.ragindex (id) on delete cascade
);
create index ix_ragquery_index_id on public.ragquery (index_id);
create index ix_ragquery_created_at on public.ragquery (created_at);

create table public.ragswitchlog (
    id uuid not null, query_id uuid, routing_decision varchar(100) not null, routing_reason varchar(500) not null,
    created_at timestamp not null, primary key (id),
    foreign key (query_id) references public.ragquery (id) on delete set null
);

create table public.ragfinetunejob (
    id uuid not null, index_id uuid not null, status varchar(50) not null, config jsonb,
    started_at timestamp not null, completed_at timestamp, error_message varchar, primary key (id),
    foreign key (index_id) references public.ragindex (id)
);

create table public.ragfinetunedataset (
    id uuid not null, job_id uuid not null, dataset_url varchar(1000) not null, created_at timestamp not null,
    primary key (id), foreign key (job_id) references public.ragfinetunejob (id) on delete cascade
);

create table public.ocrjob (
    id uuid not null, document_url varchar(1000) not null, engine varchar(100) not null, status varchar(50) not null,
    result jsonb, started_at timestamp not null, completed_at timestamp, error_message varchar, primary key (id)
);

create table public.ocrdocument (
    id uuid not null, job_id uuid not null, file_url varchar(1000) not null, file_type varchar(50) not null,
    document_metadata jsonb, created_at timestamp not null, primary key (id),
    foreign key (job_id) references public.ocrjob (id) on delete cascade
);

create table public.ocrresult (
    id uuid not null, job_id uuid not null, extracted_text varchar(100000) not null, structured_data jsonb,
    confidence_score double precision, created_at timestamp not null, primary key (id),
    foreign key (job_id) references public.ocrjob (id) on delete cascade
);

create table public.scrapejob (
    id uuid not null, url varchar(2000) not null, engine varchar(100) not null, proxy_id varchar(255),
    status varchar(50) not null, result jsonb, started_at timestamp not null, completed_at timestamp,
    error_message varchar, primary key (id)
);

create table public.scraperesult (
    id uuid not null, job_id uuid not null, content varchar(1000000) not null, html varchar(10000000),
    result_metadata jsonb, created_at timestamp not null, primary key (id),
    foreign key (job_id) references public.scrapejob (id) on delete cascade
);

create table public.proxylog (
    id uuid not null, ip_id varchar(255) not null, agent_id varchar(255), domain_scraped varchar(255) not null,
    status_code integer, retry_count integer not null, block_reason varchar(500), latency_ms integer not null,
    timestamp timestamp not null, primary key (id)
);
create index ix_proxylog_domain_scraped on public.proxylog (domain_scraped);
create index ix_proxylog_ip_id on public.proxylog (ip_id);

create table public.domainprofile (
    id uuid not null, domain varchar(255) not null, max_requests_per_hour integer not null,
    requires_login boolean not null, captcha_likelihood varchar(50) not null, scroll_needed boolean not null,
    idle_before_click double precision not null, config jsonb, created_at timestamp not null,
    updated_at timestamp not null, primary key (id), unique (domain)
);
create index ix_domainprofile_domain on public.domainprofile (domain);

create table public.contentchecksum (
    id uuid not null, url varchar(2000) not null, content_hash varchar(64) not null,
    last_scraped_at timestamp not null, created_at timestamp not null, primary key (id)
);
create index ix_contentchecksum_content_hash on public.contentchecksum (content_hash);
create index ix_contentchecksum_url on public.contentchecksum (url);

create table public.browsersession (
    id uuid not null, session_id varchar(255) not null, browser_tool varchar(100) not null, proxy_id varchar(255),
    status varchar(50) not null, started_at timestamp not null, closed_at timestamp, primary key (id)
);
create unique index ix_browsersession_session_id on public.browsersession (session_id);

create table public.browseraction (
    id uuid not null, session_id uuid not null, action_type varchar(100) not null, action_data jsonb, result jsonb,
    timestamp timestamp not null, primary key (id),
    foreign key (session_id) references public.browsersession (id) on delete cascade
);

create table public.changedetection (
    id uuid not null, url varchar(2000) not null, diff_hash varchar(64) not null, previous_content varchar(1000000),
    current_content varchar(1000000), detected_at timestamp not null, primary key (id)
);
create index ix_changedetection_diff_hash on public.changedetection (diff_hash);
create index ix_changedetection_url on public.changedetection (url);

create table public.osintstream (
    id uuid not null, platform varchar(100) not null, keywords jsonb, engine varchar(100) not null,
    is_active boolean not null, created_at timestamp not null, primary key (id)
);

create table public.osintalert (
    id uuid not null, stream_id uuid, alert_type varchar(100) not null, message varchar(5000) not null,
    severity varchar(50) not null, is_read boolean not null, created_at timestamp not null, primary key (id),
    foreign key (stream_id) references public.osintstream (id) on delete set null
);

create table public.osintsignal (
    id uuid not null, stream_id uuid not null, source varchar(100) not null, author varchar(255),
    text varchar(10000) not null, media jsonb, link varchar(2000), sentiment_score double precision,
    created_at timestamp not null, primary key (id),
    foreign key (stream_id) references public.osintstream (id) on delete cascade
);

create table public.codeexecution (
    id uuid not null, runtime varchar(100) not null, language varchar(50) not null, code varchar(100000) not null,
    input_data jsonb, output_data jsonb, status varchar(50) not null, exit_code integer, duration_ms integer not null,
    memory_mb integer, started_at timestamp not null, completed_at timestamp, error_message varchar, primary key (id)
);

create table public.codetoolregistry (
    id uuid not null, tool_id varchar(255) not null, name varchar(255) not null, version varchar(50) not null,
    description varchar(1000), code varchar(100000) not null, input_schema jsonb, output_schema jsonb,
    runtime varchar(100) not null, owner_id uuid not null, usage_count integer not null,
    is_deprecated boolean not null, created_at timestamp not null, updated_at timestamp not null, primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);
create unique index ix_codetoolregistry_tool_id on public.codetoolregistry (tool_id);

create table public.codesandbox (
    id uuid not null, name varchar(255) not null, runtime varchar(100) not null, config jsonb, owner_id uuid not null,
    created_at timestamp not null, primary key (id),
    foreign key (owner_id) references public."user" (id) on delete cascade
);

create table public.modelcostlog (
    id uuid not null, agent_id uuid, model varchar(100) not null, tokens_input integer not null,
    tokens_output integer not null, usd_cost double precision not null, created_at timestamp not null,
    primary key (id)
);
create index ix_modelcostlog_agent_id on public.modelcostlog (agent_id);
create index ix_modelcostlog_created_at on public.modelcostlog (created_at);
create index ix_modelcostlog_model on public.modelcostlog (model);

create table public.toolusagelog (
    id uuid not null, tool_id varchar(255) not null, tool_type varchar(100) not null, status varchar(50) not null,
    latency_ms integer not null, error_message varchar, created_at timestamp not null, primary key (id)
);
create index ix_toolusagelog_created_at on public.toolusagelog (created_at);
create index ix_toolusagelog_tool_id on public.toolusagelog (tool_id);
create index ix_toolusagelog_tool_type on public.toolusagelog (tool_type);

create table public.eventlog (
    id uuid not null, event_type varchar(100) not null, context jsonb, status varchar(50) not null,
    created_at timestamp not null, primary key (id)
);
create index ix_eventlog_created_at on public.eventlog (created_at);
create index ix_eventlog_event_type on public.eventlog (event_type);

create table public.user_connector_connection (
    id uuid not null, user_id uuid not null, connector_id uuid not null, nango_connection_id varchar not null,
    status varchar not null default 'pending', connected_at timestamptz, disconnected_at timestamptz,
    last_synced_at timestamptz, config jsonb, last_error varchar, error_count integer not null default 0,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (id),
    unique (nango_connection_id), foreign key (user_id) references public."user" (id) on delete cascade,
    foreign key (connector_id) references public.connector (id) on delete cascade
);
create index ix_user_connector_connection_user_id on public.user_connector_connection (user_id);
create index ix_user_connector_connection_connector_id on public.user_connector_connection (connector_id);
create index ix_user_connector_connection_nango_connection_id
    on public.user_connector_connection (nango_connection_id);
create index ix_user_connector_connection_status on public.user_connector_connection (status);
create index ix_user_connector_connection_user_connector on public.user_connector_connection (user_id, connector_id);

create table public.user_api_key (
    id uuid not null, user_id uuid not null, service_name varchar(50) not null,
    service_display_name varchar(100) not null, credential_type varchar(50), infisical_path varchar(500) not null,
    key_hash varchar(64) not null, is_active boolean not null, last_used_at timestamptz, created_at timestamptz,
    updated_at timestamptz, primary key (id), foreign key (user_id) references public."user" (id)
);
create index ix_user_api_key_user_id on public.user_api_key (user_id);
create index ix_user_api_key_service_name on public.user_api_key (service_name);
create index ix_user_api_key_is_active on public.user_api_key (is_active);

insert into alembic_version values ('c4cd6f5a4f64');

insert into "user" (id, email, is_active, is_superuser, hashed_password)
values
    ('a0000000-0000-4000-8000-000000000001', 'ada@example.com', true, false, 'canary-password'),
    ('a0000000-0000-4000-8000-000000000002', 'ben@example.com', true, true, '');

insert into workflow (id, name, is_active, version, graph_config, owner_id, created_at, updated_at)
values
    (
        'b0000000-0000-4000-8000-000000000001', 'Old', true, 3, '{"nodes": [], "edges": []}',
        'a0000000-0000-4000-8000-000000000001', '2025-12-01', '2025-12-02'
    ),
    (
        'b0000000-0000-4000-8000-000000000002', 'Bare', false, 1, null,
        'a0000000-0000-4000-8000-000000000002', '2025-12-01', '2025-12-01'
    );

insert into workflowexecution (id, workflow_id, workflow_version, execution_id, status, started_at, retry_count)
values
    (
        'c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 1, 'exec-0123456789ab',
        'completed', '2025-12-03 10:00', 0
    ),
    (
        'c0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', 1, 'exec-0123456789ac',
        'stuck', '2025-12-03 11:00', 0
    );

insert into executionlog (id, execution_id, node_id, level, message, timestamp)
values ('d0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'n', 'INFO', 'm', '2025-12-03');

insert into workflowwebhooksubscription (id, workflow_id, webhook_path, secret, created_at, updated_at)
values
    (
        'e0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', '/signed', 'canary-webhook',
        '2025-12-03', '2025-12-03'
    ),
    (
        'e0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', '/open', null,
        '2025-12-03', '2025-12-03'
    );

-- Registered by the one-shot script: ids of its own, and ownership unsaid.
insert into connector (id, slug, name, status, latest_version_id, created_at, is_platform, owner_id)
values
    (
        'f0000000-0000-4000-8000-000000000001', 'github', 'GitHub', 'beta', 'f1000000-0000-4000-8000-000000000001',
        '2025-12-19', null, null
    ),
    (
        'f0000000-0000-4000-8000-000000000002', 'adas-own', 'Own', 'draft', 'f1000000-0000-4000-8000-000000000002',
        '2025-12-19', null, 'a0000000-0000-4000-8000-000000000001'
    );

insert into connectorversion (id, connector_id, version, manifest, created_at)
values
    (
        'f1000000-0000-4000-8000-000000000001', 'f0000000-0000-4000-8000-000000000001', '1.0.0', '{"slug": "github"}',
        '2025-12-19'
    ),
    (
        'f1000000-0000-4000-8000-000000000002', 'f0000000-0000-4000-8000-000000000002', '1.0.0',
        '{"oauth": {"client_id": "public", "client_secret": "canary-client"}}', '2025-12-19'
    );

insert into webhooksubscription (id, connector_version_id, trigger_id, tenant_id, endpoint_secret, created_at)
values (
    'f2000000-0000-4000-8000-000000000001', 'f1000000-0000-4000-8000-000000000002', 't',
    'a0000000-0000-4000-8000-000000000001', 'canary-endpoint', '2025-12-19'
);

insert into user_api_key (id, user_id, service_name, service_display_name, infisical_path, key_hash, is_active)
values (
    'f3000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'openai', 'OpenAI',
    '/users/ada/openai', 'canary-hash', true
);

insert into agentcontextcache (id, agent_id, context_key, created_at)
values ('f4000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'latest', '2025-12-19');

insert into ocrjob (id, document_url, engine, status, started_at)
values ('f5000000-0000-4000-8000-000000000001', 'https://example.com/a.pdf', 'tesseract', 'running', '2025-12-19');

insert into osintstream (id, platform, keywords, engine, is_active, created_at)
values ('f6000000-0000-4000-8000-000000000001', 'news', '["a"]', 'newscatcher', true, '2025-12-19');

insert into osintalert (id, stream_id, alert_type, message, severity, is_read, created_at)
values (
    'f7000000-0000-4000-8000-000000000001', 'f6000000-0000-4000-8000-000000000001', 'mention', 'm', 'low', false,
    '2025-12-19'
);

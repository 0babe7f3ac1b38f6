-- Brings every inherited column to its wider type, and gives it a default in the database. Runs before the code.
--
-- In the system we adopt, ids, times, flags and counters were filled in by the application: anything else that
-- inserted a row had to know them all. Rows of hot tables get time-ordered ids. A column that is widened already is
-- left alone by Postgres, so a new database does no work here. A connector is no longer everyone's unless it says so.

alter table public."user"
    alter column id set default gen_random_uuid(),
    alter column is_active set default true,
    alter column is_superuser set default false,
    alter column hashed_password set default '';

alter table public.item
    alter column id set default gen_random_uuid();

alter table public.workflow
    alter column description type text,
    alter column is_active set default true,
    alter column version set default 1,
    alter column trigger_config set default '{}',
    alter column graph_config set default '{}',
    alter column id set default gen_random_uuid(),
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column updated_at set default (millrace.now() at time zone 'utc');

alter table public.workflownode
    alter column id set default gen_random_uuid(),
    alter column position_x set default 0.0,
    alter column position_y set default 0.0,
    alter column config set default '{}';

alter table public.workflowexecution
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column workflow_version set default 1,
    alter column execution_id set default ('exec-' || replace(millrace.uuid7()::text, '-', '')),
    alter column status set default 'running',
    alter column started_at set default (millrace.now() at time zone 'utc'),
    alter column execution_state set default '{}',
    alter column retry_count set default 0;

alter table public.executionlog
    alter column message type text,
    alter column id set default millrace.uuid7(),
    alter column timestamp set default (millrace.now() at time zone 'utc');

alter table public.workflowschedule
    alter column id set default gen_random_uuid(),
    alter column is_active set default true;

alter table public.workflowsignal
    alter column id set default millrace.uuid7(),
    alter column signal_data set default '{}',
    alter column received_at set default (millrace.now() at time zone 'utc'),
    alter column processed set default false;

alter table public.workflowwebhooksubscription
    alter column id set default gen_random_uuid(),
    alter column headers set default '{}',
    alter column filters set default '{}',
    alter column is_active set default true,
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column updated_at set default (millrace.now() at time zone 'utc');

-- A connector is the platform's when it says so; one that says nothing is when nobody owns it.
update public.connector set is_platform = owner_id is null where is_platform is null;

alter table public.connector
    alter column id set default gen_random_uuid(),
    alter column status set default 'draft',
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column is_platform set default false,
    alter column is_platform set not null;

alter table public.connectorversion
    alter column id set default gen_random_uuid(),
    alter column manifest set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.webhooksubscription
    alter column id set default gen_random_uuid(),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.agenttask
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column input_data set default '{}',
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.agenttasklog
    alter column message type text,
    alter column id set default millrace.uuid7(),
    alter column timestamp set default (millrace.now() at time zone 'utc');

alter table public.agentframeworkconfig
    alter column id set default gen_random_uuid(),
    alter column config set default '{}',
    alter column is_enabled set default true,
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column updated_at set default (millrace.now() at time zone 'utc');

alter table public.agentcontextcache
    alter column id set default gen_random_uuid(),
    alter column context_data set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ragindex
    alter column id set default gen_random_uuid(),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ragdocument
    alter column content type text,
    alter column id set default millrace.uuid7(),
    alter column document_metadata set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ragquery
    alter column query_text type text,
    alter column id set default millrace.uuid7(),
    alter column results set default '{}',
    alter column latency_ms set default 0,
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ragswitchlog
    alter column id set default millrace.uuid7(),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ragfinetunejob
    alter column error_message type text,
    alter column id set default gen_random_uuid(),
    alter column config set default '{}',
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.ragfinetunedataset
    alter column id set default gen_random_uuid(),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ocrjob
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.ocrdocument
    alter column id set default millrace.uuid7(),
    alter column document_metadata set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.ocrresult
    alter column extracted_text type text,
    alter column id set default millrace.uuid7(),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.scrapejob
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.scraperesult
    alter column content type text,
    alter column html type text,
    alter column id set default millrace.uuid7(),
    alter column result_metadata set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.proxylog
    alter column id set default millrace.uuid7(),
    alter column retry_count set default 0,
    alter column latency_ms set default 0,
    alter column timestamp set default (millrace.now() at time zone 'utc');

alter table public.domainprofile
    alter column id set default gen_random_uuid(),
    alter column max_requests_per_hour set default 60,
    alter column requires_login set default false,
    alter column captcha_likelihood set default 'low',
    alter column scroll_needed set default false,
    alter column idle_before_click set default 2.0,
    alter column config set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column updated_at set default (millrace.now() at time zone 'utc');

alter table public.contentchecksum
    alter column id set default gen_random_uuid(),
    alter column last_scraped_at set default (millrace.now() at time zone 'utc'),
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.browsersession
    alter column id set default millrace.uuid7(),
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.browseraction
    alter column id set default millrace.uuid7(),
    alter column action_data set default '{}',
    alter column timestamp set default (millrace.now() at time zone 'utc');

alter table public.changedetection
    alter column previous_content type text,
    alter column current_content type text,
    alter column id set default gen_random_uuid(),
    alter column detected_at set default (millrace.now() at time zone 'utc');

alter table public.osintstream
    alter column id set default gen_random_uuid(),
    alter column keywords set default '[]',
    alter column is_active set default true,
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.osintalert
    alter column message type text,
    alter column id set default gen_random_uuid(),
    alter column is_read set default false,
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.osintsignal
    alter column text type text,
    alter column id set default millrace.uuid7(),
    alter column media set default '[]',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.codeexecution
    alter column code type text,
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column input_data set default '{}',
    alter column duration_ms set default 0,
    alter column started_at set default (millrace.now() at time zone 'utc');

alter table public.codetoolregistry
    alter column description type text,
    alter column code type text,
    alter column id set default gen_random_uuid(),
    alter column input_schema set default '{}',
    alter column output_schema set default '{}',
    alter column usage_count set default 0,
    alter column is_deprecated set default false,
    alter column created_at set default (millrace.now() at time zone 'utc'),
    alter column updated_at set default (millrace.now() at time zone 'utc');

alter table public.codesandbox
    alter column id set default gen_random_uuid(),
    alter column config set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.modelcostlog
    alter column id set default millrace.uuid7(),
    alter column tokens_input set default 0,
    alter column tokens_output set default 0,
    alter column usd_cost set default 0.0,
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.toolusagelog
    alter column error_message type text,
    alter column id set default millrace.uuid7(),
    alter column latency_ms set default 0,
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.eventlog
    alter column id set default millrace.uuid7(),
    alter column context set default '{}',
    alter column created_at set default (millrace.now() at time zone 'utc');

alter table public.user_connector_connection
    alter column nango_connection_id type varchar,
    alter column status type varchar,
    alter column last_error type varchar,
    alter column id set default gen_random_uuid(),
    alter column status set default 'pending',
    alter column error_count set default 0,
    alter column created_at set default millrace.now(),
    alter column updated_at set default millrace.now();

alter table public.user_api_key
    alter column id set default gen_random_uuid(),
    alter column is_active set default true,
    alter column created_at set default millrace.now(),
    alter column updated_at set default millrace.now();

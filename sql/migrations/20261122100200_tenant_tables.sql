-- Our own tables that tenants may read, and what the inherited ones lack for the engine. Runs before the code.
--
-- A workflow's graph is kept as immutable versions; a run stays on the one it started with. A run's steps are appended
-- to `executionstep`. Subscriptions, schedules and storage triggers start runs, and each keeps a ledger of what became
-- of every delivery or instant. Secrets are sealed outside the database; here is only what cannot be opened without
-- the data key. Our times are `timestamptz`; ids of the tables that grow are time-ordered.

-- Versions -----------------------------------------------------------------------------------------------------------

create table public.workflowversion (
    id uuid primary key default millrace.uuid7(),
    owner_id uuid not null,
    workflow_id uuid not null references public.workflow (id) on delete cascade,
    version integer not null,
    graph jsonb not null,
    trigger_config jsonb,
    created_at timestamptz not null default millrace.now(),
    -- Kept when that user is gone, hence no reference.
    created_by uuid,
    unique (workflow_id, version)
);

create index ix_workflowversion_owner_id on public.workflowversion (owner_id);

alter table public.workflow
    add column if not exists version_id uuid references public.workflowversion (id);
create index if not exists ix_workflow_version_id on public.workflow (version_id);

-- Workflows that were there before get what they hold now as their first version.
with first as (
    insert into public.workflowversion (owner_id, workflow_id, version, graph, trigger_config, created_at, created_by)
    select owner_id, id, version, coalesce(graph_config, '{}'), trigger_config, updated_at at time zone 'utc', owner_id
    from public.workflow
    where version_id is null
    returning id, workflow_id
)
update public.workflow
set version_id = first.id
from first
where workflow.id = first.workflow_id;

-- Runs ---------------------------------------------------------------------------------------------------------------

-- `owner_id` is there since 20261122100100. No reference to the version or to the run that was retried: both go with
-- the workflow, and checking them would lock those rows at every start.
alter table public.workflowexecution
    add column if not exists version_id uuid,
    add column if not exists trigger_type text,
    add column if not exists trigger_data jsonb,
    add column if not exists output jsonb,
    -- What a respond node shaped: {"status": 200, "headers": {}, "body": ...}.
    add column if not exists response jsonb,
    -- {"kind": ..., "message": ..., "node": ...}
    add column if not exists error jsonb,
    add column if not exists epoch bigint,
    add column if not exists deadline_at timestamptz,
    add column if not exists retry_of uuid;

-- Append-mostly. Steps are only ever read with their run, so that `owner_id` has no index: a tenant's policy checks it
-- on the rows the key found.
create table public.executionstep (
    execution_id uuid not null references public.workflowexecution (id) on delete cascade,
    node_id varchar(255) not null,
    iteration integer not null default 0,
    attempt integer not null default 1,
    seq integer not null,
    owner_id uuid,
    node_type varchar(100) not null,
    status varchar(50) not null check (status in ('completed', 'failed', 'in_doubt')),
    branch varchar(255),
    output jsonb,
    error jsonb,
    -- The variables this step set.
    variables jsonb,
    started_at timestamptz not null default millrace.now(),
    duration_ms double precision not null default 0,
    primary key (execution_id, node_id, iteration, attempt)
);

-- Secrets and tokens -------------------------------------------------------------------------------------------------

-- AES-256-GCM with the owner's and the row's id as associated data; `key_id` names the data key.
create table public.secret (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public."user" (id) on delete cascade,
    name text not null check (length(name) between 1 and 255),
    key_id text not null,
    nonce bytea not null,
    ciphertext bytea not null,
    created_at timestamptz not null default millrace.now(),
    updated_at timestamptz not null default millrace.now(),
    unique (owner_id, name)
);

-- Platform tokens (`mr_...`): their SHA-256, and the first characters by which a user knows them again.
create table public.apitoken (
    id uuid primary key default millrace.uuid7(),
    owner_id uuid not null references public."user" (id) on delete cascade,
    name text not null check (length(name) between 1 and 255),
    token_hash bytea not null unique check (length(token_hash) = 32),
    prefix text not null,
    scopes text[] not null default '{}',
    created_at timestamptz not null default millrace.now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

create index ix_apitoken_owner_id on public.apitoken (owner_id);

-- What the system we adopt kept in clear text, or hashed without salt, is emptied.
update public."user"
set hashed_password = ''
where hashed_password <> '';

update public.webhooksubscription
set endpoint_secret = ''
where endpoint_secret <> '';

update public.user_api_key
set key_hash = ''
where key_hash <> '';

update public.connectorversion
set manifest = manifest #- '{oauth,client_secret}'
where manifest #> '{oauth,client_secret}' is not null;

-- Webhooks -----------------------------------------------------------------------------------------------------------

-- `secret` is inherited and never written: the subscription names a row of `secret`.
alter table public.workflowwebhooksubscription
    add column if not exists name text,
    add column if not exists scheme text not null default 'none',
    add column if not exists secret_id uuid references public.secret (id),
    add column if not exists delivery_id_header text,
    add column if not exists tolerance_seconds integer not null default 300,
    add column if not exists required_headers jsonb not null default '{}',
    add column if not exists filter_expression text,
    add column if not exists rate_per_minute integer,
    add column if not exists wait_limit integer;

create index if not exists ix_workflowwebhooksubscription_secret_id
    on public.workflowwebhooksubscription (secret_id);

-- A subscription that had a secret in clear text stays closed until it gets one of ours.
update public.workflowwebhooksubscription
set
    scheme = 'hmac-sha256',
    secret = null
where secret is not null;

alter table public.workflowwebhooksubscription
    add constraint workflowwebhooksubscription_scheme_known check (
        scheme in ('standard-webhooks', 'github', 'stripe', 'slack', 'shopify', 'twilio', 'hmac-sha256', 'none')
    ) not valid,
    add constraint workflowwebhooksubscription_signed check (scheme = 'none' or secret_id is not null) not valid,
    add constraint workflowwebhooksubscription_bounds check (
        tolerance_seconds between 0 and 86400 and rate_per_minute > 0 and wait_limit >= 0
    ) not valid;

-- Every delivery on a known path and its verdict. It goes with the subscription; listed per subscription, newest
-- first.
create table public.webhookdelivery (
    id uuid primary key default millrace.uuid7(),
    owner_id uuid,
    subscription_id uuid not null references public.workflowwebhooksubscription (id) on delete cascade,
    received_at timestamptz not null default millrace.now(),
    verdict text not null check (
        verdict in ('accepted', 'duplicate', 'filtered', 'refused', 'disabled', 'failed')
    ),
    reason text,
    delivery_id text,
    execution_id uuid,
    bytes integer,
    source_ip text,
    content_type text
);

create index ix_webhookdelivery_subscription on public.webhookdelivery (subscription_id, received_at desc);

-- A delivery id that was accepted starts no second run. Small and never partitioned, so that the ledger can be.
create table millrace.webhook_dedupe (
    subscription_id uuid not null references public.workflowwebhooksubscription (id) on delete cascade,
    delivery_id text not null,
    execution_id uuid,
    received_at timestamptz not null default millrace.now(),
    primary key (subscription_id, delivery_id)
);

-- What has outlived its window is deleted by time.
create index ix_webhook_dedupe_received_at on millrace.webhook_dedupe (received_at);

-- Schedules ----------------------------------------------------------------------------------------------------------

alter table public.workflowschedule
    add column if not exists name text,
    add column if not exists timezone text not null default 'UTC',
    add column if not exists missed_policy text not null default 'latest',
    add column if not exists missed_cap integer not null default 10,
    add column if not exists overlap_policy text not null default 'allow',
    add column if not exists jitter_seconds integer not null default 0,
    add column if not exists input jsonb;

alter table public.workflowschedule
    add constraint workflowschedule_missed_policy_known check (missed_policy in ('skip', 'latest', 'all')),
    add constraint workflowschedule_overlap_policy_known check (overlap_policy in ('allow', 'skip')),
    add constraint workflowschedule_bounds check (
        missed_cap between 1 and 1000 and jitter_seconds between 0 and 3600
    );

create index ix_workflowschedule_due on public.workflowschedule (next_run_at) where is_active;

-- One row for each instant that came due: the key is what makes a schedule fire once, however many tickers there are.
create table public.scheduleoccurrence (
    schedule_id uuid not null references public.workflowschedule (id) on delete cascade,
    fire_at timestamptz not null,
    owner_id uuid,
    status text not null check (status in ('started', 'skipped', 'failed')),
    reason text,
    execution_id uuid,
    created_at timestamptz not null default millrace.now(),
    primary key (schedule_id, fire_at)
);

-- Stored files -------------------------------------------------------------------------------------------------------

create table public.storagetrigger (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public."user" (id) on delete cascade,
    workflow_id uuid not null references public.workflow (id) on delete cascade,
    bucket text not null,
    prefix text not null default '',
    suffix text not null default '',
    is_active boolean not null default true,
    created_at timestamptz not null default millrace.now()
);

create index ix_storagetrigger_owner_id on public.storagetrigger (owner_id);
create index ix_storagetrigger_workflow_id on public.storagetrigger (workflow_id);
create index ix_storagetrigger_bucket on public.storagetrigger (bucket) where is_active;

-- An object event is delivered at least once; `sequencer` (S3's, or the object's version) tells writes of one key
-- apart.
create table millrace.storage_event_dedupe (
    bucket text not null,
    key text not null,
    sequencer text not null,
    received_at timestamptz not null default millrace.now(),
    primary key (bucket, key, sequencer)
);

create index ix_storage_event_dedupe_received_at on millrace.storage_event_dedupe (received_at);

-- Which user connected which connector, and under which connection id at Nango. Runs before the code.
-- millrace: re-runnable

create table if not exists public.user_connector_connection (
    id uuid not null,
    user_id uuid not null,
    connector_id uuid not null,
    nango_connection_id varchar not null,
    status varchar not null default 'pending',
    connected_at timestamptz,
    disconnected_at timestamptz,
    last_synced_at timestamptz,
    config jsonb,
    last_error varchar,
    error_count integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (id),
    unique (nango_connection_id),
    foreign key (user_id) references public."user" (id) on delete cascade,
    foreign key (connector_id) references public.connector (id) on delete cascade
);

create index if not exists ix_user_connector_connection_user_id on public.user_connector_connection (user_id);
create index if not exists ix_user_connector_connection_connector_id on public.user_connector_connection (connector_id);
create index if not exists ix_user_connector_connection_nango_connection_id
    on public.user_connector_connection (nango_connection_id);
create index if not exists ix_user_connector_connection_status on public.user_connector_connection (status);
create index if not exists ix_user_connector_connection_user_connector
    on public.user_connector_connection (user_id, connector_id);

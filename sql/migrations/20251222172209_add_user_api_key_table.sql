-- A user's keys for outside services: where each is kept, never the key itself. Runs before the code.
-- millrace: re-runnable

create table if not exists public.user_api_key (
    id uuid not null,
    user_id uuid not null,
    service_name varchar(50) not null,
    service_display_name varchar(100) not null,
    credential_type varchar(50),
    infisical_path varchar(500) not null,
    key_hash varchar(64) not null,
    is_active boolean not null,
    last_used_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    primary key (id),
    foreign key (user_id) references public."user" (id) on delete cascade
);

create index if not exists ix_user_api_key_user_id on public.user_api_key (user_id);
create index if not exists ix_user_api_key_service_name on public.user_api_key (service_name);
create index if not exists ix_user_api_key_is_active on public.user_api_key (is_active);

-- What a plain Postgres lacks to behave like Supabase: its roles, their limits, and the schemas `auth` and `storage`.
--
-- Run by the cluster's superuser (`supabase_admin`) in each new database, before the migrations; running it again
-- changes nothing. It is not a migration: on Supabase all of this exists. What it takes care to copy is what bites:
--   * `postgres`, who runs the migrations, is no superuser: it may create roles and databases and passes by row-level
--     security, nothing more;
--   * `auth` belongs to another role: neither `postgres` nor a role of ours may call `auth.uid()`;
--   * what `postgres` creates in `public` is open to anon, authenticated and service_role unless a migration says no.
-- No extension but `vector`, and that only where the server has it.

do $roles$
declare
    role record;
begin
    -- Roles belong to the cluster, so another database of it may have made them, or be making them now: whoever makes
    -- one also settles it, and nobody touches it again.
    for role in
        select *
        from (values
            ('postgres', 'login createrole createdb replication bypassrls', 'alter role postgres set timezone = utc'),
            ('anon', 'nologin noinherit', 'grant anon to postgres with admin true, inherit false'),
            ('authenticated', 'nologin noinherit', 'grant authenticated to postgres with admin true, inherit false'),
            ('service_role', 'nologin noinherit bypassrls', 'grant service_role to postgres with admin true, inherit false'),
            ('authenticator', 'login noinherit', 'grant anon, authenticated, service_role to authenticator'),
            ('supabase_auth_admin', 'login noinherit createrole', null),
            ('supabase_storage_admin', 'login noinherit createrole', null)
        ) as wanted (name, options, settle)
    loop
        begin
            if not exists (select from pg_catalog.pg_roles where rolname = role.name) then
                execute format('create role %I %s', role.name, role.options);
                execute coalesce(role.settle, 'select');
            end if;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end loop;
    execute format('alter database %I owner to postgres', current_database());
end
$roles$;

do $vector$
begin
    if exists (select from pg_catalog.pg_available_extensions where name = 'vector') then
        create schema if not exists extensions;
        create extension if not exists vector with schema extensions;
        grant usage on schema extensions to public;
        execute format('alter database %I set search_path = "$user", public, extensions', current_database());
    end if;
end
$vector$;

grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on sequences to anon, authenticated, service_role;

create schema if not exists auth authorization supabase_auth_admin;
grant usage on schema auth to anon, authenticated, service_role;

create table if not exists auth.users (
    id uuid not null primary key,
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    email_confirmed_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    is_anonymous boolean not null default false
);
alter table auth.users owner to supabase_auth_admin;
alter table auth.users enable row level security;

create or replace function auth.jwt() returns jsonb
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;

create or replace function auth.uid() returns uuid
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
    )::uuid
$$;

alter function auth.jwt() owner to supabase_auth_admin;
alter function auth.uid() owner to supabase_auth_admin;
revoke execute on function auth.jwt(), auth.uid() from public;
grant execute on function auth.jwt(), auth.uid() to anon, authenticated, service_role;

create schema if not exists storage authorization supabase_storage_admin;
grant usage on schema storage to postgres, anon, authenticated, service_role;

create table if not exists storage.buckets (
    id text not null primary key,
    name text not null unique,
    owner uuid,
    owner_id text,
    public boolean default false,
    avif_autodetection boolean default false,
    file_size_limit bigint,
    allowed_mime_types text[],
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

create table if not exists storage.objects (
    id uuid not null primary key default gen_random_uuid(),
    bucket_id text references storage.buckets (id),
    name text,
    owner uuid,
    owner_id text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    last_accessed_at timestamptz default now(),
    metadata jsonb,
    user_metadata jsonb,
    version text,
    path_tokens text[] generated always as (string_to_array(name, '/')) stored
);

create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);
alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to postgres, anon, authenticated, service_role;

-- Schema `millrace`, the two roles our functions log in as, our clock, our ids, and who is asking. Runs before the
-- code.
--
-- `millrace_api` is what the faces that tenants speak to log in as: row-level security holds for it. `millrace_engine`
-- runs workflows: it may execute the engine's functions, each granted by name, and little else. Both are created
-- without login; provisioning gives them a password. PostgREST does not expose `millrace`, where all functions and the
-- engine's state live. Nothing is open by default from here on: each later migration grants what it means to grant.

create schema if not exists millrace;

do $roles$
declare
    wanted text;
begin
    foreach wanted in array array['millrace_api', 'millrace_engine'] loop
        -- Roles belong to the cluster: another database of it may have made them, or be making them now. Whoever makes
        -- one also settles it.
        begin
            if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
                execute format('create role %I nologin noinherit', wanted);
                execute format('alter role %I set timezone = %L', wanted, 'UTC');
                execute format('alter role %I set idle_in_transaction_session_timeout = %L', wanted, '60s');
            end if;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end loop;
end
$roles$;

-- Closed by default --------------------------------------------------------------------------------------------------

alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated;
alter default privileges in schema public revoke all on sequences from anon, authenticated;
alter default privileges in schema public revoke all on functions from anon, authenticated;

revoke all on all tables in schema public from public, anon, authenticated;
revoke all on schema millrace from public;

grant usage on schema public to millrace_api, authenticated, service_role;
grant usage on schema millrace to millrace_api, millrace_engine, authenticated, service_role;
grant all on all tables in schema public to service_role;
alter default privileges in schema public grant all on tables to service_role;

-- Time and ids -------------------------------------------------------------------------------------------------------

-- The one clock of our SQL. A test sets `millrace.now` to stop it. In plpgsql, which keeps its plan: a SQL function with a
-- fixed search_path is planned anew by every statement.
create or replace function millrace.now() returns timestamptz
language plpgsql volatile parallel safe
set search_path = ''
as $$
begin
    return coalesce(nullif(current_setting('millrace.now', true), '')::timestamptz, clock_timestamp());
end
$$;

-- A time-ordered UUID (RFC 9562, version 7): 48 bits of milliseconds, 12 bits of the rest of the microsecond (its
-- method 3), 62 random bits. It reads the real clock even where a test stopped ours: what it promises is the order of
-- making.
create or replace function millrace.uuid7() returns uuid
language plpgsql volatile parallel safe
set search_path = ''
as $$
declare
    micros bigint := extract(epoch from clock_timestamp()) * 1000000;
begin
    return encode(
        overlay(
            uuid_send(gen_random_uuid())
            placing int8send((micros / 1000 << 16) | 28672 | (micros % 1000 * 4096 / 1000))
            from 1 for 8
        ),
        'hex'
    )::uuid;
end
$$;

-- Who is asking ------------------------------------------------------------------------------------------------------

-- `auth_id` holds the `sub` of the user's tokens; old ids stay.
alter table public."user" add column if not exists auth_id uuid;
create unique index if not exists ix_user_auth_id on public."user" (auth_id);

-- The id of the user whose verified claims were set for this transaction; null when there are none, when they are no
-- user's, or when that user is not active. Policies compare with `(select millrace.user_id())`, so that it runs once a
-- statement; it reads the table as its owner, so that the policy on "user" may call it.
create or replace function millrace.user_id() returns uuid
language plpgsql stable security definer parallel safe
set search_path = ''
as $$
declare
    claims text := current_setting('request.jwt.claims', true);
    sub text;
begin
    if claims is null or claims = '' or not pg_input_is_valid(claims, 'jsonb') then
        return null;
    end if;
    sub := claims::jsonb ->> 'sub';
    if sub is null or not pg_input_is_valid(sub, 'uuid') then
        return null;
    end if;
    return (select id from public."user" where auth_id = sub::uuid and is_active);
end
$$;

revoke execute on function millrace.now(), millrace.uuid7(), millrace.user_id() from public;
grant execute on function millrace.now(), millrace.uuid7(), millrace.user_id()
    to millrace_api, millrace_engine, authenticated, service_role;

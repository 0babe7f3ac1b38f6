-- Accounts: signing in, platform tokens, and what a user may do to the own account. Apply before the code.
--
-- sign_in and authenticate_token are how shared/tenant.py learns who calls, and run before there are claims; the token's
-- signature was verified by the face, and a platform token is known here by its SHA-256 only. All else needs claims.
--
-- A user's row is linked to the subject (`sub`) of the tokens by auth_id. Signing in makes the row of a new subject, never
-- links an old one: whoever could register another's e-mail address would get that account. Linking is the operator's.

create function millrace.sign_in(p_subject uuid, p_email text, p_name text)
returns table (user_id uuid)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    -- Phone and anonymous sign-ins have no address, and the column wants one: a reserved name (RFC 2606) nobody receives at.
    v_email text := coalesce(nullif(trim(p_email), ''), p_subject::text || '@subject.invalid');
    v_user record;
begin
    select u.id, u.is_active
    into v_user
    from public."user" u
    where u.auth_id = p_subject;
    if not found then
        if exists (select from public."user" u where lower(u.email) = lower(v_email) or u.id = p_subject) then
            raise exception 'The e-mail address % belongs to another account.', v_email
                using errcode = 'MR409',
                    hint = 'An operator links them: update public."user" set auth_id = ''<sub>'' where email = ''<e-mail>''.';
        end if;
        -- Two first requests at once: one makes the row, the other waits for it and finds it.
        insert into public."user" (id, auth_id, email, is_active, is_superuser, full_name, hashed_password)
        values (p_subject, p_subject, left(v_email, 255), true, false, left(p_name, 255), '')
        on conflict do nothing;
        select u.id, u.is_active
        into v_user
        from public."user" u
        where u.auth_id = p_subject;
        if not found then
            raise exception 'The e-mail address % belongs to another account.', v_email using errcode = 'MR409';
        end if;
    end if;
    if not v_user.is_active then
        raise exception 'This account is deactivated.' using errcode = 'MR403', hint = 'Ask an operator to activate it.';
    end if;
    return query select v_user.id;
end
$$;


-- The holder of a platform token, if it is good. Its last use is written down at most once a minute, and never waited for.
create function millrace.authenticate_token(p_hash bytea)
returns table (user_id uuid, auth_id uuid, scopes text[])
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now timestamptz := millrace.now();
    v_token uuid;
begin
    return query
    select u.id, u.auth_id, t.scopes
    from public.apitoken t
    join public."user" u on u.id = t.owner_id
    where t.token_hash = p_hash
        and t.revoked_at is null
        and (t.expires_at is null or t.expires_at > v_now)
        and u.is_active
        and u.auth_id is not null;
    if found then
        select t.id
        into v_token
        from public.apitoken t
        where t.token_hash = p_hash
            and (t.last_used_at is null or t.last_used_at < v_now - interval '1 minute')
        for no key update skip locked;
        if found then
            update public.apitoken t
            set last_used_at = v_now
            where t.id = v_token;
        end if;
    end if;
end
$$;


create function millrace.update_account(p_changes jsonb)
returns setof public."user"
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
begin
    return query
    update public."user" u
    set full_name = case when p_changes ? 'full_name' then p_changes ->> 'full_name' else u.full_name end
    where u.id = v_user
    returning u.*;
end
$$;


-- Delete the caller's account and, along the foreign keys, all that it owns. Live runs are taken from their workers.
create function millrace.delete_account()
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
begin
    -- In the order of whoever starts runs (see millrace.delete_workflow), then the engine's: runs before what cascades.
    perform 1
    from public.workflowschedule s
    where s.owner_id = v_user
    order by s.id
    for update;
    perform 1
    from public.workflowwebhooksubscription s
    where s.owner_id = v_user
    order by s.id
    for update;
    perform 1
    from public.workflow w
    where w.owner_id = v_user
    order by w.id
    for update;
    perform 1
    from millrace.run r
    where r.execution_id in (
        select e.id
        from public.workflowexecution e
        where e.owner_id = v_user
            and e.completed_at is null
    )
    order by r.execution_id
    for update;
    delete from public."user" u
    where u.id = v_user;
end
$$;


-- Keep a new platform token's hash. A user has at most 100 that are neither revoked nor expired.
create function millrace.create_token(
    p_id uuid,
    p_name text,
    p_hash bytea,
    p_prefix text,
    p_scopes text[],
    p_expires_at timestamptz
)
returns setof public.apitoken
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
    v_now timestamptz := millrace.now();
begin
    if (
        select count(*)
        from public.apitoken t
        where t.owner_id = v_user
            and t.revoked_at is null
            and (t.expires_at is null or t.expires_at > v_now)
    ) >= 100 then
        raise exception 'You have 100 tokens.' using errcode = 'MR409', hint = 'Revoke those that you no longer need.';
    end if;
    insert into public.apitoken (id, owner_id, name, token_hash, prefix, scopes, created_at, expires_at)
    values (p_id, v_user, p_name, p_hash, p_prefix, p_scopes, v_now, p_expires_at)
    on conflict (id) do nothing;
    return query select t.* from public.apitoken t where t.id = p_id and t.owner_id = v_user;
end
$$;


-- Revoke a token; one that is revoked stays revoked since then.
create function millrace.revoke_token(p_id uuid)
returns setof public.apitoken
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
begin
    return query
    update public.apitoken t
    set revoked_at = coalesce(t.revoked_at, millrace.now())
    where t.id = p_id
        and t.owner_id = v_user
    returning t.*;
    if not found then
        raise exception 'There is no such token, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


revoke all on function
    millrace.sign_in(uuid, text, text),
    millrace.authenticate_token(bytea),
    millrace.update_account(jsonb),
    millrace.delete_account(),
    millrace.create_token(uuid, text, bytea, text, text[], timestamptz),
    millrace.revoke_token(uuid)
from public;

grant execute on function
    millrace.sign_in(uuid, text, text),
    millrace.authenticate_token(bytea),
    millrace.update_account(jsonb),
    millrace.delete_account(),
    millrace.create_token(uuid, text, bytea, text, text[], timestamptz),
    millrace.revoke_token(uuid)
to millrace_api;

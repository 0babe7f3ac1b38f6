-- Uploads: files on their way into a bucket, and what became of them. Apply before the code.
--
-- A client asks for an upload and is told addresses of a landing place (bucket user-uploads, key
-- incoming/<owner>/<upload>), which belongs to nobody's folder: what lies there is listed for nobody and starts nothing.
-- When it says that it is done, functions/storage looks at what arrived; what passes is copied to the key that was chosen
-- for it at the beginning, which nobody can guess and nothing overwrites; what fails is removed with all its versions.
--
--     begin_upload -> pending -> (verified, copied) -> settle_upload -> stored
--                        |-> settle_upload -> refused (with the reason)
--                        |-> cancel_upload -> cancelled
--                        +-> expire_uploads (the tick) -> expired
--
-- Guarantees. An upload leaves `pending` once: of several that settle it the first decides, and the others are told what
-- it is now. The copy refuses to overwrite, so that several that complete one upload make one object, and whoever finds it
-- made (after a crash between the copy and settle_upload) settles it. The addresses outlive the upload, so its landing
-- place is cleared once more after they have ended: uploads_to_clear hands each out until uploads_cleared.
--
-- Lock order: rows of public.upload by id; nothing else is locked.

create table public.upload (
    id uuid primary key default millrace.uuid7(),
    owner_id uuid not null references public."user" (id) on delete cascade,
    bucket text not null,
    key text not null,
    landing_key text not null,
    filename text not null,
    declared_type text,
    declared_bytes bigint not null check (declared_bytes >= 0),
    declared_sha256 text,
    parts_id text,
    status text not null default 'pending' check (status in ('pending', 'stored', 'refused', 'cancelled', 'expired')),
    reason text,
    media_type text,
    sha256 text,
    created_at timestamptz not null default millrace.now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    clear_at timestamptz,
    verified jsonb,
    unique (bucket, key)
);

comment on column public.upload.parts_id is 'the store''s own id of an upload in parts';

comment on column public.upload.clear_at is 'when the landing place is to be cleared; null: it was';

comment on column public.upload.verified is 'what a large file was found to be: {etag, media_type, sha256}';

create index upload_owner on public.upload (owner_id, id);

create index upload_pending on public.upload (expires_at) where status = 'pending';

create index upload_to_clear on public.upload (clear_at) where clear_at is not null;

alter table public.upload enable row level security;
create policy upload_owner on public.upload
    for select
    to authenticated, millrace_api
    using (owner_id = (select millrace.user_id()));
grant select on public.upload to authenticated, millrace_api;
grant all on public.upload to service_role;


-- Write down a new upload of the caller's. The id and both keys are the caller's choice; the keys must be of its owner.
-- Repeated with the same id: the first row. An owner has at most 1000 uploads pending.
create function millrace.begin_upload(p_upload jsonb)
returns setof public.upload
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
    v_now timestamptz := millrace.now();
    v_id uuid := p_upload ->> 'id';
begin
    if not starts_with(p_upload ->> 'key', v_user::text || '/')
        or p_upload ->> 'landing_key' <> 'incoming/' || v_user::text || '/' || v_id::text
    then
        raise exception 'An upload goes to its owner''s folder.' using errcode = 'MR403';
    end if;
    if (
        select count(*)
        from public.upload u
        where u.owner_id = v_user
            and u.status = 'pending'
            and u.expires_at > v_now
    ) >= 1000 then
        raise exception 'You have 1000 uploads that are not completed.'
            using errcode = 'MR429', hint = 'Complete or delete them, or wait until they expire.';
    end if;
    insert into public.upload (
        id, owner_id, bucket, key, landing_key, filename, declared_type, declared_bytes, declared_sha256, parts_id,
        created_at, expires_at, clear_at
    )
    values (
        v_id, v_user, p_upload ->> 'bucket', p_upload ->> 'key', p_upload ->> 'landing_key', p_upload ->> 'filename',
        p_upload ->> 'declared_type', (p_upload ->> 'declared_bytes')::bigint, p_upload ->> 'declared_sha256',
        p_upload ->> 'parts_id', v_now, v_now + make_interval(secs => (p_upload ->> 'seconds')::double precision),
        -- A minute more than the addresses: clocks differ, and what has begun to arrive may end.
        v_now + make_interval(secs => (p_upload ->> 'seconds')::double precision + 60)
    )
    on conflict (id) do nothing;
    return query
    select u.*
    from public.upload u
    where u.id = v_id
        and u.owner_id = v_user;
end
$$;


-- End a pending upload of the caller's; one that ended stays as it is. Answers what it is now: whoever came second sees
-- the outcome of the first.
create function millrace.settle_upload(
    p_id uuid,
    p_status text,
    p_reason text,
    p_media_type text,
    p_sha256 text
)
returns setof public.upload
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user uuid := millrace.require_user();
begin
    if p_status not in ('stored', 'refused', 'cancelled') then
        raise exception 'An upload does not end as %.', p_status using errcode = 'MR422';
    end if;
    update public.upload u
    set status = p_status,
        reason = p_reason,
        media_type = p_media_type,
        sha256 = p_sha256,
        ended_at = millrace.now()
    where u.id = p_id
        and u.owner_id = v_user
        and u.status = 'pending';
    return query
    select u.*
    from public.upload u
    where u.id = p_id
        and u.owner_id = v_user;
    if not found then
        raise exception 'There is no such upload, or it is not yours.' using errcode = 'MR404';
    end if;
end
$$;


-- Remember what a pending upload was found to be, so that a completion whose time was over goes on where it was.
create function millrace.note_upload(p_id uuid, p_verified jsonb)
returns void
language sql
security definer
set search_path = ''
as $$
    update public.upload u
    set verified = p_verified
    where u.id = p_id
        and u.owner_id = (select millrace.require_user())
        and u.status = 'pending'
$$;


-- The tick's: uploads that nobody completed in time are expired, and those that ended 30 days ago are forgotten.
create function millrace.sweep_uploads(p_limit integer)
returns integer
language sql
security definer
set search_path = ''
as $$
    with late as (
        select u.id
        from public.upload u
        where u.status = 'pending'
            and u.expires_at < (select millrace.now())
        order by u.id
        limit p_limit
        for update skip locked
    ), expired as (
        update public.upload u
        set status = 'expired',
            reason = 'It was not completed in time.',
            ended_at = millrace.now()
        from late
        where u.id = late.id
        returning u.id
    ), old as (
        select u.id
        from public.upload u
        where u.id < millrace.uuid7_floor((select millrace.now() - interval '30 days'))
            and u.status <> 'pending'
            and u.clear_at is null
        order by u.id
        limit p_limit
        for update skip locked
    ), forgotten as (
        delete from public.upload u
        using old
        where u.id = old.id
        returning u.id
    )
    select ((select count(*) from expired) + (select count(*) from forgotten))::integer
$$;


-- Landing places, anybody's, whose addresses have ended and which nobody clears at the moment. Each is handed out again
-- after five minutes, until uploads_cleared says that it is done. What is told of them opens nothing.
create function millrace.uploads_to_clear(p_limit integer)
returns table (id uuid, landing_key text, parts_id text)
language sql
security definer
set search_path = ''
as $$
    with due as (
        select u.id
        from public.upload u
        where u.clear_at < (select millrace.now())
        order by u.clear_at
        limit least(p_limit, 100)
        for update skip locked
    )
    update public.upload u
    set clear_at = millrace.now() + interval '5 minutes',
        status = case when u.status = 'pending' then 'expired' else u.status end,
        reason = case when u.status = 'pending' then 'It was not completed in time.' else u.reason end,
        ended_at = coalesce(u.ended_at, millrace.now())
    from due
    where u.id = due.id
    returning u.id, u.landing_key, u.parts_id
$$;


create function millrace.uploads_cleared(p_ids uuid[])
returns void
language sql
security definer
set search_path = ''
as $$
    update public.upload u
    set clear_at = null
    where u.id = any (p_ids)
        and u.status <> 'pending'
        and u.expires_at < (select millrace.now())
$$;


revoke all on function
    millrace.begin_upload(jsonb),
    millrace.settle_upload(uuid, text, text, text, text),
    millrace.note_upload(uuid, jsonb),
    millrace.sweep_uploads(integer),
    millrace.uploads_to_clear(integer),
    millrace.uploads_cleared(uuid[])
from public;

grant execute on function
    millrace.begin_upload(jsonb),
    millrace.settle_upload(uuid, text, text, text, text),
    millrace.note_upload(uuid, jsonb),
    millrace.uploads_to_clear(integer),
    millrace.uploads_cleared(uuid[])
to millrace_api;

grant execute on function millrace.sweep_uploads(integer) to millrace_engine;

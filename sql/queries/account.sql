-- The caller's own account and its platform tokens.

-- name: read_account
-- The caller's account.
select id, email, full_name, is_active, is_superuser
from public."user"
where id = millrace.user_id();

-- name: update_account
-- Change the fields that %(changes)s names.
select id, email, full_name, is_active, is_superuser
from millrace.update_account(%(changes)s);

-- name: delete_account
-- Delete the caller's account and all that it owns.
select millrace.delete_account();

-- name: list_tokens
-- A page of the caller's tokens, newest first, the revoked and expired ones with them.
select id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
from public.apitoken
where %(before)s::uuid is null or id < %(before)s
order by id desc
limit %(limit)s;

-- name: create_token
-- Keep a new token's hash.
select id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at
from millrace.create_token(%(id)s, %(name)s, %(hash)s, %(prefix)s, %(scopes)s::text[], %(expires_at)s);

-- name: revoke_token
-- Revoke a token.
select id
from millrace.revoke_token(%(id)s);

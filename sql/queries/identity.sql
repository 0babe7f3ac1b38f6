-- Who is calling: asked once per token and process every few seconds (see shared/tenant.py).

-- name: sign_in
-- The account of a verified token's subject; made when the subject is new.
select user_id
from millrace.sign_in(%(subject)s, %(email)s, %(name)s);

-- name: authenticate_token
-- The account and the scopes of a platform token that is neither revoked nor expired; none for any other.
select user_id, auth_id, scopes
from millrace.authenticate_token(%(token_hash)s);

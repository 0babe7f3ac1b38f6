-- Uploads: a tenant reads its own through row-level security, and changes them through functions.

-- name: begin_upload
-- A new upload; the id is the caller's, so that a repeat after a lost reply makes no second one.
select *
from millrace.begin_upload(%(upload)s);

-- name: read_upload
-- One upload.
select *
from public.upload
where id = %(id)s;

-- name: settle_upload
-- End an upload unless it has ended; what it is now.
select *
from millrace.settle_upload(%(id)s, %(status)s, %(reason)s, %(media_type)s, %(sha256)s);

-- name: note_upload
-- What a large file was found to be, for a completion that goes on.
select millrace.note_upload(%(id)s, %(verified)s);

-- name: uploads_to_clear
-- Landing places whose addresses have ended.
select id, landing_key, parts_id
from millrace.uploads_to_clear(%(limit)s);

-- name: uploads_cleared
-- These landing places are empty for good.
select millrace.uploads_cleared(array(select jsonb_array_elements_text(%(ids)s)::uuid));

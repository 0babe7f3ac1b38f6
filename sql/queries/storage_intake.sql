-- name: start
-- Start what waits for these objects, and make the jobs that their buckets make.
select *
from millrace.start_for_objects(%(objects)s, %(jobs)s);

-- name: take
-- Take those of these events of Supabase Storage that are due.
select *
from millrace.take_storage_events(%(events)s::bigint[]);

-- name: start
-- Start the workflows that wait for these objects.
select *
from millrace.start_for_objects(%(objects)s);

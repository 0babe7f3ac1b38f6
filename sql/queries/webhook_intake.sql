-- name: find
-- The subscription at a path, with its sealed secret.
select *
from millrace.find_subscription(%(path)s);

-- name: accept
-- Start the delivery's run, or say why not; one transaction, one round trip.
select *
from millrace.accept_delivery(
    %(id)s::uuid,
    %(subscription)s::uuid,
    %(revision)s,
    %(delivery_id)s,
    %(trigger)s::jsonb,
    %(bytes)s::integer,
    %(source_ip)s,
    %(content_type)s,
    %(wait)s::double precision,
    %(waiters)s::integer,
    %(bound)s::integer
);

-- name: recall
-- What an acceptance gave whose reply was lost.
select *
from millrace.recall_delivery(%(id)s::uuid);

-- name: refuse
-- Write down, or over the bound only count, a delivery that starts nothing.
select millrace.record_refusal(
    %(id)s::uuid,
    %(subscription)s::uuid,
    %(verdict)s,
    %(reason)s,
    %(delivery_id)s,
    %(bytes)s::integer,
    %(source_ip)s,
    %(content_type)s,
    %(bound)s::integer,
    %(unrecorded)s::integer
) as recorded;

-- name: unknown
-- Count requests to paths that nobody has.
select millrace.count_unknown(%(requests)s::integer);

-- name: answer
-- What a waiting caller may be told by now.
select *
from millrace.run_answer(%(execution)s::uuid, %(delivery)s::uuid, %(last)s);

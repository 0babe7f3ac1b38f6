-- name: claim_runs
-- Claim due runs with all that is needed to drive them.
select *
from millrace.claim_runs(%(ids)s::uuid[], %(lease)s, %(known)s::uuid[], %(claim)s);

-- name: advance
-- Write one checkpoint of each of several runs.
select millrace.advance(%(items)s) as answers;

-- name: claim_jobs
-- Claim due jobs of one kind.
select *
from millrace.claim_jobs(%(kind)s, %(ids)s::uuid[], %(lease)s, %(claim)s);

-- name: end_jobs
-- End claimed jobs, or put them back.
select millrace.end_jobs(%(ends)s) as answers;

-- name: renew_job
-- Extend a claimed job's lease.
select millrace.renew_job(%(id)s, %(epoch)s, %(lease)s) as renewed;

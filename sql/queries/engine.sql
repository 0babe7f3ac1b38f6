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

-- name: report_job
-- Write down how far a claimed job is, and extend its lease.
select millrace.report_job(%(id)s, %(epoch)s, %(lease)s, %(progress)s) as held;

-- name: request_jobs
-- Ask for one job of a kind for each input.
select millrace.request_jobs(%(kind)s, %(inputs)s, %(key)s, %(open)s) as ids;

-- name: cancel_job
-- Cancel a job of the caller's.
select status, execution_id
from millrace.cancel_job(%(id)s);

-- name: read_jobs
-- How jobs of the caller's stand.
select *
from millrace.read_jobs(%(ids)s::uuid[]);

-- Documents: what a worker keeps and looks up, and what tenants see of their jobs under row-level security.

-- name: keep_page
-- Keep one page that was read; false when the job is no longer this worker's.
select millrace.keep_ocr_page(%(job)s, %(epoch)s, %(page)s, %(data)s, %(progress)s) as held;

-- name: pages
-- The pages that are kept for a job, a few at a time.
select page, data
from millrace.ocr_pages(%(job)s, %(after)s, %(limit)s);

-- name: find
-- What the same owner was told of the same content, read in the same way.
select *
from millrace.find_ocr_result(%(owner)s, %(fingerprint)s);

-- name: under_way
-- Whether an older job is reading the same stored file.
select millrace.ocr_under_way(%(job)s) as under_way;

-- name: list_jobs
-- A page of the caller's jobs, newest first.
select id, document_url, engine, status, result, started_at, completed_at, error_message
from public.ocrjob
where (%(status)s::text is null or status = %(status)s)
    and (%(at)s::timestamp is null or (started_at, id) < (%(at)s::timestamp, %(before)s::uuid))
order by started_at desc, id desc
limit %(limit)s;

-- name: read_result
-- What one job of the caller's ended with; without a result while it has none.
select
    o.id, o.engine, o.status, o.error_message, o.result as summary, r.id as result_id, r.extracted_text,
    r.structured_data, r.confidence_score
from public.ocrjob o
left join public.ocrresult r on r.job_id = o.id
where o.id = %(id)s;

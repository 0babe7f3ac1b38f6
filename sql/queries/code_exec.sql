-- Runs of code, tools and sandboxes. Their owner reads the rows through row-level security; changes are SQL functions.

-- name: request_code
-- Ask for a run: the job's id, the same for a repeat under the same key.
select millrace.request_code(%(input)s, %(key)s, %(open)s, %(runs)s, %(cpu_seconds)s) as id;

-- name: read_execution
-- One run, whole.
select e.*, e.limit_hit as limit
from public.codeexecution e
where e.id = %(id)s;

-- name: execution_status
-- How one run is, and nothing else of it: asked again and again by who waits.
select e.status
from public.codeexecution e
where e.id = %(id)s;

-- name: list_executions
-- A page of the caller's runs, newest first.
select e.*, e.limit_hit as limit
from public.codeexecution e
where (%(status)s::text is null or e.status = %(status)s)
    and (%(tool)s::text is null or e.tool_id = %(tool)s)
    and (%(before)s::timestamp is null or (e.started_at, e.id) < (%(before)s::timestamp, %(before_id)s::uuid))
order by e.started_at desc, e.id desc
limit %(limit)s;

-- name: prepare_code
-- What a worker that holds this job is to run.
select millrace.prepare_code(%(id)s, %(epoch)s) as plan;

-- name: list_tools
-- A page of the caller's tools by their ids, each in the version that a call would take.
select distinct on (t.tool_id collate "C") t.*
from public.codetoolregistry t
where %(after)s::text is null or t.tool_id collate "C" > %(after)s
order by
    t.tool_id collate "C",
    millrace.is_release(t.version) desc,
    t.is_deprecated,
    millrace.semver_key(t.version) collate "C" desc nulls last
limit %(limit)s;

-- name: read_tool
-- One version of a tool, or with no version named the one that a call would take.
select t.*
from public.codetoolregistry t
where t.tool_id = %(tool)s
    and (%(version)s::text is null or t.version = %(version)s)
order by
    millrace.is_release(t.version) desc,
    t.is_deprecated,
    millrace.semver_key(t.version) collate "C" desc nulls last
limit 1;

-- name: list_versions
-- All versions of a tool, the highest first.
select t.*
from public.codetoolregistry t
where t.tool_id = %(tool)s
order by millrace.semver_key(t.version) collate "C" desc nulls last, t.version desc
limit %(limit)s
offset %(offset)s;

-- name: register_tool
-- Register a tool that has no tests to pass first.
select *
from millrace.register_tool(%(tool)s);

-- name: deprecate_tool
-- Mark a version, or all, as deprecated.
select millrace.deprecate_tool(%(tool)s, %(version)s, %(message)s) as changed;

-- name: list_sandboxes
-- A page of the caller's sandboxes by id.
select s.*
from public.codesandbox s
where %(after)s::uuid is null or s.id > %(after)s
order by s.id
limit %(limit)s;

-- name: read_sandbox
-- One sandbox, by id or name.
select s.*
from public.codesandbox s
where %(sandbox)s in (s.id::text, s.name)
order by s.id::text = %(sandbox)s desc, s.created_at desc
limit 1;

-- name: write_sandbox
-- Make a sandbox, or change one.
select *
from millrace.write_sandbox(%(id)s, %(new)s, %(changes)s);

-- name: delete_sandbox
-- Delete a sandbox.
select millrace.delete_sandbox(%(id)s);

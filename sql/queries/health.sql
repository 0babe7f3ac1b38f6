-- How the installation is.

-- name: figures
-- The server's version, and in seconds how long ago the last tick ended and by how much what waits longest is overdue.
select now, server_version, tick_lag, runs_late, jobs_late, files_late
from millrace.health();

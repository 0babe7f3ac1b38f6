"""The local stack: everything that AWS and Supabase are to the deployed system, on this machine, in one object.

    with Stack(Path(".millrace")) as stack:
        print(stack.url, stack.token)

``start`` brings up the embedded Postgres (or uses another database), applies the migrations, and runs what
``serverless.yml`` lists: the gateway and the Runtime API, queues, ticks and objects live in one event loop in a thread
of this process, each function in processes of its own. ``stop`` lets what has begun end. Whatever ends this process, be
it ``kill -9``, takes the functions and Postgres with it, and the next ``start`` works at once.

What lies in the data directory (mode 0700): ``postgres/``, ``objects/``, ``logs/`` and ``secrets/`` (files of mode
0600, made at the first start).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import socket
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO, TypeVar

import uvloop

from infra import capabilities, migrations
from infra.buckets import BucketsError, declared, make_directories
from infra.local import postgres
from infra.local.gateway import Gateway
from infra.local.invocations import Invocations
from infra.local.logs import Logs
from infra.local.objects import ObjectEvents, Objects
from infra.local.queues import BellSocket, Queue
from infra.local.queues import Mapping as QueueMapping
from infra.local.runtime import Function, FunctionSettings
from infra.local.schedule import Ticker
from infra.local.serverless import Service, read
from infra.local.settings import StackSettings
from shared.storage import EVENTS, DirectoryStorage, Event

ROOT = Path(__file__).resolve().parents[2]
TOKEN_SECONDS = 7 * 24 * 3600
_LOCK_SECONDS = 2.0  #: for what a killed stack left behind to let go
#: Variables of the user's that are never handed to functions: they are the stack's own, or other roles' passwords.
_WITHHELD = (
    "MILLRACE_LOCAL_",
    "MILLRACE_TEST_",
    "MILLRACE_MIGRATION_",
    "MILLRACE_TOKEN",
    "MILLRACE_HOME",
    "MILLRACE_URL",
)

T = TypeVar("T")


class StackError(Exception):
    """The stack cannot start; the message says what to do about it."""


class Stack:
    """The local stack on one data directory. Also a context manager."""

    def __init__(
        self,
        data_dir: Path | str = ".millrace",
        port: int = 0,
        *,
        database_url: str | None = None,
        migration_url: str | None = None,
        settings: StackSettings | None = None,
        environment: Mapping[str, str] | None = None,
        stage: str | None = None,
        echo: TextIO | Callable[[str], None] | None = None,
        progress: Callable[[str], None] | None = None,
        durable: bool = True,
        config: Path = ROOT / "serverless.yml",
    ) -> None:
        """``port`` 0 takes a free one.

        ``database_url`` is used instead of the embedded Postgres: the address of a role that may migrate and may let
        our roles log in (``migration_url``, if migrations need another one). ``environment`` is set for all functions
        and stands in for variables of this process. ``echo`` gets each line of the request log and of the functions'
        logs, ``progress`` a word about each phase of the start. ``durable=False`` is for tests only.
        """
        self.data_dir = Path(data_dir).absolute()
        self.settings = settings or StackSettings.load()
        self.config = config
        self.stage = stage
        self.service: Service
        self.functions: dict[str, Function] = {}
        self.queues: dict[str, Queue] = {}
        self.postgres: postgres.EmbeddedPostgres | None = None
        if database_url is None:
            self.postgres = postgres.EmbeddedPostgres(self.data_dir / "postgres", durable=durable)
        self._external = (database_url, migration_url or database_url)
        self._port = port
        self._environment = dict(environment or {})
        self._echo = echo
        self._progress = progress or (lambda phase: None)
        self._lock: IO[str] | None = None
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._guard: _Guard | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()
        self._gateway: Gateway | None = None
        self._invocations: Invocations | None = None
        self._bells: list[BellSocket] = []
        self._tickers: list[Ticker] = []
        self._events: ObjectEvents | None = None
        self._objects: Objects | None = None
        self._logs: Logs | None = None
        self._reaper: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the gateway listens; known as soon as ``start`` has begun."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        """A token of the local user, good for a week. Signed with the local secret, as Supabase Auth would sign it."""
        import jwt  # with cryptography about 50 ms: only who asks pays

        now = int(time.time())
        subject = self._secret("user", lambda: str(uuid.uuid4()))
        claims = {
            "sub": subject,
            "aud": "authenticated",
            "role": "authenticated",
            "email": f"{subject[:8]}@localhost.invalid",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._secret("jwt"), "HS256")

    @property
    def docs_url(self) -> str:
        """Where the workflow API describes itself."""
        return f"{self.url}/api/v1/workflows/docs"

    def database_url(self, role: str = "postgres") -> str:
        """The address of the stack's database, as one of its roles."""
        if self.postgres is not None:
            return self.postgres.url(role)
        url = self._external[0] or ""
        if role == "postgres":
            return url
        return postgres.with_database(url, urllib.parse.urlsplit(url).path.lstrip("/"), role=role)

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up; it answers when this returns. Raises :class:`StackError` and what its parts raise."""
        try:
            self._start()
        except BaseException:
            self.stop(seconds=0)
            raise

    def _start(self) -> None:
        self._stopping.clear()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self._acquire()
        self._listen()
        self._invocations = Invocations()
        bells = _bell_directory(self.data_dir)
        environment = self._variables(bells, self.url)
        self.service = read(self.config, stage=self.stage, env=environment)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="millrace-stack", daemon=True)
        self._thread.start()
        # Functions begin to load while the database starts; they connect at their first use.
        self._run(self._build(environment, bells))
        if self.postgres is not None:
            self._progress("starting Postgres")
            self.postgres.start()
            self._watch_over_postgres(self.postgres)
        self._migrate()
        self._run(self._open())
        self._progress("ready")

    def stop(self, seconds: float | None = None) -> None:
        """Take nothing more, let what has begun end within ``seconds`` (default: the setting), and stop."""
        self._stopping.set()
        with contextlib.ExitStack() as rest:  # each is done, whatever the ones before it came to; the last named first
            if self._lock is not None:
                lock, self._lock = self._lock, None
                rest.callback(lock.close)
                if self.postgres is not None:
                    rest.callback(self.postgres.stop)
            rest.callback(self._dismiss_guard)
            if self._watcher is not None:
                watcher, self._watcher = self._watcher, None
                rest.callback(watcher.join)
            if self._listener is not None:
                listener, self._listener = self._listener, None
                rest.callback(listener.close)
            if self._invocations is not None:  # _close still has to drain what it serves
                rest.callback(self._invocations.close)
            if self._loop is not None and self._thread is not None:
                rest.callback(self._end_loop)
                self._run(self._close(self.settings.drain_seconds if seconds is None else seconds))

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def memory_bytes(self) -> int:
        """What the stack, its functions and Postgres use now: the sum of their proportional set sizes (Linux)."""
        return sum(_proportional_set(pid) for pid in self.processes())

    def processes(self) -> list[int]:
        """The process ids of the stack, its functions, Postgres and its children."""
        found = [os.getpid(), *(worker.pid for function in self.functions.values() for worker in function.workers)]
        if self.postgres is not None and (pid := self.postgres.pid) is not None:
            found += [pid, *_children(pid)]
        return [pid for pid in found if pid]

    # --- the parts, in the loop's thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RuntimeError("the stack's loop is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _build(self, environment: dict[str, str], bells: Path) -> None:
        settings, service = self.settings, self.service
        loop = asyncio.get_running_loop()
        self._logs = logs = Logs(self.data_dir / "logs", loop, self._echo)
        passed = {
            name: value
            for name, value in environment.items()
            if name.startswith("MILLRACE_") and name not in _named(service) and not name.startswith(_WITHHELD)
        }
        for definition in service.functions.values():
            # An empty variable is one that this stage does not set.
            given = definition.environment if definition.isolated else passed | definition.environment
            own = {name: value for name, value in given.items() if value != ""}
            self.functions[definition.name] = Function(
                FunctionSettings(
                    name=definition.name,
                    handler=definition.handler,
                    timeout=definition.timeout,
                    root=self.config.parent,
                    environment=own if definition.isolated else own | self._environment,
                    memory_mb=definition.memory_mb,
                    region=service.region,
                    service=f"{service.name}-{service.stage}",
                    concurrency=settings.bound(definition.name),
                    queue_limit=settings.queue_limit,
                    idle_seconds=settings.idle_seconds,
                ),
                logs,
            )
        self.queues = {queue.name: Queue(queue) for queue in service.queues.values()}
        for queue in self.queues.values():
            if queue.settings.dead_letter is not None:
                queue.dead_letter = self.queues[queue.settings.dead_letter]
        for definition in service.functions.values():
            for event in definition.queues:
                QueueMapping(
                    self.queues[service.queues[event.queue].name],
                    self.functions[definition.name],
                    logs,
                    batch_size=event.batch_size,
                    concurrency=min(event.concurrency, settings.bound(definition.name)),
                    report_failures=event.report_failures,
                )
        for name in settings.warm:
            if name in self.functions:
                self.functions[name].warm()
        storage = DirectoryStorage(
            self.data_dir / "objects",
            self._secret("storage").encode(),
            url=self.url,
            listener=self._stored,
        )
        try:
            make_directories(self.data_dir / "objects", declared(environment))
        except (BucketsError, OSError) as error:
            raise StackError(str(error)) from error
        self._objects = Objects(storage)
        for name, queue in self.queues.items():
            if queue.mapping is None:
                continue
            ring = queue.ring
            if name == EVENTS:
                self._events = ObjectEvents(storage, queue)
                ring = self._events.ring
            self._bells.append(BellSocket(bells, name, ring))
        self._gateway = Gateway(service.routes, self.functions, logs, objects=self._objects)

    def _stored(self, event: Event) -> None:
        """An upload through a signed URL, told by the thread that kept it."""
        loop, events = self._loop, self._events
        if loop is not None and events is not None:
            loop.call_soon_threadsafe(events.ring, event.id)

    async def _open(self) -> None:
        service, logs = self.service, self._logs
        if logs is None or self._gateway is None or self._listener is None:
            raise RuntimeError("the stack is not built")
        listener, self._listener = self._listener, None
        await self._gateway.listen(listener)
        if self._invocations is not None:
            await self._invocations.open(self.functions)
        for definition in service.functions.values():
            for schedule in definition.schedules:
                seconds = self.settings.tick_seconds if schedule.seconds == 60 else float(schedule.seconds)
                function = self.functions[definition.name]
                self._tickers.append(Ticker(function, seconds, logs, service.region, schedule.input))
        self._reap()

    def _reap(self) -> None:
        for function in self.functions.values():
            function.reap()
        loop = asyncio.get_running_loop()
        self._reaper = loop.call_later(min(5.0, self.settings.idle_seconds / 2), self._reap)

    async def _close(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if self._reaper is not None:
            self._reaper.cancel()
        for ticker in self._tickers:
            ticker.stop()
        if self._gateway is not None:
            await self._gateway.server.drain(seconds)
        if self._invocations is not None:
            await self._invocations.drain(max(0.0, until - time.monotonic()))
        for bell in self._bells:
            bell.close()
        for queue in self.queues.values():
            queue.stop()
        left = max(0.0, until - time.monotonic())
        await asyncio.gather(*(function.stop(left) for function in self.functions.values()))
        if self._events is not None:
            self._events.stop()
        if self._objects is not None:
            self._objects.stop()
        if self._logs is not None:
            self._logs.close()
        self._tickers, self._bells, self._events, self._objects, self._logs = [], [], None, None, None
        self._gateway = None
        self.functions, self.queues = {}, {}

    # --- what surrounds them

    def _acquire(self) -> None:
        lock = (self.data_dir / "stack.lock").open("a+")
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                # Of a stack that was killed, a child may still hold the lock for a moment, on its own way out.
                if time.monotonic() < until and not (holder.isdigit() and Path(f"/proc/{holder}").exists()):
                    time.sleep(0.02)
                    continue
                lock.close()
                raise StackError(
                    f"process {holder} runs a stack on {self.data_dir} already; "
                    "stop it, or choose another data directory"
                ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _listen(self) -> None:
        """Take the port first: everything else is told its number, and a taken one should be known at once."""
        try:
            self._listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        except OSError as error:
            raise StackError(f"port {self._port} of 127.0.0.1 cannot be used: {error.strerror}") from error
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]

    def variables(self, url: str) -> dict[str, str]:
        """What the functions of the stack that runs on this data directory at ``url`` were told, for commands."""
        return self._variables(_bell_directory(self.data_dir), url)

    def _variables(self, bells: Path, url: str) -> dict[str, str]:
        """What ``serverless.yml`` may ask of the environment: this process's, and in its place what is local."""
        return {
            **os.environ,
            "MILLRACE_API_DATABASE_URL": self.database_url("millrace_api"),
            "MILLRACE_ENGINE_DATABASE_URL": self.database_url("millrace_engine"),
            "MILLRACE_CAPABILITIES": os.environ.get("MILLRACE_CAPABILITIES", ",".join(capabilities.present())),
            "MILLRACE_DOORBELL": f"socket:{bells}",
            "MILLRACE_FUNCTIONS": f"local:{self._invocations.address}" if self._invocations else "",
            "MILLRACE_FUNCTIONS_TOKEN": self._invocations.token if self._invocations else "",
            "MILLRACE_JWT_SECRET": self._secret("jwt"),
            "MILLRACE_SECRET_KEY_FILE": os.environ.get("MILLRACE_SECRET_KEY_FILE") or str(self._key_file()),
            "MILLRACE_SECRET_KMS_KEY": "",
            "MILLRACE_STORAGE": f"directory:{self.data_dir / 'objects'}",
            "MILLRACE_STORAGE_SECRET": self._secret("storage"),
            "MILLRACE_STORAGE_URL": url,
            "MILLRACE_PUBLIC_URL": os.environ.get("MILLRACE_PUBLIC_URL") or url,
            "MILLRACE_METRICS_NAMESPACE": "",
            "MILLRACE_TICK_SECONDS": f"{self.settings.tick_seconds:g}",
            **self._environment,
        }

    def _secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
        """A local secret, made at the first use; kept in a file that only its owner may read."""
        directory = self.data_dir / "secrets"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / name
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            pass
        # Whole or not at all, and never over what another process wrote meanwhile.
        descriptor, draft = tempfile.mkstemp(dir=directory)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(make() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
        return path.read_text(encoding="ascii").strip()

    def _key_file(self) -> Path:
        """Where the data keys are: away from the data that they open, and from the repository.

        It is named for the data directory's own id, so that the directory may be moved or copied.
        """
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        directory = config.absolute() / "millrace" / "keys"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"{directory} cannot be made for the data keys ({error.strerror}); "
                "set XDG_CONFIG_HOME or MILLRACE_SECRET_KEY_FILE"
            ) from error
        return directory / f"{self._secret('id', lambda: secrets.token_hex(8))}.json"

    def _migrate(self) -> None:
        url = self._external[1] or self.database_url("postgres")
        applied = migrations.up(url, progress=lambda done: self._progress(f"migrated {done.version}_{done.name}"))
        del applied
        superuser = self.postgres.url(postgres.SUPERUSER) if self.postgres is not None else url
        postgres.allow_logins(superuser)

    def _watch_over_postgres(self, server: postgres.EmbeddedPostgres) -> None:
        """Start Postgres again when it is gone, and have it end with this process."""
        self._guard = _Guard(server.pid)

        def watch() -> None:
            while not self._stopping.wait(0.2):
                if server.pid is not None:
                    continue
                self._note("Postgres is gone; starting it again")
                try:
                    server.start()
                except (postgres.PostgresError, OSError) as error:
                    self._note(f"Postgres does not start: {error}")
                    continue
                self._dismiss_guard()
                self._guard = _Guard(server.pid)

        self._watcher = threading.Thread(target=watch, name="millrace-postgres", daemon=True)
        self._watcher.start()

    def _note(self, text: str) -> None:
        loop, logs = self._loop, self._logs
        if loop is not None and logs is not None:
            loop.call_soon_threadsafe(logs.event, "stack", text)


class _Guard:
    """A small process that stops Postgres when this process dies without having done so.

    It reads from a pipe whose other end only we hold: a line means that all is well, its end that we are gone.
    """

    def __init__(self, pid: int | None) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", 'read line || kill -INT "$0"', str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Let it go home."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(b"\n")


def _named(service: Service) -> set[str]:
    """Variables that ``serverless.yml`` gives to some functions, and so keeps from the others."""
    named = {name for definition in service.functions.values() for name in definition.environment}
    return named | {"MILLRACE_API_DATABASE_URL", "MILLRACE_ENGINE_DATABASE_URL"}


def _bell_directory(data_dir: Path) -> Path:
    """Where the bells' sockets are: private, one per data directory, short (a socket's path has 107 bytes at most)."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(base) if base and Path(base).is_dir() else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:10]
    path = parent / f"millrace-bells-{os.getuid()}-{digest}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StackError(f"{path} belongs to someone else; remove it or set XDG_RUNTIME_DIR")
    path.chmod(0o700)
    return path


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _proportional_set(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0

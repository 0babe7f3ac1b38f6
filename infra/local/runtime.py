"""Lambda on this machine: each function in processes of its own, fed through the Lambda Runtime API.

A :class:`Function` takes invocations and has them served by its :class:`Worker` processes, one invocation at a time
each, as Lambda does. The first invocation starts the first process; another is started, up to the function's bound,
when an invocation has waited ``GROW_SECONDS`` and too few processes are at work to keep the processors busy: so a burst
of quick requests costs no start, and requests that wait for something hold up no others. A process that outlives its
timeout is killed, one that crashed is replaced at the next need, one that is idle for long is ended.

Every worker has a Runtime API of its own on a free port of 127.0.0.1, as each Lambda sandbox has. It speaks
``GET /2018-06-01/runtime/invocation/next``, ``POST …/invocation/<id>/response`` and ``…/error``, ``POST …/init/error``.
Source: AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes", "Lambda quotas".
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from infra.local import process
from infra.local.http import Connection, Exchange, Header, HttpServer, plain_refusal
from infra.local.logs import Logs
from infra.local.peers import is_ours

#: Lambda's quotas for one event and one response, in bytes of JSON.
MAX_EVENT_BYTES = 6 * 1024 * 1024
MAX_RESPONSE_BYTES = 6_291_556
#: Seconds for a function to be imported and ask for its first invocation (Lambda: 10, on faster disks than some).
INIT_SECONDS = 30.0
#: How long an invocation may wait before another process is started for it.
GROW_SECONDS = 0.05
#: A process that has been at one invocation for this long is taken to wait for something, not to compute.
LONG_SECONDS = 0.2
#: Quick invocations are served by this many processes at most: more would only take turns. One more than there are
#: processors, because each waits for a commit now and then.
QUICK_PROCESSES = len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1

_OURS = Path(__file__).resolve().parents[2]  # where infra.local.process is found
_API = b"/2018-06-01/runtime/"
_NEXT = _API + b"invocation/next"
_ACCEPTED = b'{"status":"OK"}\n'
_JSON: Header = (b"content-type", b"application/json")
_MAX_ERROR_HEADER_BYTES = 2 * 1024 * 1024  # a fault's trace travels in a header of up to 1 MB


class OverloadedError(Exception):
    """As many invocations as are allowed are waiting for this function already."""


class EventTooLargeError(Exception):
    """The event is over Lambda's quota."""


@dataclass(frozen=True, slots=True)
class FunctionError:
    """Why an invocation has no result, in Lambda's words: ``type`` is ``Sandbox.Timedout`` or an exception's name."""

    type: str
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: the function's answer as it sent it, or an error; and how long, waiting included."""

    payload: bytes
    error: FunctionError | None
    seconds: float


class Invocation:
    """One event on its way through a function."""

    __slots__ = ("cancelled", "done", "id", "payload", "queued", "trace")

    def __init__(self, payload: bytes, done: Callable[[Outcome], None], trace: str = "") -> None:
        self.id = str(uuid.uuid4())
        self.payload = payload
        self.done = done
        self.trace = trace
        self.queued = time.perf_counter()
        self.cancelled = False

    def finish(self, payload: bytes = b"", error: FunctionError | None = None) -> None:
        """Tell whoever waits, exactly once."""
        done, self.done = self.done, _nobody
        done(Outcome(payload, error, time.perf_counter() - self.queued))


def _nobody(outcome: Outcome) -> None:
    """Takes the outcome of an invocation that has been finished before."""


class Source(Protocol):
    """Something that makes invocations out of what it has gathered, when a worker is free: a queue's mapping."""

    def take(self) -> Invocation | None:
        """The next invocation, or None when there is nothing to do."""

    def waiting_since(self) -> float | None:
        """When (``time.perf_counter()``) the oldest thing that could be taken began to wait."""


@dataclass(frozen=True)
class FunctionSettings:
    """How one function is run. ``environment`` is all that its processes see beside what Lambda itself sets."""

    name: str  #: the key in serverless.yml
    handler: str
    timeout: float  #: seconds
    root: Path  #: where the handler is imported from
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int = 1024
    region: str = "us-east-1"
    service: str = "millrace-local"
    concurrency: int = 4  #: most processes at a time
    queue_limit: int = 256  #: most invocations waiting for a process; one more is refused
    idle_seconds: float = 120.0  #: a process unused for this long is ended
    #: What is started, with the handler after it.
    command: Sequence[str] = (sys.executable, "-m", "infra.local.process")

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:000000000000:function:{self.service}-{self.name}"


class Function:
    """One function: its waiting invocations and its processes."""

    def __init__(self, settings: FunctionSettings, logs: Logs) -> None:
        self.settings = settings
        self.name = settings.name
        self.logs = logs
        self.loop = asyncio.get_running_loop()
        self.workers: set[Worker] = set()
        self.started = 0  #: processes started so far
        self._idle: list[Worker] = []  # the last one used is used again, so that the others can be ended
        self._waiting: deque[Invocation] = deque()
        self._sources: deque[Source] = deque()
        self._growing: asyncio.TimerHandle | None = None
        self._stopped = False
        self._arn = settings.arn.encode()

    # --- taking work

    def invoke(self, payload: bytes, done: Callable[[Outcome], None], trace: str = "") -> Invocation:
        """Have ``payload`` (a JSON document) handled; ``done`` is called with the outcome, once.

        Raises :class:`EventTooLargeError`, and :class:`OverloadedError` when too many are waiting.
        """
        if len(payload) > MAX_EVENT_BYTES:
            raise EventTooLargeError(f"the event is {len(payload)} bytes, over Lambda's {MAX_EVENT_BYTES}")
        if self._stopped:
            raise OverloadedError(f"{self.name} is shutting down")
        invocation = Invocation(payload, done, trace)
        if self._idle:
            self._idle.pop().serve(invocation)
        elif len(self._waiting) >= self.settings.queue_limit:
            raise OverloadedError(f"{len(self._waiting)} requests are waiting for {self.name}")
        else:
            self._waiting.append(invocation)
            self._grow()
        return invocation

    def pull(self, source: Source) -> None:
        """``source`` has something to do: take from it now if a process is free, else as soon as one is."""
        if source not in self._sources:
            self._sources.append(source)
        while self._idle and (invocation := self._take()) is not None:
            self._idle.pop().serve(invocation)
        if self._sources:
            self._grow()

    def warm(self) -> None:
        """Start the first process now instead of at the first use."""
        if not self.workers and not self._stopped:
            self._start()

    @property
    def busy(self) -> int:
        """Invocations that are being served or waiting."""
        return sum(worker.invocation is not None for worker in self.workers) + len(self._waiting)

    def _take(self) -> Invocation | None:
        while self._waiting:
            invocation = self._waiting.popleft()
            if not invocation.cancelled:
                return invocation
        while self._sources:
            source = self._sources.popleft()
            if (taken := source.take()) is not None:
                self._sources.append(source)
                return taken
        return None

    # --- processes

    def _grow(self) -> None:
        """Start a process if there is none; watch whether one more is needed."""
        if self._stopped:
            return
        if not self.workers:
            self._start()
        if self._growing is None and len(self.workers) < self.settings.concurrency:
            self._growing = self.loop.call_later(GROW_SECONDS, self._consider)

    def _consider(self) -> None:
        self._growing = None
        since = [self._waiting[0].queued] if self._waiting else []
        since += [moment for source in self._sources if (moment := source.waiting_since()) is not None]
        if not since or self._stopped:
            return
        now = time.perf_counter()
        starting = sum(not worker.ready for worker in self.workers)
        held = sum(worker.invocation is not None and now - worker.since >= LONG_SECONDS for worker in self.workers)
        quick = len(self.workers) - held
        # While one is starting, it is not known yet whether it is enough; unless all the others are held.
        another = not starting or (held > 0 and quick == starting)
        if another and quick < QUICK_PROCESSES and now - min(since) >= GROW_SECONDS:
            self._start()
        self._grow()

    def _start(self) -> None:
        worker = Worker(self)
        self.workers.add(worker)
        self.started += 1
        worker.start()

    def free(self, worker: Worker) -> None:
        """``worker`` asks for its next invocation."""
        if self._stopped:
            worker.end()
        elif (invocation := self._take()) is not None:
            worker.serve(invocation)
        else:
            self._idle.append(worker)

    def lost(self, worker: Worker, why: FunctionError) -> None:
        """``worker``'s process is gone. What it was starting for must not wait for a start that fails each time."""
        self.workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if not worker.ready and not self.workers:
            failed, self._waiting = self._waiting, deque()
            for invocation in failed:
                invocation.finish(error=why)
            for source in list(self._sources):
                if (taken := source.take()) is not None:
                    taken.finish(error=why)
            self._sources.clear()
        elif self._waiting or self._sources:
            self._grow()

    def reap(self) -> None:
        """End the processes that have been idle for long."""
        now = time.perf_counter()
        for worker in list(self._idle):
            if now - worker.since > self.settings.idle_seconds:
                self._idle.remove(worker)
                worker.end()

    def expire(self, invocation: Invocation) -> None:
        """Nobody waits for ``invocation`` any more: do not begin it."""
        invocation.cancelled = True

    async def stop(self, seconds: float) -> None:
        """Take nothing more, let what runs end within ``seconds``, then end the processes and wait for them."""
        self._stopped = True
        if self._growing is not None:
            self._growing.cancel()
        for invocation in self._waiting:
            invocation.finish(error=FunctionError("Stack.Stopping", "the local stack is stopping"))
        self._waiting.clear()
        self._sources.clear()
        for worker in list(self._idle):
            worker.end()
        until = time.monotonic() + seconds
        while any(worker.invocation for worker in self.workers) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for worker in list(self.workers):
            worker.end()
        until = time.monotonic() + 2
        while self.workers:
            await asyncio.sleep(0.005)
            if time.monotonic() > until:
                for worker in list(self.workers):
                    worker.kill()

    def environment(self, api: str, worker: Worker) -> dict[str, str]:
        """Everything a process sees: what Lambda sets, less credentials, plus what the stack gives this function."""
        settings = self.settings
        name = f"{settings.service}-{settings.name}"
        inherited = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
        return {
            "LANG": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
            "TZ": "UTC",
            **inherited,
            "_HANDLER": settings.handler,
            "AWS_LAMBDA_RUNTIME_API": api,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[$LATEST]{self.started:032x}",
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "LAMBDA_TASK_ROOT": str(settings.root),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys((str(settings.root), str(_OURS)))),
            **settings.environment,
            process.PARENT_VARIABLE: str(os.getpid()),
        }


class Worker:
    """One process of a function, with the Runtime API that it alone talks to."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.ready = False  #: whether it has asked for an invocation yet
        self.invocation: Invocation | None = None
        self.since = 0.0  #: when it began what it is doing, by ``time.perf_counter()``
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_watch = -1
        self._output = -1
        self._line = b""
        self._next: Exchange | None = None  # the request for an invocation that is being held
        self._timer: asyncio.TimerHandle | None = None
        self._why: FunctionError | None = None  # why we killed it, or what it said when it could not start
        self._api = HttpServer(
            self._request,
            max_body=MAX_RESPONSE_BYTES,
            max_head=_MAX_ERROR_HEADER_BYTES,
            admit=is_ours,
            refusal=self._refused,
            on_lost=self._disconnected,
        )

    # --- life

    def start(self) -> None:
        """Start the process; it counts as ready when it asks for its first invocation."""
        function = self.function
        settings = function.settings
        self._timer = function.loop.call_later(max(INIT_SECONDS, settings.timeout), self._init_timeout)
        # The listening socket must exist before the process does, and making it takes the loop a turn.
        task = function.loop.create_task(self._launch())
        task.add_done_callback(self._launched)

    async def _launch(self) -> None:
        function = self.function
        await self._api.listen()
        read, write = os.pipe()
        os.set_blocking(read, False)
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec: a millisecond
                [*function.settings.command, function.settings.handler],
                cwd=function.settings.root,
                env=function.environment(f"127.0.0.1:{self._api.port}", self),
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,  # Ctrl-C is the stack's to handle, and a kill reaches its children
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.pid = self._process.pid
        self._output = read
        function.loop.add_reader(read, self._read_output)
        if hasattr(os, "pidfd_open"):
            self._exit_watch = os.pidfd_open(self.pid)
            function.loop.add_reader(self._exit_watch, self._exited)
        else:
            function.loop.call_later(0.05, self._poll_exit)

    def _launched(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._gone(FunctionError("Runtime.LaunchError", f"{self.function.name} cannot be started: {error}"))

    def end(self) -> None:
        """Ask an idle process to end."""
        self._signal(signal.SIGTERM)

    def kill(self, why: FunctionError | None = None) -> None:
        """End the process and whatever it started, now."""
        self._why = self._why or why
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _init_timeout(self) -> None:
        self.kill(FunctionError("Sandbox.Timedout", f"{self.function.name} was not ready after {INIT_SECONDS:.0f} s"))

    def _poll_exit(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.function.loop.call_later(0.05, self._poll_exit)
        else:
            self._exited()

    def _exited(self) -> None:
        self._read_output()
        code = self._process.wait() if self._process is not None else 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        error = self._why or FunctionError("Runtime.ExitError", f"the process of {self.function.name} ended: {how}")
        if self.invocation is not None or not self.ready or self._why is not None:
            self.function.logs.event(self.function.name, f"process {self.pid} is gone: {error.type}: {error.message}")
        self._gone(error)

    def _gone(self, why: FunctionError) -> None:
        loop = self.function.loop
        for descriptor in (self._exit_watch, self._output):
            if descriptor >= 0:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        self._exit_watch = self._output = -1
        if self._timer is not None:
            self._timer.cancel()
        self._api.close()
        invocation, self.invocation = self.invocation, None
        self.function.lost(self, why)
        if invocation is not None:
            invocation.finish(error=why)

    def _read_output(self) -> None:
        if self._output < 0:
            return
        while True:
            try:
                data = os.read(self._output, 65536)
            except BlockingIOError:
                return
            if not data:
                self.function.loop.remove_reader(self._output)
                if self._line:
                    self.function.logs.output(self.function.name, self._line + b"\n")
                    self._line = b""
                return
            # awslambdaric ends the lines of a traceback with a carriage return, so that a log viewer folds them.
            whole, newline, self._line = (self._line + data.replace(b"\r", b"\n")).rpartition(b"\n")
            if newline:
                self.function.logs.output(self.function.name, whole + b"\n")
            elif len(self._line) > 65536:
                self.function.logs.output(self.function.name, self._line + b"\n")
                self._line = b""

    # --- the Runtime API

    def serve(self, invocation: Invocation) -> None:
        """Give the waiting process its next invocation, and the time until it is killed."""
        exchange, self._next = self._next, None
        if exchange is None:
            raise RuntimeError("this worker has not asked for an invocation")
        function = self.function
        timeout = function.settings.timeout
        self.invocation = invocation
        self.since = time.perf_counter()
        self._timer = function.loop.call_later(timeout, self._timed_out, invocation)
        headers: list[Header] = [
            _JSON,
            (b"lambda-runtime-aws-request-id", invocation.id.encode("ascii")),
            (b"lambda-runtime-deadline-ms", b"%d" % int((time.time() + timeout) * 1000)),
            (b"lambda-runtime-invoked-function-arn", function._arn),
        ]
        if invocation.trace:
            headers.append((b"lambda-runtime-trace-id", invocation.trace.encode("ascii")))
        exchange.respond(200, headers, invocation.payload)

    def _timed_out(self, invocation: Invocation) -> None:
        if self.invocation is invocation:
            seconds = self.function.settings.timeout
            self.kill(FunctionError("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds"))

    def _request(self, exchange: Exchange) -> None:
        request = exchange.request
        target = request.target
        if request.method == "GET" and target == _NEXT:
            self._next = exchange
            self.since = time.perf_counter()
            if not self.ready:
                self.ready = True
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            self.function.free(self)
            return
        if request.method == "POST" and target == _API + b"init/error":
            self._why = _error_of(request.body, "Runtime.Unknown")
            exchange.respond(202, (_JSON,), _ACCEPTED)
            return
        invocation = self.invocation
        if request.method == "POST" and invocation is not None:
            prefix = _API + b"invocation/" + invocation.id.encode("ascii")
            if target == prefix + b"/response":
                exchange.respond(202, (_JSON,), _ACCEPTED)
                self._finish(request.body)
                return
            if target == prefix + b"/error":
                exchange.respond(202, (_JSON,), _ACCEPTED)
                self._finish(error=_error_of(request.body, "Runtime.Unknown"))
                return
        exchange.respond(400, (_JSON,), b'{"errorType":"InvalidRequestID","errorMessage":"no such invocation"}')

    def _finish(self, payload: bytes = b"", error: FunctionError | None = None) -> None:
        invocation, self.invocation = self.invocation, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if invocation is not None:
            invocation.finish(payload, error)

    def _refused(self, status: int, reason: str) -> tuple[list[Header], bytes]:
        if status == 413:
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            self._finish(error=FunctionError("Function.ResponseSizeTooLarge", message))
        return plain_refusal(status, reason)

    def _disconnected(self, connection: Connection) -> None:
        if self._next is not None and self._next.connection is connection:
            # It hung up while idle: it is dying, or reconnecting. Either way it gets nothing on this connection.
            self._next = None
            if self in self.function._idle:
                self.function._idle.remove(self)


def _error_of(body: bytes, default: str) -> FunctionError:
    """A posted error, read leniently: a runtime may post anything."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return FunctionError(default, body[:1000].decode("utf-8", "replace"))
    return FunctionError(str(document.get("errorType") or default), str(document.get("errorMessage") or ""), document)

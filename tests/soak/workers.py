"""Engine workers as processes that can be killed, fed by a queue that loses and doubles bells."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

import psycopg

from shared.database import Database
from shared.errors import Unavailable
from shared.payloads import Payloads
from shared.storage import storage
from shared.workflow.drive import Driver
from shared.workflow.node import Effect, NodeConfig, Output, StepContext, StepError, node
from shared.workflow.run import Bounds

BATCH = 10


class Slow(NodeConfig):
    """How long the step's effect takes."""

    seconds: float = 0.02


def _slow_step(config: Slow, context: StepContext) -> Output:
    """An effect under the step's key: a row in a table that only this test has, written beside the engine's own."""
    try:
        with psycopg.connect(os.environ["SOAK_DATABASE_URL"], autocommit=True) as connection:
            connection.execute("insert into soak.effect (key) values (%s)", [context.key])
    except psycopg.OperationalError:  # Postgres is being killed as well
        raise StepError("the other side is down", kind="network", retryable=True) from None
    time.sleep(config.seconds)
    return Output(context.key)


def register() -> None:
    node("slow_step", config=Slow, effect=Effect.IDEMPOTENT)(_slow_step)


class _Bell:
    """A worker's bells go back to the queue that feeds it."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def ring(self, queue: str, ids: Any, delay: float = 0) -> None:
        for id_ in ids:
            self.pipe.send((id_, delay))


def _work(pipe: Connection, engine_url: str, effects_url: str, lease: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["SOAK_DATABASE_URL"] = effects_url
    register()
    driver = Driver(
        Database(engine_url, connect_timeout=1, deadline=3),
        _Bell(pipe),
        ThreadPoolExecutor(BATCH * 2),
        Bounds(),
        Payloads(storage, inline_bytes=64 * 1024, largest_bytes=1024 * 1024),
        lease_seconds=lease,
    )
    while True:
        pipe.send("ready")
        ids = pipe.recv()
        with suppress(Unavailable):  # the batch comes again, from the tick
            driver.drive(ids, datetime.now(UTC) + timedelta(seconds=30))


class Workers:
    """``count`` workers and their queue, which loses a tenth of its bells and doubles a tenth.

    A killed worker (``kill_one``) is followed by another. What a worker does is ``target``, told the pipe to its queue
    and ``arguments``; it says that it is ready, and is sent what is due.
    """

    target: Callable[..., None] = staticmethod(_work)
    module = __name__  #: where ``target`` is

    def __init__(self, count: int, *arguments: Any, seed: int) -> None:
        self.context = mp.get_context("forkserver")
        self.context.set_forkserver_preload([self.module])
        self.arguments = arguments
        self.random = random.Random(seed)
        self.bells: deque[tuple[float, str]] = deque()
        self.counts = {"kills": 0, "lost bells": 0, "doubled bells": 0}
        self.processes: dict[Connection, Any] = {}
        self.idle: set[Connection] = set()
        self.stopped = threading.Event()
        self.lock = threading.RLock()
        for _ in range(count):
            self._spawn()
        self.feeder = threading.Thread(target=self._feed, daemon=True)
        self.feeder.start()

    def ring(self, id_: str, delay: float = 0) -> None:
        chance = self.random.random()
        if chance < 0.1:
            self.counts["lost bells"] += 1
            return
        with self.lock:
            for _ in range(2 if chance > 0.9 else 1):
                self.bells.append((time.monotonic() + delay, id_))
        self.counts["doubled bells"] += chance > 0.9

    def kill_one(self) -> None:
        with self.lock:
            pipe = self.random.choice(list(self.processes))
            self.processes[pipe].kill()
            self.counts["kills"] += 1

    def stop(self) -> None:
        self.stopped.set()
        self.feeder.join(10)
        for process in self.processes.values():
            process.kill()
            process.join(10)

    def _spawn(self) -> None:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=self.target, args=(theirs, *self.arguments), daemon=True)
        process.start()
        theirs.close()
        self.processes[ours] = process

    def _feed(self) -> None:
        while not self.stopped.is_set():
            for pipe in wait(list(self.processes), timeout=0.01):
                assert isinstance(pipe, Connection)
                try:
                    said = pipe.recv()
                except (EOFError, ConnectionResetError):
                    with self.lock:
                        self.died(pipe)
                        self.processes.pop(pipe).join()
                        self.idle.discard(pipe)
                        pipe.close()
                        self._spawn()
                    continue
                if said == "ready":
                    self.idle.add(pipe)
                else:
                    self.ring(*said)
            self._deal()

    def _deal(self) -> None:
        for pipe in list(self.idle):
            now = time.monotonic()
            with self.lock:
                due = [bell for bell in self.bells if bell[0] <= now][:BATCH]
                for bell in due:
                    self.bells.remove(bell)
            if not due:
                return
            self.idle.discard(pipe)
            self.dealt(pipe, [id_ for _, id_ in due])
            with suppress(BrokenPipeError, ConnectionResetError):
                pipe.send([id_ for _, id_ in due])

    def dealt(self, pipe: Connection, ids: list[str]) -> None:
        """These were sent to a worker: bells, which may be lost with it."""

    def died(self, pipe: Connection) -> None:
        """This worker is gone."""

"""Parts of the local stack on a real event loop, with real processes and sockets, driven from a test's own thread."""

from __future__ import annotations

import asyncio
import json
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from infra.local.gateway import Gateway
from infra.local.logs import Logs
from infra.local.queues import Mapping, Queue, QueueSettings
from infra.local.routes import Route, Routes
from infra.local.runtime import Function, FunctionSettings, Outcome

T = TypeVar("T")


class Workbench:
    """An event loop in a thread, and what a test builds in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._functions: list[Function] = []
        self._gateways: list[Gateway] = []
        self._queues: list[Queue] = []
        self.logs = self.do(lambda: Logs(directory / "logs", self.loop))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def do(self, work: Callable[[], T]) -> T:
        """Call ``work`` in the loop's thread."""

        async def call() -> T:
            return work()

        return self.run(call())

    def function(self, source: str, name: str = "toy", **settings: Any) -> Function:
        """A function of this code, whose entry point is ``handler``."""
        (self.directory / f"{name}_module.py").write_text(textwrap.dedent(source))
        made = FunctionSettings(
            name=name, handler=f"{name}_module.handler", root=self.directory, **{"timeout": 5.0, **settings}
        )
        return self.adopt(lambda: Function(made, self.logs))

    def adopt(self, make: Callable[[], Function]) -> Function:
        """A function that is made in the loop's thread and stopped with the rest."""
        function = self.do(make)
        self._functions.append(function)
        return function

    def begin(self, function: Function, event: Any) -> Future[Outcome]:
        """Invoke and do not wait."""
        outcome: Future[Outcome] = Future()
        self.do(lambda: function.invoke(json.dumps(event).encode(), outcome.set_result))
        return outcome

    def invoke(self, function: Function, event: Any = None) -> Outcome:
        return self.begin(function, event).result(30)

    def gateway(self, routes: dict[str, Function], **options: Any) -> Gateway:
        """A listening gateway; routes as ``{"ANY /a/{b}": function}``."""
        functions = {function.name: function for function in routes.values()}
        parsed = Routes([Route.parse(text, function.name) for text, function in routes.items()])
        gateway = self.do(lambda: Gateway(parsed, functions, self.logs, **options))
        self.run(gateway.listen())
        self._gateways.append(gateway)
        return gateway

    def queue(self, name: str = "bells", **settings: Any) -> Queue:
        queue = self.do(lambda: Queue(QueueSettings(name, **settings)))
        self._queues.append(queue)
        return queue

    def mapping(self, queue: Queue, function: Function, **options: Any) -> Mapping:
        return self.do(lambda: Mapping(queue, function, self.logs, **options))

    def log(self, name: str) -> str:
        """What was logged so far under this name."""
        self.do(self.logs.flush)
        return (self.directory / "logs" / f"{name}.log").read_text()

    def close(self) -> None:
        for queue in self._queues:
            self.do(queue.stop)
        for gateway in self._gateways:
            self.do(gateway.server.close)
        for function in self._functions:
            self.run(function.stop(0))
        self.do(self.logs.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    yield workbench
    workbench.close()


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for something that must become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)

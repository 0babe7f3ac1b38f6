"""Reads ``serverless.yml``: which functions there are, and what calls them.

Only what the local stack runs is understood, and whatever it would have to ignore silently is refused by name: an event
of another kind, an intrinsic function other than ``Ref`` and ``GetAtt`` (and ``Join`` in the environment), a reference
to something that is not a queue.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.queues import QueueSettings
from infra.local.routes import Route, RouteError, Routes
from infra.local.variables import ServerlessError, Variables, load_yaml

__all__ = ["FunctionDefinition", "QueueEvent", "ScheduleEvent", "ServerlessError", "Service", "read"]

_RATE = re.compile(r"rate\((\d+) (minutes?|hours?|days?)\)")
_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """A queue that feeds a function."""

    queue: str  #: its logical id in ``resources``
    batch_size: int = 10
    concurrency: int = 1000
    report_failures: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """How often a function is called, and with what (None: EventBridge's own event)."""

    seconds: int
    input: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class FunctionDefinition:
    """A function and what calls it."""

    name: str  #: its key
    handler: str
    timeout: int  #: seconds
    memory_mb: int
    isolated: bool = False  #: in a network of its own (``vpc``): it is told nothing but what stands here
    environment: dict[str, str] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    queues: list[QueueEvent] = field(default_factory=list)
    schedules: list[ScheduleEvent] = field(default_factory=list)


@dataclass(frozen=True)
class Service:
    """All that ``serverless.yml`` says and we run. ``queues`` are by logical id, named for what is rung."""

    name: str
    stage: str
    region: str
    functions: dict[str, FunctionDefinition]
    queues: dict[str, QueueSettings]

    @property
    def routes(self) -> Routes:
        """Every function's routes."""
        try:
            return Routes(route for function in self.functions.values() for route in function.routes)
        except RouteError as error:
            raise ServerlessError(str(error)) from error


def read(path: Path, *, stage: str | None = None, env: Mapping[str, str] | None = None) -> Service:
    """The service in ``path``. ``stage`` is what ``--stage`` would say. Raises :class:`ServerlessError`."""
    document = load_yaml(path)
    if not isinstance(document, dict):
        raise ServerlessError(f"{path} is not a mapping")
    variables = Variables(path.parent, document, stage, os.environ if env is None else env)
    resolved = {key: variables.resolve(document.get(key)) for key in ("service", "provider", "functions", "resources")}
    return _Reader(resolved, variables.stage).service()


class _Reader:
    """From the resolved document to a :class:`Service`; every complaint names the place."""

    def __init__(self, document: dict[str, Any], stage: str) -> None:
        self.stage = stage
        self.name = self._text(document["service"], "service")
        self.provider = _mapping(document["provider"] or {}, "provider")
        self.region = self._text(self.provider.get("region", "us-east-1"), "provider.region")
        self.functions = _mapping(document["functions"] or {}, "functions")
        self.resources: dict[str, Any] = {}
        given = document["resources"] or []
        for part in given if isinstance(given, list) else [given]:
            self.resources |= _mapping(_mapping(part, "resources").get("Resources") or {}, "resources.Resources")
        self.queue_names = {
            logical: self._queue_name(logical, resource)
            for logical, resource in self.resources.items()
            if _mapping(resource, f"resources.{logical}").get("Type") == "AWS::SQS::Queue"
        }

    def service(self) -> Service:
        queues = {logical: self._queue(logical) for logical in self.queue_names}
        functions = {str(name): self._function(str(name), given) for name, given in self.functions.items()}
        return Service(self.name, self.stage, self.region, functions, queues)

    # --- queues

    def _queue_name(self, logical: str, resource: dict[str, Any]) -> str:
        """What the queue is rung by: its name less the prefix that tells deployments apart."""
        properties = _mapping(resource.get("Properties") or {}, f"resources.{logical}.Properties")
        name = self._text(properties.get("QueueName", logical), f"resources.{logical}.QueueName")
        return name.removeprefix(f"{self.name}-{self.stage}-")

    def _queue(self, logical: str) -> QueueSettings:
        place = f"resources.{logical}"
        properties = _mapping(self.resources[logical].get("Properties") or {}, place)
        dead_letter, receives = None, 0
        if policy := properties.get("RedrivePolicy"):
            policy = _mapping(policy, f"{place}.RedrivePolicy")
            dead_letter = self.queue_names[self._queue_reference(policy.get("deadLetterTargetArn"), place)]
            receives = _whole(policy.get("maxReceiveCount"), f"{place}.RedrivePolicy.maxReceiveCount", 1, 1000)
        return QueueSettings(
            name=self.queue_names[logical],
            visibility_seconds=_whole(properties.get("VisibilityTimeout", 30), f"{place}.VisibilityTimeout", 0, 43200),
            dead_letter=dead_letter,
            max_receives=receives,
            region=self.region,
        )

    def _queue_reference(self, value: Any, place: str) -> str:
        """The logical id of the queue that ``!GetAtt <id>.Arn`` means."""
        kind, resource, attribute = self._reference(value, place)
        if kind != "Fn::GetAtt" or attribute != "Arn" or resource not in self.queue_names:
            raise ServerlessError(f"{place}: {value!r} is not the Arn of a queue of this service")
        return resource

    def _reference(self, value: Any, place: str) -> tuple[str, str, str]:
        if isinstance(value, dict) and len(value) == 1:
            ((kind, argument),) = value.items()
            if kind == "Ref" and isinstance(argument, str):
                return "Ref", argument, ""
            if kind == "Fn::GetAtt":
                parts = argument.split(".", 1) if isinstance(argument, str) else argument
                if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts):
                    return "Fn::GetAtt", parts[0], parts[1]
            raise ServerlessError(f"{place}: {kind} is not understood here, only Ref and Fn::GetAtt are")
        raise ServerlessError(f"{place}: {value!r} is no reference")

    # --- functions

    def _function(self, name: str, given: Any) -> FunctionDefinition:
        place = f"functions.{name}"
        given = _mapping(given, place)
        memory = given.get("memorySize", self.provider.get("memorySize", 1024))
        timeout = given.get("timeout", self.provider.get("timeout", 6))
        definition = FunctionDefinition(
            name=name,
            handler=self._handler(given, place),
            timeout=_whole(timeout, f"{place}.timeout", 1, 900),
            memory_mb=_whole(memory, f"{place}.memorySize", 128, 10240),
            isolated=bool(given.get("vpc")),
            environment=self._environment(self.provider.get("environment"), "provider.environment")
            | self._environment(given.get("environment"), f"{place}.environment"),
        )
        events = given.get("events") or []
        if not isinstance(events, list):
            raise ServerlessError(f"{place}.events is not a list")
        for index, event in enumerate(events):
            self._event(definition, event, f"{place}.events.{index}")
        return definition

    def _handler(self, given: dict[str, Any], place: str) -> str:
        """What is called. An image's command names it as a zip's ``handler`` does, and here both run the same way."""
        if "image" not in given:
            return self._text(given.get("handler"), f"{place}.handler")
        command = _mapping(given["image"], f"{place}.image").get("command")
        if "handler" in given or not isinstance(command, list) or len(command) != 1:
            raise ServerlessError(f"{place}.image.command: one handler is wanted there, and no `handler` beside it")
        return self._text(command[0], f"{place}.image.command.0")

    def _environment(self, given: Any, place: str) -> dict[str, str]:
        environment = {}
        for key, value in _mapping(given or {}, place).items():
            if isinstance(value, dict) and "Fn::Join" in value:
                environment[str(key)] = self._joined(value, f"{place}.{key}")
            elif isinstance(value, dict):
                kind, resource, attribute = self._reference(value, f"{place}.{key}")
                if resource not in self.queue_names or (kind == "Fn::GetAtt" and attribute not in ("Arn", "QueueName")):
                    raise ServerlessError(f"{place}.{key}: {value!r} is not a queue of this service")
                environment[str(key)] = self.queue_names[resource]
            elif isinstance(value, bool):
                environment[str(key)] = str(value).lower()
            elif isinstance(value, str | int | float):
                environment[str(key)] = str(value)
            elif value is not None:
                raise ServerlessError(f"{place}.{key}: {value!r} is neither text nor a number")
        return environment

    def _joined(self, value: dict[str, Any], place: str) -> str:
        """Text that is put together of what only a deployment knows: here with an account that is nobody's."""
        known = {"AWS::Region": self.region, "AWS::AccountId": "000000000000", "AWS::URLSuffix": "localhost"}
        match value:
            case {"Fn::Join": [str(between), list(parts)]} if len(value) == 1:
                said = [self._part(part, known, place) if isinstance(part, dict) else part for part in parts]
                if all(isinstance(part, str) for part in said):
                    return between.join(map(str, said))
        raise ServerlessError(f"{place}: only text, {', '.join(known)} are joined here")

    def _part(self, part: dict[str, Any], known: dict[str, str], place: str) -> str | None:
        return self._joined(part, place) if "Fn::Join" in part else known.get(part.get("Ref", ""))

    def _event(self, definition: FunctionDefinition, event: Any, place: str) -> None:
        if not isinstance(event, dict) or len(event) != 1:
            raise ServerlessError(f"{place} is not one event")
        ((kind, given),) = event.items()
        if kind == "httpApi":
            definition.routes.append(self._route(given, definition.name, place))
        elif kind == "sqs":
            definition.queues.append(self._sqs(given, f"{place}.sqs"))
        elif kind == "schedule":
            if (schedule := self._schedule(given, f"{place}.schedule")) is not None:
                definition.schedules.append(schedule)
        else:
            raise ServerlessError(f"{place}: the local stack has no events of kind {kind!r}")

    def _route(self, given: Any, function: str, place: str) -> Route:
        if isinstance(given, dict):
            _only(given, {"method", "path"}, place)
            given = f"{given.get('method', '*')} {given.get('path', '')}"
        try:
            return Route.parse(self._text(given, place), function)
        except RouteError as error:
            raise ServerlessError(f"{place}: {error}") from error

    def _sqs(self, given: Any, place: str) -> QueueEvent:
        given = given if isinstance(given, dict) and "arn" in given else {"arn": given}
        _only(given, {"arn", "batchSize", "maximumConcurrency", "functionResponseType", "enabled"}, place)
        response = given.get("functionResponseType")
        if response not in (None, "ReportBatchItemFailures"):
            raise ServerlessError(f"{place}.functionResponseType: {response!r} is not ReportBatchItemFailures")
        return QueueEvent(
            queue=self._queue_reference(given["arn"], f"{place}.arn"),
            batch_size=_whole(given.get("batchSize", 10), f"{place}.batchSize", 1, 10_000),
            concurrency=_whole(given.get("maximumConcurrency", 1000), f"{place}.maximumConcurrency", 2, 1000),
            report_failures=response is not None,
        )

    def _schedule(self, given: Any, place: str) -> ScheduleEvent | None:
        if not isinstance(given, dict):
            given = {"rate": given}
        _only(given, {"rate", "enabled", "input", "name", "description"}, place)
        if given.get("enabled") is False:
            return None
        rates = given.get("rate")
        if isinstance(rates, list) and len(rates) == 1:
            rates = rates[0]
        match = _RATE.fullmatch(rates) if isinstance(rates, str) else None
        if match is None or int(match[1]) == 0:
            raise ServerlessError(f"{place}: {rates!r} is not rate(<number> <unit>), all that is understood here")
        wanted = _mapping(given["input"], f"{place}.input") if "input" in given else None
        return ScheduleEvent(int(match[1]) * _UNIT_SECONDS[match[2].removesuffix("s")], wanted)

    def _text(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or not value:
            raise ServerlessError(f"{place}: {value!r} is not text")
        return value


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ServerlessError(f"{place} is not a mapping")
    return value


def _whole(value: Any, place: str, least: int, most: int) -> int:
    if isinstance(value, str) and value.isdecimal():  # from the environment
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ServerlessError(f"{place}: {value!r} is not a whole number from {least} to {most}")
    return value


def _only(given: dict[str, Any], known: set[str], place: str) -> None:
    if unknown := sorted(set(map(str, given)) - known):
        raise ServerlessError(f"{place}: the local stack does not understand {', '.join(unknown)}")

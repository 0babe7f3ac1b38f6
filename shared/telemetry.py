"""What a function says about itself: JSON log lines and metrics, by Powertools, with secrets taken out.

``from shared.telemetry import logger`` is all that a module needs. On Lambda, and under the local stack, importing this
sets the process's logging up: one JSON object a line, keyed with the names of :class:`Attribute`, from every logger,
ours or a library's. Elsewhere (tests, a REPL, the command line) logging is left to whoever runs us.

Every line passes :func:`redact`: values under telling names, texts of telling shape, and all that was given to
:func:`conceal` never reach the log. Metrics are CloudWatch's embedded format, written only where
``MILLRACE_METRICS_NAMESPACE`` is set.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

logger = logging.getLogger("millrace")


class Attribute(StrEnum):
    """Names of what a log line or span is about: OpenTelemetry's semantic conventions, and ours under ``millrace.``."""

    COLD_START = "faas.coldstart"
    FUNCTION = "faas.name"
    INVOCATION = "faas.invocation_id"
    TRIGGER = "faas.trigger"
    METHOD = "http.request.method"
    ROUTE = "http.route"
    STATUS = "http.response.status_code"
    URL_PATH = "url.path"
    CLIENT = "client.address"
    QUEUE = "messaging.destination.name"
    BATCH_SIZE = "messaging.batch.message_count"
    SQLSTATE = "db.response.status_code"
    ERROR_TYPE = "error.type"
    OWNER = "millrace.owner.id"
    WORKFLOW = "millrace.workflow.id"
    RUN = "millrace.run.id"
    NODE = "millrace.node.id"
    NODE_TYPE = "millrace.node.type"
    ITERATION = "millrace.step.iteration"
    ATTEMPT = "millrace.step.attempt"
    JOB = "millrace.job.id"
    JOB_KIND = "millrace.job.kind"
    SUBSCRIPTION = "millrace.subscription.id"
    SCHEDULE = "millrace.schedule.id"


# --- secrets ----------------------------------------------------------------------------------------------------------

REDACTED = "[redacted]"

#: Names whose values are nobody's business, whatever they hold; compared without case, `-` and `_`.
_TELLING_NAME = re.compile(
    r"authorization|cookie|passw(or)?d|passphrase|secret|credential|apikey|privatekey|signingkey|accesskey|"
    r"(^|access|refresh|id|auth|bearer|session|csrf|api)token$|signature|databaseurl|migrationurl|dsn$",
    re.IGNORECASE,
)

#: Texts that are secrets by their shape, and what is left of them.
_TELLING_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bmr_[A-Za-z0-9_-]{12,}"), f"mr_{REDACTED}"),  # our own API tokens
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),  # JWT (RFC 7519)
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),  # RFC 9110, 11.4
    (re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@"), rf"\1:{REDACTED}@"),  # a password in a URL
    (re.compile(r"\b(password|pwd|secret|token|api_?key)=[^\s&;,'\"]+", re.IGNORECASE), rf"\1={REDACTED}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), REDACTED),  # AWS access key id
    (re.compile(r"\b(whsec_|sk[-_]|xox[abpr]-|gh[pousr]_|shpss_|github_pat_)[\w./+=-]{12,}"), rf"\1{REDACTED}"),
)

_CONCEALED_SHORTEST = 6  # shorter ones would blot out innocent text
_CONCEALED_MOST = 1024

_concealed: OrderedDict[str, None] = OrderedDict()
_concealed_lock = threading.Lock()


def conceal(secret: str) -> str:
    """Keep ``secret`` out of every later log line, wherever it turns up. The latest 1,024 are remembered."""
    if len(secret) >= _CONCEALED_SHORTEST:
        with _concealed_lock:
            _concealed[secret] = None
            _concealed.move_to_end(secret)
            while len(_concealed) > _CONCEALED_MOST:
                _concealed.popitem(last=False)
    return secret


def redact(value: Any, depth: int = 12) -> Any:
    """``value`` as plain JSON types with what looks like a secret taken out. Never raises."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _redact_text(value)
    if depth == 0:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {
            _redact_text(str(name)): REDACTED if item and _telling(str(name)) else redact(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item, depth - 1) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    try:
        return _redact_text(str(value))
    except Exception as error:  # a broken __str__ must not silence the line it is in
        return f"[{type(value).__name__} that cannot be shown: {type(error).__name__}]"


@functools.lru_cache(maxsize=1024)
def _telling(name: str) -> bool:
    return _TELLING_NAME.search(name.replace("-", "").replace("_", "")) is not None


def _redact_text(text: str) -> str:
    with _concealed_lock:
        known = [secret for secret in _concealed if secret in text]
    for secret in known:
        text = text.replace(secret, REDACTED)
    for pattern, replacement in _TELLING_TEXT:
        text = pattern.sub(replacement, text)
    return text


# --- logs -------------------------------------------------------------------------------------------------------------


def _serialize(record: Any) -> str:
    return json.dumps(redact(record), separators=(",", ":"), ensure_ascii=False)


@functools.cache
def formatter() -> LambdaPowertoolsFormatter:
    """Powertools' formatter behind :func:`redact`; time in UTC, as in RFC 3339."""
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

    made = LambdaPowertoolsFormatter(
        json_serializer=_serialize,
        json_deserializer=_as_it_is,
        utc=True,
        use_rfc3339=True,
        serialize_stacktrace=False,  # the exception's text holds it already
        log_record_order=["timestamp", "level", "message", "location"],
    )
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if function:
        made.append_keys(**{Attribute.FUNCTION: function})
    return made


def _as_it_is(message: Any) -> Any:
    """A message stays text, also one that happens to be JSON: someone else's words must not pose as our fields."""
    return message


def set_up(level: str | None = None, stream: IO[str] | None = None) -> None:
    """Send every logger's lines, as JSON, to ``stream`` (default: stdout). Done on import where a function runs."""
    from shared.settings import TelemetrySettings

    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    for other in root.handlers[:]:  # the runtime's own, which would say everything twice, and unredacted
        root.removeHandler(other)
    root.addHandler(handler)
    # Libraries speak up from WARNING on: at INFO, httpx logs whole URLs, and at DEBUG others log whatever they hold.
    root.setLevel(logging.WARNING)
    for ours in ("millrace", "shared", "functions", "infra"):
        logging.getLogger(ours).setLevel(level or TelemetrySettings.load().log_level)


@contextmanager
def about(attributes: Mapping[str, Any]) -> Iterator[None]:
    """Every line logged inside, by any thread of the process, also says these :class:`Attribute` values."""
    keys = {str(name): value for name, value in attributes.items()}
    formatter().append_keys(**keys)
    try:
        yield
    finally:
        formatter().remove_keys(keys)


# --- metrics ----------------------------------------------------------------------------------------------------------


@functools.cache
def _metrics() -> AmazonCloudWatchEMFProvider | None:
    from shared.settings import TelemetrySettings

    namespace = TelemetrySettings.load().metrics_namespace
    if not namespace:
        return None
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

    return AmazonCloudWatchEMFProvider(
        namespace=namespace,
        service=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "millrace"),
        metric_set={},
        dimension_set={},
        metadata_set={},
        default_dimensions={},
    )


_metrics_lock = threading.Lock()


def count(name: str, value: float = 1) -> None:
    """Add to a counter of this invocation, such as ``RunsCompleted``."""
    _measure(name, "Count", value)


def duration(name: str, milliseconds: float) -> None:
    """Add one measurement of time to this invocation's."""
    _measure(name, "Milliseconds", milliseconds)


def _measure(name: str, unit: str, value: float) -> None:
    metrics = _metrics()
    if metrics is not None:
        with _metrics_lock:
            metrics.add_metric(name=name, unit=unit, value=value)


def flush() -> None:
    """Write this invocation's metrics as one line, if there are any."""
    metrics = _metrics()
    if metrics is not None and metrics.metric_set:
        with _metrics_lock:
            metrics.flush_metrics()


# --- an invocation ----------------------------------------------------------------------------------------------------

Result = TypeVar("Result")


class InvocationFailedError(Exception):
    """Stands for an error whose text holds a secret; the log line before it has the traceback."""


_warm = False


def observed(handler: Callable[[Any, Any], Result]) -> Callable[[Any, Any], Result]:
    """Around a face's handler: lines name the invocation, a crash is logged, metrics are written at the end."""

    @functools.wraps(handler)
    def observing(event: Any, context: Any) -> Result:
        global _warm
        attributes: dict[str, Any] = {
            Attribute.INVOCATION: getattr(context, "aws_request_id", None),
            Attribute.COLD_START: not _warm,
        }
        _warm = True
        with about(attributes):
            try:
                return handler(event, context)
            except Exception as error:
                kind = type(error).__qualname__
                logger.exception("the invocation failed", extra={Attribute.ERROR_TYPE: kind})
                said = str(error)
                if redact(said) == said:
                    raise
                # The runtime prints what it is given, unredacted: give it no more than it may say.
                raise InvocationFailedError(f"{kind}: {redact(said)}") from None
            finally:
                flush()

    return observing


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    set_up()
    if (
        os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
    ):  # every face imports this module, so all prepare
        from shared import snapshot

        snapshot.prepare()

"""The intake of webhooks: judge a delivery by its subscription, start its run, answer its sender.

An accepted delivery is one round trip to the database; its subscription is read every few seconds. The judging comes
before and touches nothing: method, required headers, signature over the raw bytes, body, filters. What is refused is
written in the delivery ledger with its reason; the sender hears the same reason in a problem document.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from functions.webhook_intake import answer, conditions, payload
from functions.webhook_intake.answer import Answer
from functions.webhook_intake.delivery import Delivery, deliver
from functions.webhook_intake.payload import Keeper, Payload
from functions.webhook_intake.refusals import Refusals
from functions.webhook_intake.request import Request
from functions.webhook_intake.subscription import Opener, Subscription, Subscriptions
from functions.webhook_intake.waiting import wait_for
from shared import statements, telemetry
from shared.database import Database
from shared.doorbell import RUNS, Doorbell
from shared.errors import (
    BadRequest,
    Conflict,
    Invalid,
    MillraceError,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from shared.ids import uuid7
from shared.signatures import SignatureError, verify
from shared.telemetry import logger

#: Judged by a copy of the subscription no older than this, a delivery is refused without another look.
FRESH_SECONDS = 1.0
#: A subscription that changes while its deliveries are judged is looked up again this many times.
LOOKS = 4


class RefusedError(Exception):
    """The delivery starts nothing: the ledger's verdict and reason, and what the sender is told."""

    def __init__(self, verdict: str, reason: str, told: MillraceError | Answer) -> None:
        self.verdict = verdict
        self.reason = reason
        self.told = told
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one installation takes; see ``IntakeSettings`` and ``LimitSettings``."""

    body_bytes: int = 1024 * 1024
    cache_seconds: float = 5.0
    refusals_per_minute: int = 60
    waiters: int = 10


class Intake:
    """Everything one process needs to take webhooks in."""

    def __init__(
        self,
        database: Database,
        bell: Doorbell,
        open_secret: Opener,
        keep: Callable[[Subscription], Keeper],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._bell = bell
        self._keep = keep
        self._limits = limits
        self._clock = clock
        self.subscriptions = Subscriptions(database, open_secret, seconds=limits.cache_seconds)
        self._refusals = Refusals(database, limits.refusals_per_minute, clock)
        self._statements = statements.load("webhook_intake")

    def receive(self, request: Request, seconds: float = 30.0) -> Answer:
        """The answer to one request, within ``seconds``. Raises :class:`MillraceError` for what starts nothing."""
        started = time.monotonic()
        subscription = self._find(request)
        for _ in range(LOOKS):
            try:
                delivery, wait = self._judge(request, subscription)
            except RefusedError as refused:
                again = self._find(request, FRESH_SECONDS)
                if again is not subscription and again != subscription:
                    subscription = again
                    continue
                return self._refuse(request, again, refused)
            id_ = uuid7()
            row = self._accept(id_, request, subscription, delivery, wait)
            if row["outcome"] == "stale":
                subscription = self._find(request, 0.0)
                continue
            return self._tell(subscription, id_, row, min(wait, seconds - (time.monotonic() - started)))
        raise Unavailable("The subscription changes too often to judge a delivery by it.", retry_after=1)

    # Judging ----------------------------------------------------------------------------------------------------------

    def _find(self, request: Request, max_age: float | None = None) -> Subscription:
        subscription = self.subscriptions.find(request.path, max_age)
        if subscription is None:
            telemetry.count("DeliveriesUnknown")
            self._refusals.unknown()
            raise NotFound("There is no webhook at this path.", remedy="Look up the path of the subscription.")
        return subscription

    def _judge(self, request: Request, subscription: Subscription) -> tuple[Delivery, float]:
        """The delivery if it is good, and for how many seconds its sender would wait. Raises :class:`RefusedError`."""
        if subscription.disabled:
            raise RefusedError(
                "disabled",
                subscription.disabled,
                Conflict(f"This webhook takes no deliveries: {subscription.disabled}.", remedy="Enable it to go on."),
            )
        allowed = conditions.methods(subscription.method)
        if request.method not in allowed:
            raise RefusedError("refused", f"method {request.method[:20]}", answer.wrong_method(request.method, allowed))
        if len(request.body) > self._limits.body_bytes:
            raise RefusedError(
                "refused",
                f"body over {self._limits.body_bytes} bytes",
                TooLarge(
                    f"The body is larger than {self._limits.body_bytes} bytes.",
                    remedy="Store large values as an object first (POST /api/v1/storage/upload) and send its address.",
                ),
            )
        missing = conditions.header_fault(subscription.required_headers, request.headers)
        if missing is not None:
            raise RefusedError(
                "refused",
                f"required header {missing}",
                Unauthenticated(f"The header {missing} is missing or not as this webhook requires."),
            )
        now = self._clock()
        self._check_signature(request, subscription, now)
        try:
            wait = request.wait_seconds
            body = payload.read(request.body, request.content_type, subscription.scheme, self._keep(subscription))
            delivery = deliver(request, subscription, body, now)
        except (BadRequest, Invalid, TooLarge) as error:
            raise RefusedError("refused", error.detail, error) from error
        challenge = _challenge(subscription, body)
        if challenge is not None:
            raise RefusedError("filtered", "handshake: url_verification", answer.plain(challenge))
        self._filter(subscription, delivery)
        return delivery, wait

    def _check_signature(self, request: Request, subscription: Subscription, now: float) -> None:
        if subscription.scheme == "none":
            return
        if subscription.secret is None:
            reason = subscription.secret_fault or "the subscription has no secret"
            raise RefusedError("failed", reason, Unavailable("The signature cannot be checked now.", retry_after=60))
        try:
            verify(
                subscription.scheme,
                subscription.secret,
                request.headers,
                request.body,
                now,
                request.url,
                tolerance=subscription.tolerance_seconds,
            )
        except SignatureError as error:
            raise RefusedError("refused", error.detail, error) from error

    def _filter(self, subscription: Subscription, delivery: Delivery) -> None:
        if not subscription.filters and subscription.filter_expression is None:
            return
        trigger = {**delivery.marks, "payload": delivery.payload.value}
        fault = conditions.filter_fault(subscription.filters, subscription.filter_expression, trigger)
        if fault is not None:
            raise RefusedError("filtered", fault, answer.filtered())

    # Deciding ---------------------------------------------------------------------------------------------------------

    def _accept(
        self, id_: UUID, request: Request, subscription: Subscription, delivery: Delivery, wait: float
    ) -> dict[str, Any]:
        """The database's decision. Raises :class:`MillraceError` for what it will not or cannot take now."""
        limited = self._refusals.limited(subscription.id)
        if limited:
            self._record(id_, request, subscription, "refused", "over its rate", delivery.delivery_id)
            return {"outcome": "limited", "retry_after": limited}
        parameters = {
            "id": id_,
            "subscription": subscription.id,
            "revision": subscription.revision,
            "delivery_id": delivery.delivery_id,
            "trigger": delivery.trigger(self._keep(subscription)),
            "wait": wait,
            "waiters": self._limits.waiters,
            "bound": self._limits.refusals_per_minute,
            **_about(request),
        }
        try:
            try:
                rows = self._database.call(self._statements["accept"], parameters)
            except psycopg.errors.UniqueViolation:
                # The call was sent again because its reply was lost; the first one was carried out.
                rows = self._database.call(self._statements["recall"], {"id": id_})
        except (Conflict, NotFound) as error:
            self._record(id_, request, subscription, "failed", error.detail, delivery.delivery_id)
            raise
        except psycopg.DataError as error:
            invalid = Invalid("The body holds a value that cannot be stored, such as a number of too many digits.")
            self._record(id_, request, subscription, "refused", invalid.detail, delivery.delivery_id)
            raise invalid from error
        return rows[0]

    def _tell(self, subscription: Subscription, id_: UUID, row: dict[str, Any], wait: float) -> Answer:
        outcome = row["outcome"]
        if outcome == "limited":
            self._refusals.limit(subscription.id, row["retry_after"])
            raise TooMany("This webhook takes no more deliveries in this minute.", retry_after=row["retry_after"])
        if outcome == "disabled":
            raise Conflict("This webhook takes no deliveries: it was disabled.", remedy="Enable it to go on.")
        run: UUID | None = row["execution_id"]
        if run is None:
            raise Unavailable("The first delivery with this id is still being taken in.", retry_after=1)
        if outcome == "accepted":
            self._ring(run)
        note = None
        if wait > 0:
            if row["may_wait"]:
                ended = self._wait(run, id_, wait)
                if ended is not None:
                    return answer.finished(run, ended)
                note = f"The run had no answer after {wait:g} seconds; read it at its location."
            else:
                note = "Too many callers wait at this webhook; read the run at its location."
        return answer.accepted(run, duplicate=outcome == "duplicate", scheme=subscription.scheme, note=note)

    def _ring(self, run: UUID) -> None:
        telemetry.count("DeliveriesAccepted")
        try:
            self._bell.ring(RUNS, [str(run)])
        except Exception:  # the run is kept, and that is what the sender must hear: the tick rings again
            logger.exception("the bell of run %s could not be rung", run)

    def _wait(self, run: UUID, id_: UUID, seconds: float) -> dict[str, Any] | None:
        try:
            return wait_for(self._database, run, id_, seconds)
        except Unavailable:
            logger.warning("the database went away while a caller waited for run %s", run)
            return None  # the delivery was accepted, and that is what the caller must hear

    # Refusing ---------------------------------------------------------------------------------------------------------

    def _refuse(self, request: Request, subscription: Subscription, refused: RefusedError) -> Answer:
        recorded = self._record(uuid7(), request, subscription, refused.verdict, refused.reason)
        if not recorded:
            raise TooMany(
                "Too many deliveries to this webhook were refused in this minute.",
                retry_after=self._refusals.seconds_left(),
            )
        if isinstance(refused.told, Answer):
            return refused.told
        raise refused.told

    def _record(
        self,
        id_: UUID,
        request: Request,
        subscription: Subscription,
        verdict: str,
        reason: str,
        delivery_id: str | None = None,
    ) -> bool:
        telemetry.count(f"Deliveries{verdict.capitalize()}")
        row = {"reason": reason[:1000], "delivery_id": delivery_id, **_about(request)}
        return self._refusals.record(id_, subscription.id, verdict, row)


def _about(request: Request) -> dict[str, Any]:
    return {
        "bytes": len(request.body),
        "source_ip": request.source_ip,
        "content_type": request.content_type[:255].replace("\x00", "") or None,
    }


def _challenge(subscription: Subscription, body: Payload) -> str | None:
    """What Slack asks of a new address; https://docs.slack.dev/reference/events/url_verification."""
    value = body.value
    if subscription.scheme != "slack" or not isinstance(value, dict) or value.get("type") != "url_verification":
        return None
    challenge = value.get("challenge")
    return challenge if isinstance(challenge, str) else None

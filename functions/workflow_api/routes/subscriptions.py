"""Routes of webhook subscriptions."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from functions.workflow_api import subscriptions
from functions.workflow_api.routes import PageCursor, PageLimit, Reader, Writer
from functions.workflow_api.settings import base_url, seal_for
from shared.models.api import Page
from shared.models.webhook import (
    DeliveryOutput,
    RotateInput,
    SubscriptionInput,
    SubscriptionMade,
    SubscriptionOutput,
    SubscriptionPatch,
)
from shared.web import StrictRoute, problems

router = APIRouter(prefix="/webhooks/subscriptions", route_class=StrictRoute, tags=["webhooks"])


@router.get("", summary="List webhook subscriptions")
def list_subscriptions(
    caller: Reader,
    request: Request,
    workflow_id: Annotated[UUID | None, Query()] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[SubscriptionOutput]:
    """The caller's subscriptions, newest first."""
    return subscriptions.list_subscriptions(caller, base_url(request), workflow_id, cursor, limit)


@router.post("", status_code=201, summary="Create a webhook subscription", responses=problems(404))
def create_subscription(
    caller: Writer, request: Request, new: SubscriptionInput, response: Response
) -> SubscriptionMade:
    """A new address that starts the workflow. A secret that was made here is in this answer and nowhere else."""
    made = subscriptions.create_subscription(caller, seal_for(caller), base_url(request), new)
    response.headers["location"] = f"/api/v1/workflows/webhooks/subscriptions/{made.id}"
    return made


@router.get("/{subscription_id}", summary="Read a webhook subscription", responses=problems(404))
def read_subscription(caller: Reader, request: Request, subscription_id: UUID) -> SubscriptionOutput:
    """One subscription, without its secret."""
    return subscriptions.read_subscription(caller, base_url(request), subscription_id)


@router.patch("/{subscription_id}", summary="Change a webhook subscription", responses=problems(404, 409))
def update_subscription(
    caller: Writer, request: Request, subscription_id: UUID, patch: SubscriptionPatch
) -> SubscriptionOutput:
    """Only the fields that are sent change."""
    return subscriptions.update_subscription(caller, base_url(request), subscription_id, patch)


@router.delete("/{subscription_id}", status_code=204, summary="Delete a webhook subscription", responses=problems(404))
def delete_subscription(caller: Writer, subscription_id: UUID) -> None:
    """The address is gone, with its secret and its ledger."""
    subscriptions.delete_subscription(caller, subscription_id)


@router.post("/{subscription_id}/rotate", summary="Rotate a webhook secret", responses=problems(404))
def rotate_secret(
    caller: Writer, request: Request, subscription_id: UUID, new: RotateInput | None = None
) -> SubscriptionMade:
    """Another signing secret, from now on; the old one is forgotten. One made here is in this answer only."""
    return subscriptions.rotate_secret(
        caller, seal_for(caller), base_url(request), subscription_id, new or RotateInput()
    )


@router.get("/{subscription_id}/deliveries", summary="List webhook deliveries", responses=problems(404))
def list_deliveries(
    caller: Reader,
    subscription_id: UUID,
    verdict: Annotated[
        Literal["accepted", "duplicate", "filtered", "refused", "disabled", "failed"] | None, Query()
    ] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[DeliveryOutput]:
    """What became of each delivery, newest first; of refused ones a bounded number each minute."""
    return subscriptions.list_deliveries(caller, subscription_id, verdict, cursor, limit)

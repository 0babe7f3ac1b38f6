"""The HTTP face of health: one route that anyone may ask and that costs nothing, and one that looks closely."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response

from functions.health import health
from functions.health.health import HealthSettings
from shared.models.health import Condition, HealthOutput, LivenessOutput
from shared.scopes import Scope
from shared.tenant import Tenant
from shared.web import StrictRoute, allow, asgi_handler, create_app

router = APIRouter(route_class=StrictRoute, tags=["health"])

Reader = Annotated[Tenant, allow(Scope.HEALTH_READ)]


@router.get("", summary="Whether anything answers")
def live() -> LivenessOutput:
    """Needs no token and looks at nothing: for a load balancer, or for a look whether the address is right."""
    return LivenessOutput(status=Condition.OK)


@router.get(
    "/parts",
    summary="How the parts are",
    responses={503: {"description": "A part is failing; the body says which.", "model": HealthOutput}},
)
def parts(caller: Reader, response: Response) -> HealthOutput:
    """Looks at the database, the bells, the storage, the tick and at what is due.

    Answers 200 when all is well and 503 when a part is failing, with the same body.
    """
    found = health.examine(caller, HealthSettings.load())
    if found.status is not Condition.OK:
        response.status_code = 503
    return found


app = create_app("Health", "/health", router, description="Whether this installation works, for monitors.")
handler = asgi_handler(app)

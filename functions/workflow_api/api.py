"""The HTTP face of workflows: defining them, what starts them, and their runs."""

from __future__ import annotations

from functions.workflow_api.routes import executions, schedules, storage_triggers, subscriptions, workflows
from shared.web import asgi_handler, create_app

# Fixed words come before /{workflow_id}: the first route that matches wins.
app = create_app(
    "Workflows",
    "/api/v1/workflows",
    subscriptions.router,
    schedules.router,
    storage_triggers.router,
    executions.router,
    workflows.router,
    description="Workflows, their versions, what starts them, and their runs.",
)
handler = asgi_handler(app)

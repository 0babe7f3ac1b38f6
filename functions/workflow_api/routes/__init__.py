"""The routes of the workflow API by what they are about: typed input, one call, typed output."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query

from shared.models.api import Cursor, Limit
from shared.scopes import Scope
from shared.tenant import Tenant
from shared.web import allow

Reader = Annotated[Tenant, allow(Scope.WORKFLOWS_READ)]
Writer = Annotated[Tenant, allow(Scope.WORKFLOWS_WRITE)]
RunReader = Annotated[Tenant, allow(Scope.RUNS_READ)]
RunWriter = Annotated[Tenant, allow(Scope.RUNS_WRITE)]

PageCursor = Annotated[Cursor | None, Query()]
PageLimit = Annotated[Limit, Query()]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for this request: asked again within a day, it is answered as the first time.",
    ),
]

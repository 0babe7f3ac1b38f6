"""The HTTP face of accounts: the caller's own account, and the platform tokens that act for it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from functions.account import account, tokens
from shared.errors import Forbidden
from shared.models.account import AccountOutput, AccountPatch, TokenInput, TokenMade, TokenOutput
from shared.models.api import Cursor, Limit, Page
from shared.scopes import Scope
from shared.tenant import Tenant, gate
from shared.web import StrictRoute, allow, asgi_handler, create_app, problems

router = APIRouter(route_class=StrictRoute)


@router.get("/me", summary="Read the account", tags=["account"])
def read_account(caller: Annotated[Tenant, allow(Scope.ACCOUNT_READ)]) -> AccountOutput:
    """The caller's account. Signing in for the first time makes it."""
    return account.read_account(caller)


@router.patch("/me", summary="Change the account", tags=["account"])
def update_account(caller: Annotated[Tenant, allow(Scope.ACCOUNT_WRITE)], patch: AccountPatch) -> AccountOutput:
    """Only the fields that are sent change."""
    return account.update_account(caller, patch)


@router.delete("/me", status_code=204, summary="Delete the account", tags=["account"])
def delete_account(caller: Annotated[Tenant, allow(Scope.ACCOUNT_WRITE)]) -> None:
    """The account goes at once, with its workflows, runs, tokens and secrets. Only a signed-in person may do this."""
    if not caller.person:
        raise Forbidden("A platform token cannot delete the account.", remedy="Sign in as a person.")
    account.delete_account(caller)
    gate().forget(caller.user_id)


@router.get("/me/tokens", summary="List platform tokens", tags=["tokens"])
def list_tokens(
    caller: Annotated[Tenant, allow(Scope.TOKENS_READ)],
    cursor: Annotated[Cursor | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Page[TokenOutput]:
    """The caller's tokens, newest first, with when each was last used."""
    return tokens.list_tokens(caller, cursor, limit)


@router.post("/me/tokens", status_code=201, summary="Make a platform token", tags=["tokens"], responses=problems(409))
def create_token(caller: Annotated[Tenant, allow(Scope.TOKENS_WRITE)], new: TokenInput) -> TokenMade:
    """The token is in this answer and nowhere else. A token makes tokens of its own scopes only."""
    return tokens.create_token(caller, caller.scopes, new)


@router.delete(
    "/me/tokens/{token_id}",
    status_code=204,
    summary="Revoke a platform token",
    tags=["tokens"],
    responses=problems(404),
)
def revoke_token(caller: Annotated[Tenant, allow(Scope.TOKENS_WRITE)], token_id: UUID) -> None:
    """It stops working within seconds, and stays in the list."""
    tokens.revoke_token(caller, token_id)
    gate().forget(caller.user_id)


app = create_app("Account", "/api/v1/users", router, description="The caller's account and platform tokens.")
handler = asgi_handler(app)

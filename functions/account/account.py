"""The caller's account."""

from __future__ import annotations

from shared import statements
from shared.errors import Unauthenticated
from shared.models.account import AccountOutput, AccountPatch
from shared.tenant import Caller

SQL = statements.load("account")


def read_account(caller: Caller) -> AccountOutput:
    """The caller's account."""
    rows = caller.call(SQL["read_account"])
    if not rows:  # deleted or deactivated since the token was last looked at
        raise Unauthenticated("These credentials belong to no active account.", remedy="Sign in again.")
    return AccountOutput(**rows[0])


def update_account(caller: Caller, patch: AccountPatch) -> AccountOutput:
    """The account with its changes."""
    [row] = caller.call(SQL["update_account"], {"changes": patch.changes()})
    return AccountOutput(**row)


def delete_account(caller: Caller) -> None:
    """The account is gone, and with it every workflow, run, token and secret of it. Stored objects are not touched."""
    caller.call(SQL["delete_account"])

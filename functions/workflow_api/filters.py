"""What the filters of subscriptions and storage triggers may say."""

from __future__ import annotations

from shared.errors import Invalid


def check_filter(expression: str | None) -> None:
    """Raise :class:`Invalid` for a filter_expression that is no expression over ``trigger``."""
    if expression is None:
        return
    from shared.expressions import ExpressionError, check

    try:
        check(expression, ("trigger",))
    except ExpressionError as error:
        raise Invalid(
            "The filter is not an expression.", errors=[{"path": "filter_expression", "message": error.detail}]
        ) from None

"""The node types. Importing this package registers them; a new one is a module here and a line below."""

from shared.workflow.nodes import (
    code,
    condition,
    delay,
    fail,
    filter,  # noqa: A004
    get_variable,
    http_request,
    map,  # noqa: A004
    merge,
    ocr_switch,
    reduce,
    respond,
    set_variable,
    split,
    switch,
    trigger,
)

__all__ = [
    "code",
    "condition",
    "delay",
    "fail",
    "filter",
    "get_variable",
    "http_request",
    "map",
    "merge",
    "ocr_switch",
    "reduce",
    "respond",
    "set_variable",
    "split",
    "switch",
    "trigger",
]

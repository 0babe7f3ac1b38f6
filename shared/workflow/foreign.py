"""What saved workflows of the old system hold that this one does not run, each with the reason or the remedy.

Nothing here is evaluated. The old system ran conditions through ``eval`` as Python or as guessed-at JavaScript; only
CEL is evaluated now, so such text is recognised to say how to write it, and refused.
"""

from __future__ import annotations

import re

#: Node types of the old system that nothing implements yet: the capability each needs, and what it would do.
NOT_DEPLOYED: dict[str, tuple[str, str]] = {
    "connector": ("connectors", "calls a connected service"),
    "agent": ("agents", "runs an agent"),
    "ai_prompt": ("agents", "asks a language model"),
    "ai-prompt": ("agents", "asks a language model"),
    "rag_switch": ("rag_query", "retrieves from an index"),
    "scraping": ("scrape", "fetches and extracts pages"),
    "browser": ("browser", "drives a browser"),
    "social_monitoring": ("osint", "watches public sources"),
    "osint": ("osint", "watches public sources"),
    "storage": ("storage", "moves files to and from the buckets"),
    "notification": ("connectors", "sends a message through a connected service"),
    "human_approval": ("approvals", "waits for a person's answer"),
    "sub_workflow": ("sub_workflows", "runs another workflow"),
    "sub-workflow": ("sub_workflows", "runs another workflow"),
    **dict.fromkeys(("loop", "for", "while", "repeat", "break", "continue"), ("loops", "repeats part of a graph")),
    **dict.fromkeys(("try", "catch", "finally"), ("exceptions", "handles errors of a part of a graph")),
}

#: What stands in for some of them today.
INSTEAD: dict[str, str] = {
    "human_approval": "a delay node with `signal` waits for an answer sent to the run",
    "notification": "an http_request node can post to the service's own webhook",
    **dict.fromkeys(("loop", "for", "while", "repeat"), "map, filter and reduce nodes work through lists"),
    **dict.fromkeys(("try", "catch", "finally"), 'an edge with branch "error" is followed when its node fails'),
}

_SIGNS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"=>|\bfunction\b|\breturn\b|\blambda\b"), "write only the result, over the names: `item.price * 2`"),
    (re.compile(r"===|!=="), "write `==` and `!=`"),
    (re.compile(r"^\s*\$[.\[]"), "write a JSONPath such as `$.body.id` as `trigger.body.id`"),
    (re.compile(r"\b(and|or|not)\b"), "write `&&`, `||` and `!`"),
    (re.compile(r"\b(True|False|None|undefined)\b"), "write `true`, `false` and `null`"),
    (re.compile(r"\.(length|get\(|len\()|\blen\("), "write `size(list)`, and `has(object.key)` to ask for a key"),
    (re.compile(r"\b(data|input|execution_data|context)\b\s*[.\[]"), "write `trigger.x` or `nodes.<node id>.x`"),
]
_STRINGS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


def remedy(source: str) -> str | None:
    """How to write ``source`` in CEL, when it looks like JavaScript, Python or JSONPath; else None."""
    bare = _STRINGS.sub("''", source)
    return next((advice for sign, advice in _SIGNS if sign.search(bare)), None)


def not_deployed(node_type: str) -> str | None:
    """Why a node of this type cannot be used yet, when the old system knew it; else None."""
    known = NOT_DEPLOYED.get(node_type)
    if known is None:
        return None
    capability, purpose = known
    reason = f"node type {node_type!r} {purpose}; it needs the capability {capability!r}, which is not deployed"
    return f"{reason}; {INSTEAD[node_type]}" if node_type in INSTEAD else reason

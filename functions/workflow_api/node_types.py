"""The node types that a graph may use."""

from __future__ import annotations

from shared.models.workflow import NodeTypeOutput


def list_node_types(deployed: frozenset[str]) -> list[NodeTypeOutput]:
    """Every registered node type by name, with the JSON Schema of its config."""
    import shared.workflow.nodes  # noqa: F401  (registers them)
    from shared.workflow.node import REGISTRY

    return [
        NodeTypeOutput(
            name=kind.name,
            aliases=list(kind.aliases),
            summary=kind.summary,
            capability=kind.capability,
            deployed=kind.capability is None or kind.capability in deployed,
            config=kind.config.model_json_schema(by_alias=False),
        )
        for name, kind in sorted(REGISTRY.items())
        if name == kind.name
    ]

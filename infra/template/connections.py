"""Do all instances that may run at once find a place at the database's pooler?

Each instance of a function holds one connection, to the pooler, for as long as Lambda keeps it. A client above the
pooler's limit is refused, and a refused worker makes its messages come again until they are dead letters; so the sum
is checked before it is deployed. Queues bound their workers by ``maximumConcurrency``, a schedule's function runs once
and, after a failure, once more beside the next; HTTP functions are bounded by a reserved concurrency or share what the
stage gives them, which nothing but the API's throttle keeps them to.

Sources: AWS Lambda Developer Guide, "Configuring scaling behavior for SQS event source mappings"; Supabase
documentation, "Connection pooling and limits".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from infra.template.compiler import Template
from infra.template.stage import Stage

#: Of a function that a schedule calls: this time's, and a repetition of the one before.
_SCHEDULED = 2


@dataclass(frozen=True)
class Connections:
    """How many clients each function may become, and what is wrong with that."""

    limit: int
    clients: dict[str, int]  #: by function's key; "(HTTP)" for those that share
    complaints: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        return sum(self.clients.values())


def count(template: Template, stage: Stage) -> Connections:
    """The sum for a compiled template."""
    functions = template.resources("AWS::Lambda::Function")
    names = {logical: _key(found, template) for logical, found in functions.items()}
    complaints: list[str] = []
    workers: dict[str, int] = defaultdict(int)
    for mapping in template.resources("AWS::Lambda::EventSourceMapping").values():
        name = names[_target(mapping["Properties"]["FunctionName"], names)]
        most = mapping["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency")
        if most is None:
            complaints.append(f"{name}: its queue has no maximumConcurrency, so nothing bounds its connections.")
        workers[name] += most or 0
    for rule in template.resources("AWS::Events::Rule").values():
        for target in rule["Properties"]["Targets"]:
            workers[names[_target(target["Arn"], names)]] += _SCHEDULED
    shared = False
    clients: dict[str, int] = {}
    for logical, found in functions.items():
        name = names[logical]
        if "VpcConfig" in found["Properties"]:
            continue  # the sandbox reaches no database
        reserved = found["Properties"].get("ReservedConcurrentExecutions")
        if name in workers:
            clients[name] = workers[name] if reserved is None else min(reserved, workers[name])
            if reserved is not None and reserved < workers[name]:
                complaints.append(
                    f"{name}: up to {workers[name]} are started but {reserved} are reserved; what is held back comes "
                    "again until it is a dead letter. Lower its concurrency or reserve more."
                )
        elif reserved is not None:
            clients[name] = reserved
        else:
            shared = True
    if shared:
        clients["(HTTP)"] = stage.http_clients
    total = sum(clients.values())
    if total > stage.pooler_clients:
        whose = ", ".join(f"{name} {most}" for name, most in clients.items())
        complaints.append(
            f"{total} connections may be wanted at once ({whose}) "
            f"but the pooler takes {stage.pooler_clients}. Lower run_concurrency, storage_concurrency or http_clients, "
            "or choose a larger compute size and say so in pooler_clients (infra/stages.yml)."
        )
    return Connections(stage.pooler_clients, clients, tuple(complaints))


def _key(function: dict[str, Any], template: Template) -> str:
    """A function's key in ``serverless.yml``."""
    return str(function["Properties"]["FunctionName"]).partition(f"-{template.stage}-")[2]


def _target(value: Any, names: dict[str, str]) -> str:
    """The logical id of the function that a target is, or whose alias it is."""
    if isinstance(value, str):
        return value if value in names else ""
    for part in value.values() if isinstance(value, dict) else value:
        if found := _target(part, names):
            return found
    return ""

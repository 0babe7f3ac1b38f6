"""Several ways on."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.workflow.node import Json, NodeConfig, Output, StepContext, node
from shared.workflow.nodes.condition import only_cel
from shared.workflow.nodes.operands import MaybeExpression, declared, evaluate, old, truth


class Case(BaseModel):
    """One way: taken when the switch's value is ``value``, or when ``when`` is true."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    value: Any = Field(default=None, description="what the switch's expression must give")
    when: MaybeExpression = Field(default=None, description="or a condition of its own")
    branch: str = Field(
        default="",
        max_length=255,
        validation_alias=old("branch", "label", "name"),
        description="the value if not given",
    )

    @model_validator(mode="after")
    def _named(self) -> Case:
        if ("value" in self.model_fields_set) == (self.when is not None):
            raise ValueError("a case has either `value` or `when`")
        if not self.branch:
            if self.when is not None or isinstance(self.value, list | dict):
                raise ValueError("needs a `branch`")
            self.branch = _text(self.value)
        return self


class SwitchConfig(NodeConfig):
    """A value, and where each of its cases leads."""

    expression: MaybeExpression = Field(
        default=None,
        validation_alias=old("expression", "switch_expression", "condition", "condition_expression"),
        description="the value that is compared with the cases'",
    )
    cases: list[Case] = Field(
        default=[{"value": True}, {"value": False}],  # validated like written ones
        validate_default=True,
        min_length=1,
        max_length=100,
        description="tried in order; without them the expression must be true or false",
    )
    default: str = Field(default="default", min_length=1, max_length=255, description="branch when no case matches")
    language: str = Field(
        default="cel", validation_alias=old("language", "condition_type"), description="only `cel` is evaluated"
    )

    _only_cel = field_validator("language")(only_cel)

    @field_validator("cases", mode="before")
    @classmethod
    def _written_shortly(cls, cases: Any) -> Any:
        """``["a", "b"]`` and ``{"a": "branch"}`` are cases as well."""
        if isinstance(cases, dict):
            return [{"value": value, "branch": branch} for value, branch in cases.items()]
        if isinstance(cases, list):
            return [case if isinstance(case, dict) else {"value": case} for case in cases]
        return cases

    @model_validator(mode="after")
    def _comparable(self) -> SwitchConfig:
        if self.expression is None and any(case.when is None for case in self.cases):
            raise ValueError("`expression` is required where a case has a `value`")
        return self


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _same(case: Json, value: Json) -> bool:
    """JSON equality, in which true is not 1; a case written as text also matches the number or truth it spells."""
    if isinstance(case, bool) or isinstance(value, bool):
        return case is value or (isinstance(case, str) and case == _text(value))
    if isinstance(case, str) and isinstance(value, int | float):
        return case == _text(value)
    return bool(case == value)


def _branches(config: SwitchConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(case.branch for case in config.cases), config.default)))


def _expressions(config: SwitchConfig) -> dict[str, str]:
    found = declared(config)
    found.update((f"cases.{index}.when", case.when) for index, case in enumerate(config.cases) if case.when is not None)
    return found


@node("switch", config=SwitchConfig, branches=_branches, expressions=_expressions)
def switch(config: SwitchConfig, context: StepContext) -> Output:
    """Follow the branch of the first case that matches, or the default one."""
    value = None if config.expression is None else evaluate(context, config.expression, "expression")
    branch = config.default
    for index, case in enumerate(config.cases):
        if truth(context, case.when, f"cases.{index}.when") if case.when is not None else _same(case.value, value):
            branch = case.branch
            break
    return Output({"value": value, "branch": branch}, branch=branch)

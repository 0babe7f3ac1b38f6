"""Settings are read once, reported at once, documented and bounded, and never show a secret."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic.fields import FieldInfo

from shared import settings
from shared.settings import DatabaseSettings, DoorbellSettings, IdentitySettings, LimitSettings, Settings, SettingsError


class FaceSettings(DatabaseSettings, IdentitySettings, LimitSettings):
    needed: int


def mixins() -> list[type[Settings]]:
    return [model for model in vars(settings).values() if isinstance(model, type) and issubclass(model, Settings)]


def fields() -> list[tuple[str, FieldInfo]]:
    return [(name, field) for model in mixins() for name, field in model.model_fields.items()]


def test_everything_missing_or_wrong_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_BODY_LIMIT_BYTES", "9000000000")
    monkeypatch.setenv("MILLRACE_JWT_SECRET", "too-short-canary")
    with pytest.raises(SettingsError) as refused:
        FaceSettings.load()
    said = str(refused.value)
    assert "MILLRACE_DATABASE_URL: is not set" in said
    assert "MILLRACE_NEEDED: is not set" in said
    assert "MILLRACE_BODY_LIMIT_BYTES: Input should be less than or equal to 4000000" in said
    assert "MILLRACE_JWT_SECRET" in said
    assert "canary" not in said
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DOORBELL", "socket:/run/bells")
    first = DoorbellSettings.load()
    monkeypatch.setenv("MILLRACE_DOORBELL", "none")
    assert DoorbellSettings.load() is first
    settings.forget()
    assert DoorbellSettings.load().doorbell == "none"


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "")
    with pytest.raises(SettingsError, match="MILLRACE_DATABASE_URL: is not set"):
        DatabaseSettings.load()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://user:canary@host/db")
    assert "canary" not in repr(DatabaseSettings.load())
    telling = [name for name, _field in fields() if name.endswith(("secret", "_url"))]
    secret = {name for name, field in fields() if "SecretStr" in str(field.annotation)}
    assert {name for name in telling if name.endswith("secret") or name.startswith(("database", "migration"))} <= secret


@pytest.mark.parametrize(("name", "field"), fields(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_setting_says_what_it_is_for_and_within_what_bounds(name: str, field: FieldInfo) -> None:
    assert field.description, name
    assert field.description.endswith("."), name
    if field.annotation in (int, float):
        bounds: dict[str, Any] = {key: value for item in field.metadata for key, value in vars_of(item).items()}
        assert bounds.keys() & {"ge", "gt"}, name
        assert bounds.keys() & {"le", "lt"}, name


def vars_of(item: object) -> dict[str, Any]:
    return {key: getattr(item, key) for key in ("ge", "gt", "le", "lt") if hasattr(item, key)}


def test_a_setting_that_two_models_share_means_the_same_in_both() -> None:
    meanings: dict[str, set[str | None]] = {}
    for name, field in fields():
        meanings.setdefault(name, set()).add(field.description)
    assert [name for name, found in meanings.items() if len(found) > 1] == []

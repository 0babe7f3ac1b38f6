"""``millrace adopt`` as an operator meets it: plan, act, nothing to do, refusals with an exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from infra import cli
from infra.cli.adopt import progress_of
from infra.cli.exits import Exit
from infra.cli.session import Session
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old


@pytest.fixture
def _settings(old: Old, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", old.url())
    monkeypatch.setenv("MILLRACE_AUTH_URL", old.url("supabase_admin"))
    monkeypatch.setenv("MILLRACE_SECRET_KEY_FILE", str(tmp_path / "keys.json"))
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["adopt", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("_settings")
def test_plan_act_and_then_nothing_to_do(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan") == Exit.OK
    planned = capsys.readouterr().out
    for line in (
        "12  secrets sealed and moved",
        "37  columns added",
        "6  users linked by their confirmed e-mail",
        "2  workflows that cannot run switched off",
        "3 secrets are in rows that belong to nobody: --secrets-to says who gets them.",
        "Nothing was changed.",
    ):
        assert line in planned

    assert run("--secrets-to", old_system.SECRET_ADMIN) == Exit.OK
    told = capsys.readouterr().out
    print(told)
    for line in (
        "✓ 12 secrets moved",
        "✓ 6 users linked",
        "dan@example.com: nobody signs in with this e-mail. Invite them in Supabase Auth",
        "edges.0.to: there is no node 'gone'",
        "supabase migration repair --status reverted 20251219181612",
        "3 runs of the old system never ended.",
        "/empty",
        "Adopted.",
    ):
        assert line in told
    assert "canary" not in planned + told

    assert run() == Exit.OK
    assert "Nothing to do: this database is adopted." in capsys.readouterr().out


@pytest.mark.usefixtures("_settings")
def test_machines_get_one_document(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", "--json") == Exit.OK
    plan = json.loads(capsys.readouterr().out)
    assert plan["nothing_to_do"] is False
    assert plan["rows"]["workflow"] == 8
    assert run("--secrets-to", old_system.SECRET_ADMIN, "--json") == Exit.OK
    done = json.loads(capsys.readouterr().out)
    assert done["linked"] == 6
    assert done["after"]["nothing_to_do"] is True
    assert done["after"]["rows"]["secret"] == 12


@pytest.mark.usefixtures("_settings")
def test_a_refusal_has_an_exit_code_and_a_remedy(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == Exit.FAILED
    said = capsys.readouterr()
    assert "✗ Some secrets are in rows that belong to nobody" in said.err
    assert "→ Give --secrets-to" in said.err
    old.owner.execute("alter table workflow drop column graph_config")
    assert run("--plan", "--json") == Exit.FAILED
    problem = json.loads(capsys.readouterr().err)
    assert problem["errors"] == [
        {"path": "workflow.graph_config", "message": "workflow.graph_config is missing (jsonb)"}
    ]


def test_on_a_terminal_each_step_has_a_bar_that_is_gone_at_the_end() -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    session = Session(screen=screen)
    with progress_of(session) as shown:
        shown.step("build indexes", 4)
        shown.at(2, "ix_workflow_owner_id")
        bars = shown.bars
        assert bars is not None
        assert [(task.description, task.completed, task.total) for task in bars.tasks] == [("build indexes", 2, 4)]
        shown.step("migrate")
        shown.at(1, "baseline")
        assert [(task.completed, task.total) for task in bars.tasks] == [(4, 4), (1, None)]


def test_a_database_that_does_not_answer_is_said_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert run() == Exit.UNREACHABLE
    assert "does not answer" in capsys.readouterr().err

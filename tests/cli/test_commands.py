"""Each command against a running stack: what it prints, what it answers to machines, how it exits."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import cli
from tests.stack import RunningStack, millrace

GREET: dict[str, Any] = {
    "name": "greet",
    "description": "Greet by name",
    "graph_config": {
        "nodes": [
            {"node_id": "start", "node_type": "trigger", "config": {}},
            {
                "node_id": "hello",
                "node_type": "set_variable",
                "config": {"name": "to", "value": "{{ trigger.payload.to }}"},
            },
        ],
        "edges": [{"from": "start", "to": "hello"}],
    },
}


@dataclass(frozen=True)
class Done:
    """A command line that has ended."""

    returncode: int
    stdout: str
    stderr: str


class CommandLine:
    """A terminal in an empty directory. Commands run in this process, which saves half a second each."""

    def __init__(self, stack: RunningStack, directory: Path) -> None:
        self.stack = stack
        self.directory = directory

    def run(self, *arguments: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        return Done(int(left.value.code or 0), out.getvalue(), err.getvalue())

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, name: str, value: object) -> str:
        (self.directory / name).write_text(value if isinstance(value, str) else json.dumps(value))
        return name


@pytest.fixture
def terminal(stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return CommandLine(stack, tmp_path)


def test_applying_a_file_creates_then_changes_nothing_then_updates(terminal: CommandLine) -> None:
    file = terminal.file("greet.json", GREET | {"name": "apply-thrice"})
    created = terminal.json("workflows", "apply", file)
    assert created["result"] == "created"
    assert created["workflow"]["version"] == 1
    assert terminal.json("workflows", "apply", file)["result"] == "unchanged"
    file = terminal.file("greet.json", {"name": "apply-thrice", "graph_config": GREET["graph_config"]})
    updated = terminal.json("workflows", "apply", file)
    assert updated["result"] == "updated", "a description that the file leaves out is taken away"
    assert updated["workflow"]["id"] == created["workflow"]["id"]
    assert updated["workflow"]["description"] is None
    graph = {"nodes": GREET["graph_config"]["nodes"][:1], "edges": []}
    assert (
        terminal.json(
            "workflows", "apply", terminal.file("greet.json", GREET | {"name": "apply-thrice", "graph_config": graph})
        )["workflow"]["version"]
        == 2
    )
    assert "apply-thrice" in [flow["name"] for flow in terminal.json("workflows", "list")["workflows"]]


def test_applying_a_graph_does_not_start_a_workflow_that_was_switched_off(terminal: CommandLine) -> None:
    terminal.json("workflows", "apply", terminal.file("off.json", GREET | {"name": "off", "is_active": False}))
    again = terminal.json("workflows", "apply", terminal.file("off.json", GREET | {"name": "off"}))
    assert again["workflow"]["is_active"] is False


def test_a_file_comes_from_standard_input_too(terminal: CommandLine) -> None:
    done = millrace(
        "workflows", "apply", "-", environment=terminal.stack.environment, input=json.dumps(GREET | {"name": "piped"})
    )
    assert done.returncode == 0, done.stderr
    assert "piped created, version 1" in done.stdout


def test_every_mistake_in_a_file_is_printed_with_its_line(terminal: CommandLine) -> None:
    file = terminal.file(
        "broken.yaml",
        "name: broken\ngraph_config:\n  nodes:\n    - {node_id: start, node_type: trigger, config: {}}\n"
        "    - {node_id: odd, node_type: no_such_type, config: {}}\n"
        "    - node_id: bad\n      node_type: condition\n      config:\n        expression: 1 +\n"
        "  edges:\n    - {from: start, to: odd}\n    - {from: start, to: bad}\n    - {from: bad, to: nowhere}\n",
    )
    done = terminal.run("workflows", "apply", file)
    assert done.returncode == 4
    assert done.stdout == ""
    for line in (5, 9, 13):
        assert f"broken.yaml:{line} graph_config." in done.stderr


def test_a_run_is_followed_to_its_end_and_a_failed_one_exits_1(terminal: CommandLine) -> None:
    terminal.json("workflows", "apply", terminal.file("greet.json", GREET))
    done = terminal.run("workflows", "run", "greet", "--input", '{"to": "Ada"}', "--follow")
    assert done.returncode == 0, done.stderr
    assert '{"to": "Ada"}' in done.stdout
    assert "✓ completed in" in done.stdout
    failed = terminal.run("workflows", "run", "greet", "--input", "{}", "-f")
    assert failed.returncode == 1
    assert "✗ failed" in failed.stdout
    assert "hello: " in failed.stderr


def test_a_run_is_shown_with_its_steps(terminal: CommandLine) -> None:
    terminal.json("workflows", "apply", terminal.file("greet.json", GREET))
    (terminal.directory / "input.json").write_text('{"to": "Grace"}')
    started = terminal.json("workflows", "run", "greet", "-i", "@input.json")
    assert terminal.run("runs", "tail", started["id"]).returncode == 0
    shown = terminal.json("runs", "show", started["id"])
    assert shown["run"]["status"] == "completed"
    assert [step["node_id"] for step in shown["steps"]] == ["start", "hello"]
    for_people = terminal.run("runs", "show", started["id"]).stdout
    assert f"run {started['id']} of greet  ✓ completed" in for_people
    assert "by manual" in for_people
    assert all(len(line) <= 100 for line in for_people.splitlines())


def test_a_command_that_is_stopped_from_the_keyboard_exits_130(terminal: CommandLine) -> None:
    wait = {"node_id": "wait", "node_type": "delay", "config": {"delay_type": "signal", "signal": "go"}}
    graph = {"nodes": [{"node_id": "start", "node_type": "trigger"}, wait], "edges": [{"from": "start", "to": "wait"}]}
    terminal.json("workflows", "apply", terminal.file("wait.json", {"name": "wait", "graph_config": graph}))
    started = terminal.json("workflows", "run", "wait")
    command = [str(Path(sys.executable).parent / "millrace"), "runs", "tail", started["id"]]
    with subprocess.Popen(
        command, env=terminal.stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert started["id"] in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_the_newest_run_is_meant_when_none_is_named(terminal: CommandLine) -> None:
    terminal.json("workflows", "apply", terminal.file("greet.json", GREET))
    newest = terminal.json("workflows", "run", "greet", "-i", '{"to": 1}')["id"]
    assert terminal.json("runs", "show")["run"]["id"] == newest
    assert terminal.json("runs", "list", "--limit", "1")["runs"][0]["id"] == newest
    assert newest in terminal.run("runs", "list", "-w", "greet").stdout


def test_a_tail_for_machines_is_one_document_a_line(terminal: CommandLine) -> None:
    terminal.json("workflows", "apply", terminal.file("greet.json", GREET))
    run = terminal.json("workflows", "run", "greet", "-i", '{"to": 1}')["id"]
    done = terminal.run("runs", "tail", run, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["run"]["status"] == "completed"
    assert [step["node_id"] for line in lines for step in line["steps"]] == ["start", "hello"]


def test_what_is_not_there_is_refused(terminal: CommandLine) -> None:
    missing = terminal.run("workflows", "run", "no-such-workflow")
    assert missing.returncode == 4
    assert "no workflow called 'no-such-workflow'" in missing.stderr
    assert terminal.run("runs", "show", "01a20361-0000-7000-8000-000000000000").returncode == 4


def test_a_new_token_may_do_what_its_scopes_say_and_no_more(terminal: CommandLine) -> None:
    made = terminal.json("token", "reader", "--scope", "workflows:read", "--days", "1")
    assert made["token"].startswith("mr_")
    assert made["expires_at"]
    assert terminal.run("--token", made["token"], "workflows", "list").returncode == 0
    refused = terminal.run("--token", made["token"], "runs", "list")
    assert refused.returncode == 4
    assert "runs:read" in refused.stderr
    assert terminal.run("--token", "mr_wrong", "workflows", "list").returncode == 4


def test_the_token_in_use_stands_alone_on_its_line(terminal: CommandLine) -> None:
    assert terminal.run("token").stdout == f"{terminal.stack.address.token}\n"
    exported = terminal.run("token", "--export").stdout
    assert f"export MILLRACE_URL={terminal.stack.address.url}\n" in exported


def test_the_running_stacks_database_is_looked_at(terminal: CommandLine) -> None:
    rows = terminal.json("migrate", "status")["migrations"]
    assert {row["state"] for row in rows} == {"applied"}
    done = terminal.run("migrate", "up")
    assert done.returncode == 0
    assert "Nothing to do" in done.stdout

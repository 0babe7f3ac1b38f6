"""`millrace dev` says what one needs to use it, keeps its data, and leaves nothing behind that looks alive."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx

from infra.cli.address import read_address
from tests.cluster import TestDatabase
from tests.stack import clean_environment, millrace, running_stack

GRAPH = json.dumps(
    {
        "name": "kept",
        "graph_config": {"nodes": [{"node_id": "start", "node_type": "trigger", "config": {}}], "edges": []},
    }
)


def test_a_stack_is_found_used_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = clean_environment(MILLRACE_HOME=str(home))
    with running_stack(home) as stack:
        assert (home / "address.json").stat().st_mode & 0o777 == 0o600
        done = millrace("workflows", "apply", "-", environment=environment, input=GRAPH)
        assert done.returncode == 0, done.stderr

        pages = httpx.get(f"{stack.address.url}/api/v1/workflows/docs")
        assert pages.status_code == 200
        assert "/api/v1/workflows/executions" in pages.text

        second = millrace("dev", "--port", "0", environment=environment)
        assert second.returncode == 1
        assert "runs a stack on" in second.stderr
        assert read_address(home) == stack.address, "the second one must not hide the first"

    said = (tmp_path / "home.out").read_text()
    for part in (stack.address.url, stack.address.token, f"{stack.address.url}/api/v1/workflows/docs"):
        assert part in said
    assert "POST /api/v1/workflows 201" in said
    assert stack.process.returncode == 0
    assert read_address(home) is None

    after = millrace("workflows", "list", environment=environment)
    assert after.returncode == 3

    with running_stack(home):
        assert "kept" in millrace("workflows", "list", environment=environment).stdout


def test_a_postgres_of_ones_own_is_used_when_it_is_named(tmp_path: Path, db: TestDatabase) -> None:
    with running_stack(tmp_path / "home", MILLRACE_DATABASE_URL=db.url("postgres")) as stack:
        assert not (stack.home / "postgres").exists()
        environment = clean_environment(MILLRACE_HOME=str(stack.home))
        done = millrace("workflows", "apply", "-", environment=environment, input=GRAPH)
        assert done.returncode == 0, done.stderr
        names = [row["name"] for row in db.owner.execute("select name from public.workflow").fetchall()]
        assert names == ["kept"]

        demo = millrace("demo", environment=environment)
        assert demo.returncode == 1, "the demo never touches a Postgres of the user's"
        assert "--home" in demo.stderr
        assert db.owner.execute("select count(*) as n from public.workflow").fetchall() == [{"n": 1}]


def test_a_port_that_is_taken_is_said_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = millrace("dev", "--port", port, environment=clean_environment(MILLRACE_HOME=str(tmp_path / "home")))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port 0" in done.stderr

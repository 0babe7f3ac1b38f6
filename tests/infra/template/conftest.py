"""Compiled templates, each variant once for all tests and workers: osls takes seconds."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.stack import ROOT
from infra.template.compiler import Template, compile_template, osls

#: What `make deploy` is told by whoever deploys.
ENVIRONMENT = {
    "MILLRACE_JWT_JWKS_URL": "https://project.supabase.co/auth/v1/.well-known/jwks.json",
    "MILLRACE_OCR_IMAGE": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/millrace-ocr-worker@sha256:{'a' * 64}",
}

Compile = Callable[..., Template]


@pytest.fixture(scope="session")
def compile(tmp_path_factory: pytest.TempPathFactory) -> Compile:  # noqa: A001
    """``compile(stage="dev", env={…}, **settings)``: the template with these settings of the stage changed."""
    if osls(ROOT) is None:
        pytest.skip("osls is not installed (`make install-deploy`, needs Node): the template is not compiled")
    shelf = tmp_path_factory.getbasetemp()
    if shelf.name.startswith("popen-"):  # a worker's own folder, beside the others'
        shelf = shelf.parent

    def compiled(stage: str = "dev", env: dict[str, str] | None = None, **settings: Any) -> Template:
        wanted = json.dumps([stage, env, settings], sort_keys=True)
        kept = shelf / f"template-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.json"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                root = service(tmp_path_factory.mktemp("service"), stage, **settings)
                kept.write_text(json.dumps(compile_template(root, stage, ENVIRONMENT | (env or {})).body))
        return Template(stage, json.loads(kept.read_text()), ())

    return compiled


def service(root: Path, stage: str, **settings: Any) -> Path:
    """A copy of what osls reads, with these settings of one stage changed and no packages built."""
    shutil.copy(ROOT / "serverless.yml", root)
    (root / "infra").mkdir()
    for file in (ROOT / "infra").glob("*.yml"):
        shutil.copy(file, root / "infra")
    (root / "node_modules").symlink_to(ROOT / "node_modules")
    stages = yaml.safe_load((root / "infra" / "stages.yml").read_text())
    stages[stage] = stages.get(stage, stages["default"]) | settings
    (root / "infra" / "stages.yml").write_text(yaml.safe_dump(stages))
    return root


@pytest.fixture(scope="session")
def dev(compile: Compile) -> Template:  # noqa: A002
    """As a stage that sets nothing of its own."""
    return compile()


@pytest.fixture(scope="session")
def prod(compile: Compile) -> Template:  # noqa: A002
    """As a stage that alarms."""
    return compile("prod")


@pytest.fixture(scope="session")
def other(compile: Compile) -> Template:  # noqa: A002
    """As a stage that ``infra/stages.yml`` does not know, where all that can be is chosen otherwise."""
    return compile(
        "other",
        {
            "MILLRACE_RUN_CONCURRENCY": "50",
            "MILLRACE_OCR_DOCUMENTS_PUBLIC": "true",
            "MILLRACE_METRICS_NAMESPACE": "Other",
            "MILLRACE_API_DATABASE_URL": "postgresql://api:hunter2@pooler/postgres",
        },
        run_concurrency=30,
        storage_concurrency=7,
        reserved_concurrency={"workflow-api": 25, "account": 0},
    )


@pytest.fixture(scope="session")
def snapped(compile: Compile) -> Template:  # noqa: A002
    """As a stage with SnapStart."""
    return compile(snap_start=True)

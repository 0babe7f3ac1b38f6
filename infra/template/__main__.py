"""``make template``: compile ``serverless.yml`` to ``dist/template.json`` and check it.

``--ready`` also asks whether the template could be deployed as it is.

Exit codes: 0, or 1 with every complaint on standard error; nothing is written then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

from infra.local.variables import ServerlessError
from infra.template import connections, readiness
from infra.template.compiler import Template, TemplateError, compile_template, packages
from infra.template.stage import read_stage

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m infra.template", description=__doc__)
    parser.add_argument("--stage", default="dev")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "template.json")
    parser.add_argument("--ready", action="store_true", help="refuse what cannot be deployed as it is")
    given = parser.parse_args(arguments)
    try:
        stage = read_stage(ROOT, given.stage, os.environ)
        template = compile_template(ROOT, given.stage)
    except (TemplateError, ServerlessError) as error:
        return _refuse([str(error)])
    used = connections.count(template, stage)
    complaints = list(used.complaints)
    if given.ready:
        complaints += readiness.lacking(template)
        built = packages(ROOT, given.stage, os.environ)
        complaints += readiness.unfit(ROOT, built, os.environ.get("MILLRACE_STORAGE", "s3"))
    if complaints:
        return _refuse(complaints)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(template.body, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(_report(template, used) + f"\nwritten to {os.path.relpath(given.output)}\n")
    return 0


def _report(template: Template, used: connections.Connections) -> str:
    kinds = Counter(found["Type"] for found in template.body["Resources"].values())
    lines = [f"{'resources':<40}{sum(kinds.values()):>6}"]
    lines += [f"  {kind:<38}{number:>6}" for kind, number in sorted(kinds.items())]
    lines += ["", f"{f'connections, of {used.limit} at the pooler':<40}{used.total:>6}"]
    lines += [f"  {name:<38}{most:>6}" for name, most in used.clients.items()]
    if template.missing:
        lines += ["", f"packages not built, for which empty ones stand in (`make package`): {len(template.missing)}"]
    if readable := list(readiness.readable_secrets(template)):
        lines += ["", f"readable in the template: {', '.join(readable)}; docs/deploy.md says how to avoid that"]
    return "\n".join(lines)


def _refuse(complaints: list[str]) -> int:
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

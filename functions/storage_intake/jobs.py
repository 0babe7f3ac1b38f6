"""Which jobs new objects make by themselves."""

from __future__ import annotations

from collections.abc import Collection

#: The job's kind, which is the capability's name too, by bucket. Its input is ``{"document": {"bucket", "key"}}``.
KINDS = {"ocr-documents": "ocr"}


def deployed(capabilities: Collection[str]) -> dict[str, str]:
    """Those of :data:`KINDS` whose capability is deployed: nobody would ever do the others."""
    return {bucket: kind for bucket, kind in KINDS.items() if kind in capabilities}

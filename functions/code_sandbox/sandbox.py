"""Run a program that nobody has read: ``run(CodeRequest) -> CodeOutcome``."""

from __future__ import annotations

import atexit
import functools
import json

from functions.code_sandbox.backend import Backend
from functions.code_sandbox.outcome import refused
from functions.code_sandbox.pool import Pool
from shared.models.code import CodeOutcome, CodeRequest, Limit
from shared.settings import SandboxSettings


@functools.cache
def backend() -> Backend:
    """What runs programs here, made at first use; it ends with this process."""
    settings = SandboxSettings.load()
    made = Pool(
        parallel=settings.sandbox_parallel,
        warm=settings.sandbox_warm,
        fresh=settings.sandbox_fresh,
        cache=settings.sandbox_cache,
    )
    atexit.register(made.close)
    return made


def run(request: CodeRequest) -> CodeOutcome:
    """Run a program apart from everything; it ends within its ``wall_seconds`` and half a second.

    Raises ``Unavailable`` where the sandbox cannot start.
    """
    most = SandboxSettings.load().sandbox_memory_mb
    if request.limits.memory_mb > most:
        return refused(request, Limit.MEMORY, f"a run may use {most} MB here (MILLRACE_SANDBOX_MEMORY_MB)")
    try:
        code_bytes = len(request.code.encode())
    except UnicodeEncodeError:
        return refused(request, Limit.CODE_SIZE, "the code has half of a surrogate pair, which UTF-8 cannot carry")
    if code_bytes > request.limits.code_bytes:
        return refused(request, Limit.CODE_SIZE, f"the code is longer than {request.limits.code_bytes} bytes")
    if len(json.dumps(request.input_data)) > request.limits.input_bytes:
        return refused(request, Limit.INPUT_SIZE, f"the input is larger than {request.limits.input_bytes} bytes")
    return backend().run(request)

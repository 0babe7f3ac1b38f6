"""The first code that runs in a function's process: tie it to the stack's life, then hand over to the runtime client.

``python -m infra.local.process functions/webhook_intake/api.handler`` is ``python -m awslambdaric …`` with two
differences: the process dies with the stack, however the stack dies; and where awslambdaric has no wheel, our own
Runtime API loop (:mod:`infra.local.runtime_client`) takes its place. ``MILLRACE_RUNTIME_CLIENT`` (``awslambdaric`` or
``own``) chooses; unset, it is awslambdaric when it can be imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_VARIABLE = "MILLRACE_STACK_PID"
CLIENT_VARIABLE = "MILLRACE_RUNTIME_CLIENT"
_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent``, which started it, is gone; without prctl(2), watch for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="parent-watch").start()
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main(arguments: list[str]) -> None:
    """Serve the handler named in ``arguments[1]`` until the process is killed."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None:
        die_with(int(parent))
    choice = os.environ.pop(CLIENT_VARIABLE, None)
    if choice != "own":
        try:
            from awslambdaric.__main__ import main as serve  # type: ignore[import-untyped]
        except ImportError:
            if choice is not None:
                raise
        else:
            serve(arguments)
            return
    from infra.local.runtime_client import serve as serve_own

    serve_own(arguments[1], os.environ["AWS_LAMBDA_RUNTIME_API"])


if __name__ == "__main__":
    main(sys.argv)

"""The Python program around the user's: it waits for the run, runs the code, and tells the result.

This is run by the CPython inside of the sandbox (3.12), after its source, not by ours. Everything here happens on the
user's side: the user's code may change it, and then spoils only its own result.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import io
import json
import linecache
import os
import sys
import traceback
import types
from typing import Any

NAME = "code.py"  #: what the code's file is called in tracebacks
REPORT = "/files/.report"
MOST = 4000  #: characters of an error's message


def error(kind: str, message: str, line: int | None) -> bytes:
    return b"E" + json.dumps({"type": kind[:200], "message": message[:MOST], "line": line}).encode()


def line_of(raised: BaseException) -> int | None:
    """The last line of the user's that was being run."""
    if isinstance(raised, SyntaxError) and raised.filename == NAME:
        return raised.lineno
    line = None
    trace = raised.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def describe(raised: BaseException) -> bytes:
    """Print the traceback from the user's first frame on; the error as it is reported."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
        trace = trace.tb_next
    try:
        traceback.print_exception(type(raised), raised, trace)
        message = str(raised)
    except Exception as worse:  # a __str__ of the user's may do anything
        message = f"its text cannot be made: {type(worse).__name__}"
    return error(type(raised).__name__, message, line_of(raised))


def execute(run: dict[str, Any]) -> bytes:
    """Run the code; the report."""
    code = run["code"]
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    vars(module).update(__file__=NAME, __builtins__=builtins, input_data=run["input"], result=None)
    sys.setrecursionlimit(run["recursion"])
    try:
        exec(compile(code, NAME, "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is what it is for
    except SystemExit as end:
        if end.code is not None and end.code != 0:
            if not isinstance(end.code, int):
                sys.stderr.write(f"{end.code}\n")
            return error("Exit", f"the program ended with {end.code!r}", line_of(end))
    except BaseException as raised:
        return describe(raised)
    finally:
        sys.setrecursionlimit(max(run["recursion"], 1000))
    try:
        return b"R" + json.dumps(vars(module).get("result"), allow_nan=False).encode()
    except Exception as raised:
        kind = "MemoryError" if isinstance(raised, MemoryError) else "NotJson"
        return error(kind, f"the result is no JSON: {raised}", None)


def leave() -> None:
    """What an interpreter does at its end and a program relies on: its exit functions, and files that nobody closed."""
    atexit._run_exitfuncs()
    vars(sys.modules.pop("__main__")).clear()
    if os.listdir("/files"):
        gc.collect()


def warm_up() -> None:
    """Do once what every run does, so that what it sets up at its first time is there."""
    try:
        exec(compile("raise ValueError(len([1]))", NAME, "exec", dont_inherit=True), {})  # noqa: S102
    except ValueError as raised:
        linecache.cache[NAME] = (1, None, ["raise ValueError(len([1]))"], NAME)
        traceback.print_exception(raised, file=io.StringIO())
    json.dumps(json.loads('{"a": [1, null, "b"]}'))


def main() -> None:
    """Be ready, wait, run, report."""
    # What programs often use is loaded before there is a run: loading it afterwards would cost each run its time.
    import base64  # noqa: F401
    import bisect  # noqa: F401
    import collections  # noqa: F401
    import copy  # noqa: F401
    import csv  # noqa: F401
    import dataclasses  # noqa: F401
    import datetime  # noqa: F401
    import decimal  # noqa: F401
    import functools  # noqa: F401
    import hashlib  # noqa: F401
    import heapq  # noqa: F401
    import html  # noqa: F401
    import itertools  # noqa: F401
    import math  # noqa: F401
    import random
    import re  # noqa: F401
    import statistics  # noqa: F401
    import string  # noqa: F401
    import textwrap  # noqa: F401
    import time  # noqa: F401
    import typing  # noqa: F401
    import urllib.parse  # noqa: F401
    import uuid  # noqa: F401

    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # of the module site, which is not loaded
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    warm_up()
    with open(0, "rb", buffering=0, closefd=False) as given:
        run = json.loads(given.readall())
    random.seed()
    os.environ.update(run["variables"])
    os.chdir("/files")
    sys.argv = [NAME]
    said = execute(run)
    leave()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed by the program, which is its own affair
            stream.flush()
    report = os.open(REPORT, os.O_WRONLY)
    os.write(report, said)
    os._exit(0)

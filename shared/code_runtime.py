"""What runs code here, under the names that callers and saved workflows use.

There is one runtime: ``wasm``, WebAssembly in the function ``code-sandbox``. The old system named six and had none of
them; where what was meant is to run code apart from everything else, ``wasm`` does it, and the choice is written down
with its reason. A name that asks for something which is not here (a machine of its own, packages) is refused by name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from shared.models.code import Language

RUNTIME = "wasm"
#: The function that runs code.
FUNCTION = "code-sandbox"

#: Names that mean the runtime there is, and why it stands in.
_STANDS_IN = {
    "wasm": "",
    "wasmtime": "",
    "wasmedge": "WasmEdge is not here; the same kind of sandbox runs under Wasmtime.",
    "e2b": "The hosted E2B machines are not used; the code runs in the sandbox of this installation.",
    "bacalhau": "Bacalhau's distributed machines are not used; the code runs in the sandbox of this installation.",
    "cline_node": "There is no agent that guides code; it runs as it stands, in the sandbox.",
    "mcp_server": "There is no MCP server that runs code; it runs in the sandbox of this installation.",
}
#: Names of runtimes that may come, and what they would be.
_NOT_HERE = {
    "native": "code as a process of the machine's own",
    "docker": "code in a container",
    "firecracker": "code in a machine of its own",
    "microvm": "code in a machine of its own",
    "wasm-data": "WebAssembly with numpy and pandas",
    "pyodide": "WebAssembly inside Node, which is no sandbox",
}
_LANGUAGES = {
    **dict.fromkeys(("python", "python3", "py"), Language.PYTHON),
    **dict.fromkeys(("javascript", "js", "node", "nodejs"), Language.JAVASCRIPT),
}
_OTHER_LANGUAGES = {
    "bash": "a shell needs processes, which the sandbox does not have",
    "sh": "a shell needs processes, which the sandbox does not have",
    "ruby": "the sandbox carries no Ruby",
    "php": "the sandbox carries no PHP",
    "typescript": "the sandbox carries no compiler for it; send the JavaScript it compiles to",
}

#: Parts of Python's standard library that need what a sandbox has not: processes, threads, sockets, a terminal, a C
#: library to load. Source: Python documentation, "Availability: not WASI".
_WITHOUT = frozenset((
    "aifc", "antigravity", "asynchat", "asyncio", "asyncore", "audioop", "cgi", "cgitb", "chunk", "concurrent",
    "crypt", "ctypes", "curses", "dbm", "distutils", "ensurepip", "fcntl", "ftplib", "grp", "idlelib", "imaplib",
    "imghdr", "imp", "lib2to3", "lzma", "mailcap", "mmap", "msilib", "msvcrt", "multiprocessing", "nis", "nntplib",
    "nt", "ntpath", "ossaudiodev", "pipes", "poplib", "pty", "pwd", "pydoc_data", "rlcompleter", "readline", "resource",
    "select", "selectors", "smtpd", "smtplib", "sndhdr", "socket", "socketserver", "spwd", "ssl",
    "subprocess", "sunau", "syslog", "telnetlib", "termios", "this", "tkinter", "tty", "turtle", "turtledemo", "uu",
    "venv", "webbrowser", "winreg", "winsound", "wsgiref", "xdrlib", "zipapp",
))  # fmt: skip
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(.*?)\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Choice:
    """What will run the code, and why."""

    language: Language
    runtime: str
    asked: str | None  #: the runtime that was asked for
    reason: str

    def to_json(self) -> dict[str, str | None]:
        return {"asked": self.asked, "runtime": self.runtime, "language": self.language.value, "reason": self.reason}


def choose(runtime: str | None, language: str | None) -> Choice:
    """The runtime for these names; ValueError says why there is none."""
    return Choice(choose_language(language), *choose_runtime(runtime))


def choose_language(name: str | None) -> Language:
    """The language that ``name`` means (Python where there is none); ValueError for one that does not run here."""
    wanted = (name or "python").strip().lower()
    if found := _LANGUAGES.get(wanted):
        return found
    why = _OTHER_LANGUAGES.get(wanted, "it is not known here")
    raise ValueError(f"the language {wanted[:50]!r} does not run here: {why}; write python or javascript")


def choose_runtime(name: str | None) -> tuple[str, str | None, str]:
    """The runtime, the name that was asked for, and the reason; ValueError for one that is not here."""
    wanted = (name or "").strip().lower()
    if not wanted:
        return RUNTIME, None, "No runtime was asked for; this is the one there is."
    if wanted in _STANDS_IN:
        return RUNTIME, wanted[:100], _STANDS_IN[wanted] or "It was asked for."
    if meaning := _NOT_HERE.get(wanted):
        raise ValueError(f"the runtime {wanted!r} ({meaning}) is not here; {RUNTIME} is")
    raise ValueError(f"the runtime {wanted[:50]!r} is not known; {RUNTIME} is here, and stands in for {_olds()}")


def _olds() -> str:
    return ", ".join(name for name, reason in _STANDS_IN.items() if reason)


def carried(language: Language) -> tuple[str, ...]:
    """What code may import without asking: names that ``requirements`` may name."""
    if language is not Language.PYTHON:
        return ()
    return tuple(sorted(name for name in sys.stdlib_module_names - _WITHOUT if not name.startswith("_")))


def refused_requirement(requirements: Iterable[str], language: Language) -> str | None:
    """Why these requirements are not met, in one sentence; None when what the sandbox carries meets them."""
    have = frozenset(carried(language))
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        name = match[1] if match else requirement
        if match and not match[2] and name in have:
            continue
        shown = requirement.strip()[:80]
        if match and name in have:
            return (
                f"{shown!r} asks for a version, but {name} comes with the interpreter as it is; leave the version out"
            )
        what = "Python's standard library" if language is Language.PYTHON else "the language itself"
        return f"{shown!r} is not there: nothing is installed for a run, and the sandbox carries only {what}"
    return None

"""What the process of a run takes away from itself before it reads the request.

WebAssembly is the boundary: the program has no way to name a file, a socket or a process. This is for the day on which
that has a hole. Every layer is best effort, since kernels differ; which ones hold is told to the parent.

- ``descriptors``: nothing is open but the socket of the run and the standard streams, which lead nowhere.
- ``limits`` (setrlimit): no core dump, no file that grows, no further process or descriptor, an end of CPU time.
- ``privileges`` (PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE): no set-uid program helps, nobody else looks in.
- ``orphans`` (PR_SET_PDEATHSIG): no process outlives the one that made it.
- ``calls`` (seccomp): only the calls that running, growing and answering need; all others fail with EPERM.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SIGKILL = 9
_FILTER_MODE = 2
_CPU_SECONDS = 70  #: more than the longest run may take

#: System calls that a run needs, by machine: name in a comment, numbers from the kernel's tables.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "writev": 20, "sched_yield": 24, "mremap": 25,
        "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "exit": 60,
        "getrusage": 98, "sigaltstack": 131, "gettid": 186, "futex": 202, "clock_gettime": 228, "clock_nanosleep": 230,
        "exit_group": 231, "ppoll": 271, "getrandom": 318, "rseq": 334,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "writev": 66, "sched_yield": 124,
        "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "sendto": 206, "recvfrom": 207, "sendmsg": 211,
        "exit": 93, "getrusage": 165, "sigaltstack": 132, "gettid": 178, "futex": 98, "clock_gettime": 113,
        "clock_nanosleep": 115, "exit_group": 94, "ppoll": 73, "getrandom": 278, "rseq": 293,
    },
}  # fmt: skip


def shut_in(connection: int, *, forked: bool = True) -> list[str]:
    """Take everything away that can be; the layers that hold.

    A process that was not forked here has a parent of many threads, and PDEATHSIG would end it with the one thread that
    started it: there the limit of CPU time must do.
    """
    _close_all_but(connection)
    _limit()
    layers = ["descriptors", "limits"]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
            layers.append("privileges")
        if forked and libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) == 0:
            layers.append("orphans")
        if "privileges" in layers and _filter_calls(libc):
            layers.append("calls")
    return layers


def _close_all_but(connection: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, connection)
    os.closerange(connection + 1, max(connection + 2, 4096))


def _limit() -> None:
    for which, most in (
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(which, (most, most))


def _filter_calls(libc: ctypes.CDLL) -> bool:
    """Install a filter of system calls (seccomp, classic BPF): the allowed ones pass, others answer EPERM."""
    machine = platform.machine()
    allowed = _ALLOWED.get(machine)
    if allowed is None:
        return False
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | 1, 0x80000000
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (answer, 0, 0, kill), (load, 0, 0, 0)]
    numbers = sorted(allowed.values())
    for index, number in enumerate(numbers):
        program.append((equal, len(numbers) - index, 0, number))
    program += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code)))
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header), 0, 0) == 0)

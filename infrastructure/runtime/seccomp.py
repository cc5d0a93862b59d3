"""Seccomp: a process keeps the few system calls that computing and its two pipes need (seccomp(2)).

Invariants:
- An allow-list: a call that is not named fails with EPERM, whatever kernels will know one day.
- What only an attacker would do (run another program, look into another process) ends the process.
- Calls of another architecture end the process: their numbers mean something else.
"""

import ctypes
import platform
import struct
import sys
from typing import Final

_ARCHITECTURES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_X32: Final = 0x4000_0000
_NUMBERS: Final = {
    "x86_64": {
        "allowed": (
            0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 24, 25, 27, 28, 35, 39, 60, 96, 131, 186, 202, 204,
            219, 228, 229, 230, 231, 234, 271, 273, 318, 324, 334,
        ),
        "deadly": (59, 101, 310, 311, 322, 440),
    },
    "aarch64": {
        "allowed": (
            63, 64, 57, 80, 73, 62, 222, 226, 215, 214, 134, 135, 139, 65, 66, 124, 216, 232, 233, 101, 172, 93, 169,
            132, 178, 98, 123, 128, 113, 114, 115, 94, 131, 99, 278, 283, 293,
        ),
        "deadly": (221, 117, 270, 271, 281, 440),
    },
}  # fmt: skip
"""By architecture. Allowed: read, write, close, fstat, (p)poll, lseek, mmap, mprotect, munmap, brk, rt_sigaction,
rt_sigprocmask, rt_sigreturn, readv, writev, sched_yield, mremap, mincore, madvise, nanosleep, getpid, exit,
gettimeofday, sigaltstack, gettid, futex, sched_getaffinity, restart_syscall, clock_gettime, clock_getres,
clock_nanosleep, exit_group, tgkill, set_robust_list, getrandom, membarrier, rseq. Deadly: execve, ptrace,
process_vm_readv, process_vm_writev, execveat, process_madvise."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM: Final = 1
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


def forbid_calls() -> bool:
    """Leave all threads of this process the calls that are allowed. Needs `no_new_privs`, or root.

    Returns:
        Whether it holds: not on architectures that are not listed, nor where the kernel has no filters.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    program = _program(machine)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    refused = ctypes.CDLL(None).syscall(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, header)
    return bool(refused == 0)


def _program(machine: str) -> bytes:
    """Return the filter in classic BPF: instructions of 8 bytes."""
    numbers = _NUMBERS[machine]
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
        _instruction(_AT_LEAST, _X32, 0, 1),
        _instruction(_RETURN, _KILL_PROCESS),
    ]
    for number in numbers["allowed"]:
        code += [_instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]
    for number in numbers["deadly"]:
        code += [_instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _KILL_PROCESS)]
    return b"".join((*code, _instruction(_RETURN, _ERRNO | _EPERM)))


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)

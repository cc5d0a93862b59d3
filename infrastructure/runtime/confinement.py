"""Takes from this process what an enclave has no need of. Called by the process itself before it sees any content.

First `shut_off`, while it has one thread: another user than root's, no new privileges, no file or port (Landlock). Then
`confine`, with all threads that it needs: no core dump and no reading of its memory by other processes of the same user
(not dumpable), no new file contents, a handful of descriptors, no new processes or threads, bounded writable memory,
bounded CPU time where that is asked for, and no system call beyond a few (seccomp).

Where the kernel lacks Landlock or seccomp the rest holds, and both say so: code that escaped from WebAssembly could
then read what its user may read. Not covered: pages written to swap, side channels, and the machine's administrator.
"""

import contextlib
import ctypes
import os
import resource
import secrets
import sys
from typing import Final

from infrastructure.keys.memory import forbid_dumps
from infrastructure.runtime.landlock import forbid_files
from infrastructure.runtime.seccomp import forbid_calls

_PR_SET_NO_NEW_PRIVS = 38
_DESCRIPTORS = 16
_NOBODY: Final = 65_534
_FIRST_USER, _USERS = 0x1000_0000, 0x6000_0000
"""Numbers of users that no account has: each process takes one at random, so that none is another one's user."""


def shut_off() -> tuple[str, ...]:
    """Give privileges and files up, for good. To be called before threads begin, with everything imported.

    Returns:
        What holds, in words.
    """
    user = _another_user()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = forbid_files()
    return user, f"landlock {version}" if version else "no landlock"


def confine(*, data_bytes: int, cpu_seconds: int | None = None) -> tuple[str, ...]:
    """Limit this process for good. Threads that it needs must run already.

    Args:
        data_bytes: writable private memory (RLIMIT_DATA), in bytes, over everything it holds by then.
        cpu_seconds: CPU time after which the kernel kills it; None for no such limit.

    Returns:
        What holds besides the limits, in words.
    """
    forbid_dumps()
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_DATA, data_bytes)
    if cpu_seconds is not None:
        _limit(resource.RLIMIT_CPU, cpu_seconds)
    return ("seccomp",) if forbid_calls() else ("no seccomp",)


def _another_user() -> str:
    """Become a user of this process alone, where this one may; a container may know few users."""
    if os.geteuid() != 0:
        return "its starter's user"
    for user in (_FIRST_USER + secrets.randbelow(_USERS), _NOBODY):
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            return "a user of its own" if user != _NOBODY else "nobody's user"
    return "root"


def _limit(kind: int, value: int) -> None:
    """Set soft and hard limit, never above the hard limit that holds already."""
    _, hard = resource.getrlimit(kind)
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bounded, bounded))

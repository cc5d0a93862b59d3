"""Takes from this process what an enclave has no need of. Called by the process itself before it sees any content.

What holds afterwards: no core dump and no tracing or reading of its memory by other processes of the same user
(not dumpable), no new privileges, no new file contents, a handful of descriptors, no new processes or threads (not for
root, whom the kernel exempts), bounded writable memory, and bounded CPU time where that is asked for.

This is the fallback that works everywhere. It doesn't stop system calls or reading of readable files by code that
escaped from WebAssembly: seccomp and Landlock, where the kernel has them, are still to come. Not covered either:
pages written to swap, and the machine's administrator.
"""

import ctypes
import resource
import sys

from infrastructure.keys.memory import forbid_dumps

_PR_SET_NO_NEW_PRIVS = 38
_DESCRIPTORS = 16


def confine(*, data_bytes: int, cpu_seconds: int | None = None) -> None:
    """Limit this process for good. Threads that it needs must run already.

    Args:
        data_bytes: writable private memory (RLIMIT_DATA), in bytes, over everything it holds by then.
        cpu_seconds: CPU time after which the kernel kills it; None for no such limit.
    """
    forbid_dumps()
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_DATA, data_bytes)
    if cpu_seconds is not None:
        _limit(resource.RLIMIT_CPU, cpu_seconds)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(kind: int, value: int) -> None:
    """Set soft and hard limit, never above the hard limit that holds already."""
    _, hard = resource.getrlimit(kind)
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bounded, bounded))

"""Keeps the memory of a process that holds keys to itself, as far as the kernel helps.

What holds afterwards: no core dump, and no reading or tracing of its memory, environment (a passphrase) and descriptors
by other processes of the same user. Not covered: swap, hibernation, and the machine's administrator. Children inherit
the limit on core dumps; what they execute is readable again until it calls this itself.
"""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Forbid core dumps and, on Linux, reading of this process's memory by others. It can't be undone by limits."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

"""Landlock: a process forbids itself every file, network port and signal to others, for good (landlock(7)).

Source: the kernel's userspace-api/landlock; the numbers are those of <linux/landlock.h>.
"""

import ctypes
import struct
import sys
from typing import Final

_CREATE, _RESTRICT_SELF = 444, 446
"""landlock_create_ruleset and landlock_restrict_self: the same numbers on every architecture."""
_VERSION_FLAG: Final = 1
_FILES: Final = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15, 5: 1 << 16}
"""By version of the interface: one more than the greatest right over files that it knows."""
_PORTS: Final = 0b11
"""Binding and connecting TCP sockets, from version 4 on."""
_OTHERS: Final = 0b11
"""Abstract unix sockets and signals to processes outside, from version 6 on."""


def forbid_files() -> int | None:
    """Let the calling thread, and all threads that it starts, open, list, change or remove no file any more.

    Needs `no_new_privs`, or root. Descriptors that are open stay usable.

    Returns:
        The version of the kernel's interface, or None where the kernel has none or refuses: then nothing has changed.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    version = int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)))
    if version < 1:
        return None
    files = _FILES[min(version, max(_FILES))] - 1
    handled = struct.pack("=QQQ", files, _PORTS if version >= 4 else 0, _OTHERS if version >= 6 else 0)  # noqa: PLR2004
    size = 8 if version < 4 else 16 if version < 6 else 24  # noqa: PLR2004 - the structure grew with the versions
    ruleset = int(libc.syscall(_CREATE, handled, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if ruleset < 0:
        return None
    try:
        refused = libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        libc.close(ruleset)
    return None if refused else version

"""Starts a PostgreSQL program for us: without root's identity, and on its own if it is a server.

Run as a script (`python -I -S launch.py UID GID MODE PROGRAM ARGUMENT...`), never imported by a running process: what
it changes (user, session, capabilities) holds for the program only, and a fork is safe because this process has one
thread.

Invariants:
- UID is `-` (stay who we are) or a number: then user, group and supplementary groups are all changed, in this order of
  effect, before anything of PostgreSQL runs. PostgreSQL refuses to run as user 0.
- Of root's capabilities the program keeps at most one, so that it can walk through directories that only root may
  enter: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container grants only that. Its database superuser, who
  might use it, is within reach of root only. Nobody's directory is opened to the world for its sake. Where neither is
  granted it keeps none, and the directories above must let it through.
- MODE `run` becomes the program. MODE `detach` starts it in a session of its own, so that neither a terminal's Ctrl-C
  nor the end of the starting process stops it, and exits; its parent is then init, which reaps it.
"""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


def _permitted() -> int:
    """Return the permitted capabilities of this process as a bit set; none where the system has no such thing."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    return 0


def _chosen_capability(program: str) -> int | None:
    """Return the weakest capability that we hold and with which the program can be run and walk through directories."""
    permitted = _permitted()
    reading_is_enough = Path(program).stat().st_mode & 0o001
    wanted = (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if reading_is_enough else (CAP_DAC_OVERRIDE,)
    return next((one for one in wanted if permitted >> one & 1), None)


def _hold_through_change(libc: ctypes.CDLL) -> None:
    """Let capabilities outlive the change of user, until `_keep_only`.

    PostgreSQL's programs look for each other with access(2), which ignores a capability of an ordinary user unless
    NO_SETUID_FIXUP is set; setting it takes CAP_SETPCAP. Without it they must be readable on their own.
    """
    if libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0) != 0:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)


def _keep_only(libc: ctypes.CDLL, capability: int | None) -> None:
    """Make one capability permitted, effective, inheritable and ambient: it survives the next exec, all others go."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bits = 0 if capability is None else 1 << capability  # all are below 32: the upper words stay empty
    data = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities could not be dropped")
    if capability is not None:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _become(uid: int, gid: int, program: str) -> None:
    capability = _chosen_capability(program)
    linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if linux and capability is not None:
        _hold_through_change(libc)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if linux:
        _keep_only(libc, capability)


def main(arguments: list[str]) -> None:
    """Become the user, then the program."""
    uid, gid, mode, *command = arguments
    if mode == "detach" and os.fork():
        os._exit(0)
    if mode == "detach":
        os.setsid()
    os.umask(0o077)
    try:
        if uid != "-":
            _become(int(uid), int(gid), command[0])
        os.environ.pop("LD_LIBRARY_PATH", None)  # was for this interpreter; PostgreSQL brings its libraries
        os.execv(command[0], command)  # noqa: S606 - an argument list, no shell: paths may hold spaces
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]} as user {uid}: {error}\n")
        os._exit(71)


if __name__ == "__main__":
    main(sys.argv[1:])

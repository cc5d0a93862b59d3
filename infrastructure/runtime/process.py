"""Starts a module of this program as a process of its own, with nothing of ours but two pipes.

Invariants:
- It inherits no descriptor but its pipes, no variable but those that the interpreter needs, no terminal, no session;
  its error output goes nowhere (a traceback could hold content).
- Its working directory is a new one, which it removes itself (`leave_directory`): nothing can be put there.
- Every process started here ends in `end`: killed, waited for, pipes closed.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from domain.errors import UnavailableError

_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where an interpreter outside the system's paths finds its own library."""


class Child(subprocess.Popen[bytes]):
    """A process started here."""

    directory: str


def start(module: str) -> Child:
    """Start ``python -m module``.

    Raises:
        UnavailableError: when there is no process or directory to be had.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"PYTHONPATH": str(_IMPORT_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        directory = tempfile.mkdtemp(prefix="ledger-keep-")
    except OSError as error:
        raise UnavailableError(f"cannot make a directory for the keep: {error.strerror}") from None
    try:
        child = Child(
            [sys.executable, "-P", "-s", "-m", module],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        Path(directory).rmdir()
        raise UnavailableError(f"cannot start a process of the keep: {error.strerror}") from None
    child.directory = directory
    return child


def leave_directory() -> None:
    """Remove this process's own working directory, if it is empty. For the child to call, once."""
    with contextlib.suppress(OSError):
        os.rmdir(os.getcwd())  # noqa: PTH106, PTH109 - two plain system calls


def end(process: Child) -> int:
    """Kill a process if it still runs, release its pipes, and return how it ended (negative: by that signal)."""
    process.kill()
    code = process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    with contextlib.suppress(OSError):
        Path(process.directory).rmdir()  # it ended before it could
    return code

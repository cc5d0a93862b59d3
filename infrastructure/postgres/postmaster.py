"""What `postmaster.pid` says, and whether it is true.

PostgreSQL writes the file into its data directory when it starts and removes it as the last act of a clean stop. After
kill -9 of the server, or a reboot, it stays behind and names a process that is gone, or another program that has got
the same number since (usual in containers, where numbers are small).

Invariants:
- A server counts as running only if the process exists and works in this data directory, or, where the system does not
  tell a process's directory, if it takes connections on the socket that the file names.
- Signals go only to a process that counts as running.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PORT = 5432
"""Part of the socket's file name only: the embedded server listens on no network."""

_POLL_S = 0.01


@dataclass(frozen=True)
class Postmaster:
    """One reading of `postmaster.pid`: process number, socket directory, and whether connections are taken."""

    pid: int
    socket_dir: Path
    ready: bool


def read_postmaster(cluster: Path) -> Postmaster | None:
    """Read the file; None when it is absent or not yet complete."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return Postmaster(int(lines[0]), Path(lines[4]), len(lines) > 7 and lines[7].strip() == "ready")  # noqa: PLR2004 - the eighth line is the status
    except (OSError, IndexError, ValueError):
        return None


def is_running(cluster: Path, found: Postmaster) -> bool:
    """Tell whether the server that the file names is alive and is this cluster's."""
    try:
        return Path(f"/proc/{found.pid}/cwd").resolve(strict=True) == cluster.resolve()
    except PermissionError:
        return takes_connections(found.socket_dir)
    except OSError:
        return not Path("/proc/self").exists() and takes_connections(found.socket_dir)


def takes_connections(socket_dir: Path) -> bool:
    """Tell whether something accepts connections on the socket in this directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(socket_dir / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True


def stop(cluster: Path, *, patience_s: float) -> bool:
    """Stop a running server: fast (sessions are ended, a checkpoint is written), then, out of patience, at once.

    Stopping at once loses nothing that was committed: the next start recovers from the write-ahead log.

    Returns:
        Whether the server is gone.
    """
    for number, seconds in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 10.0)):
        found = read_postmaster(cluster)
        if found is None or not is_running(cluster, found):
            return True
        os.kill(found.pid, number)
        if wait_for(lambda: _gone(cluster), seconds):
            return True
    return False


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask every 10 ms until the condition holds; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _gone(cluster: Path) -> bool:
    found = read_postmaster(cluster)
    return found is None or not is_running(cluster, found)

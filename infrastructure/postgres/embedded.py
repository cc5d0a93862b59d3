"""A real PostgreSQL in a data directory, shared by every command that works there.

    DIR/postgres/            ours alone (0700)
        cluster/             PostgreSQL's own data
        server.log           its words, the newest last
        starting.lock        held alone, for moments, by whoever starts or stops the server
        users.lock           held together by everybody who uses the server

Invariants:
- Starting, adopting and stopping happen under `starting.lock`. The kernel drops the locks of a killed process, so none
  is ever stale.
- Who leaves last stops the server. A process that was killed leaves it running; the next one that opens the directory
  finds and adopts it, and stops it in its turn. Of a server that was killed itself, PostgreSQL recovers all that was
  committed.
- The data directory's path may hold spaces and be of any length; two directories never share anything.
- Root: the server runs as `nobody` and reaches its data and programs with one capability (see `launch`). This way was
  chosen over an account of its own (it changes the machine), over opening the directories above to everybody (it
  betrays the owner's home), and over a user namespace (containers forbid it more often).
"""

import contextlib
import fcntl
import os
import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from domain.errors import UnavailableError
from infrastructure.postgres import postmaster
from infrastructure.postgres.cluster import create_cluster, remove_socket_directory, require_own_major, socket_directory
from infrastructure.postgres.program import Account, account_for, detach

START_LIMIT_S = 60.0
_STOP_LIMIT_S = 60.0
_LOG_KEEP_BYTES = 16 * 1024 * 1024
_LOG_TAIL_LINES = 12


class EmbeddedServer:
    """One user's share in the server of a data directory. A context manager; may be entered once.

    Args:
        data_dir: the program's data directory; `postgres` is made below it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir.resolve() / "postgres"
        self._users: IO[bytes] | None = None
        self._socket_dir: Path | None = None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory."""
        return self._home / "cluster"

    @property
    def socket_dir(self) -> Path:
        """The private directory to connect through (the `host` of a connection string).

        Raises:
            UnavailableError: when the server was not started.
        """
        if self._socket_dir is None:
            raise UnavailableError("the embedded PostgreSQL is not started")
        return self._socket_dir

    @property
    def pid(self) -> int | None:
        """The server's process number, if its file names one."""
        found = postmaster.read_postmaster(self.cluster)
        return None if found is None else found.pid

    def start(self) -> None:
        """Use the server: adopt the one that runs, or start it; the first time make its data directory.

        Raises:
            UnavailableError: when it does not take connections within 60 s, with the last lines of its log.
            RefusedError: when another major version of PostgreSQL made its files.
        """
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._home.chmod(0o700)
            require_own_major(self.cluster)
            with self._alone():
                self._users = (self._home / "users.lock").open("ab")
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._ensure_running()
        except (OSError, UnavailableError) as error:
            self._forget()
            raise self._explained(error) from None

    def ensure_running(self) -> None:
        """Start the server again if it was killed while we use it. Connections that it had are lost.

        Raises:
            UnavailableError: as `start`.
        """
        try:
            with self._alone():
                self._ensure_running()
        except (OSError, UnavailableError) as error:
            raise self._explained(error) from None

    def close(self) -> None:
        """Leave; the last one stops the server. Doing it again does nothing."""
        if self._users is None:
            return
        with self._alone():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # others use it
                pass
            else:
                self._stop()
            finally:
                self._forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _forget(self) -> None:
        if self._users is not None:
            self._users.close()
        self._users = self._socket_dir = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold `starting.lock`."""
        with (self._home / "starting.lock").open("ab") as lock:
            if not postmaster.wait_for(lambda: _locked(lock), START_LIMIT_S + _STOP_LIMIT_S):
                raise UnavailableError(
                    "another process is starting or stopping the embedded PostgreSQL and does not end"
                )
            yield

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        found = postmaster.read_postmaster(self.cluster)
        if found is not None and postmaster.is_running(self.cluster, found):
            if self._adopt(deadline):
                return
            self._stop_unreachable()
        self._launch(deadline)  # a session of a killed server may still hold its socket: that is no server

    def _adopt(self, deadline: float) -> bool:
        """Wait until the running server takes connections; tell whether it does."""

        def settled() -> bool:
            now = postmaster.read_postmaster(self.cluster)
            return now is None or now.ready or not postmaster.is_running(self.cluster, now)

        postmaster.wait_for(settled, deadline - time.monotonic())
        found = postmaster.read_postmaster(self.cluster)
        if found is None or not postmaster.takes_connections(found.socket_dir):
            return False
        self._socket_dir = found.socket_dir
        return True

    def _stop_unreachable(self) -> None:
        """Stop a server that lives but takes no connection of ours: its socket is gone, or another account's.

        Raises:
            UnavailableError: when somebody else uses it.
        """
        assert self._users is not None  # noqa: S101 - only users get here
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                "the embedded PostgreSQL runs, in use by another account, out of our reach"
            ) from None
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)  # a refused change drops the lock that was held
        self._stop()

    def _launch(self, deadline: float) -> None:
        account = account_for(self.cluster)
        with self._log() as log:
            if not (self.cluster / "PG_VERSION").exists():
                create_cluster(self.cluster, account, log)
            while not self._launched(account, log, deadline):
                # sessions of a killed server hold its shared memory for a moment; a file that names a stranger is stale
                if time.monotonic() > deadline:
                    raise UnavailableError("the embedded PostgreSQL does not start")
                self._drop_stale_file()
                time.sleep(0.2)

    def _launched(self, account: Account, log: IO[bytes], deadline: float) -> bool:
        """Start the server once; tell whether it takes connections. False when it ended instead."""
        directory = socket_directory(self.cluster, account)
        settings = {
            "unix_socket_directories": f'"{directory}"',  # quoted: a comma or a space would part it
            "unix_socket_permissions": "0700" if account.uid is None else "0777",  # the directory above keeps all out
            "listen_addresses": "",
            "fsync": "on",
            "full_page_writes": "on",
            # another account's other programs must not reach the shared memory: keep it inside the cluster
            "dynamic_shared_memory_type": "posix" if account.uid is None else "mmap",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        ours, theirs = os.pipe()
        try:
            try:
                detach(account, "postgres", "-D", str(self.cluster), *arguments, log=log, alive=theirs)
            finally:
                os.close(theirs)
            ready = postmaster.wait_for(lambda: _ended(ours) or self._is_ready(directory), deadline - time.monotonic())
            if ready and not _ended(ours):
                self._socket_dir = directory
                return True
            if _ended(ours):  # one that is still recovering is left to it: the next start adopts it
                remove_socket_directory(directory)
            return False
        finally:
            os.close(ours)

    def _is_ready(self, directory: Path) -> bool:
        found = postmaster.read_postmaster(self.cluster)
        return (
            found is not None
            and found.ready
            and found.socket_dir == directory
            and postmaster.is_running(self.cluster, found)  # not the file of one that was killed
        )

    def _drop_stale_file(self) -> None:
        found = postmaster.read_postmaster(self.cluster)
        if found is not None and not postmaster.is_running(self.cluster, found):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(found.pid, 0)  # only then would PostgreSQL take the file for true
                (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _stop(self) -> None:
        found = postmaster.read_postmaster(self.cluster)
        if not postmaster.stop(self.cluster, patience_s=_STOP_LIMIT_S):
            raise UnavailableError(f"the embedded PostgreSQL (process {self.pid}) does not stop")
        if found is not None:
            remove_socket_directory(found.socket_dir)
        self._socket_dir = None

    @contextlib.contextmanager
    def _log(self) -> Iterator[IO[bytes]]:
        path = self._home / "server.log"
        if path.exists() and path.stat().st_size > _LOG_KEEP_BYTES:
            path.replace(path.with_name("server.log.1"))
        with path.open("ab") as log:
            yield log

    def _explained(self, error: Exception) -> UnavailableError:
        """Return the error with the end of the server's log and what to do."""
        lines = [str(error)]
        path = self._home / "server.log"
        with contextlib.suppress(OSError):
            tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
            lines += [f"Last lines of {path}:", *(f"  {line}" for line in tail)] if tail else []
        ways = [
            "Try again",
            "or free what it lacks (disk, memory)",
            "or set LEDGER_DATABASE_URL to a PostgreSQL 15 or newer",
        ]
        if os.geteuid() == 0:
            ways.insert(1, "or run this as an ordinary user")
        lines.append("; ".join(ways) + ".")
        return UnavailableError("\n".join(lines))


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended(pipe: int) -> bool:
    """Tell whether everybody who held the other end of the pipe is gone."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        return bool(waiting.select(timeout=0))

"""What a witness remembers on disk: the latest cosigned checkpoint of each log, and what it refused.

Invariants:
- A checkpoint is durable (temporary file, fsync, rename, fsync of the directory) before its cosignature leaves: after a
  crash at any point the witness knows at least what it answered.
- One process at a time: the directory is locked while it is open.
- A record that can't be read stops the witness. It is never taken for "never seen" [a witness that forgets cosigns a
  second history].
- Evidence is bounded for each log and each kind. Forks are a kind of their own: only the log's own key makes one, so
  nobody else can fill their space, as a replayed checkpoint with a false proof fills that of the other refusals.
"""

import fcntl
import os
import re
from hashlib import sha256
from pathlib import Path

from domain.errors import LedgerError, MalformedError, RefusedError, UnavailableError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from infrastructure.keys.private_files import make_private_directory, read_private, sync_directory, write_private

MAX_EVIDENCE = 100
"""How many forks, and how many other refusals, are kept for each log; the first ones tell most."""

_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CHECKPOINTS, _EVIDENCE, _LOCK = "checkpoints", "evidence", "lock"


def origin_hash(origin: str) -> str:
    """Return a log's name in URLs and files: SHA-256 of the origin, lowercase hex (tlog-witness, Monitor Retrieval)."""
    return sha256(origin.encode()).hexdigest()


def create_records(directory: Path) -> None:
    """Make the empty records of a new witness. A missing directory is never made later: that would be forgetting.

    Raises:
        RefusedError: when they exist already, or cannot be made.
    """
    try:
        (directory / _CHECKPOINTS).mkdir(mode=0o700)
        (directory / _EVIDENCE).mkdir(mode=0o700)
        sync_directory(directory)
    except OSError as error:
        raise RefusedError(f"cannot make a witness's records in {directory}: {error.strerror}") from None


class Records:
    """The open records of one witness. Callers hold a lock for each origin between `latest` and `keep`."""

    def __init__(self, directory: Path) -> None:
        """Lock the directory.

        Raises:
            RefusedError: when the records are missing, or another process has them open.
        """
        self._checkpoints = directory / _CHECKPOINTS
        self._evidence = directory / _EVIDENCE
        for path in (self._checkpoints, self._evidence):
            if not path.is_dir():
                raise RefusedError(f"{path} is missing: a witness without its memory must not sign; make a new one")
            make_private_directory(path)
        self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RefusedError(f"another process serves the witness in {directory}") from None

    def close(self) -> None:
        """Release the directory."""
        os.close(self._lock)

    def latest(self, origin: str) -> tuple[Note, Checkpoint] | None:
        """Return the latest checkpoint that was cosigned for a log, with its signatures; None if there was none.

        Raises:
            UnavailableError: when it can't be read, or is another log's.
        """
        path = self._path(origin)
        if not os.path.lexists(path):
            return None
        try:
            note = parse_note(read_private(path))
            checkpoint = Checkpoint.parse_extended(note.text)
            if checkpoint.origin != origin:
                raise MalformedError("it is another log's")
        except LedgerError as error:
            raise UnavailableError(f"the record of {origin!a} is damaged: {error}") from None
        return note, checkpoint

    def by_hash(self, digest: str) -> bytes | None:
        """Return the latest note of the log with this origin hash, as bytes; None if there is none.

        Raises:
            RefusedError: when it can't be read.
        """
        if not _ORIGIN_HASH.fullmatch(digest):  # it comes from a URL and names a file
            return None
        path = self._checkpoints / digest
        return read_private(path) if os.path.lexists(path) else None

    def keep(self, origin: str, note: Note) -> None:
        """Make a cosigned checkpoint durable.

        Raises:
            UnavailableError: when it can't be written; then nothing may be answered but that.
        """
        try:
            write_private(self._path(origin), note.to_bytes())
        except RefusedError as error:
            raise UnavailableError(str(error)) from None

    def keep_refused(self, origin: str, request: bytes, refused: Note, *, forked: bool) -> bool:
        """Keep a refused request, and what was known when it came, as evidence against the log that signed it.

        Files: `<kind>-<SHA-256 of the refused text>.request` and `.known`, kind `fork` or `refused`.

        Returns:
            False when it is kept already, the bound is reached, or it can't be written.
        """
        folder = self._evidence / origin_hash(origin)
        kind = "fork" if forked else "refused"
        name = f"{kind}-{sha256(refused.text).hexdigest()}"
        try:
            make_private_directory(folder)
            path = folder / f"{name}.request"
            if path.exists() or sum(1 for _ in folder.glob(f"{kind}-*.request")) >= MAX_EVIDENCE:
                return False
            known = self.by_hash(origin_hash(origin))
            if known is not None:
                write_private(folder / f"{name}.known", known)
            write_private(path, request)
        except (RefusedError, OSError):
            return False
        return True

    def _path(self, origin: str) -> Path:
        return self._checkpoints / origin_hash(origin)

"""A node's journal: an append-only file of records, durable before anything is done that rests on them.

Invariants:
- `append` returns after fsync. Records of several threads share one, and one line: CRC-32 (8 hex digits), a space, a
  JSON list. So what a crash tears is the last line: nothing rested on it, and it is cut off. A damaged line before the
  last refuses: then nobody knows what was begun.
- One process at a time has a journal. Where there is no room, what was to be written is kept here, in its order, and
  written with whatever comes next: `append` says that it is not durable yet, `full` says so until it is. When a write
  fails in any other way nothing more is taken: the node stops rather than forget.
- `rewrite` replaces the file in one step: temporary file, fsync, rename, fsync of the directory. Nothing that
  follows it counts as durable before the rename does; where it did not come to the rename the old file goes on.
"""

import errno
import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from domain.errors import RefusedError, UnavailableError, VerificationError
from infrastructure.closing import Closing
from infrastructure.keys.private_files import make_private_directory, sync_directory

Record = dict[str, Any]

FILE: Final = "journal"
_LOCK: Final = "lock"
_OWNER_ONLY: Final = 0o600
_CRC_DIGITS: Final = 8
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def journal_of(key: Path) -> Path:
    """Return the directory of the journal of a node whose wallet lies there, unless it is told another."""
    return key.with_suffix(".node")


def is_run(key: Path) -> bool:
    """Tell whether a process runs the node of a wallet, with its journal beside it."""
    try:
        descriptor = os.open(journal_of(key) / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Journal(Closing):
    """The journal in a directory. Safe to call from several threads.

    Args:
        directory: made if missing (0700).
    """

    def __init__(self, directory: Path) -> None:
        """Open or make it.

        Raises:
            RefusedError: when another process has it, or it can't be made.
            VerificationError: when it is damaged.
        """
        make_private_directory(directory)
        self._path = directory / FILE
        self._lock_file = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock_file)
            raise RefusedError(f"another process runs the node of {directory}") from None
        self.records: list[Record] = self._read()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _OWNER_ONLY)
        sync_directory(directory)
        self.size_bytes = os.fstat(self._file).st_size
        self._taking = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[Record] = []
        self._taken, self._written = 0, 0
        self._failed = False
        self._full = False
        self._renamed = False

    @property
    def failed(self) -> bool:
        """Whether the disk did not take what had to be durable: nothing more is taken."""
        return self._failed

    @property
    def full(self) -> bool:
        """Whether there was no room at the last write: what was to be written waits for some."""
        return self._full

    def append(self, *records: Record) -> None:
        """Write records, all of them or, after a crash, none; return when they are durable.

        Raises:
            UnavailableError: when the disk does not take them. Unless it `failed` they are written with what follows.
        """
        with self._taking:
            self._waiting += records
            self._taken += 1
            mine = self._taken
        with self._writing:
            if self._written >= mine and not self._failed:
                return  # another thread wrote ours together with its own
            self._flush()

    def note(self, *records: Record) -> None:
        """Write records with the next `append`: what a crash may forget."""
        with self._taking:
            self._waiting += records
            self._taken += 1

    def retry(self) -> None:
        """Write what there was no room for. Raises as `append` does."""
        with self._writing:
            if self._full:
                self._flush()

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace everything by these records. What was noted and not written is not lost: it follows them.

        Raises:
            UnavailableError: when the disk does not take them.
        """
        with self._writing:
            if self._failed:
                raise UnavailableError("the node's journal can't be written: the node has to stop")
            temporary, made = self._path.with_suffix(".next"), -1
            try:
                temporary.unlink(missing_ok=True)
                made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, _OWNER_ONLY)
                _write(made, _line(list(records)))
                os.fsync(made)
                size_bytes = os.fstat(made).st_size
                temporary.replace(self._path)
            except OSError as error:
                if made >= 0:
                    os.close(made)
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)  # it takes the room that others need
                raise UnavailableError(f"the node's journal can't be written anew: {error.strerror}") from None
            os.close(self._file)  # from here on the file of that name is the new one, whatever else goes wrong
            self._file, self.size_bytes, self._renamed = made, size_bytes, True
            self._settle()

    def close(self) -> None:
        """Write what was noted, and let others have it. Safe to repeat."""
        with self._writing:
            if self._lock_file < 0:
                return
            try:
                if self._waiting and not self._failed:
                    self._flush()
            finally:
                os.close(self._file)
                os.close(self._lock_file)
                self._lock_file = -1

    def _flush(self) -> None:
        """Write all that waits. The caller holds `_writing`."""
        if self._failed:
            raise UnavailableError("the node's journal can't be written: the node has to stop")
        self._settle()
        with self._taking:
            records, self._waiting, upto = self._waiting, [], self._taken
        data = _line(records)
        try:
            try:
                _write(self._file, data)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                os.ftruncate(self._file, self.size_bytes)  # a part of a line may have found room
                with self._taking:
                    self._waiting = [*records, *self._waiting]
                self._full = True
                raise UnavailableError(f"the node's journal can't be written: {error.strerror}") from None
            os.fdatasync(self._file)
        except OSError as error:
            self._failed = True
            raise UnavailableError(f"the node's journal can't be written: {error.strerror}") from None
        self.size_bytes += len(data)
        self._written, self._full = upto, False

    def _settle(self) -> None:
        """Make a rename durable that is not. The caller holds `_writing`."""
        if not self._renamed:
            return
        try:
            sync_directory(self._path.parent)
        except OSError as error:
            self._full = error.errno in _NO_ROOM  # tried again with the next write
            self._failed = not self._full
            raise UnavailableError(f"the node's journal can't be made durable: {error.strerror}") from None
        self._renamed = False

    def _read(self) -> list[Record]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RefusedError(f"cannot read {self._path}: {error.strerror}") from None
        lines = data.split(b"\n")
        torn = lines.pop()
        found = [_records(line) for line in lines]
        if found and found[-1] is None and not torn:
            found.pop()
            torn = lines.pop() + b"\n"
        if None in found:
            raise VerificationError(f"{self._path} is damaged at line {found.index(None) + 1}: move it away by hand")
        if torn:
            os.truncate(self._path, len(data) - len(torn))
        return [record for records in found if records is not None for record in records]


def _line(records: Sequence[Record]) -> bytes:
    body = json.dumps(records, separators=(",", ":")).encode()
    return f"{zlib.crc32(body):08x} ".encode() + body + b"\n"


def _records(line: bytes) -> list[Record] | None:
    """Return what a line holds, None where it is damaged."""
    try:
        if int(line[:_CRC_DIGITS], 16) != zlib.crc32(line[_CRC_DIGITS + 1 :]):
            return None
        records = json.loads(line[_CRC_DIGITS + 1 :])
    except ValueError:
        return None
    return records if isinstance(records, list) else None


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]

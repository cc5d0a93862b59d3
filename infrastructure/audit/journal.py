"""What an audit writes down so that it can be resumed, in a directory of the auditor's own.

Three files: `places` and `ended`, to which records of the compact maps are appended; and `position`, replaced in
one step every few seconds, which says how much of those two counts, their hashes, and where the audit stood.

Invariants:
- The state belongs to one bundle (origin, size, root, hash of the manifest) and one program (hash of its code). Any
  other one is set aside, and the audit begins anew.
- What is trusted: that statements, versions and ends before the position were found good. Never the bundle: every
  entry, tile and signature of the checkpoint is verified again by each run, before the state is looked at; and what had
  not ended at the position is checked again from the entries. Who can write the state can hide a bad statement from
  the auditor, so it is its owner's alone (0700, 0600), and refused where it is not. Nothing else authenticates it.
- A crash leaves an older position, whose records the files begin with, or a state that does not fit and is set aside.
"""

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import ConflictError, RefusedError, UnavailableError
from infrastructure.audit.compact import SALT_BYTES, CompactMap
from infrastructure.closing import Closing
from infrastructure.entropy import SystemEntropy

_POSITION, _PLACES, _ENDED, _LOCK = "position", "places", "ended", "lock"
_FORMAT = "ledger-audit-state/v1"
_OWNERS_DIRECTORY, _OWNERS_FILE = 0o700, 0o600
_OTHERS = 0o077
_EVERY_S = 5.0
_SHARE = 20
"""Saving takes at most a twentieth of the time."""

_PACKAGES = (
    "domain", "infrastructure.audit", "infrastructure.credentials", "infrastructure.keys", "infrastructure.statements",
    "infrastructure.tlog",
)  # fmt: skip


class Position(BaseModel):
    """Where an audit stood after `size` entries: counts, nodes by number, and what had not ended.

    `leaves` are the entries of open streams, and `versions` their last versions; `hidden_since` is the first entry of
    each key generation that was not disclosed.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: int
    opened: int
    unjudged: int
    sealed: int
    counts: list[dict[str, int]]
    nodes: list[str]
    node_kids: dict[str, str]
    hidden_since: dict[int, int]
    versions: dict[str, int]
    leaves: list[int]


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: str
    belongs_to: str
    salt: str
    lengths: dict[str, int]
    hashes: dict[str, str]
    position: Position


class Journal(Closing):
    """One audit's state. Close it; `discard` it when the audit has come to a verdict.

    Args:
        directory: missing, empty, or with the state of an earlier run.
        bundle: names the bundle: origin, size, root, hash of the manifest.

    Raises:
        RefusedError: when the directory is not this user's alone, or holds something else.
        ConflictError: when another audit uses it.
        UnavailableError: when the disk refuses.
    """

    def __init__(self, directory: Path, bundle: str) -> None:
        self._directory = directory
        self._belongs_to = _digest(f"{bundle}\n{_program()}")
        try:
            self._lock = _own(directory)
            state = self._read()
            self.position = state.position if state else None
            self.salt = bytes.fromhex(state.salt) if state else SystemEntropy().bytes(SALT_BYTES)
            self._files = {name: _Appended(directory / name, state.lengths[name] if state else 0) for name in _RECORDS}
        except OSError as error:
            raise _unavailable(directory, error) from error
        if state and any(self._files[name].digest() != state.hashes[name] for name in _RECORDS):
            self.position = None
            for file in self._files.values():
                file.clear()
        self._saved_at = self._next_at = time.monotonic()
        self._next_at += _EVERY_S

    def record_place(self, record: bytes) -> None:
        """Write down a record of `places`."""
        self._files[_PLACES].add(record)

    def record_ended(self, record: bytes) -> None:
        """Write down a record of `ended`."""
        self._files[_ENDED].add(record)

    def load(self, places: CompactMap, ended: CompactMap) -> None:
        """Fill the maps with what an earlier run wrote down."""
        for name, found in ((_PLACES, places), (_ENDED, ended)):
            for record in self._files[name].records(found.record_bytes):
                found.load(record)

    def due(self) -> bool:
        """Tell whether it is time to save."""
        return time.monotonic() >= self._next_at

    def save(self, position: Position) -> None:
        """Make what was written down, and the position, durable: both or neither."""
        began = time.monotonic()
        try:
            for file in self._files.values():
                file.flush()
            state = _State(
                format=_FORMAT,
                belongs_to=self._belongs_to,
                salt=self.salt.hex(),
                lengths={name: file.length for name, file in self._files.items()},
                hashes={name: file.digest() for name, file in self._files.items()},
                position=position,
            )
            body = state.model_dump_json()
            _replace(self._directory / _POSITION, f"{_digest(body)}\n{body}".encode())
        except OSError as error:
            raise _unavailable(self._directory, error) from error
        ended = time.monotonic()
        self._next_at = ended + max(_EVERY_S, _SHARE * (ended - began))

    def discard(self) -> None:
        """Remove the state."""
        for name in (_POSITION, *_RECORDS, _LOCK):
            (self._directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the directory to others."""
        for file in self._files.values():
            file.close()
        os.close(self._lock)

    def _read(self) -> _State | None:
        """Return the state of an earlier run, if there is one and it fits."""
        try:
            digest, _, body = (self._directory / _POSITION).read_text("utf-8").partition("\n")
            if digest != _digest(body):
                return None
            state = _State.model_validate_json(body)
            salt = bytes.fromhex(state.salt)
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError):
            return None
        fits = (state.format, state.belongs_to, len(salt)) == (_FORMAT, self._belongs_to, SALT_BYTES)
        known = state.lengths.keys() == set(_RECORDS) == state.hashes.keys()
        return state if fits and known and all(length >= 0 for length in state.lengths.values()) else None


_RECORDS = (_PLACES, _ENDED)


class _Appended:
    """A file that grows, with the hash of what counts of it."""

    def __init__(self, path: Path, length: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNERS_FILE)
        self.length = min(length, os.fstat(self._descriptor).st_size)
        os.ftruncate(self._descriptor, self.length)
        self._hash = hashlib.sha256()
        for part in self._parts(1 << 20):
            self._hash.update(part)
        self._waiting = bytearray()

    def add(self, record: bytes) -> None:
        """Take a record; it counts after `flush`."""
        self._waiting += record

    def flush(self) -> None:
        """Write and sync what was added."""
        os.pwrite(self._descriptor, self._waiting, self.length)
        os.fsync(self._descriptor)
        self._hash.update(self._waiting)
        self.length += len(self._waiting)
        self._waiting.clear()

    def records(self, width: int) -> Iterator[bytes]:
        """Yield the records that count."""
        for part in self._parts(width * 4096):
            for at in range(0, len(part) - width + 1, width):
                yield part[at : at + width]

    def digest(self) -> str:
        """Return the hash of what counts, in hex."""
        return self._hash.hexdigest()

    def clear(self) -> None:
        """Begin anew."""
        os.ftruncate(self._descriptor, 0)
        self.length, self._hash = 0, hashlib.sha256()

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def _parts(self, size: int) -> Iterator[bytes]:
        for at in range(0, self.length, size):
            yield os.pread(self._descriptor, min(size, self.length - at), at)


def check_state(directory: Path) -> None:
    """Check that a directory can hold an audit's state, and make it. Raises as `Journal` does."""
    try:
        os.close(_own(directory))
    except OSError as error:
        raise _unavailable(directory, error) from error


def _own(directory: Path) -> int:
    """Make or take the directory for this process; return its lock."""
    directory.mkdir(_OWNERS_DIRECTORY, parents=True, exist_ok=True)
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise RefusedError(f"{directory} is not a directory of this user's: name another one for the audit's state")
    if status.st_mode & _OTHERS:
        if any(directory.iterdir()):
            raise RefusedError(f"{directory} is open to others, who could hide what was found: remove it first")
        directory.chmod(_OWNERS_DIRECTORY)
    if strangers := {path.name for path in directory.iterdir()} - {_POSITION, f"{_POSITION}.new", *_RECORDS, _LOCK}:
        raise RefusedError(f"{directory} holds {min(strangers)[:80]!a}: name a directory for the audit's state alone")
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNERS_FILE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConflictError(f"another audit uses {directory} just now") from None
    return lock


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNERS_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def _program() -> str:
    """Return a hash over the code whose findings a state repeats."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for module in sorted(_modules(files(package)), key=lambda one: one[0]):
            digest.update(f"{package}/{module[0]}\0{len(module[1])}\0".encode() + module[1])
    return digest.hexdigest()


def _modules(folder: Any, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.name.endswith(".py"):
            yield prefix + item.name, item.read_bytes()
        elif item.is_dir():
            yield from _modules(item, f"{prefix}{item.name}/")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unavailable(directory: Path, error: OSError) -> UnavailableError:
    return UnavailableError(f"cannot keep the audit's state in {directory}: {error.strerror or error}")


def bundle_name(origin: str, size: int, root_hex: str, manifest: bytes) -> str:
    """Return what names a bundle for its audit's state."""
    return json.dumps([origin, size, root_hex, hashlib.sha256(manifest).hexdigest()])

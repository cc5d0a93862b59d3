"""The form of a backup: a plain tar file whose last member tells the SHA-256 of all others.

    database/<table>/<part>    PostgreSQL's binary COPY of a table, cut into parts: joined in order they are one stream
    files/<path>               a file of the data directory
    manifest.json              JCS, last: {"format", "kind", "members": {name: {"bytes", "sha256"}}, ...}

Invariants:
- ustar only: regular files, names that are relative and plain, every byte between them zero. `tar -xf` reads it too.
- An archive appears under its name whole, durable and its owner's alone (0600), or not at all; it replaces nothing.
  What a kill leaves is a hidden file beside it, which the next backup to that directory removes.
- Reading is strict and bounded: a member twice, one that the manifest does not name, a wrong digest, an early end and
  bytes after the end are refused, and nothing larger than a part is held in memory.
- The digests show damage, not a forger: whoever can write the archive can write its manifest. Floors, signatures and
  the auditors' bundles are what shows another history.
"""

import fcntl
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.canonical import canonical, parse_canonical
from domain.errors import ConflictError, LedgerError, UnavailableError, VerificationError
from infrastructure.keys.private_files import sync_directory

FORMAT: Final = "ledger-backup/v1"
MANIFEST: Final = "manifest.json"
PART_BYTES: Final = 4 << 20
"""Of a table's stream in one member, and what is held in memory at once."""
MAX_MANIFEST_BYTES: Final = 256 << 20
_BLOCK: Final = 512
_OWNERS_FILE: Final = 0o600
_WRITING: Final = ".writing"
_LEFT: Final = re.compile(r"\..+\.[0-9]{1,10}\.writing", re.DOTALL)
_MAGIC, _MAGIC_AT = b"ustar\x0000", 257
_NAME: Final = re.compile(r"[A-Za-z0-9_%.+=,@~: -]{1,100}(/[A-Za-z0-9_%.+=,@~: -]{1,100})*", re.ASCII)
_MOST_NAME: Final = 250

Progress = Callable[[int], None]
"""Told how many bytes were done, now and then."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Member(_Part):
    """What a member holds."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Table(_Part):
    """One table: its columns in the stream's order, and its rows."""

    columns: tuple[str, ...] = Field(strict=False)
    rows: int = Field(ge=0)


class KnownLog(_Part):
    """A log of the backed up cell."""

    log_id: str
    slot: int = Field(ge=0)
    origin: str
    size: int = Field(ge=0)


class Manifest(_Part):
    """The last member.

    Attributes:
        format: FORMAT.
        kind: `database`, or `keyring`: the two never share an archive.
        made_at: RFC 3339.
        program: release of the program that made it.
        postgresql: version number of the server.
        migrations: SHA-256 of the schema's files, in order.
        tables: those that are in it, by name.
        logs: what the cell had, by slot.
        members: all others.
    """

    format: Literal["ledger-backup/v1"]
    kind: Literal["database", "keyring"]
    made_at: str
    program: str
    postgresql: int = 0
    migrations: tuple[str, ...] = Field(default=(), strict=False)
    tables: dict[str, Table] = Field(default_factory=dict)
    logs: tuple[KnownLog, ...] = Field(default=(), strict=False)
    members: dict[str, Member]


@dataclass
class Writer:
    """An archive that is being written. Made by `writing`."""

    _file: IO[bytes]
    _told: Progress
    members: dict[str, Member] = field(default_factory=dict)
    done: int = 0

    def add(self, name: str, size: int, data: Iterable[bytes]) -> None:
        """Add a member.

        Args:
            name: its name.
            size: of all data, in bytes.
            data: in pieces.

        Raises:
            ConflictError: when its name can't be held, or is there.
            UnavailableError: when there is more or less data than `size`.
        """
        if not is_name(name) or name in self.members:
            raise ConflictError(f"{name[:300]!a} can't be kept in a backup: give that file another name")
        self._file.write(_header(name, size))
        digest, written = sha256(), 0
        for piece in data:
            written += len(piece)
            if written > size:
                break
            digest.update(piece)
            self._file.write(piece)
            self.done += len(piece)
            self._told(self.done)
        if written != size:
            raise UnavailableError(f"{name} changed while it was read: try again")
        self._file.write(bytes(-size % _BLOCK))
        self.members[name] = Member(bytes=size, sha256=digest.hexdigest())

    def add_stream(self, prefix: str, stream: Iterable[bytes]) -> None:
        """Add a stream of unknown length, in parts."""
        number, held = 0, bytearray()
        for piece in stream:
            held += piece
            while len(held) >= PART_BYTES:
                self.add(f"{prefix}/{number:08}", PART_BYTES, (bytes(held[:PART_BYTES]),))
                del held[:PART_BYTES]
                number += 1
        self.add(f"{prefix}/{number:08}", len(held), (bytes(held),))

    def finish(self, manifest: Mapping[str, Any]) -> str:
        """Write the manifest, whose `format` and `members` are added here; return its SHA-256 (hex)."""
        members = {name: member.model_dump() for name, member in self.members.items()}
        data = canonical({"format": FORMAT, **manifest, "members": members})
        Manifest.model_validate(parse_canonical(data))
        self._file.write(_header(MANIFEST, len(data)) + data + bytes(-len(data) % _BLOCK) + bytes(2 * _BLOCK))
        return sha256(data).hexdigest()


@contextmanager
def writing(out: Path, told: Progress = lambda _done: None) -> Iterator[Writer]:
    """Give an archive to fill; it gets its name when all went well.

    Raises:
        ConflictError: when there is something of that name.
        UnavailableError: when the disk refuses.
    """
    if os.path.lexists(out):
        raise ConflictError(f"{out} exists already: a backup replaces nothing")
    aside = out.with_name(f".{out.name}.{os.getpid()}{_WRITING}")
    try:
        _clear(out.parent)
        descriptor = _begun(aside)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _OWNERS_FILE)  # whatever the umask
                yield Writer(file, told)
                file.flush()
                os.fsync(descriptor)
                os.link(aside, out)
                aside.unlink()
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_directory(out.parent)
    except FileExistsError:
        raise ConflictError(f"{out} exists already: a backup replaces nothing") from None
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from None


def _begun(aside: Path) -> int:
    """Make the file, and hold its lock for as long as it is written: who is killed holds none any more."""
    while True:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNERS_FILE)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # somebody cleared it away before it was locked


def _clear(directory: Path) -> None:
    """Remove what backups that were killed have left: unfinished archives of ours that nobody is writing."""
    for path in directory.glob(f".*.*{_WRITING}"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # gone meanwhile, or another's
        try:
            if _LEFT.fullmatch(path.name) and _is_ours(descriptor):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # it is being written
        finally:
            os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    about = os.fstat(descriptor)
    owned = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) == _OWNERS_FILE
    return owned and os.pread(descriptor, len(_MAGIC), _MAGIC_AT) in (b"", _MAGIC)


class Reader:
    """An archive that is read from its beginning to its end. A context manager.

    Args:
        path: the file.
        told: told how far it was read.

    Raises:
        UnavailableError: when it can't be read.
    """

    def __init__(self, path: Path, told: Progress = lambda _done: None) -> None:
        self._path = path
        self._told = told
        self._done = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UnavailableError(f"cannot read {path}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def members(self) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Yield name, size and data of each member; data that nobody took is passed over.

        Raises:
            VerificationError: when this is no such archive.
        """
        while True:
            block = self._take(_BLOCK)
            if block == bytes(_BLOCK):
                if self._take(_BLOCK) != bytes(_BLOCK) or self._file.read(1):
                    raise self._damaged("it does not end where it should")
                return
            name, size = self._parsed(block)
            data = self._data(size)
            yield name, size, data
            for _ in data:
                pass
            if any(self._take(-size % _BLOCK)):
                raise self._damaged(f"something lies behind {name}")

    def verified(self) -> Manifest:
        """Read it to its end; return its manifest, with which all members agree.

        Raises:
            VerificationError: when it is damaged or no backup.
        """
        found: dict[str, Member] = {}
        manifest: Manifest | None = None
        for name, size, data in self.members():
            if manifest is not None or name in found:
                raise self._damaged(f"{name} has no place there")
            if name == MANIFEST:
                manifest = self._manifest(size, data)
                continue
            digest = sha256()
            for piece in data:
                digest.update(piece)
            found[name] = Member(bytes=size, sha256=digest.hexdigest())
        if manifest is None:
            raise self._damaged("it has no manifest")
        if found != manifest.members:
            wrong = [
                name for name in sorted({*found, *manifest.members}) if found.get(name) != manifest.members.get(name)
            ]
            raise self._damaged(f"{wrong[0]} is not what the manifest says")
        return manifest

    def agreeing(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield name and data of each member but the manifest. Data that ends was checked against the manifest."""
        for name, size, data in self.members():
            if name != MANIFEST:
                yield name, self._checked(name, size, data, manifest)

    def _checked(self, name: str, size: int, data: Iterable[bytes], manifest: Manifest) -> Iterator[bytes]:
        digest = sha256()
        for piece in data:
            digest.update(piece)
            yield piece
        if manifest.members.get(name) != Member(bytes=size, sha256=digest.hexdigest()):
            raise self._damaged(f"{name} changed meanwhile")

    def _manifest(self, size: int, data: Iterable[bytes]) -> Manifest:
        if size > MAX_MANIFEST_BYTES:
            raise self._damaged("its manifest is too long")
        try:
            return Manifest.model_validate(parse_canonical(b"".join(data)))
        except (LedgerError, ValidationError):
            raise self._damaged("its manifest is none that this program knows") from None

    def _parsed(self, block: bytes) -> tuple[str, int]:
        try:
            header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError):
            raise self._damaged("it is no tar file, or cut off") from None
        if not is_name(header.name) or header.size < 0 or block != _header(header.name, header.size):
            raise self._damaged("a member is not as backups have them")
        return header.name, header.size

    def _data(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._take(min(size, PART_BYTES))
            size -= len(piece)
            yield piece

    def _take(self, count: int) -> bytes:
        try:
            data = self._file.read(count)
        except OSError as error:
            raise UnavailableError(f"cannot read {self._path}: {error.strerror}") from None
        if len(data) != count:
            raise self._damaged("it ends too early")
        self._done += count
        self._told(self._done)
        return data

    def _damaged(self, why: str) -> VerificationError:
        return VerificationError(f"{self._path} is no whole backup: {why}")


def is_name(name: str) -> bool:
    """Tell whether a member may have this name: relative, plain, nowhere upwards."""
    plain = len(name) <= _MOST_NAME and _NAME.fullmatch(name) is not None
    return plain and not {".", ".."} & set(name.split("/"))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _OWNERS_FILE
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError:
        raise ConflictError(f"{name[:300]!a} can't be kept in a backup: its name or content is too long") from None

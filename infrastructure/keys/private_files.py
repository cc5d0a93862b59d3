"""Files that only their owner may read, written whole or not at all.

Invariants:
- A write goes to a temporary sibling (0600), is fsynced, renamed over the old file, and the directory is fsynced: a
  crash leaves the old file or the new one, and perhaps a `.tmp` sibling that the next write replaces.
- Where a file is replaced with `replace_private`, its old bytes are zeroed, and at no point is neither content there.
- A file that group or others can read is refused, with the command that mends it.
- Error texts name paths, never contents.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import MalformedError, RefusedError, UnknownError

MAX_FILE_BYTES = 1_048_576
_OWNER_ONLY = 0o600
_OTHERS = 0o077


def make_private_directory(path: Path) -> None:
    """Make a directory (0700) with its parents, or check one that exists.

    Raises:
        RefusedError: when group or others may enter it, or it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"cannot make the directory {path}: {error.strerror}") from None
    _check_mode(path, path.stat().st_mode, "700")


def write_private(path: Path, data: bytes, *, new: bool = False) -> None:
    """Write a file durably. Callers who race hold `locked`.

    Args:
        path: where to; its directory exists.
        data: its whole content.
        new: refuse to replace a file that is there.

    Raises:
        RefusedError: when `new` and the file exists, or it cannot be written.
    """
    temporary = _temporary(path)
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(temporary, path)
            temporary.unlink()
        else:
            temporary.replace(path)
        sync_directory(path.parent)
    except FileExistsError:
        temporary.unlink(missing_ok=True)
        raise RefusedError(f"{path} exists already; it is never overwritten") from None
    except OSError as error:
        raise RefusedError(f"cannot write {path}: {error.strerror}") from None


def read_private(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a private file.

    Raises:
        UnknownError: when there is none.
        RefusedError: when others may read it, or it cannot be read.
        MalformedError: when it is longer than `limit` bytes (1 MiB).
    """
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode, "600")
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise UnknownError(f"there is no file {path}") from None
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise MalformedError(f"{path} is longer than {limit} bytes")
    return data


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file's content and overwrite the old bytes with zeros. Callers who race hold `locked`.

    The new content is durable beside it (`.next`) before the first old byte is lost; from then on it is what
    `read_replaced` returns. A crash in between leaves it there, and `finish_replacement` does the rest.

    Copy-on-write file systems, snapshots and flash may keep old bytes: they are worth as much as the wrapping key is.
    Copies of keys are made by us only where somebody asks (`backup --keys`): who asked zeroes or removes those.

    Raises:
        RefusedError: when it cannot be written.
    """
    finish_replacement(path)
    write_private(_next(path), data)
    finish_replacement(path)


def finish_replacement(path: Path) -> None:
    """Zero the file and let what lies beside it take its place; nothing, where no replacement is under way.

    Raises:
        RefusedError: when it cannot be written.
    """
    try:
        if not _next(path).exists():
            return
        for old in (path, _temporary(path)):  # a crash may have left an unfinished write as well
            if old.exists():
                _zero(old)
        _temporary(path).unlink(missing_ok=True)
        _next(path).replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise RefusedError(f"cannot erase {path}: {error.strerror}") from None


def read_replaced(path: Path) -> bytes:
    """Return a private file's content, or what is about to take its place. Raises as `read_private` does."""
    following = _next(path)
    if following.exists():
        try:
            return read_private(following)
        except UnknownError:
            pass  # it has taken its place meanwhile
    return read_private(path)


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file while in the block; waits for other processes and threads."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _zero(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


def _check_mode(path: Path, mode: int, wanted: str) -> None:
    if stat.S_IMODE(mode) & _OTHERS:
        raise RefusedError(f"{path} can be read by others than its owner; run: chmod {wanted} '{path}'")

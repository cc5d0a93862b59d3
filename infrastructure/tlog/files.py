"""Reads directories that others wrote, and trusts nothing in them.

Invariants:
- Only regular files are opened, never through a symlink at their end and never blocking: a FIFO or a device refuses.
- Every read, listing and depth is bounded; every refusal is a `VerificationError` that names the file.
- Names are shown escaped: a terminal sees no control character and no byte that isn't UTF-8.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from domain.errors import VerificationError

MAX_NAMES = 100_000
"""How many names one directory may hold. A directory of tiles has at most 2,001; the manifest bounds other files."""

MAX_DEPTH = 16
_CHUNK_BYTES = 1 << 20
_SHOWN_CHARACTERS = 200
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def shown(path: str) -> str:
    """Return a path as it may be printed: ASCII, without control characters, of bounded length."""
    text = path if path.isascii() and path.isprintable() else ascii(path)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def read_file(root: Path, path: str, limit: int) -> bytes:
    """Return a file's bytes, at most `limit`.

    Raises:
        VerificationError: when it is missing, not a regular file, longer, or unreadable.
    """
    descriptor = open_file(root, path, limit)
    try:
        parts: list[bytes] = []
        left = limit + 1
        while left and (part := os.read(descriptor, min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise _refusal(path, error) from None
    finally:
        os.close(descriptor)
    if not left:
        raise VerificationError(f"{shown(path)}: longer than {limit} bytes")
    return b"".join(parts)


def hash_file(root: Path, path: str, size: int) -> str:
    """Return the SHA-256 of a file of exactly `size` bytes, in lowercase hex, without holding it in memory.

    Raises:
        VerificationError: when it is missing, not a regular file, of another size, or unreadable.
    """
    descriptor = open_file(root, path, size)
    digest, seen = hashlib.sha256(), 0
    try:
        while seen <= size and (part := os.read(descriptor, _CHUNK_BYTES)):
            digest.update(part)
            seen += len(part)
    except OSError as error:
        raise _refusal(path, error) from None
    finally:
        os.close(descriptor)
    if seen != size:
        raise VerificationError(f"{shown(path)}: not the {size} bytes that the manifest says")
    return digest.hexdigest()


def exists(root: Path, path: str) -> bool:
    """Tell whether anything has this name, a dangling symlink included."""
    return os.path.lexists(root / path)


def walk(root: Path) -> Iterator[str]:
    """Yield the path of every file below the root, names sorted within each directory.

    Raises:
        VerificationError: for an empty directory, a symlink or special file, too many names or levels.
    """
    pending = [""]
    while pending:
        directory = pending.pop()
        files, directories = _list(root, directory)
        yield from files
        pending += reversed(directories)


def _list(root: Path, directory: str) -> tuple[list[str], list[str]]:
    if directory.count("/") >= MAX_DEPTH:
        raise VerificationError(f"{shown(directory)}: nested deeper than {MAX_DEPTH}")
    files: list[str] = []
    directories: list[str] = []
    try:
        with os.scandir(root / directory) as entries:
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if len(files) + len(directories) == MAX_NAMES:
                    raise VerificationError(f"{shown(directory or '.')}: more than {MAX_NAMES} names")
                if entry.is_dir(follow_symlinks=False):
                    directories.append(path)
                elif entry.is_file(follow_symlinks=False):
                    files.append(path)
                else:
                    raise VerificationError(f"{shown(path)}: not a regular file")
    except OSError as error:
        raise _refusal(directory or ".", error) from None
    if directory and not files and not directories:
        raise VerificationError(f"{shown(directory)}: an empty directory that no log needs")
    return sorted(files), sorted(directories)


def open_file(root: Path, path: str, limit: int) -> int:
    """Open a file for reading; return its descriptor, which the caller closes.

    Raises:
        VerificationError: when it is missing, not a regular file, longer than `limit` bytes, or unreadable.
    """
    try:
        if not stat.S_ISREG(os.lstat(root / path).st_mode):  # opening a device can do things by itself
            raise VerificationError(f"{shown(path)}: not a regular file")
        descriptor = os.open(root / path, _FLAGS)
    except OSError as error:
        raise _refusal(path, error) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        os.close(descriptor)
        raise VerificationError(f"{shown(path)}: longer than {limit} bytes, or not a regular file")
    return descriptor


def _refusal(path: str, error: OSError) -> VerificationError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return VerificationError(f"{shown(path)}: missing")
    return VerificationError(f"{shown(path)}: cannot be read ({error.strerror})")

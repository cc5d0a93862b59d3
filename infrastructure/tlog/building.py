"""The directory in which a bundle is built before it gets its name.

Invariants:
- A bundle appears under its name complete or not at all, and replaces nothing but an empty directory.
- What an interruption leaves lies beside it as `.<name>.partial`, its owner's alone (0700), and is taken up again by
  the next export to the same place. A refusal removes it: after a fault the next export begins afresh.
- One process builds at a time: the directory is locked.
- A file that holds secrets is its owner's alone (0600) from the moment it exists, and so is its bundle (0700).
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from domain.errors import ConflictError, LedgerError, UnavailableError
from infrastructure.tlog.layout import Listed

_OWNERS_DIRECTORY = 0o700
_OWNERS_FILE = 0o600
_ANYBODYS_FILE = 0o666
"""Before the umask."""

_OTHERS_WRITE = 0o022


def check_free(out: Path) -> None:
    """Check that a bundle can be written to a path: it is missing, or an empty directory.

    Raises:
        ConflictError: when it holds something already.
    """
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise ConflictError(f"{out} exists already; name a directory that does not, or an empty one")


def partial_of(out: Path) -> Path:
    """Return where an export to `out` keeps what an interruption leaves."""
    return out.parent / f".{out.name[:64]}.partial"


@contextmanager
def building(out: Path, *, private: bool) -> Iterator[Path]:
    """Give a directory beside `out` to fill, and move it there in one step when all went well.

    Files are not synced one by one: what a power cut leaves of a fresh bundle may be short, and fails verification.

    Raises:
        ConflictError: when `out` holds something, or another process is at work on it.
        UnavailableError: when the disk refuses.
    """
    try:
        check_free(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(partial_of(out)) as scratch:
            directory = scratch / "bundle"
            directory.mkdir(exist_ok=True)
            if private:
                directory.chmod(_OWNERS_DIRECTORY)  # whatever the umask
            yield directory
            _move(directory, out)
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from error


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Make or take up the partial directory, alone; remove it at the end, and after a refusal."""
    if not os.path.lexists(path):
        path.mkdir(_OWNERS_DIRECTORY)
        path.chmod(_OWNERS_DIRECTORY)  # whatever the umask
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
        raise ConflictError(f"{path} is not a directory of this user's alone: remove it first")
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNERS_FILE)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"another export writes {path} just now") from None
        try:
            yield path
        except UnavailableError:
            raise  # safe to repeat: what is there serves the next attempt
        except LedgerError:
            shutil.rmtree(path)
            raise
        shutil.rmtree(path)
    finally:
        os.close(lock)


def _move(directory: Path, out: Path) -> None:
    try:
        directory.rename(out)  # replaces nothing but an empty directory (rename(2))
    except OSError:
        check_free(out)  # somebody wrote it meanwhile
        raise


def put(directory: Path, path: str, data: bytes | Iterable[bytes], *, private: bool = False) -> Listed:
    """Write a file of the bundle, in place of what an interruption may have left; return what it holds.

    Args:
        directory: the bundle's.
        path: relative to it.
        data: the file's bytes, whole or in pieces.
        private: whether it is its owner's alone.
    """
    target = directory / path
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(target, flags, _OWNERS_FILE if private else _ANYBODYS_FILE)
    except (FileExistsError, FileNotFoundError):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        descriptor = os.open(target, flags, _OWNERS_FILE if private else _ANYBODYS_FILE)
    digest, size = sha256(), 0
    with os.fdopen(descriptor, "wb") as file:
        if private:
            os.fchmod(descriptor, _OWNERS_FILE)  # whatever the umask
        for part in (data,) if isinstance(data, bytes) else data:
            file.write(part)
            digest.update(part)
            size += len(part)
    return Listed(digest.hexdigest(), size)


def clear_all_but(directory: Path, keep: Callable[[str], bool]) -> None:
    """Remove what an interruption left and the next attempt does not take up.

    Args:
        directory: the bundle's.
        keep: tells of a file's relative path whether it stays.
    """
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            path = Path(folder, name)
            if path.is_symlink() or not keep(path.relative_to(directory).as_posix()):
                path.unlink()
        if Path(folder) != directory and not any(Path(folder).iterdir()):
            Path(folder).rmdir()

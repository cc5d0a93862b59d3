"""Files of a published directory: durable, and written once.

Invariants:
- A file appears whole or not at all: it is written and synced aside, then renamed.
- A batch appears only after all of it is written; a crash before leaves what was there, one in between a part of the
  batch, which the next run completes. Directories are synced once for each batch.
- What is there is never overwritten by a batch: other content under its name is an error that names the file.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from domain.errors import UnavailableError, VerificationError
from infrastructure.keys.private_files import sync_directory

_ASIDE = ".writing"


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error that names the directory."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror or error}") from None


def replace_file(path: Path, data: bytes) -> None:
    """Write a file over what is there, durably: a crash leaves the old file or the new one.

    Raises:
        UnavailableError: when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.writing")
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(temporary, data)
        temporary.rename(path)
        sync_directory(path.parent)


class FileBatch:
    """Files of one directory that appear together. One process at a time: its caller holds the log's lock.

    Use it as a context manager; what was not placed is gone at its end.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = root / _ASIDE
        self._paths: list[str] = []

    def add(self, path: str, data: bytes) -> None:
        """Write a file aside.

        Raises:
            UnavailableError: when the disk refuses.
        """
        with disk(self._root):
            _write(self._aside / str(len(self._paths)), data)
        self._paths.append(path)

    def place(self) -> None:
        """Put all files in place, durably.

        Raises:
            VerificationError: when a file of that name has other content.
            UnavailableError: when the disk refuses.
        """
        with disk(self._root):
            directories = {self._root}
            for number, path in enumerate(self._paths):
                target = self._root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                directories.update(target.parents[: len(Path(path).parts)])
                self._put(self._aside / str(number), target, path)
            for directory in sorted(directories):
                sync_directory(directory)
            self._paths.clear()

    def _put(self, written: Path, target: Path, path: str) -> None:
        if not os.path.lexists(target):
            written.rename(target)
        elif not _same(written, target):
            raise VerificationError(
                f"{path} of {self._root} has other content than the log's entries give: either it was damaged (restore "
                "it from a mirror), or the database holds another history than was written there"
            )

    def __enter__(self) -> Self:
        with disk(self._root):
            shutil.rmtree(self._aside, ignore_errors=True)  # what a crash left
            self._aside.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _same(one: Path, other: Path) -> bool:
    return not other.is_symlink() and other.is_file() and one.read_bytes() == other.read_bytes()

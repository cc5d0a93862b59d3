"""Where bundles lie while they are sent: `exports/` below the data directory, a directory for each process.

Invariants:
- A process holds the lock of its own directory for as long as it lives, however it ends. Whoever starts removes the
  directories whose lock nobody holds: keys may be in them. No process touches what another one is sending.
- Making a directory and clearing are one after the other, so none is cleared before it is locked.
"""

import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Final

from infrastructure.closing import Closing
from infrastructure.keys.private_files import locked, make_private_directory

FOLDER: Final = "exports"
_LOCK: Final = "lock"
_ABANDONED_S: Final = 86_400.0
"""What has no lock was made by an older release; after so long nobody sends it any more."""


class Exports(Closing):
    """The exports of this process.

    Args:
        data_dir: the cell's.
        alone: no other process answers: what has no lock is nobody's.
    """

    def __init__(self, data_dir: Path, *, alone: bool = False) -> None:
        above = data_dir / FOLDER
        make_private_directory(above)
        with locked(above / _LOCK):
            _clear(above, 0.0 if alone else _ABANDONED_S)
            self._own = above / secrets.token_hex(16)
            self._own.mkdir(mode=0o700)
            self._held = os.open(self._own / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def new(self) -> Path:
        """Return a path that is missing, for one export."""
        return self._own / secrets.token_hex(16)

    def close(self) -> None:
        """Remove all of this process. Safe to repeat."""
        shutil.rmtree(self._own, ignore_errors=True)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def _clear(above: Path, after_s: float) -> None:
    for left in above.iterdir():
        if left.is_dir() and not left.is_symlink() and _abandoned(left, after_s):
            shutil.rmtree(left, ignore_errors=True)


def _abandoned(left: Path, after_s: float) -> bool:
    """Tell whether nobody sends from a directory any more; one without a lock counts for so long."""
    try:
        lock = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - left.stat().st_mtime > after_s
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True

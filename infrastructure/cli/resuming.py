"""Where a long audit keeps what it has found, so that the same command goes on after an interruption.

Invariants:
- Only a log that takes more than moments is given a place of its own, below the user's state directory (XDG), private
  to the user; whoever names a directory with --state has it used for any log.
- A verdict leaves nothing behind.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.errors import LedgerError
from infrastructure.audit.disclosure import KEYS
from infrastructure.cli.output import say
from infrastructure.tlog.reader import read_checkpoint
from infrastructure.workers import usable_cores

LONG_LOG = 100_000
"""Entries from which on an audit is worth resuming."""

WORTH_SHARING = 20_000
"""Entries from which on the work is more than starting processes for it."""


def stated_size(directory: Path) -> int | None:
    """Return the size that a log's directory states; None where verification will say what is wrong."""
    try:
        return read_checkpoint(directory).size
    except (LedgerError, OSError, ValueError):
        return None


def work_of(directory: Path, size: int | None) -> int | None:
    """Return how many steps a progress bar has: with keys.json each entry counts twice."""
    return None if size is None else size * (2 if (directory / KEYS).is_file() else 1)


def jobs_for(size: int | None, asked: int | None) -> int:
    """Return how many processes share an audit: as asked, or one for each core where that is worth it."""
    return asked or (usable_cores() if (size or 0) >= WORTH_SHARING else 1)


@contextmanager
def audit_state(directory: Path, size: int | None, asked: Path | None) -> Iterator[Path | None]:
    """Give the directory in which an audit keeps its state; after an interruption say how to go on.

    Args:
        directory: the bundle.
        size: its size, as far as it states one.
        asked: where the user wants the state; None for a place of our own, and only for a long log.
    """
    state = asked or (_own_place(directory) if (size or 0) >= LONG_LOG and (directory / KEYS).is_file() else None)
    try:
        yield state
    except KeyboardInterrupt:
        if state is not None and any(state.glob("position")):
            say(f"interrupted; what was found is kept in {state}: the same command goes on from there")
        raise
    if asked is None and state is not None:
        with suppress(OSError):
            state.rmdir()


def _own_place(directory: Path) -> Path | None:
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - raises nothing
    if not os.path.isabs(home):  # noqa: PTH117 - a relative one is to be ignored (XDG)
        return None
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:32]
    return Path(home) / "enclave-ledger" / "audits" / name

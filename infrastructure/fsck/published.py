"""Published directories: each is verified by itself, as any reader would, and its checkpoint's signature with our keys.

Invariants:
- That the database gives the same root at the checkpoint's size is compared where its leaf hashes are made: then every
  published tile and entry is the database's.
- A publisher at work may put a newer checkpoint in place meanwhile and drop partial tiles: then it is read again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from domain.errors import LedgerError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import VerifierKey
from infrastructure.fsck.report import Report
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.derive import LogFiles, derive_from_entries
from infrastructure.tlog.signing import verify_checkpoint_signature

_TRIES = 5

KeysAt = Callable[[int], Sequence[VerifierKey]]
"""Gives the keys that sign a tree of a size."""


def check_published(tiles: TileDirectory, origin: str, keys_at: KeysAt, report: Report) -> None:
    """Verify what is published of a log, with every tile and entry."""
    for last in (False,) * (_TRIES - 1) + (True,):
        checkpoint: Checkpoint | None = None
        try:
            note, checkpoint = tiles.note(), tiles.checkpoint()
            if note is None or checkpoint is None:
                return
            if checkpoint.origin != origin:
                raise VerificationError("the checkpoint is of another log")
            for key in keys_at(checkpoint.size):
                if not any(line.by(key) for line in note.signatures):
                    raise VerificationError(f"checkpoint: signature stripped: none by {key.fingerprint}")
                verify_checkpoint_signature(note, key, checkpoint)
            derive_from_entries(LogFiles(tiles.path, checkpoint, ours=False))
        except UnavailableError:
            raise
        except LedgerError as error:
            if not last and _moved_on(tiles, checkpoint):
                continue
            report.differs("published", origin, f"{_shown(tiles.path)}: {error}")
        else:
            report.checked["published entries give every published tile and root"] += checkpoint.size
        return


def _moved_on(tiles: TileDirectory, seen: Checkpoint | None) -> bool:
    try:
        return tiles.checkpoint() != seen
    except VerificationError:
        return False


def _shown(path: Path) -> str:
    return "/".join(path.parts[-2:])

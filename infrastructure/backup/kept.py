"""What survived of a data directory beside its database: floors, rounds' journal, published logs.

Whoever restores gives it where there is any: it alone tells what was signed after the backup was made.

Invariants:
- A floor only rises. Two trees of one size with two roots are two histories, and nothing is restored over them.
- No link is followed.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from domain.errors import RefusedError, UnavailableError
from domain.transparency.checkpoint import Checkpoint
from infrastructure.backup.files import FLOORS
from infrastructure.keys.private_files import make_private_directory
from infrastructure.publish.floors import RESTORED_ALONE, Floors

_JOURNAL: Final = "anchors/rounds.jsonl"
_PUBLISHED: Final = "published"


def take_kept(kept: Path, into: Path) -> None:
    """Take over what survived, into a data directory that is being restored.

    Raises:
        RefusedError: when there is nothing of that kind, or it is of another history.
        VerificationError: when a floor is damaged.
        UnavailableError: when it can't be read or written.
    """
    if not any((kept / name).is_dir() for name in (FLOORS, "anchors", _PUBLISHED)):
        raise RefusedError(
            f"{kept} has neither floors/ nor anchors/ nor published/: name what survived, or leave it out"
        )
    floors, older = Floors(kept / FLOORS), Floors(into / FLOORS)
    for name in floors.names():
        found, known = floors.named(name), older.named(name)
        if found is not None and _rises(known, found):
            older.raise_to(found)
    try:
        if (kept / _JOURNAL).is_file():
            make_private_directory(into / "anchors")
            shutil.copyfile(kept / _JOURNAL, into / _JOURNAL, follow_symlinks=False)
            (into / _JOURNAL).chmod(0o600)
        if (kept / _PUBLISHED).is_dir():
            shutil.copytree(kept / _PUBLISHED, into / _PUBLISHED, symlinks=True, ignore=_links)
    except OSError as error:
        raise UnavailableError(f"cannot take over {kept}: {error.strerror or error}") from None


def freeze_all(data_dir: Path, origins: list[str], made_at: str, *, alone: bool) -> None:
    """Freeze logs, and the anchor log, which may have begun since: what was signed has to be asked first.

    Args:
        data_dir: the restored one.
        origins: of all logs.
        made_at: when the backup was made.
        alone: nothing was at hand that tells what was signed since; `log thaw` says so.
    """
    floors = Floors(data_dir / FLOORS)
    anchors = dict.fromkeys(f"{origin.split('/')[0]}/anchors" for origin in origins)
    reason = (
        f"{RESTORED_ALONE if alone else 'restored from a backup'} of {made_at}: run `enclave-ledger log thaw --all` "
        "(of the anchor log: `anchor thaw`), with --from a mirror where the published directory is lost"
    )
    for origin in [*origins, *anchors]:
        floors.freeze(origin, reason)


def _rises(known: Checkpoint | None, found: Checkpoint) -> bool:
    if known is None or found.size > known.size:
        return True
    if found.size == known.size and found != known:
        raise RefusedError(f"{found.origin}: backup and what survived are two histories at size {found.size}")
    return False


def _links(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118 - strings come

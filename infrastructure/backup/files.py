"""Which files of a data directory belong into which backup.

    database archive   floors/ (read before the database), anchors/, credentials/, trusted-roots/, witnesses.policy ...
    keyring archive    keys/, wrapped; only when asked also what lies open: machine key, root wallet, synthetic machines
    in none            postgres/ (its tables are), published/ (follows from them), exports/, locks, what nobody knows

Invariants:
- The keyring is never in the database's archive [who finds one has no content; an erased tenant's key is in none of
  them] and what opens it only where somebody asked for that.
- No link is followed.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from domain.errors import RefusedError, UnavailableError
from infrastructure.backup.archive import PART_BYTES, Writer

FLOORS: Final = "floors"
KEYS: Final = "keys"
MACHINE_KEY: Final = "keys/machine.key"
OPEN_SECRETS: Final = ("root.key.json", "synthetic")
NOTICES: Final = "notices"
BESIDE: Final = (
    "anchors", "collateral", "credentials", "nodes", NOTICES, "trusted-roots", "trusted-roots.pem",
    "witnesses.policy",
)  # fmt: skip
_IN_NONE: Final = frozenset({"exports", "postgres", "published", "work.lock"})
_PREFIX: Final = "files/"


def add_files(writer: Writer, data_dir: Path, names: tuple[str, ...], without: frozenset[str] = frozenset()) -> None:
    """Add files, and those of directories, as they are now.

    Raises:
        ConflictError: when a name can't be kept.
        UnavailableError: when one can't be read.
    """
    for path in (one for name in names for one in _files(data_dir, name) if one not in without):
        try:
            descriptor = os.open(data_dir / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                size = os.fstat(descriptor).st_size
                writer.add(f"{_PREFIX}{path}", size, _pieces(file.read, size))
        except FileNotFoundError:
            continue  # taken back meanwhile: a log was thawed, say
        except OSError as error:
            raise UnavailableError(f"cannot read {data_dir / path}: {error.strerror}") from None


def unknown(data_dir: Path) -> list[str]:
    """Return what lies in a data directory and is in no backup because nobody knows what it is."""
    known = {FLOORS, KEYS, *OPEN_SECRETS, *BESIDE, *_IN_NONE}
    return sorted(path.name for path in data_dir.iterdir() if path.name not in known)


def place_of(member: str, allowed: tuple[str, ...]) -> str:
    """Return where a member's file belongs, relative to the data directory.

    Raises:
        RefusedError: when it is none, or belongs elsewhere.
    """
    path = member.removeprefix(_PREFIX)
    if path == member or path.split("/")[0] not in allowed:
        raise RefusedError(f"the backup holds {member[:300]!a}, which has no place in this kind of backup")
    return path


def _files(data_dir: Path, name: str) -> Iterator[str]:
    path = data_dir / name
    if path.is_symlink():
        raise RefusedError(f"{path} is a link: a backup follows none")
    if path.is_file():
        if not _passing(path.name):
            yield name
    elif path.is_dir():
        for below in sorted(one.name for one in path.iterdir()):
            yield from _files(data_dir, f"{name}/{below}")


def _passing(name: str) -> bool:
    """Tell whether a file is a lock, or one that is being written."""
    return name == "lock" or name.endswith((".lock", ".tmp", ".writing"))  # a `.next` is what a file is about to be


def _pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = read(min(size, PART_BYTES))
        if not piece:
            return
        size -= len(piece)
        yield piece

"""Floors: for each origin the largest tree that may have been signed, outside the database (wire formats 2, "Floor").

A restored database would fill the same sizes with other events. Its tree is held against the floor before every
signature and at every start; where they disagree the log is frozen.

Invariants:
- `floors/<slot>` (or `floors/anchors`) is exactly the text of a checkpoint: origin, size, root.
- A floor is durable before the signature over its tree is made, never falls, and never gets another root.
- `floors/<slot>.frozen` says why a log is frozen. It outlives a restored database, as the floor does.
- Who signs for an origin holds `floors/<slot>.lock`: one signer process for each key.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from domain.errors import MalformedError, RefusedError, UnavailableError, UnknownError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from infrastructure.keys.private_files import (
    locked,
    make_private_directory,
    read_private,
    sync_directory,
    write_private,
)

_NAME = re.compile(r".+/(?:t/(?P<slot>0|[1-9][0-9]{0,18})|(?P<anchors>anchors))", re.ASCII)
_FLOOR = re.compile(r"0|[1-9][0-9]{0,18}|anchors", re.ASCII)
ANCHORS = "anchors"
"""Name of the anchor log's floor."""

RESTORED_ALONE = "restored from nothing but a backup"
"""How the reason begins for which a log is frozen that was restored without anything that survived beside it."""

_FROZEN, _LOCK = ".frozen", ".lock"


def floor_name(origin: str) -> str:
    """Return the name of an origin's floor: its slot, or `anchors`.

    Raises:
        MalformedError: when it is no origin of our logs.
    """
    found = _NAME.fullmatch(origin)
    if found is None:
        raise MalformedError(f"{origin[:200]!a} is no origin of a log of ours")
    return found["slot"] or found["anchors"]


class Floors:
    """The floors of one data directory.

    Args:
        directory: made (0700) when the first floor is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def signing(self, origin: str) -> AbstractContextManager[None]:
        """Hold the right to sign for an origin while in the block; waits for other processes."""
        make_private_directory(self._directory)
        return locked(self._directory / (floor_name(origin) + _LOCK))

    def names(self) -> Iterator[str]:
        """Yield the names of all floors that are there."""
        if self._directory.is_dir():
            yield from sorted(path.name for path in self._directory.iterdir() if _FLOOR.fullmatch(path.name))

    def read(self, origin: str) -> Checkpoint | None:
        """Return an origin's floor, or None where nothing was ever signed.

        Raises:
            VerificationError: when it is damaged, or another origin's.
        """
        floor = self.named(floor_name(origin))
        if floor is not None and floor.origin != origin:
            raise VerificationError(f"{self.path(origin)} is the floor of {floor.origin}, not of {origin}")
        return floor

    def named(self, name: str) -> Checkpoint | None:
        """Return the floor of a name. Raises as `read` does."""
        path = self._directory / name
        try:
            return Checkpoint.parse(read_private(path))
        except UnknownError:
            return None
        except MalformedError as error:
            raise VerificationError(
                f"{path} is damaged ({error}); restore it from your own copy, or remove it and thaw"
            ) from None

    def raise_to(self, tree: Checkpoint) -> None:
        """Make a tree its origin's floor, durably. The same one again writes nothing.

        Raises:
            VerificationError: when the floor would fall, or get another root.
            UnavailableError: when the disk refuses.
        """
        floor = self.read(tree.origin)
        if floor == tree:
            return
        if floor is not None and floor.size >= tree.size:
            raise VerificationError(f"{described(tree)} is below the floor, {described(floor)}")
        self._write(floor_name(tree.origin), tree.to_text())

    def frozen(self, origin: str) -> str | None:
        """Return why an origin's log is frozen, or None."""
        try:
            return read_private(self._directory / (floor_name(origin) + _FROZEN)).decode("utf-8", "replace")
        except UnknownError:
            return None

    def freeze(self, origin: str, reason: str) -> None:
        """Mark an origin's log as frozen; the first reason stays."""
        if self.frozen(origin) is None:
            self._write(floor_name(origin) + _FROZEN, reason.encode())

    def thaw(self, origin: str) -> None:
        """Take the mark away."""
        path = self._directory / (floor_name(origin) + _FROZEN)
        if path.exists():
            path.unlink()
            sync_directory(self._directory)

    def path(self, origin: str) -> Path:
        """Return the file of an origin's floor."""
        return self._directory / floor_name(origin)

    def _write(self, name: str, data: bytes) -> None:
        make_private_directory(self._directory)
        try:
            write_private(self._directory / name, data)
        except RefusedError as error:
            raise UnavailableError(str(error)) from None


def described(tree: Checkpoint) -> str:
    """Return a tree as an error names it."""
    return f"size {tree.size} with root {tree.root.hex()}"

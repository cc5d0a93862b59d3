"""What is published of a log, read for its own principals: checkpoint, tiles, proofs (c2sp.org/tlog-tiles, tlog-proof).

Invariants:
- A file is named by a tile's parsed place, never by what stood in a path; nothing beyond the published size is read.
- What is remembered never changes: whole tiles, and trees of a size.
- Whatever is wrong with the files is told to the operator's tools; the asker hears that they can't be read now.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from domain.errors import LedgerError, MalformedError, UnavailableError, UnknownError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.note import Note
from domain.transparency.proofs import consistency_proof, inclusion_proof
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, encode_entries
from domain.transparency.tlog_proof import TlogProof
from infrastructure.api.problems import NOTHING
from infrastructure.publish.tile_directory import TileDirectory, read_checkpoint
from infrastructure.tlog.layout import CHECKPOINT
from infrastructure.tlog.reader import read_bundle, read_leaf_tile
from infrastructure.tlog.tree import TileTree

_MOST_TREES: Final = 64
_MOST_BUNDLES: Final = 64
_MOST_CHECKPOINTS: Final = 4_096
_LEVEL_BITS: Final = 8
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEY_NOTE: Final = re.compile(r"(0|[1-9][0-9]{0,3})\.note", re.ASCII)


@contextmanager
def readable() -> Iterator[None]:
    """Turn what is wrong with published files into words for the asker.

    Raises:
        UnavailableError: when they are damaged or missing.
    """
    try:
        yield
    except VerificationError:
        raise UnavailableError("what is published of this log can't be read now: ask the operator") from None


def _mark(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from the one before it: each checkpoint is a file of its own, renamed into place."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class _Signed(NamedTuple):
    """A published checkpoint: what it says, and the note that says it."""

    said: Checkpoint
    note: Note


class Published:
    """What is published, of any log, with what is remembered of it. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trees: OrderedDict[tuple[Path, int], tuple[TileTree, threading.Lock]] = OrderedDict()
        self._bundles: OrderedDict[tuple[Path, Tile], list[bytes]] = OrderedDict()
        self._checkpoints: OrderedDict[Path, tuple[tuple[int, int] | None, _Signed]] = OrderedDict()

    def checkpoint(self, tiles: TileDirectory) -> Checkpoint:
        """Return the published checkpoint.

        Raises:
            UnknownError: before the first one.
            UnavailableError: when it can't be read.
        """
        return self._signed(tiles).said

    def _signed(self, tiles: TileDirectory) -> _Signed:
        """Return the published checkpoint and its note. Raises as `checkpoint` does."""
        mark = _mark(tiles.path / CHECKPOINT)
        known = self._checkpoints.get(tiles.path)
        if known is not None and known[0] == mark:
            return known[1]
        with readable():
            note = tiles.note()
            if note is None:
                raise UnknownError("nothing of this log is published yet")
            found = _Signed(read_checkpoint(tiles.path, note), note)
        with self._lock:
            self._checkpoints[tiles.path] = (mark, found)
            if len(self._checkpoints) > _MOST_CHECKPOINTS:
                self._checkpoints.popitem(last=False)
        return found

    def note(self, tiles: TileDirectory) -> bytes:
        """Return the published checkpoint as it was signed. Raises as `checkpoint` does."""
        return self._signed(tiles).note.to_bytes()

    def tile(self, tiles: TileDirectory, path: str) -> bytes:
        """Return the bytes of a tile or entry bundle of the published tree, or of a smaller one.

        Args:
            tiles: the log's.
            path: as it was asked for, from `tile/` on.

        Raises:
            UnknownError: when it is the path of no tile, or of none that the published tree has.
            UnavailableError: when it can't be read.
        """
        try:
            tile = Tile.parse(path)
        except MalformedError:
            raise UnknownError(NOTHING) from None
        hashes = self.checkpoint(tiles).size >> _LEVEL_BITS * max(tile.level, 0)
        here = min(hashes - tile.index * TILE_WIDTH, TILE_WIDTH)
        if here < tile.width:
            raise UnknownError(NOTHING)
        stored = Tile(tile.level, tile.index, here)
        with readable():
            if tile.level == ENTRIES:
                return encode_entries(read_bundle(tiles.path, stored, prefix=True)[: tile.width])
            return read_leaf_tile(tiles.path, stored)[: tile.width * HASH_BYTES]

    def payload(self, tiles: TileDirectory, digest: str) -> bytes:
        """Return a published payload, sealed, by its digest.

        Raises:
            UnknownError: when none of that digest is published of this log.
            UnavailableError: when it can't be read.
        """
        if not _DIGEST.fullmatch(digest):
            raise UnknownError(NOTHING)
        with readable():
            found = tiles.payload(digest)
        if found is None:
            raise UnknownError(NOTHING)
        return found

    def key_note(self, tiles: TileDirectory, name: str) -> bytes:
        """Return a note about the log's keys by its name, e.g. `1.note`. Raises as `payload` does."""
        named = _KEY_NOTE.fullmatch(name)
        if named is None:
            raise UnknownError(NOTHING)
        with readable():
            found = tiles.key_note(int(named[1]))
        if found is None:
            raise UnknownError(NOTHING)
        return found

    def entry(self, tiles: TileDirectory, index: int) -> bytes | None:
        """Return a published entry; None where the database has to be asked."""
        found = self.remembered(tiles, index)
        tile = None if found is not None else self._bundle_of(tiles, index)
        if tile is None:
            return found
        try:
            entries = read_bundle(tiles.path, tile, prefix=True)
        except (VerificationError, MalformedError):
            return None
        with self._lock:
            self._bundles[tiles.path, tile] = entries
            if len(self._bundles) > _MOST_BUNDLES:
                self._bundles.popitem(last=False)
        return entries[index % TILE_WIDTH]

    def remembered(self, tiles: TileDirectory, index: int) -> bytes | None:
        """Return a published entry that is in memory; None where it takes more than a look at the checkpoint."""
        tile = self._bundle_of(tiles, index)
        if tile is None:
            return None
        with self._lock:
            known = self._bundles.get((tiles.path, tile))
            if known is None:
                return None
            self._bundles.move_to_end((tiles.path, tile))
        return known[index % TILE_WIDTH]

    def at_hand(self, tiles: TileDirectory) -> bool:
        """Tell whether the published tree is in memory, as far as it was read before."""
        try:
            return (tiles.path, self.checkpoint(tiles).size) in self._trees
        except LedgerError:
            return False

    def _bundle_of(self, tiles: TileDirectory, index: int) -> Tile | None:
        """Return the bundle of the published tree that holds an entry; None where it holds none."""
        try:
            size = self.checkpoint(tiles).size
        except LedgerError:
            return None
        place = index // TILE_WIDTH
        return Tile(ENTRIES, place, min(size - place * TILE_WIDTH, TILE_WIDTH)) if index < size else None

    def inclusion(self, tiles: TileDirectory, index: int, size: int) -> tuple[bytes, bytes, tuple[bytes, ...]]:
        """Return a leaf's hash, the root of the tree of a size, and the proof that it is in it.

        Raises:
            UnknownError: when the tree is not published, or has no such leaf.
            UnavailableError: when its tiles can't be read.
        """
        with self._tree(tiles, size) as tree:
            if index >= size:
                raise UnknownError(NOTHING)
            return tree.leaf_hash(index), tree.frontier(size).root(), inclusion_proof(tree.node, index, size)

    def signed_proof(self, tiles: TileDirectory, index: int) -> bytes:
        """Return the proof that an entry is in the published tree, with its checkpoint (c2sp.org/tlog-proof).

        Raises:
            UnknownError: when the published tree has no such entry, or there is none.
            UnavailableError: when its tiles can't be read, or don't give the checkpoint's root.
        """
        said, note = self._signed(tiles)
        with self._tree(tiles, said.size) as tree:
            if index >= said.size:
                raise UnknownError(NOTHING)
            proof = TlogProof(index, inclusion_proof(tree.node, index, said.size), note)
            proof.verify(tree.leaf_hash(index))
        return proof.to_bytes()

    def consistency(self, tiles: TileDirectory, old: int, size: int) -> tuple[bytes, bytes, tuple[bytes, ...]]:
        """Return the roots of the trees of two sizes, and the proof that the second extends the first.

        Raises:
            UnknownError: when the larger one is not published.
            MalformedError: when the sizes fall.
            UnavailableError: when its tiles can't be read.
        """
        with self._tree(tiles, size) as tree:
            path = consistency_proof(tree.node, old, size)
            return tree.frontier(old).root(), tree.frontier(size).root(), path

    @contextmanager
    def _tree(self, tiles: TileDirectory, size: int) -> Iterator[TileTree]:
        """Give the published tree, if it has that size at least, to one thread at a time."""
        published = self.checkpoint(tiles).size
        if size > published:
            raise UnknownError(NOTHING)
        key = (tiles.path, published)
        with self._lock:
            tree, lock = self._trees.setdefault(key, (tiles.tree(published), threading.Lock()))
            self._trees.move_to_end(key)
            if len(self._trees) > _MOST_TREES:
                self._trees.popitem(last=False)
        with readable(), lock:
            yield tree

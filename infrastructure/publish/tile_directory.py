"""A log's published directory: tiles, entries, checkpoint, sealed payloads, and the notes about its keys.

    checkpoint   tile/<L>/<N>[.p/<W>]   tile/entries/<N>[.p/<W>]     (c2sp.org/tlog-tiles)
    payload/<SHA-256 of the sealed bytes>   keys/<generation>.note

Invariants:
- Everything but the checkpoint is written once; other content under a name is an error that names the file.
- Each published size has its partial tiles until the full ones are there; only then do they go.
- The checkpoint changes last: whatever it says can be read.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, Note, parse_note
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, top_level
from domain.transparency.tlog_proof import TlogProof
from infrastructure.keys.entry import MAX_PAYLOAD_BYTES
from infrastructure.keys.private_files import sync_directory
from infrastructure.publish.files import FileBatch, disk, replace_file
from infrastructure.tlog.files import exists, read_file
from infrastructure.tlog.layout import CHECKPOINT, KEY_NOTES, key_note_path
from infrastructure.tlog.reader import read_bundle
from infrastructure.tlog.tree import TileTree

PAYLOADS = "payload"
_KEY_NOTE = re.compile(r"(0|[1-9][0-9]{0,3})\.note", re.ASCII)
_MAX_NAMES = 1 << 16
_MAX_SEALED_BYTES = MAX_PAYLOAD_BYTES + 1024


class TileDirectory:
    """The published directory of one log.

    Args:
        path: made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self) -> Note | None:
        """Return the published checkpoint's note, its signatures unchecked; None before the first one.

        Raises:
            VerificationError: when it is damaged.
        """
        if not exists(self.path, CHECKPOINT):
            return None
        try:
            return parse_note(read_file(self.path, CHECKPOINT, MAX_NOTE_BYTES))
        except LedgerError as error:
            raise VerificationError(f"{self.path}: {CHECKPOINT}: {error}") from None

    def checkpoint(self) -> Checkpoint | None:
        """Return what the published checkpoint says, or None. Raises as `note` does."""
        note = self.note()
        return None if note is None else read_checkpoint(self.path, note)

    def put_checkpoint(self, note: Note) -> None:
        """Publish a checkpoint over the one before."""
        replace_file(self.path / CHECKPOINT, note.to_bytes())

    def tree(self, size: int) -> TileTree:
        """Return the tree of the first `size` entries; its tiles are read as they are needed."""
        return TileTree(self.path, size)

    def batch(self) -> FileBatch:
        """Return an empty batch of files of this directory."""
        return FileBatch(self.path)

    def proof(self, index: int) -> TlogProof:
        """Return the proof that an entry is in the published tree, checked against it (c2sp.org/tlog-proof).

        Raises:
            VerificationError: when nothing is published, or the tiles don't give the checkpoint's root.
            MalformedError: when the published tree has no such entry.
        """
        note, checkpoint = self.note(), self.checkpoint()
        if note is None or checkpoint is None:
            raise VerificationError("this log has no published checkpoint yet; run `enclave-ledger log publish`")
        tree = self.tree(checkpoint.size)
        proof = TlogProof(index, tree.inclusion(index), note)
        proof.verify(tree.leaf_hash(index))
        return proof

    def reach(self, size: int) -> int:
        """Return the largest size, `size` or more, whose entries lie here without a hole, signed or not."""
        place = size // TILE_WIDTH
        while exists(self.path, Tile(ENTRIES, place).path):
            place += 1
        widths = (int(name) for name in _names(self.path / f"{Tile(ENTRIES, place).path}.p") if name.isdecimal())
        return max(size, place * TILE_WIDTH + max((width for width in widths if width < TILE_WIDTH), default=0))

    def drop_partials(self, old_size: int, new_size: int) -> None:
        """Remove the partial tiles of trees from `old_size` on whose full tiles the tree of `new_size` has."""
        with disk(self.path):
            for level in (ENTRIES, *range(top_level(new_size) + 1)):
                shift = 8 * max(level, 0)
                for index in range((old_size >> shift) // TILE_WIDTH, (new_size >> shift) // TILE_WIDTH):
                    partials = self.path / f"{Tile(level, index).path}.p"
                    if partials.is_dir():
                        shutil.rmtree(partials)
                        sync_directory(partials.parent)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files by path, durably; nothing where there are none."""
        if files:
            with self.batch() as batch:
                for path, data in files.items():
                    batch.add(path, data)
                batch.place()

    def put_payloads(self, payloads: Iterable[bytes]) -> None:
        """Write sealed payloads under their digests, durably."""
        self.put({f"{PAYLOADS}/{sha256(sealed).hexdigest()}": sealed for sealed in payloads})

    def payload(self, digest: str) -> bytes | None:
        """Return the sealed payload of a digest (lowercase hex), or None.

        Raises:
            VerificationError: when it is damaged.
        """
        path = f"{PAYLOADS}/{digest}"
        if not exists(self.path, path):
            return None
        sealed = read_file(self.path, path, _MAX_SEALED_BYTES)
        if sha256(sealed).hexdigest() != digest:
            raise VerificationError(f"{self.path}: {path}: its hash is not its name")
        return sealed

    def key_notes(self) -> dict[int, bytes]:
        """Return the notes about keys by generation, unchecked."""
        found = (_KEY_NOTE.fullmatch(name) for name in _names(self.path / KEY_NOTES))
        generations = [int(match[1]) for match in found if match is not None]
        return {one: read_file(self.path, key_note_path(one), MAX_NOTE_BYTES) for one in sorted(generations)}

    def key_note(self, generation: int) -> bytes | None:
        """Return the note about a generation of keys, unchecked, or None."""
        path = key_note_path(generation)
        return read_file(self.path, path, MAX_NOTE_BYTES) if exists(self.path, path) else None

    def open_bundle(self, size: int) -> list[bytes]:
        """Return the entries of the last bundle of a tree of `size`, if it is a partial one; else nothing.

        Raises:
            VerificationError: when it is missing, damaged, or does not give the tree's leaf hashes.
        """
        place, width = divmod(size, TILE_WIDTH)
        return read_bundle(self.path, Tile(ENTRIES, place, width), prefix=True) if width else []


def read_checkpoint(path: Path, note: Note) -> Checkpoint:
    """Return what the note of a directory's checkpoint says.

    Raises:
        VerificationError: when it says something else.
    """
    try:
        return Checkpoint.parse(note.text)
    except LedgerError as error:
        raise VerificationError(f"{path}: {CHECKPOINT}: {error}") from None


def _names(directory: Path) -> Iterator[str]:
    if directory.is_dir():
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MAX_NAMES), entries, strict=False):
                yield entry.name

"""A log in memory to publish from, and what a published directory must look like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import Note, parse_note
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, TileStream, encode_entries
from infrastructure.publish.floors import Floors
from infrastructure.publish.publishing import Cosign, Published, publish_tree
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.foreign import verify_foreign
from infrastructure.tlog.signing import LogSigner, verify_checkpoint_signature

ORIGIN = "ledger.example/t/5"
AT = 1_700_000_000


def entry(index: int, history: str = "a") -> bytes:
    """Return an entry of a history; two histories share none."""
    return f"{history} {index} ".encode() + b"." * (index % 50)


@dataclass
class MemoryTree:
    """A log that is nothing but a list of entries."""

    stored: list[bytes] = field(default_factory=list)
    origin: str = ORIGIN
    claimed_root: bytes | None = None

    @classmethod
    def of(cls, size: int, history: str = "a", origin: str = ORIGIN) -> "MemoryTree":
        return cls([entry(index, history) for index in range(size)], origin)

    def size(self) -> int:
        return len(self.stored)

    def root(self) -> bytes:
        return self.claimed_root or root_of(self.stored)

    def entries(self, first: int, last: int) -> Iterator[bytes]:
        return iter(self.stored[first:last])


def root_of(entries: Sequence[bytes]) -> bytes:
    return Frontier.empty().extend(map(leaf_hash, entries)).root()


@dataclass
class Place:
    """A data directory with one published log."""

    path: Path
    signer: LogSigner = field(default_factory=lambda: LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32))

    @property
    def tiles(self) -> TileDirectory:
        return TileDirectory(self.path / "published/t/5")

    @property
    def floors(self) -> Floors:
        return Floors(self.path / "floors")

    def publish(self, tree: MemoryTree, cosign: Cosign | None = None) -> Published:
        return publish_tree(tree, self.signer, self.tiles, self.floors, at_unix_s=AT, cosign=cosign)

    def files(self) -> dict[str, bytes]:
        """Return every file of the published directory but the checkpoint, by path."""
        root = self.tiles.path
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and path.name != "checkpoint"
        }

    def verify(self) -> Checkpoint:
        """Verify the directory as one of somebody else's, with the log's own key."""
        note = self.tiles.note()
        assert note is not None
        verify_foreign(self.tiles.path, note, self.signer.verifier_keys(), None)
        checkpoint = self.tiles.checkpoint()
        assert checkpoint is not None
        return checkpoint


def signed_by(note: Note, signer: LogSigner) -> bool:
    checkpoint = Checkpoint.parse(note.text)
    for key in signer.verifier_keys():
        verify_checkpoint_signature(note, key, checkpoint)
    return True


def derived(entries: Sequence[bytes], sizes: Sequence[int]) -> dict[str, bytes]:
    """Return the files that a directory holds whose log was published at these sizes, derived from scratch."""
    files: dict[str, bytes] = {}
    for size in sizes:
        stream = TileStream()
        tiles = stream.push([leaf_hash(one) for one in entries[:size]]) + stream.partials()
        files |= {tile.path: data for tile, data in tiles}
        for first in range(0, size, TILE_WIDTH):
            bundle = entries[first : min(first + TILE_WIDTH, size)]
            files[Tile(ENTRIES, first // TILE_WIDTH, len(bundle)).path] = encode_entries(bundle)
    gone = {path for path in files if ".p/" in path and path.partition(".p/")[0] in files}
    return {path: data for path, data in files.items() if path not in gone}


def parsed(data: bytes) -> Note:
    return parse_note(data)

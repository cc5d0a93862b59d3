"""Writes a bundle: a log as one directory that anyone can verify offline (wire formats 2, "A bundle").

Invariants:
- Memory does not grow with the log: entries stream through, 256 at a time, and so do the further files.
- Equal entries give equal files, signatures and what covers them apart.
- Exactly the tiles of the size are written: no empty tile, no stale partial; size 0 has none.
- Files that hold secrets are written last of all, when nothing is left that may fail.
- What an interrupted export left is not believed: entries are hashed again and compared with their tile, everything
  else is written anew, and nothing is signed unless the whole gives the root.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from domain.transparency.tiles import ENTRIES, MAX_ENTRY_BYTES, TILE_WIDTH, Tile, TileStream, encode_entries
from infrastructure.tlog.building import building, check_free, clear_all_but, put
from infrastructure.tlog.files import read_file
from infrastructure.tlog.layout import (
    CHECKPOINT,
    LOG_KEYS,
    MANIFEST,
    MANIFEST_NOTE,
    RESERVED,
    Listed,
    Paths,
    manifest_text,
    print_keys,
    print_manifest,
)
from infrastructure.tlog.reader import MAX_BUNDLE_BYTES, read_bundle
from infrastructure.tlog.signing import LogSigner

__all__ = ["Entries", "Extra", "Progress", "check_free", "write_bundle"]

Progress = Callable[[int], None]
"""Called with the number of entries done so far."""

Entries = Iterable[bytes] | Callable[[int], Iterable[bytes]]
"""Entries in leaf order; or `entries(first)`, which gives those from a leaf index on, so that an export can resume."""

Extra = Iterable[tuple[str, bytes | Iterable[bytes]]]
"""Further files: relative path, and bytes whole or in pieces. Taken one after the other, when the tiles are written."""


def write_bundle(
    entries: Entries,
    *,
    size: int,
    signer: LogSigner,
    at_unix_s: int,
    out: Path,
    extra: Extra = (),
    private: Collection[str] = (),
    root: bytes | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Write the log's first `size` entries, its checkpoint and its manifest as a directory.

    Args:
        entries: exactly `size` entries in leaf order, 1 to 65,535 bytes each; a callable lets an interrupted export
            be taken up where it was.
        size: tree size.
        signer: the log's keys; its name is the origin.
        at_unix_s: POSIX time in seconds that the signatures state.
        out: where; missing, or an empty directory.
        extra: further files, such as `keys.json`; the manifest lists them.
        private: paths of `extra` that nobody but their owner may read. One makes the whole directory private.
        root: what the tree's root must be. Nothing is signed where the entries give another.
        progress: called after every 256 entries.

    Returns:
        The checkpoint that was signed.

    Raises:
        ConflictError: when `out` holds something already, or another process writes it.
        MalformedError: for a wrong number of entries, an entry out of bounds, or a path that no bundle may hold.
        VerificationError: when the entries do not give `root`.
        UnavailableError: when the disk refuses.
    """
    secrets: list[tuple[str, bytes]] = []
    with building(out, private=bool(private), secrets=private) as directory:
        stream = _taken_up(directory, size if callable(entries) else 0, progress)
        rest = entries(stream.size) if callable(entries) else entries
        checkpoint = Checkpoint(signer.name, size, _write_tiles(directory, rest, stream, size, progress))
        if root is not None and checkpoint.root != root:
            raise VerificationError(
                f"the entries give root {checkpoint.root.hex()}, not {root.hex()}; nothing was signed"
            )
        listed = dict(_write_extra(directory, extra, private, secrets))
        listed[CHECKPOINT] = put(directory, CHECKPOINT, signer.sign_checkpoint(checkpoint.to_text(), at_unix_s))
        listed[LOG_KEYS] = put(directory, LOG_KEYS, print_keys(signer.verifier_keys()))
        manifest = print_manifest(listed)
        put(directory, MANIFEST, manifest)
        put(directory, MANIFEST_NOTE, signer.sign_note(manifest_text(signer.name, size, manifest), at_unix_s))
        for path, data in secrets:
            put(directory, path, data, private=True)
    return checkpoint


def _write_extra(
    directory: Path, extra: Extra, private: Collection[str], secrets: list[tuple[str, bytes]]
) -> Iterator[tuple[str, Listed]]:
    """Write further files but for private ones, which are put aside to be written last; yield what each holds."""
    paths = Paths()
    for reserved in sorted(RESERVED - {MANIFEST, MANIFEST_NOTE}):
        paths.add(reserved)
    for path, data in extra:
        if path in RESERVED:
            raise MalformedError(f"{path} is written by the bundle itself")
        paths.add(path)
        if path in private:
            whole = data if isinstance(data, bytes) else b"".join(data)
            secrets.append((path, whole))
            yield path, Listed(sha256(whole).hexdigest(), len(whole))
        else:
            yield path, put(directory, path, data)


def _taken_up(directory: Path, size: int, progress: Progress | None) -> TileStream:
    """Return the tree over the full tiles that an interrupted export left, and remove everything else of it."""
    stream = TileStream()
    clear_all_but(directory, lambda path: _is_full(path, size))
    for index in range(size // TILE_WIDTH):
        try:
            hashes = [leaf_hash(entry) for entry in read_bundle(directory, Tile(ENTRIES, index))]
            if read_file(directory, Tile(0, index).path, MAX_BUNDLE_BYTES) != b"".join(hashes):
                break
        except LedgerError:
            break
        for tile, data in stream.push(hashes):
            put(directory, tile.path, data)
        if progress is not None:
            progress(stream.size)
    return stream


def _is_full(path: str, size: int) -> bool:
    """Tell whether a file is a full tile of a log of this size, or one that a larger log shares with it."""
    try:
        tile = Tile.parse(path)
    except MalformedError:
        return False
    return tile.width == TILE_WIDTH and tile.belongs_to(size)


def _write_tiles(
    directory: Path, entries: Iterable[bytes], stream: TileStream, size: int, progress: Progress | None
) -> bytes:
    """Write entry bundles and tiles after those that are there; return the root."""
    source = iter(entries)
    while batch := list(islice(source, min(TILE_WIDTH, size - stream.size))):
        _check_entries(batch, stream.size)
        put(directory, Tile(ENTRIES, stream.size // TILE_WIDTH, len(batch)).path, encode_entries(batch))
        for tile, data in stream.push([leaf_hash(entry) for entry in batch]):
            put(directory, tile.path, data)
        if progress is not None:
            progress(stream.size)
    if stream.size != size or next(source, None) is not None:
        raise MalformedError(f"the log has {'more' if stream.size == size else 'fewer'} than {size} entries")
    for tile, data in stream.partials():
        put(directory, tile.path, data)
    return stream.frontier().root()


def _check_entries(batch: list[bytes], first: int) -> None:
    for index, entry in enumerate(batch, first):
        if not 1 <= len(entry) <= MAX_ENTRY_BYTES:
            raise MalformedError(f"entry {index} has {len(entry)} bytes; 1 to {MAX_ENTRY_BYTES} are allowed")

"""Writes a bundle: a log as one directory that anyone can verify offline (wire formats 2, "A bundle").

Invariants:
- Memory does not grow with the log: entries stream through, 256 at a time.
- The directory appears under its name complete or not at all; nothing that was there is replaced.
- Equal entries give equal files, signatures and what covers them apart.
- Exactly the tiles of the size are written: no empty tile, no stale partial; size 0 has none.
- A file that holds secrets is its owner's alone (0600), from the moment it exists, and so is the directory (0700).
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from domain.errors import ConflictError, MalformedError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from domain.transparency.tiles import ENTRIES, MAX_ENTRY_BYTES, TILE_WIDTH, Tile, TileStream, encode_entries
from infrastructure.tlog.layout import (
    CHECKPOINT,
    LOG_KEYS,
    MANIFEST,
    MANIFEST_NOTE,
    RESERVED,
    Listed,
    check_paths,
    manifest_text,
    print_keys,
    print_manifest,
)
from infrastructure.tlog.signing import LogSigner

_OWNERS_DIRECTORY = 0o700
_OWNERS_FILE = 0o600
_ANYBODYS_FILE = 0o666
"""Before the umask."""

Progress = Callable[[int], None]
"""Called with the number of entries done so far."""


def write_bundle(
    entries: Iterable[bytes],
    *,
    size: int,
    signer: LogSigner,
    at_unix_s: int,
    out: Path,
    extra: Mapping[str, bytes] | None = None,
    private: Collection[str] = (),
    root: bytes | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Write the log's first `size` entries, its checkpoint and its manifest as a directory.

    Args:
        entries: exactly `size` entries in leaf order, 1 to 65,535 bytes each.
        size: tree size.
        signer: the log's keys; its name is the origin.
        at_unix_s: POSIX time in seconds that the signatures state.
        out: where; missing, or an empty directory.
        extra: further files by relative path, such as `keys.json`; the manifest lists them.
        private: those of `extra` that nobody but their owner may read. One makes the whole directory private.
        root: what the tree's root must be. Nothing is signed where the entries give another.
        progress: called after every 256 entries.

    Returns:
        The checkpoint that was signed.

    Raises:
        ConflictError: when `out` holds something already.
        MalformedError: for a wrong number of entries, an entry out of bounds, or a path that no bundle may hold.
        VerificationError: when the entries do not give `root`.
        UnavailableError: when the disk refuses.
    """
    files = dict(extra or {})
    check_paths(files)
    if taken := sorted(RESERVED & files.keys()):
        raise MalformedError(f"{taken[0]} is written by the bundle itself")
    with _building(out, private=bool(private)) as directory:
        checkpoint = Checkpoint(signer.name, size, _write_tiles(directory, entries, size, progress))
        if root is not None and checkpoint.root != root:
            raise VerificationError(
                f"the entries give root {checkpoint.root.hex()}, not {root.hex()}; nothing was signed"
            )
        files[CHECKPOINT] = signer.sign_checkpoint(checkpoint.to_text(), at_unix_s)
        files[LOG_KEYS] = print_keys(signer.verifier_keys())
        manifest = print_manifest({path: Listed.of(data) for path, data in files.items()})
        files[MANIFEST] = manifest
        files[MANIFEST_NOTE] = signer.sign_note(manifest_text(signer.name, size, manifest), at_unix_s)
        for path, data in files.items():
            _write(directory, path, data, private=path in private)
    return checkpoint


def _write_tiles(directory: Path, entries: Iterable[bytes], size: int, progress: Progress | None) -> bytes:
    """Write entry bundles and tiles; return the root."""
    stream, source = TileStream(), iter(entries)
    while batch := list(islice(source, min(TILE_WIDTH, size - stream.size))):
        _check_entries(batch, stream.size)
        _write(directory, Tile(ENTRIES, stream.size // TILE_WIDTH, len(batch)).path, encode_entries(batch))
        for tile, data in stream.push([leaf_hash(entry) for entry in batch]):
            _write(directory, tile.path, data)
        if progress is not None:
            progress(stream.size)
    if stream.size != size or next(source, None) is not None:
        raise MalformedError(f"the log has {'more' if stream.size == size else 'fewer'} than {size} entries")
    for tile, data in stream.partials():
        _write(directory, tile.path, data)
    return stream.frontier().root()


def _check_entries(batch: list[bytes], first: int) -> None:
    for index, entry in enumerate(batch, first):
        if not 1 <= len(entry) <= MAX_ENTRY_BYTES:
            raise MalformedError(f"entry {index} has {len(entry)} bytes; 1 to {MAX_ENTRY_BYTES} are allowed")


def _write(directory: Path, path: str, data: bytes, *, private: bool = False) -> None:
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNERS_FILE if private else _ANYBODYS_FILE)
    with os.fdopen(descriptor, "wb") as file:
        if private:
            os.fchmod(descriptor, _OWNERS_FILE)  # whatever the umask
        file.write(data)


@contextmanager
def _building(out: Path, *, private: bool) -> Iterator[Path]:
    """Give a directory beside `out` to fill, and move it there in one step when all went well.

    Files are not synced one by one: what a power cut leaves of a fresh bundle may be short, and fails verification.
    """
    try:
        check_free(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name[:64]}.", suffix=".writing", dir=out.parent))
        try:
            directory = scratch / "bundle"
            directory.mkdir()
            if private:
                directory.chmod(_OWNERS_DIRECTORY)  # whatever the umask
            yield directory
            _move(directory, out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from error


def _move(directory: Path, out: Path) -> None:
    try:
        directory.rename(out)  # replaces nothing but an empty directory (rename(2))
    except OSError:
        check_free(out)  # somebody wrote it meanwhile
        raise


def check_free(out: Path) -> None:
    """Check that a bundle can be written to a path: it is missing, or an empty directory.

    Raises:
        ConflictError: when it holds something already.
    """
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise ConflictError(f"{out} exists already; name a directory that does not, or an empty one")

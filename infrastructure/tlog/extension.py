"""Proves that one state of a log extends another: a consistency proof between signed checkpoints (RFC 9162 2.1.4).

Invariants:
- Both checkpoints are signed: of our own logs by every key of one generation of the newer bundle's chain, of others by
  a key from outside. What is proved is exactly as good as these signatures.
- The proof comes from the newer directory's tiles and is verified against both roots: so the older log's entries are
  the first of the newer one's, whatever else lies in either directory. That a directory holds what its checkpoint says
  is not looked at: `audit verify` does that.
- From and to size 0: the empty proof, and the root of the empty tree (wire formats 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, Note, VerifierKey, parse_note
from domain.transparency.proofs import verify_consistency
from domain.transparency.tiles import TILE_WIDTH, Tile, required_tiles, split_hashes
from infrastructure.tlog.files import read_file
from infrastructure.tlog.foreign import check_foreign_signatures
from infrastructure.tlog.key_chain import read_chain
from infrastructure.tlog.layout import CHECKPOINT
from infrastructure.tlog.own import check_signers, current_keys, trusted_keys
from infrastructure.tlog.reader import read_leaf_tile
from infrastructure.tlog.signing import verify_checkpoint_signature
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import REFUSED, SELF_CONSISTENT, VERIFIED, naming
from infrastructure.tlog.verify import is_ours

UNAUTHENTICATED = "whose log this is: the keys came with NEW; compare their fingerprints"
_MAX_ERROR_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Extension:
    """What was found of two states of a log.

    `proof` leads from the older root to the newer one; `first_difference` is the first leaf index where the two
    directories have other leaf hashes, where that is the fault and the older one's tiles are there. `not_checked` is
    what remains open where no fault was found.
    """

    ok: bool
    trust: str
    older: Checkpoint | None = None
    newer: Checkpoint | None = None
    proof: tuple[bytes, ...] = ()
    first_error: str | None = None
    first_difference: int | None = None
    fingerprints: tuple[str, ...] = ()

    @property
    def checked(self) -> tuple[str, ...]:
        """Return what was checked."""
        if not self.ok or self.older is None or self.newer is None:
            return ()
        proved = f"the {self.older.size} entries of OLD are the first of NEW's {self.newer.size}"
        return ("both checkpoints are signed by keys of this log", proved)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """Return what was not checked."""
        if not self.ok:
            return ()
        entries = "that either directory holds what its checkpoint says: run audit verify on it"
        return (UNAUTHENTICATED, entries) if self.trust == SELF_CONSISTENT else (entries,)


def prove_extension(old: Path, new: Path, *, log_keys: Sequence[str] = ()) -> Extension:
    """Prove that the log in `new` extends the one in `old`.

    Args:
        old: a log's directory, of which only the checkpoint must be there; or a file that holds one.
        new: a log's directory with its tiles.
        log_keys: verifier keys that the caller has from elsewhere; a log of others needs them.

    Raises:
        MalformedError: when a given key is not one. Nothing that lies in the directories raises.
    """
    outside = tuple(VerifierKey.parse(text) for text in log_keys)
    older: Checkpoint | None = None
    newer: Checkpoint | None = None
    try:
        old_note, new_note = _read_note(old, "OLD"), _read_note(new, "NEW")
        older, newer = _stated(old_note, "OLD"), _stated(new_note, "NEW")
        if older.origin != newer.origin:
            raise VerificationError(f"two logs: OLD is of origin {older.origin!a}, NEW of {newer.origin!a}")
        signers, trusted = _check_signatures(new, (old_note, older), (new_note, newer), outside)
        proof = _proof(old, new, older, newer)
    except _DifferenceError as error:
        return Extension(
            ok=False, trust=REFUSED, older=older, newer=newer, first_error=str(error), first_difference=error.index
        )
    except LedgerError as error:
        text = str(error)[:_MAX_ERROR_CHARACTERS]
        text = text if text.isprintable() else ascii(text)
        return Extension(ok=False, trust=REFUSED, older=older, newer=newer, first_error=text)
    fingerprints = tuple(key.fingerprint for key in signers)
    trust = VERIFIED if trusted else SELF_CONSISTENT
    return Extension(ok=True, trust=trust, older=older, newer=newer, proof=proof, fingerprints=fingerprints)


class _DifferenceError(VerificationError):
    """The two are no prefix of each other."""

    def __init__(self, text: str, index: int | None) -> None:
        super().__init__(text)
        self.index = index


def _read_note(path: Path, name: str) -> Note:
    with naming(name):
        if path.is_dir():
            return parse_note(read_file(path, CHECKPOINT, MAX_NOTE_BYTES))
        return parse_note(read_file(path.parent, path.name, MAX_NOTE_BYTES))


def _stated(note: Note, name: str) -> Checkpoint:
    with naming(f"{name}: {CHECKPOINT}"):
        return Checkpoint.parse_extended(note.text)


def _check_signatures(
    new: Path, older: tuple[Note, Checkpoint], newer: tuple[Note, Checkpoint], outside: Sequence[VerifierKey]
) -> tuple[Sequence[VerifierKey], bool]:
    """Return who signed the newer checkpoint, and whether a key from outside says whose log this is."""
    if not is_ours(new, newer[1].origin):
        for name, (note, checkpoint) in (("OLD", older), ("NEW", newer)):
            with naming(f"{name}: {CHECKPOINT}"):
                signers, _ = check_foreign_signatures(note, checkpoint, outside)
        return signers, True
    keys = current_keys(new, newer[1].origin)
    chain = read_chain(new, newer[1], keys)
    trusted = trusted_keys(keys, chain, outside, newer[1].origin)
    _check_own("NEW", *newer, keys)
    generations = [note.keys for note in chain] or [keys]
    signed = [one for one in generations if any(line.by(key) for key in one for line in older[0].signatures)]
    if not signed:
        raise VerificationError(f"OLD: {CHECKPOINT}: not signed by any generation of NEW's keys")
    _check_own("OLD", *older, signed[-1])
    return keys, bool(trusted)


def _check_own(name: str, note: Note, checkpoint: Checkpoint, keys: Sequence[VerifierKey]) -> None:
    named = f"{name}: {CHECKPOINT}"
    with naming(named):
        Checkpoint.parse(note.text)
        check_signers(named, note, tuple(keys))
        for key in keys:
            verify_checkpoint_signature(note, key, checkpoint)


def _proof(old: Path, new: Path, older: Checkpoint, newer: Checkpoint) -> tuple[bytes, ...]:
    if older.size > newer.size:
        raise VerificationError(f"OLD has {older.size} entries, NEW only {newer.size}: a log never shrinks")
    tree = TileTree(new, newer.size)
    with naming("NEW"):
        proof = tree.consistency(older.size)
    try:
        verify_consistency(older.size, newer.size, proof, older.root, newer.root)
    except VerificationError as error:
        raise _explained(old, new, older, newer, error) from None
    return proof


def _explained(
    old: Path, new: Path, older: Checkpoint, newer: Checkpoint, error: VerificationError
) -> _DifferenceError:
    """Return the error that says from where on the two differ, as far as the older one's tiles tell."""
    try:
        index = _first_difference(old, older.size, new, newer.size)
    except LedgerError:
        return _DifferenceError(
            f"NEW does not extend OLD: {error}; OLD's tiles are not there to say from where on", None
        )
    if index is None:
        text = f"NEW does not extend OLD: {error}, though their leaves are the same: run audit verify on each"
        return _DifferenceError(text, None)
    return _DifferenceError(f"NEW does not extend OLD: they differ from entry {index} on", index)


def _first_difference(old: Path, size: int, new: Path, new_size: int) -> int | None:
    """Return the first leaf index whose hashes differ."""
    for tile in required_tiles(size, 0):
        longer = Tile(0, tile.index, min(new_size - tile.index * TILE_WIDTH, TILE_WIDTH))
        older = read_leaf_tile(old, tile)
        newer = read_leaf_tile(new, longer)[: len(older)]
        if older != newer:
            pairs = zip(split_hashes(older), split_hashes(newer), strict=True)
            return tile.index * TILE_WIDTH + next(at for at, (left, right) in enumerate(pairs) if left != right)
    return None

"""Verifies a bundle of one of our own logs, where every byte of every file counts.

Invariants:
- Checkpoint and manifest are signed by every key of the current set, in the order of `log.vkey`, and by nobody else.
- The manifest covers every file but tiles; the tiles are derived again; any further name in the directory refuses.
- A key from outside must be one of the set, or of a generation from which the chain of key notes leads to it. Without
  one the keys vouch for themselves only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, Note, VerifierKey, parse_note
from domain.transparency.tiles import Tile
from infrastructure.tlog.derive import CheckEntry, LogFiles, derive_from_entries
from infrastructure.tlog.files import hash_file, read_file, shown, walk
from infrastructure.tlog.key_chain import Chain, check_roots, generation_of, read_chain
from infrastructure.tlog.layout import (
    CHECKPOINT,
    LOG_KEYS,
    MANIFEST,
    MANIFEST_NOTE,
    MAX_KEYS_BYTES,
    MAX_MANIFEST_BYTES,
    Listed,
    manifest_text,
    parse_keys,
    parse_manifest,
)
from infrastructure.tlog.signing import verify_checkpoint_signature, verify_note_signature
from infrastructure.tlog.verdict import NOT_WITNESSED, SELF_CONSISTENT, VERIFIED, Findings, naming
from infrastructure.workers import Workers

RECORDED_ROTATIONS = "that the log itself records each change of its keys"


def verify_own(
    root: Path,
    note: Note,
    outside: Sequence[VerifierKey],
    *,
    check_entry: CheckEntry | None,
    progress: Callable[[int], None] | None,
    workers: Workers | None = None,
) -> Findings:
    """Check a bundle whose checkpoint note was read already.

    Raises:
        VerificationError: at the first fault, naming the file.
    """
    with naming(CHECKPOINT):
        checkpoint = Checkpoint.parse(note.text)
    keys = current_keys(root, checkpoint.origin)
    chain = read_chain(root, checkpoint, keys)
    trusted = trusted_keys(keys, chain, outside, checkpoint.origin)
    data = read_file(root, MANIFEST_NOTE, MAX_NOTE_BYTES)
    with naming(MANIFEST_NOTE):
        manifest_note = parse_note(data)
    signed_at = _check_signatures(note, manifest_note, checkpoint, keys)
    listed = _check_manifest(root, manifest_note.text, checkpoint)
    _check_listed(root, listed)
    derive_from_entries(LogFiles(root, checkpoint, ours=True), check_entry, progress, workers)
    check_roots(root, checkpoint.size, chain)
    _check_names(root, checkpoint.size, listed)  # last: what is missing says more than the empty directory it leaves
    entries_parsed = check_entry is not None
    return _findings(checkpoint, keys, chain, trusted, len(listed), signed_at, entries_parsed=entries_parsed)


def current_keys(root: Path, origin: str) -> tuple[VerifierKey, ...]:
    """Return the keys that came with a bundle, Ed25519 first.

    Raises:
        VerificationError: when there are none, or they are not of this origin.
    """
    data = read_file(root, LOG_KEYS, MAX_KEYS_BYTES)
    with naming(LOG_KEYS):
        return parse_keys(data, origin)


def trusted_keys(
    keys: tuple[VerifierKey, ...], chain: Chain, outside: Sequence[VerifierKey], origin: str
) -> tuple[VerifierKey, ...]:
    """Return the keys from outside that are this log's; each that carries its name must be current, or in the chain.

    Raises:
        VerificationError: when one is neither, or none carries the log's name.
    """
    if not outside:
        return ()
    named = tuple(key for key in outside if key.name == origin)
    if not named:
        raise VerificationError(f"{CHECKPOINT}: no key given from outside is named for origin {shown(origin)}")
    for key in named:
        if key not in keys and generation_of(chain, key) is None:
            raise VerificationError(f"{LOG_KEYS}: the key given from outside, {key.fingerprint}, is not in it")
    return named


def _check_signatures(
    note: Note, manifest_note: Note, checkpoint: Checkpoint, keys: tuple[VerifierKey, ...]
) -> int | None:
    """Return the newest time that a signature of the checkpoint states."""
    check_signers(CHECKPOINT, note, keys)
    check_signers(MANIFEST_NOTE, manifest_note, keys)
    with naming(CHECKPOINT):
        times = [verify_checkpoint_signature(note, key, checkpoint) for key in keys]
    with naming(MANIFEST_NOTE):
        for key in keys:
            verify_note_signature(manifest_note, key)
    return max((time for time in times if time is not None), default=None)


def check_signers(path: str, note: Note, keys: tuple[VerifierKey, ...]) -> None:
    """Check that exactly these keys have signature lines, in this order.

    Raises:
        VerificationError: naming the key that is missing.
    """
    for key in keys:
        if not any(line.by(key) for line in note.signatures):
            raise VerificationError(f"{path}: signature stripped: none by {key.fingerprint}")
    if len(note.signatures) != len(keys):
        raise VerificationError(f"{path}: it has a signature line that is not of the log's current keys")
    if not all(line.by(key) for line, key in zip(note.signatures, keys, strict=True)):
        raise VerificationError(f"{path}: its signature lines are not in the order of {LOG_KEYS}")


def _check_manifest(root: Path, text: bytes, checkpoint: Checkpoint) -> dict[str, Listed]:
    """Return what the manifest lists; `text` is its note's, whose signatures were checked before."""
    manifest = read_file(root, MANIFEST, MAX_MANIFEST_BYTES)
    expected = manifest_text(checkpoint.origin, checkpoint.size, manifest)
    if text != expected:
        if text.split(b"\n")[:3] == expected.split(b"\n")[:3]:
            raise VerificationError(f"{MANIFEST}: its hash is not the one that {MANIFEST_NOTE} signs")
        raise VerificationError(f"{MANIFEST_NOTE}: it is not of this origin and size")
    with naming(MANIFEST):
        return parse_manifest(manifest)


def _check_names(root: Path, size: int, listed: dict[str, Listed]) -> None:
    """Refuse any name that neither the manifest nor the size asks for; what they ask for was read before."""
    for path in walk(root):
        if path in listed or path in (MANIFEST, MANIFEST_NOTE):
            continue
        try:
            wanted = Tile.parse(path).belongs_to(size)
        except MalformedError:
            wanted = False
        if not wanted:
            raise VerificationError(f"{shown(path)}: neither the manifest nor a log of size {size} has this file")


def _check_listed(root: Path, listed: dict[str, Listed]) -> None:
    for path, file in listed.items():
        if hash_file(root, path, file.size) != file.sha256:
            raise VerificationError(f"{path}: its hash is not the one in {MANIFEST}")


def _findings(
    checkpoint: Checkpoint,
    keys: tuple[VerifierKey, ...],
    chain: Chain,
    trusted: tuple[VerifierKey, ...],
    listed: int,
    signed_at: int | None,
    *,
    entries_parsed: bool,
) -> Findings:
    checked = [
        "checkpoint and manifest are signed by every key of the log",
        f"{checkpoint.size} entries give every tile and the root",
        f"{listed} files are as the manifest says, and there is no other",
    ]
    not_checked = [NOT_WITNESSED]
    if entries_parsed:
        checked.append("every entry has the form and the origin of this log")
    else:
        not_checked.append("the form of the entries")
    if chain:
        checked.append(f"{len(chain)} generations of keys, each signed in by the one before")
        not_checked.append(RECORDED_ROTATIONS)
    if any(key not in keys for key in trusted):
        checked.append(f"{len(trusted)} keys from outside lead to the log's {len(keys)} current ones")
    elif trusted:
        checked.append(f"{len(trusted)} of the log's {len(keys)} keys came from outside")
        not_checked += [f"whose {key.fingerprint} is: it came with the bundle" for key in keys if key not in trusted]
    else:
        not_checked.insert(0, "whose log this is: the keys came with the bundle; compare their fingerprints")
    return Findings(
        VERIFIED if trusted else SELF_CONSISTENT,
        tuple(checked),
        tuple(not_checked),
        tuple(key.fingerprint for key in keys),
        signed_at,
        chain,
    )

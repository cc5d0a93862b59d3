"""Verifies a C2SP tile log that others wrote (c2sp.org/tlog-tiles).

Invariants:
- A key given from outside must have signed the checkpoint; a wrong signature under such a key refuses the note.
- Unknown signature lines, extension lines, other files and stale partial tiles are ignored; a full tile may stand in
  for a partial one.
- Where the log serves its entries in another format (tlog-tiles, Log entries), its hashes alone are checked, and said.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.errors import VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, SignatureType, VerifierKey
from infrastructure.tlog.derive import LogFiles, derive_from_entries, derive_from_leaf_hashes
from infrastructure.tlog.files import MAX_NAMES, exists
from infrastructure.tlog.layout import CHECKPOINT, TILES
from infrastructure.tlog.signing import verify_checkpoint_signature
from infrastructure.tlog.verdict import HASHES_ONLY, NOT_WITNESSED, VERIFIED, Findings, naming
from infrastructure.workers import Workers


def verify_foreign(
    root: Path,
    note: Note,
    outside: Sequence[VerifierKey],
    progress: Callable[[int], None] | None,
    workers: Workers | None = None,
) -> Findings:
    """Check a log of others whose checkpoint note was read already.

    Raises:
        VerificationError: at the first fault, naming the file.
    """
    with naming(CHECKPOINT):
        checkpoint = Checkpoint.parse_extended(note.text)
        signers, signed_at = check_foreign_signatures(note, checkpoint, outside)
    log = LogFiles(root, checkpoint, ours=False)
    with_entries = checkpoint.size == 0 or exists(root, f"{TILES}/entries") or not _other_format(root)
    if with_entries:
        derive_from_entries(log, progress=progress, workers=workers)
    else:
        derive_from_leaf_hashes(log, progress, workers)
    return _findings(checkpoint, signers, signed_at, with_entries=with_entries)


def check_foreign_signatures(
    note: Note, checkpoint: Checkpoint, outside: Sequence[VerifierKey]
) -> tuple[list[VerifierKey], int | None]:
    """Return which of the given keys signed a checkpoint, and the newest time that they state.

    Raises:
        VerificationError: when none did, or a signature of one is wrong.
    """
    keys = [key for key in outside if key.type is not SignatureType.ED25519_COSIGNATURE]
    if not keys:
        raise VerificationError("not a log of ours: the log's own verifier key must be given from outside")
    signers = [key for key in keys if any(line.by(key) for line in note.signatures)]
    if not signers:
        raise VerificationError("not signed by a key given from outside")
    times = [verify_checkpoint_signature(note, key, checkpoint) for key in signers]
    return signers, max((time for time in times if time is not None), default=None)


def _other_format(root: Path) -> bool:
    """Tell whether a directory beside the levels may hold the entries in another format, such as tile/data."""
    try:
        with os.scandir(root / TILES) as names:
            return any(not name.name.isdecimal() for name, _ in zip(names, range(MAX_NAMES), strict=False))
    except OSError:
        return False


def _findings(
    checkpoint: Checkpoint, signers: list[VerifierKey], signed_at: int | None, *, with_entries: bool
) -> Findings:
    not_checked = [NOT_WITNESSED, "files and signatures that are not needed"]
    not_checked += [
        f"that {key.fingerprint} is this origin's: its name is another"
        for key in signers
        if key.name != checkpoint.origin
    ]
    if with_entries:
        checked = [f"{checkpoint.size} entries give every tile and the root"]
    else:
        checked = [f"the hashes of {checkpoint.size} entries give every higher tile and the root"]
        not_checked.insert(0, "the entries: this log serves them in a format of its own")
    return Findings(
        VERIFIED if with_entries else HASHES_ONLY,
        ("the checkpoint is signed by a key from outside", *checked),
        tuple(not_checked),
        tuple(key.fingerprint for key in signers),
        signed_at,
    )

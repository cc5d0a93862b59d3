"""Verifies a log's directory with nothing but that directory and, for authenticity, keys from outside.

Invariants:
- A directory that others wrote never raises here: every outcome is a `Verification`.
- Keys found inside prove consistency only; "verified" needs a key given from outside.
- A directory is foreign if it has neither manifest file and its origin is none that our logs have; so stripping the
  manifest from a bundle of ours never lowers what is asked of it (wire formats 2).
- No database, no network, no clock. The directory must not change meanwhile.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.errors import LedgerError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, Note, VerifierKey, parse_note
from infrastructure.tlog.derive import CheckEntry
from infrastructure.tlog.files import exists, read_file
from infrastructure.tlog.foreign import verify_foreign
from infrastructure.tlog.layout import CHECKPOINT, MANIFEST, MANIFEST_NOTE
from infrastructure.tlog.own import verify_own
from infrastructure.tlog.verdict import REFUSED, Findings, Verification, naming
from infrastructure.workers import Workers

__all__ = ["Verification", "is_ours", "verify_directory"]

_MAX_ERROR_CHARACTERS = 1000
_OUR_ORIGIN = re.compile(r".+/(?:t/[0-9]+|anchors)", re.ASCII)


def verify_directory(
    path: Path,
    *,
    log_keys: Sequence[str] = (),
    check_entry: CheckEntry | None = None,
    progress: Callable[[int], None] | None = None,
    workers: Workers | None = None,
) -> Verification:
    """Verify a bundle of ours, or a C2SP tile log of whoever wrote it.

    Args:
        path: the directory.
        log_keys: verifier keys (`name+id+base64`) that the caller has from elsewhere. Of our own logs all that carry
            the log's name must be current keys, or of an older generation that signed them in; others are ignored.
        check_entry: called as `check_entry(leaf_index, entry, origin)` for each entry of our own logs.
        progress: called with the number of entries done, after every 256 or more.
        workers: who shares in it; then `check_entry` is importable.

    Returns:
        The verdict; `first_error` names what is wrong first.

    Raises:
        MalformedError: when a given key is not one. Nothing that lies in the directory raises.
        UnavailableError: when a worker died.
    """
    outside = tuple(VerifierKey.parse(text) for text in log_keys)
    stated: Checkpoint | None = None
    try:
        note = _read_note(path)
        stated = _stated(note)
        findings = _verify(path, note, stated, outside, check_entry=check_entry, progress=progress, workers=workers)
    except UnavailableError:
        raise
    except LedgerError as error:
        return _verdict(stated, error)
    return _verdict(stated, findings)


def is_ours(path: Path, origin: str) -> bool:
    """Tell whether a directory is to be judged as one of our own logs (wire formats 2)."""
    return exists(path, MANIFEST) or exists(path, MANIFEST_NOTE) or _OUR_ORIGIN.fullmatch(origin) is not None


def _read_note(path: Path) -> Note:
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a parent may not be searched
        raise VerificationError(f"{CHECKPOINT}: missing: there is no such directory")
    data = read_file(path, CHECKPOINT, MAX_NOTE_BYTES)
    with naming(CHECKPOINT):
        return parse_note(data)


def _stated(note: Note) -> Checkpoint:
    with naming(CHECKPOINT):
        return Checkpoint.parse_extended(note.text)


def _verify(
    path: Path,
    note: Note,
    stated: Checkpoint,
    outside: Sequence[VerifierKey],
    *,
    check_entry: CheckEntry | None,
    progress: Callable[[int], None] | None,
    workers: Workers | None,
) -> Findings:
    if is_ours(path, stated.origin):
        return verify_own(path, note, outside, check_entry=check_entry, progress=progress, workers=workers)
    return verify_foreign(path, note, outside, progress, workers)


def _verdict(stated: Checkpoint | None, outcome: Findings | LedgerError) -> Verification:
    origin, size, root = (stated.origin, stated.size, stated.root.hex()) if stated else (None, None, None)
    if isinstance(outcome, LedgerError):
        text = str(outcome)[:_MAX_ERROR_CHARACTERS]
        text = text if text.isprintable() else ascii(text)
        return Verification(ok=False, trust=REFUSED, origin=origin, size=size, root_hex=root, first_error=text)
    return Verification(
        ok=True,
        trust=outcome.trust,
        origin=origin,
        size=size,
        root_hex=root,
        checked=outcome.checked,
        not_checked=outcome.not_checked,
        fingerprints=outcome.fingerprints,
        signed_at_unix_s=outcome.signed_at_unix_s,
        key_notes=outcome.key_notes,
    )

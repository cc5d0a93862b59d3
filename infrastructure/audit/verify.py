"""Verification of a bundle offline: the directory, and for authenticity a key from outside. Nothing else is asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.logs.events import KeyRotated
from infrastructure.audit.disclosure import KEYS, read_keys
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.opening import Opener
from infrastructure.keys.entry import parse_entry
from infrastructure.tlog.own import RECORDED_ROTATIONS
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.verdict import REFUSED, Verification
from infrastructure.tlog.verify import verify_directory

_STATEMENTS = "signatures of the statements inside entries"
_PLAINTEXT = "plaintext of entries: no stream keys came with this bundle"
_MAX_ERROR_CHARACTERS = 1000


def verify_bundle(
    path: Path, *, log_keys: Sequence[str] = (), progress: Callable[[int], None] | None = None
) -> Verification:
    """Verify a directory; with keys.json also that every disclosed entry holds what it should.

    Args:
        path: a bundle of ours, or a C2SP tile log of whoever wrote it.
        log_keys: verifier keys that the caller has from elsewhere.
        progress: called with the number of entries done.

    Raises:
        MalformedError: when a given key is not one. Nothing that lies in the directory raises.
    """
    verdict = verify_directory(path, log_keys=log_keys, check_entry=check_entry, progress=progress)
    if not verdict.ok or not (path / "manifest.json").is_file():
        return verdict
    if not (path / KEYS).is_file():
        return replace(verdict, not_checked=(*verdict.not_checked, _PLAINTEXT, _STATEMENTS))
    try:
        return _with_plaintext(path, verdict)
    except LedgerError as error:
        return replace(verdict, ok=False, trust=REFUSED, first_error=_shown(str(error)), checked=())


def check_entry(index: int, entry: bytes, origin: str) -> None:
    """Check an entry's outside: the one COSE form, sealed for this log.

    Raises:
        LedgerError: when it is not.
    """
    parsed = parse_entry(entry)
    if parsed.origin != origin:
        raise VerificationError(f"entry {index} was sealed for another log")


def _shown(text: str) -> str:
    text = text[:_MAX_ERROR_CHARACTERS]
    return text if text.isprintable() else ascii(text)


def _with_plaintext(path: Path, verdict: Verification) -> Verification:
    """Open every disclosed entry and check what is signed inside, as far as this log alone can tell."""
    origin = verdict.origin or ""
    stated, keys = read_keys(path)
    if stated != origin:
        raise VerificationError(f"{KEYS}: the keys are another log's")
    opener = Opener(keys, origin)
    audit = HistoryAudit(origin, opener)
    audit.follow(opener.opened(read_entries(path)))
    verdict = _with_rotations(verdict, audit.rotations())
    opened = f"plaintext of {audit.opened} disclosed entries: origin, key commitment, stream, dense versions, topics"
    not_checked = [*verdict.not_checked, *audit.not_checked()]
    if audit.sealed:
        not_checked.append(f"plaintext of {audit.sealed} entries whose stream keys were not disclosed")
    return replace(verdict, checked=(*verdict.checked, opened, *audit.checked()), not_checked=tuple(not_checked))


def _with_rotations(verdict: Verification, recorded: Sequence[KeyRotated] | None) -> Verification:
    """Compare the notes about the log's keys with what its own entries say of them."""
    notes = verdict.key_notes[1:]  # generation 0 begins with the log
    if recorded is None:
        return verdict
    said = [(event.generation, event.from_size, event.note_digest) for event in recorded]
    if said != [(note.generation, note.start.size, note.digest) for note in notes]:
        raise VerificationError("the notes about the log's keys are not those that its entries record")
    if not notes:
        return verdict
    checked = f"{len(notes)} changes of the log's keys are recorded in it, each at its place"
    not_checked = tuple(one for one in verdict.not_checked if one != RECORDED_ROTATIONS)
    return replace(verdict, checked=(*verdict.checked, checked), not_checked=not_checked)

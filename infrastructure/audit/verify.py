"""Verification of a bundle offline: the directory, and for authenticity a key from outside. Nothing else is asked.

Invariants:
- Memory doesn't grow with the log but for some 20 bytes an entry: what may stand once, and what has ended.
- The verdict is the same with any number of processes, and after any number of interruptions.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from domain.errors import LedgerError, UnavailableError, VerificationError
from domain.logs.events import KeyRotated
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.journal import Journal, bundle_name, check_state
from infrastructure.audit.key_index import DisclosedStreams, build_index
from infrastructure.audit.reading import Source, read_chunks, read_items
from infrastructure.keys.entry import laid_out_for, parse_entry
from infrastructure.tlog.files import read_file
from infrastructure.tlog.layout import MANIFEST, MAX_MANIFEST_BYTES
from infrastructure.tlog.own import RECORDED_ROTATIONS
from infrastructure.tlog.verdict import REFUSED, Verification
from infrastructure.tlog.verify import verify_directory
from infrastructure.workers import Workers

_STATEMENTS = "signatures of the statements inside entries"
_PLAINTEXT = "plaintext of entries: no stream keys came with this bundle"
_MAX_ERROR_CHARACTERS = 1000

Progress = Callable[[int], None]


def verify_bundle(
    path: Path,
    *,
    log_keys: Sequence[str] = (),
    progress: Progress | None = None,
    jobs: int = 1,
    state: Path | None = None,
) -> Verification:
    """Verify a directory; with keys.json also that every disclosed entry holds what it should.

    Args:
        path: a bundle of ours, or a C2SP tile log of whoever wrote it.
        log_keys: verifier keys that the caller has from elsewhere.
        progress: called with the number of entries done. With keys.json each counts twice: hashed, then opened.
        jobs: how many processes share in it; 1 for this one alone.
        state: a directory in which what was found is kept while it goes on, so that an interrupted verification can be
            resumed (infrastructure.audit.journal).

    Raises:
        MalformedError: when a given key is not one. Nothing that lies in the bundle raises.
        RefusedError: when the state's directory is not the auditor's alone.
        UnavailableError: when a worker died, or the disk refuses the state.
    """
    if state is not None:
        check_state(state)  # what is wrong with it is said now, not after the tiles
    with Workers(jobs) as workers:
        verdict = verify_directory(path, log_keys=log_keys, check_entry=check_entry, progress=progress, workers=workers)
        if not verdict.ok or not (path / MANIFEST).is_file():
            return verdict
        if not (path / KEYS).is_file():
            return replace(verdict, not_checked=(*verdict.not_checked, _PLAINTEXT, _STATEMENTS))
        with _journal(path, verdict, state) as journal:
            try:
                found = _with_plaintext(path, verdict, workers, journal, progress)
            except UnavailableError:
                raise
            except LedgerError as error:
                found = replace(verdict, ok=False, trust=REFUSED, first_error=_shown(str(error)), checked=())
            if journal is not None:
                journal.discard()
            return found


def check_entry(index: int, entry: bytes, origin: str) -> None:
    """Check an entry's outside: the one COSE form, sealed for this log.

    Raises:
        LedgerError: when it is not.
    """
    if not laid_out_for(entry, origin) and parse_entry(entry).origin != origin:
        raise VerificationError(f"entry {index} was sealed for another log")


def _shown(text: str) -> str:
    text = text[:_MAX_ERROR_CHARACTERS]
    return text if text.isprintable() else ascii(text)


@contextmanager
def _journal(path: Path, verdict: Verification, state: Path | None) -> Iterator[Journal | None]:
    if state is None:
        yield None
        return
    manifest = read_file(path, MANIFEST, MAX_MANIFEST_BYTES)
    name = bundle_name(verdict.origin or "", verdict.size or 0, verdict.root_hex or "", manifest)
    with Journal(state, name) as journal:
        yield journal


def _with_plaintext(
    path: Path, verdict: Verification, workers: Workers, journal: Journal | None, progress: Progress | None
) -> Verification:
    """Open every disclosed entry and check what is signed inside, as far as this log alone can tell."""
    origin, size = verdict.origin or "", verdict.size or 0
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        source = Source(path, size, origin, Path(folder) / "keys.index")
        stated, places = build_index(path, source.index)
        if stated != origin:
            raise VerificationError(f"{KEYS}: the keys are another log's")
        with DisclosedStreams(path, places) as streams:
            audit = HistoryAudit(origin, streams.generations, journal, lambda: streams.disclosure)
            if journal is not None and journal.position is not None:
                audit.resume(journal.position, read_items(source, journal.position.leaves))
            _follow(audit, source, workers, journal, progress)
            audit.finish()
            verdict = _with_rotations(verdict, audit.rotations())
    opened = f"plaintext of {audit.opened} disclosed entries: origin, key commitment, stream, dense versions, topics"
    not_checked = [*verdict.not_checked, *audit.not_checked()]
    if audit.sealed:
        not_checked.append(f"plaintext of {audit.sealed} entries whose stream keys were not disclosed")
    if audit.unjudged:
        not_checked.append(
            f"{audit.unjudged} entries that were opened but not judged: keys of entries before them, perhaps of the "
            "same stream, were kept back"
        )
    return replace(verdict, checked=(*verdict.checked, opened, *audit.checked()), not_checked=tuple(not_checked))


def _follow(
    audit: HistoryAudit, source: Source, workers: Workers, journal: Journal | None, progress: Progress | None
) -> None:
    for chunk in read_chunks(source, audit.size, workers, audit.keys):
        for item in chunk.items:
            audit.follow(item, chunk.verified)
        if chunk.error is not None:
            raise VerificationError(chunk.error)
        if journal is not None and journal.due():
            journal.save(audit.position())
        if progress is not None:
            progress(source.size + audit.size)


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

"""Verification of a bundle offline: the directory, and for authenticity a key from outside. Nothing else is asked."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.message import Recorded
from infrastructure.audit.disclosure import KEYS, read_keys
from infrastructure.audit.opening import opened_entries
from infrastructure.audit.statements import StatementAudit
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.stream_keys import StreamKey
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.verdict import REFUSED, Verification
from infrastructure.tlog.verify import verify_directory

_STATEMENTS = "signatures of the statements inside entries"
_PLAINTEXT = "plaintext of entries: no stream keys came with this bundle"


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
        return replace(verdict, ok=False, trust=REFUSED, first_error=str(error), checked=())


def check_entry(index: int, entry: bytes, origin: str) -> None:
    """Check an entry's outside: the one COSE form, sealed for this log.

    Raises:
        LedgerError: when it is not.
    """
    parsed = parse_entry(entry)
    if parsed.origin != origin:
        raise VerificationError(f"entry {index} was sealed for another log")


def _with_plaintext(path: Path, verdict: Verification) -> Verification:
    """Open every disclosed entry and check what is signed inside, as far as this log alone can tell."""
    origin = verdict.origin or ""
    stated, keys = read_keys(path)
    if stated != origin:
        raise VerificationError(f"{KEYS}: the keys are another log's")
    counts: Counter[bool] = Counter()
    audit = StatementAudit(origin)

    def counted() -> Iterator[Recorded | None]:
        for recorded in opened_entries(read_entries(path), keys, origin):
            counts[recorded is not None] += 1
            yield recorded

    complete = _registration_is_disclosed(path, keys, origin)
    if complete:
        audit.follow(counted())
    else:
        deque(counted(), maxlen=0)
    opened = f"plaintext of {counts[True]} disclosed entries: origin, key commitment, stream, dense versions, topics"
    checked = (opened, *(f"{count} {what}" for what, count in sorted(audit.checked.items())))
    not_checked = [*verdict.not_checked, *(f"{count} {what}" for what, count in sorted(audit.elsewhere.items()))]
    if counts[False]:
        not_checked.append(f"plaintext of {counts[False]} entries whose stream keys were not disclosed")
    if not complete:
        not_checked.append(f"{_STATEMENTS}: the log's own stream was not disclosed")
    return replace(verdict, checked=(*verdict.checked, *checked), not_checked=tuple(not_checked))


def _registration_is_disclosed(path: Path, keys: Mapping[bytes, StreamKey], origin: str) -> bool:
    first = next(opened_entries(islice(read_entries(path), 1), keys, origin), None)
    return first is not None

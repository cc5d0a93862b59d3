"""A log's newest tree at a server, held against the one that was seen before: one history, however often it is asked.

Invariants:
- A tree never shrinks, and contains the one of before: the server proves it (RFC 9162 2.1.4), or is refused.
- Where the log's keys are known from elsewhere, each of them signed the checkpoint; else it is consistent only.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from domain.errors import LedgerError, MalformedError, UnknownError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, VerifierKey, parse_note
from domain.transparency.proofs import verify_consistency
from infrastructure.client.known import Head
from infrastructure.exchange.steps import Talk
from infrastructure.tlog.cosigning import verify_log_signatures

Prove = Callable[[int, int], Talk[dict[str, Any]]]
"""Asks for the proof that a tree of one size is contained in one of another."""


def newer_head(
    read: Callable[[], Talk[bytes]],
    prove: Prove,
    known: Head | None,
    *,
    origin: str | None,
    keys: Sequence[VerifierKey],
) -> Talk[Head | None]:
    """Come to the newest tree of a log; None where nothing of it is published yet.

    Args:
        read: gives its checkpoint.
        prove: asks for a proof of consistency.
        known: the tree that was seen before.
        origin: the log's, where it is known.
        keys: the log's, from elsewhere; none: nobody vouches for it.

    Raises:
        VerificationError: when it is another log's, is not signed by its keys, or does not contain what was seen.
    """
    try:
        data = yield from read()
    except UnknownError:
        if known is not None and known.size:
            raise VerificationError("the server publishes nothing of a log that it published before") from None
        return None
    try:
        note = parse_note(data)
        checkpoint = Checkpoint.parse(note.text)
    except MalformedError as error:
        raise VerificationError(f"the server's checkpoint is not of its form: {error}") from None
    require_signed(note, checkpoint, origin=origin, keys=keys)
    if known is not None:
        yield from _require_contains(checkpoint, known, prove)
    return Head(checkpoint.size, checkpoint.root)


def require_signed(note: Note, checkpoint: Checkpoint, *, origin: str | None, keys: Sequence[VerifierKey]) -> None:
    """Require that a checkpoint is the log's. Arguments and errors as for `newer_head`."""
    if origin is not None and checkpoint.origin != origin:
        raise VerificationError(f"the server's checkpoint is of the log {checkpoint.origin}, not of {origin}")
    if keys:
        verify_log_signatures(note, checkpoint, keys, every=True)


def _require_contains(checkpoint: Checkpoint, known: Head, prove: Prove) -> Talk[None]:
    if checkpoint.size < known.size:
        raise VerificationError(
            f"the log has {checkpoint.size} entries, and had {known.size} before: it was set back, or is another"
        )
    if checkpoint.size == known.size:
        if checkpoint.root != known.root:
            raise VerificationError(f"the log shows another tree of {known.size} entries than before")
        return
    if known.size == 0:
        return
    try:
        proof = yield from prove(known.size, checkpoint.size)
        path = [base64.b64decode(one, validate=True) for one in proof["path"]]
        verify_consistency(known.size, checkpoint.size, path, known.root, checkpoint.root)
    except (LedgerError, KeyError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, LedgerError) else "it is not of its form"
        raise VerificationError(
            f"the server does not prove that its {checkpoint.size} entries contain the {known.size} of before: {why}"
        ) from None

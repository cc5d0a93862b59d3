"""What a witness answers, whatever carries the question (c2sp.org/tlog-witness, add-checkpoint).

Invariants:
- Checks come in this order: form (400), origin (404), signature (403), old size above the checkpoint's (400), old size
  against the record (409), root of size 0, proof and equal roots (422). Only then is anything cosigned.
- Comparing with the record, persisting and cosigning are one step under the log's lock [two requests at once would
  roll the log back]. The checkpoint is durable before its cosignature is answered.
- A witness shares no key with a log: configuration refuses it.
- What a log's own key signed and consistency refused is kept as evidence.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from domain.errors import LedgerError, MalformedError, NotAuthorisedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.note import Note, NoteSignature, SignatureType, VerifierKey
from domain.transparency.proofs import verify_consistency
from infrastructure.clock import Clock
from infrastructure.tlog.cosigning import Cosigner, print_lines
from infrastructure.tlog.signing import verify_checkpoint_signature
from infrastructure.witness.records import Records
from infrastructure.witness.request import AddCheckpoint, Submitted

TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE, UNAVAILABLE = 200, 400, 403, 404, 409, 422, 503

MAX_LOGS = 1000
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status with its body and content type."""

    status: int
    body: bytes
    content_type: str = TEXT


class _Refused(Exception):  # noqa: N818 - it carries an answer, not a fault
    """Ends a request with an answer other than 200."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Witness:
    """Cosigns the checkpoints of the logs that it is configured for.

    Args:
        cosigner: its own keys.
        log_keys: verifier keys of the logs; each carries the log's origin as its name.
        records: its memory.
        clock: tells the time of cosignatures.

    Raises:
        NotAuthorisedError: when a log has a key or the name of the witness.
        MalformedError: when a log's key has a type that signs no checkpoints, or there are too many.
    """

    def __init__(self, cosigner: Cosigner, log_keys: Iterable[VerifierKey], records: Records, clock: Clock) -> None:
        self._cosigner = cosigner
        self._records = records
        self._clock = clock
        self._logs: dict[str, list[VerifierKey]] = {}
        own = {key.public_key for key in cosigner.verifier_keys()}
        for key in log_keys:
            if key.public_key in own or key.name == cosigner.name:
                raise NotAuthorisedError(f"a witness shares no key and no name with a log: {key.name!a}")
            if key.type is SignatureType.ED25519_COSIGNATURE:
                raise MalformedError(f"a cosignature key is no log's: {key.name!a}")
            self._logs.setdefault(key.name, []).append(key)
        if len(self._logs) > MAX_LOGS:
            raise MalformedError(f"a witness serves at most {MAX_LOGS} logs")
        self._locks = {origin: threading.Lock() for origin in self._logs}
        for origin in self._logs:
            records.latest(origin)  # a damaged record stops the start, before anything is answered

    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """Return the witness's public keys, Ed25519 first."""
        return self._cosigner.verifier_keys()

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one add-checkpoint request."""
        try:
            return self._add(body)
        except _Refused as refused:
            return refused.answer
        except LedgerError:
            return _error(UNAVAILABLE, "the witness cannot keep or read its record, or its clock is wrong")

    def checkpoint(self, digest: str) -> Answer:
        """Answer a monitor that asks for the latest checkpoint by the log's origin hash (lowercase hex)."""
        try:
            note = self._records.by_hash(digest)
        except LedgerError:
            return _error(UNAVAILABLE, "the witness cannot read its record")
        return Answer(OK, note) if note is not None else _error(NOT_FOUND, "no checkpoint of that log was cosigned")

    def _add(self, body: bytes) -> Answer:
        try:
            request = AddCheckpoint.parse(body)
            submitted = request.submitted()
        except MalformedError as error:
            raise _Refused(_error(BAD_REQUEST, str(error))) from None
        own_lines = self._check_signatures(request.note, submitted)
        if request.old_size > submitted.size:
            raise _Refused(_error(BAD_REQUEST, "the old size is above the checkpoint's"))
        with self._locks[submitted.origin]:
            self._check_against_record(request, submitted, body)
            return self._cosign(request.note, own_lines, submitted.origin)

    def _check_signatures(self, note: Note, submitted: Submitted) -> tuple[NoteSignature, ...]:
        """Return the log's own lines, of which there is one at least, and every one is right."""
        keys = self._logs.get(submitted.origin)
        if keys is None:
            raise _Refused(_error(NOT_FOUND, "the origin is not known here"))
        # A signature covers origin, size and root alone; a Checkpoint would refuse size 0 with another root before it.
        message = cast("Checkpoint", submitted)
        signers = [key for key in keys if any(line.by(key) for line in note.signatures)]
        try:
            for key in signers:
                verify_checkpoint_signature(note, key, message)
        except VerificationError:
            raise _Refused(_error(FORBIDDEN, "a signature of the log is wrong")) from None
        if not signers:
            raise _Refused(_error(FORBIDDEN, "no signature of a key that is trusted for the origin"))
        return tuple(next(line for line in note.signatures if line.by(key)) for key in signers)

    def _check_against_record(self, request: AddCheckpoint, submitted: Submitted, body: bytes) -> None:
        latest = self._records.latest(submitted.origin)
        size, root = (latest[1].size, latest[1].root) if latest is not None else (0, EMPTY_ROOT)
        if request.old_size != size:
            self._keep_if_forked(request.note, submitted, latest, body)
            raise _Refused(Answer(CONFLICT, f"{size}\n".encode(), SIZE))
        try:
            verify_consistency(size, submitted.size, request.proof, root, submitted.root)
        except VerificationError as error:
            if not self._keep_if_forked(request.note, submitted, latest, body):
                self._records.keep_refused(submitted.origin, body, request.note, forked=False)
            raise _Refused(_error(UNPROCESSABLE, str(error))) from None

    def _keep_if_forked(
        self, note: Note, submitted: Submitted, latest: tuple[Note, Checkpoint] | None, body: bytes
    ) -> bool:
        """Keep two signed roots of one size: proof by itself, whoever sent it."""
        if latest is None or submitted.size != latest[1].size or submitted.root == latest[1].root:
            return False
        self._records.keep_refused(submitted.origin, body, note, forked=True)
        return True

    def _cosign(self, note: Note, own_lines: tuple[NoteSignature, ...], origin: str) -> Answer:
        lines = self._cosigner.cosign(note.text, self._clock.now_ms() // _MS_PER_S)
        self._records.keep(origin, Note(note.text, (*own_lines, *lines)))
        # From here the checkpoint is the record. A crash loses the answer only: asked again with the new size as the
        # old one, the witness cosigns the same checkpoint once more.
        return Answer(OK, print_lines(lines))


def _error(status: int, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())

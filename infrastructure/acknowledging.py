"""Makes the acknowledgements of this process's commits (wire format, section 4).

Invariants:
- One token for each log and commit, shared by all of its callers. It is signed while the database writes; what could
  not be signed then is when the first caller asks. It leaves this process after the commit only.
- Instant and round are those of the commit, whenever the token is signed.
- A log's key is read from the keyring once. Of a commit nothing is kept but hashes and command ids.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.errors import LedgerError, UnavailableError
from domain.message import Recorded
from domain.time import SECOND_MS
from domain.transparency.small_tree import SmallTree
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.postgres.batch import Batch
from infrastructure.statements.acknowledgement import (
    Acknowledged,
    Acknowledgement,
    AcknowledgementSigner,
    acknowledged_digest,
)

PUBLISH_WITHIN_ROUNDS = 10
"""Rounds of the anchor log, from the newest at commit on, within which an event is published."""
_JTI_BYTES = 16
_ROUND_KEPT_S = 1.0


@dataclass(frozen=True, slots=True)
class _Part:
    """What a commit added to one log: the first leaf index, and for each event the command it answers and its hash."""

    first: int
    jtis: tuple[str, ...]
    leaf_hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Signed:
    token: str
    tree: SmallTree
    part: _Part


class Commit:
    """What one commit stored, and the acknowledgements of it. Safe to use from several threads."""

    def __init__(self, parts: dict[UUID, _Part], sign: Callable[[UUID, bytes, int], str]) -> None:
        self._parts = parts
        self._sign = sign
        self._signed: dict[UUID, _Signed] = {}
        self._lock = threading.Lock()

    def sign(self) -> None:
        """Sign for every log whose key is at hand; a failure comes up again when somebody asks."""
        for log_id in self._parts:
            with contextlib.suppress(LedgerError):
                self._signed_part(log_id)

    def acknowledge(self, log_id: UUID, leaf_index: int) -> Acknowledgement:
        """Return the acknowledgement of one of its events.

        Raises:
            UnknownError: when the log's keys were destroyed since.
        """
        signed = self._signed.get(log_id) or self._signed_part(log_id)
        part = signed.part
        index = leaf_index - part.first
        event = Acknowledged(part.jtis[index], part.leaf_hashes[index], leaf_index)
        return Acknowledgement(signed.token, event, index, signed.tree.path(index))

    def _signed_part(self, log_id: UUID) -> _Signed:
        with self._lock:
            signed = self._signed.get(log_id)
            if signed is None:
                part = self._parts[log_id]
                events = enumerate(zip(part.jtis, part.leaf_hashes, strict=True), part.first)
                tree = SmallTree([acknowledged_digest(jti, leaf, index) for index, (jti, leaf) in events])
                signed = _Signed(self._sign(log_id, tree.root, len(part.leaf_hashes)), tree, part)
                self._signed[log_id] = signed
            return signed


class NewestRound:
    """The newest round of the anchor log, asked for at most once a second, as every commit wants to know it.

    One that is out of date promises no more than was meant: it names an earlier round. While the store does not answer,
    the last one known stands.

    Args:
        read: asks the store; 0 before the first round.
        now_s: a clock that never steps back, in seconds.
    """

    def __init__(self, read: Callable[[], int], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._now_s = now_s
        self._known = 0
        self._ask_at_s = -math.inf

    def __call__(self) -> int:
        """Return it."""
        now_s = self._now_s()
        if now_s >= self._ask_at_s:
            self._ask_at_s = now_s + _ROUND_KEPT_S
            with contextlib.suppress(UnavailableError):
                self._known = self._read()
        return self._known


class Acknowledger:
    """Gives each commit what acknowledges it.

    Args:
        signer_of: gives the signer of a log; asked once for each.
        newest_round: the newest round of the anchor log, as far as is known without waiting; 0 before the first.
        within_rounds: how many rounds later a commit is published at the latest.
    """

    def __init__(
        self,
        signer_of: Callable[[UUID], AcknowledgementSigner],
        *,
        clock: Clock,
        entropy: Entropy,
        newest_round: Callable[[], int],
        within_rounds: int = PUBLISH_WITHIN_ROUNDS,
    ) -> None:
        self._signer_of = signer_of
        self._clock = clock
        self._entropy = entropy
        self._newest_round = newest_round
        self._within_rounds = within_rounds
        self._signers: dict[UUID, AcknowledgementSigner] = {}

    def committed(self, batch: Batch, firsts: Mapping[UUID, int]) -> Commit:
        """Return what acknowledges a batch that is stored from these leaf indices on, one for each log."""
        issued_at_s = self._clock.now_ms() // SECOND_MS
        publish_by = self._newest_round() + self._within_rounds
        parts = {
            part.log_id: _Part(
                firsts[part.log_id], tuple([batch.answers[place] for place in part.places]), part.leaf_hashes
            )
            for part in batch.parts
        }

        return self._commit(parts, issued_at_s, publish_by)

    def again(self, log_id: UUID, command_id: str, recorded: Sequence[Recorded]) -> Commit:
        """Return what acknowledges one command's events of a log once more: they are stored, and lie side by side.

        Args:
            log_id: their log.
            command_id: the command that they answer.
            recorded: the events, in leaf order, at least one.
        """
        hashes = tuple([one.leaf_hash for one in recorded])
        part = _Part(recorded[0].leaf_index, (command_id,) * len(hashes), hashes)
        issued_at_s = self._clock.now_ms() // SECOND_MS
        return self._commit({log_id: part}, issued_at_s, self._newest_round() + self._within_rounds)

    def _commit(self, parts: dict[UUID, _Part], issued_at_s: int, publish_by: int) -> Commit:
        def sign(log_id: UUID, root: bytes, size: int) -> str:
            jti = self._entropy.bytes(_JTI_BYTES).hex()
            signer = self._signer(log_id)
            return signer.sign(jti=jti, issued_at_s=issued_at_s, publish_by=publish_by, size=size, root=root)

        return Commit(parts, sign)

    def _signer(self, log_id: UUID) -> AcknowledgementSigner:
        signer = self._signers.get(log_id)
        if signer is None:
            signer = self._signers[log_id] = self._signer_of(log_id)
        return signer

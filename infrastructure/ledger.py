"""The ledger: load, decide elsewhere, save. One object per process over one database and one keyring.

Invariants:
- What `append` returns is durable. Everything of a command is stored in one transaction or not at all; commands of
  several threads share transactions (infrastructure.postgres.group), and a refused one fails alone.
- A command id with the same body returns the first answer; with another body it is refused.
- Recorded instants never fall within a process: a clock that steps back is clamped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.errors import ConflictError
from domain.message import Pending, Recorded
from infrastructure.acknowledging import Acknowledger, Commit, NewestRound
from infrastructure.clock import Clock
from infrastructure.closing import Closing
from infrastructure.entropy import Entropy
from infrastructure.ids import IdSource
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.port import KeyringPort
from infrastructure.keys.sealing import payload_digest
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.logbook import Logbook
from infrastructure.postgres.batch import Batch, prepare
from infrastructure.postgres.connect import Database, open_database
from infrastructure.postgres.group import GroupCommit
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Appended, CommandKnownError, Guard, Payload
from infrastructure.publish.freezing import check_floors
from infrastructure.statements.acknowledgement import AcknowledgementSigner
from infrastructure.transactions import Answer, Attachment, Command, command_record, repeated, same_answer

__all__ = ["Answer", "Attachment", "Command", "Ledger", "open_ledger"]


Placed = tuple[Appended, Commit]
"""Where an event came to lie, and its whole commit."""


@dataclass(frozen=True, slots=True)
class _Acknowledging:
    """Commits, and makes of each commit what acknowledges it."""

    recorder: LedgerRecorder
    acknowledger: Acknowledger

    def commit(self, batch: Batch, epoch: int | None) -> list[Placed]:
        """Write a batch, durably."""
        signed: list[Commit] = []

        def acknowledge(firsts: Mapping[UUID, int]) -> None:
            signed.append(self.acknowledger.committed(batch, firsts))
            if epoch is None:  # who waits for it will ask; of a decider's batches nobody does, and they span many logs
                signed[-1].sign()

        places = self.recorder.commit(batch, epoch, acknowledge)
        return [(place, signed[-1]) for place in places]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a command will write: its events, their instant, and the batch that holds them sealed."""

    pending: Sequence[Pending]
    at_ms: int
    batch: Batch


class Ledger(Closing, Logbook):
    """Events of all logs of one cell. Use `open_ledger`.

    Attributes:
        on_answer: hears every answer of an append that stored something, before its caller does.
    """

    def __init__(
        self,
        database: Database,
        keyring: KeyringPort,
        *,
        clock: Clock,
        ids: IdSource,
        entropy: Entropy,
        data_dir: Path | None = None,
    ) -> None:
        super().__init__(database, keyring, clock=clock, ids=ids, entropy=entropy, data_dir=data_dir)
        acknowledger = Acknowledger(
            self._acknowledgement_signer,
            clock=clock,
            entropy=entropy,
            newest_round=NewestRound(self.recorder.newest_round),
        )
        self._group = GroupCommit(_Acknowledging(self.recorder, acknowledger))
        self._last_at_ms = 0
        self.on_answer: Callable[[Answer], object] | None = None

    def append(
        self,
        pending: Sequence[Pending],
        *,
        command: Command | None = None,
        attachments: Sequence[Attachment] = (),
        epoch: int | None = None,
        claims: Sequence[Command] = (),
        guards: Sequence[Guard] = (),
    ) -> Answer:
        """Store a command's events, in one transaction.

        Args:
            pending: in the order in which each log shall hold them, with the versions that they expect.
            command: whose events they are; None for what nobody repeats.
            attachments: sealed payloads that the events name.
            epoch: the decider's number; None for what no decider decides.
            claims: names that are taken for ever in the same transaction.
            guards: streams that the decision rests on and that must not have moved on.

        Raises:
            ConflictError: when a stream moved on, a name is taken, or the command id came with another body.
            FencedError: when a newer decider is at work.
        """
        prepared = self._prepare(pending, command, attachments, claims, guards)
        try:
            return self._answer(prepared, command, self._group.append(prepared.batch, epoch))
        except (IntegrityError, CommandKnownError) as error:
            return _refused(command, error, self.at_rest)

    async def append_async(
        self,
        pending: Sequence[Pending],
        *,
        command: Command | None = None,
        attachments: Sequence[Attachment] = (),
        epoch: int | None = None,
        claims: Sequence[Command] = (),
        guards: Sequence[Guard] = (),
    ) -> Answer:
        """Do what `append` does, as a task: it holds no thread while it waits."""
        prepared = self._prepare(pending, command, attachments, claims, guards)
        try:
            return self._answer(prepared, command, await self._group.append_async(prepared.batch, epoch))
        except (IntegrityError, CommandKnownError) as error:
            return _refused(command, error, self.at_rest)

    def _prepare(
        self,
        pending: Sequence[Pending],
        command: Command | None,
        attachments: Sequence[Attachment],
        claims: Sequence[Command],
        guards: Sequence[Guard] = (),
    ) -> _Prepared:
        """Stamp, seal and hash, before any lock is taken."""
        self.sealers.check({item.log_id for item in pending})
        at_ms = self._instant()
        stored = [self.mapper.seal(item, at_ms) for item in pending]
        records = [command_record(one, self.at_rest(one.log_id)) for one in (*([command] if command else []), *claims)]
        payloads = [Payload(item.log_id, item.digest, item.sealed) for item in attachments]
        answers = command.command_id if command else ""
        return _Prepared(pending, at_ms, prepare(stored, records, payloads, guards, answers=answers))

    def _answer(self, prepared: _Prepared, command: Command | None, stored: Sequence[Placed]) -> Answer:
        at_ms = prepared.at_ms
        recorded = tuple(
            [
                Recorded(one.log_id, place.leaf_index, one.stream_id, one.version, at_ms, one.event, place.leaf_hash)
                for one, (place, _) in zip(prepared.pending, stored, strict=True)
            ]
        )
        answer = Answer(command.answer if command else {}, recorded, stored[0][1] if stored else None)
        if self.on_answer is not None:
            self.on_answer(answer)
        return answer

    def attach(self, log_id: UUID, stream_id: UUID, data: bytes) -> Attachment:
        """Seal bytes under a stream's key, for `append`."""
        self.sealers.check((log_id,))
        sealed = self.sealers.readable(log_id).seal_payload(stream_id, data)
        return Attachment(log_id, payload_digest(sealed), sealed, sha256(data).digest())

    def answered(self, command: Command) -> Mapping[str, Any] | None:
        """Return the answer of a command that was carried out before, or None.

        Raises:
            ConflictError: when its id came with another body.
        """
        known = self.recorder.find_command(command.log_id, command.issuer, command.command_id)
        if known is None:
            return None
        return same_answer(command, known, self.at_rest(command.log_id))

    def close(self) -> None:
        """Leave the database."""
        self._group.close()
        self._datastore.close()
        self._database.close()

    def _acknowledgement_signer(self, log_id: UUID) -> AcknowledgementSigner:
        return AcknowledgementSigner(self.keyring.get(log_id).acknowledgement_key(), self.log(log_id).origin)

    def _instant(self) -> int:
        with self._lock:
            self._last_at_ms = max(self._last_at_ms, self.clock.now_ms())
            return self._last_at_ms


def _refused(
    command: Command | None, error: IntegrityError | CommandKnownError, at_rest: Callable[[UUID], AtRest]
) -> Answer:
    """Answer a command that was carried out before with its first answer; refuse everything else."""
    if isinstance(error, CommandKnownError):
        return repeated(command, error, at_rest)
    raise ConflictError("something else was recorded first; read again and repeat") from None


def open_ledger(
    data_dir: Path,
    environ: Mapping[str, str],
    *,
    clock: Clock,
    ids: IdSource,
    entropy: Entropy,
    thawing: bool = False,
) -> Ledger:
    """Open the ledger of a data directory, starting its embedded database where no other is configured.

    Logs whose database does not hold what was signed of them are frozen first, and again before anything is appended
    over a new connection: a backup may have been restored meanwhile. Whoever thaws them leaves that out.

    Raises:
        LedgerError: when database or keyring can't be opened; the text says what to do.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    keyring = Keyring.open(data_dir / "keys", entropy, passphrase=passphrase_from(environ))
    database = open_database(data_dir, environ)
    ledger = Ledger(database, keyring, clock=clock, ids=ids, entropy=entropy, data_dir=data_dir)
    try:
        if not thawing:
            check_floors(ledger)
            ledger.datastore.appends.guard = lambda: check_floors(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger

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
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.message import Pending, Recorded
from infrastructure.acknowledging import Acknowledger, Commit, NewestRound
from infrastructure.clock import Clock
from infrastructure.closing import Closing
from infrastructure.credentials.verifying import Verifying
from infrastructure.entropy import Entropy
from infrastructure.ids import IdSource
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.port import KeyringPort
from infrastructure.keys.sealing import payload_digest
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.logbook import Logbook
from infrastructure.measuring import Histogram
from infrastructure.postgres.batch import Batch, merge, prepare
from infrastructure.postgres.connect import Database, open_database
from infrastructure.postgres.group import GroupCommit
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import (
    Appended,
    CommandKnownError,
    Guard,
    LoggedEvent,
    Payload,
    StreamMovedError,
)
from infrastructure.publish.freezing import check_floors
from infrastructure.statements.acknowledgement import AcknowledgementSigner
from infrastructure.transactions import (
    Answer,
    Attachment,
    Command,
    Step,
    command_record,
    kept_answer,
    kept_events,
    repeated,
    same_answer,
)

__all__ = ["Answer", "Attachment", "Command", "Ledger", "Step", "open_ledger"]


_COMMIT_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

Placed = tuple[Appended, Commit]
"""Where an event came to lie, and its whole commit."""


@dataclass(frozen=True, slots=True)
class _Acknowledging:
    """Commits, and makes of each commit what acknowledges it."""

    recorder: LedgerRecorder
    acknowledger: Acknowledger
    sizes: Histogram

    def commit(self, batch: Batch, epoch: int | None) -> list[Placed]:
        """Write a batch, durably."""
        signed: list[Commit] = []

        def acknowledge(firsts: Mapping[UUID, int]) -> None:
            signed.append(self.acknowledger.committed(batch, firsts))
            if epoch is None:  # who waits for it will ask; of a decider's batches nobody does, and they span many logs
                signed[-1].sign()

        places = self.recorder.commit(batch, epoch, acknowledge)
        self.sizes.observe(len(batch.events))
        return [(place, signed[-1]) for place in places]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a command will write: its events, their instant, and the batch that holds them sealed."""

    pending: Sequence[Pending]
    at_ms: int
    batch: Batch
    sealed: Sequence[LoggedEvent]
    epoch: int


class Ledger(Closing, Logbook):
    """Events of all logs of one cell. Use `open_ledger`.

    Attributes:
        credentials: verifies credentials, with the DID documents and status lists below the data directory.
        commits: how many events this process's commits held.
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
        self.commits = Histogram(_COMMIT_SIZES)
        self._acknowledger = Acknowledger(
            self._acknowledgement_signer,
            clock=clock,
            entropy=entropy,
            newest_round=NewestRound(self.recorder.newest_round),
        )
        self._group = GroupCommit(_Acknowledging(self.recorder, self._acknowledger, self.commits))
        self.credentials = Verifying.below(data_dir)
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

    def append_together(self, steps: Sequence[Step]) -> list[Answer]:
        """Store several commands' events in one transaction, each following those before it; return their answers.

        Raises:
            ConflictError: when a stream moved on, a name is taken, or one of the commands was carried out before.
        """
        made = [self._prepare(one.pending, one.command, one.attachments, one.claims, one.guards) for one in steps]
        try:
            places = iter(self._group.append(merge([one.batch for one in made])))
        except IntegrityError:
            raise StreamMovedError from None
        return [
            self._answer(one, step.command, list(islice(places, len(one.pending))))
            for one, step in zip(made, steps, strict=True)
        ]

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
        epoch = self._streams.epoch
        self.sealers.check({item.log_id for item in pending})
        at_ms = self._instant()
        stored = [self.mapper.seal(item, at_ms) for item in pending]
        records = [command_record(one, self.at_rest(one.log_id)) for one in claims]
        if command is not None:
            own = [(item.stream_id, item.version) for item in pending if item.log_id == command.log_id]
            records.insert(0, command_record(command, self.at_rest(command.log_id), own))
        payloads = [Payload(item.log_id, item.digest, item.sealed) for item in attachments]
        answers = command.command_id if command else ""
        batch = prepare(stored, records, payloads, guards, answers=answers, dense=True)
        return _Prepared(pending, at_ms, batch, stored, epoch)

    def _answer(self, prepared: _Prepared, command: Command | None, stored: Sequence[Placed]) -> Answer:
        at_ms = prepared.at_ms
        recorded = tuple(
            [
                Recorded(one.log_id, place.leaf_index, one.stream_id, one.version, at_ms, one.event, place.leaf_hash)
                for one, (place, _) in zip(prepared.pending, stored, strict=True)
            ]
        )
        self._stored(prepared.sealed, recorded, prepared.epoch)
        commit = stored[0][1] if stored else None
        answer = Answer(command.answer, recorded, commit, command.log_id) if command else Answer({}, recorded, commit)
        if self.on_answer is not None:
            self.on_answer(answer)
        return answer

    def attach(self, log_id: UUID, stream_id: UUID, data: bytes) -> Attachment:
        """Seal bytes under a stream's key, for `append`."""
        self.sealers.check((log_id,))
        sealed = self.sealers.readable(log_id).seal_payload(stream_id, data)
        made = Attachment(log_id, payload_digest(sealed), sealed, sha256(data).digest())
        self._payloads.put(made.log_id, made.digest, made.sealed)
        return made

    def answered(self, command: Command) -> Mapping[str, Any] | None:
        """Return the answer of a command that was carried out before, or None.

        Raises:
            ConflictError: when its id came with another body.
        """
        known = self.recorder.find_command(command.log_id, command.issuer, command.command_id)
        if known is None:
            return None
        return same_answer(command, known, self.at_rest(command.log_id))

    def answered_before(self, log_id: UUID, issuer: str, command_id: str) -> Answer | None:
        """Return the first answer of a command with its events in its own log, acknowledged anew; None before it.

        A repeat stores nothing: whoever lost the answer is told again what the first one said. Its acknowledgements
        are signed now, over the same events at the same places. After a thaw the places are not known any more.

        Raises:
            UnknownError: when the log's keys were destroyed since.
        """
        known = self.recorder.find_command(log_id, issuer, command_id)
        if known is None:
            return None
        at_rest = self.at_rest(log_id)
        answer, _ = kept_answer(known, at_rest)
        places = sorted(self.recorder.leaf_index(log_id, *event) for event in kept_events(known, at_rest))
        recorded = tuple(self.at_all(log_id, places))
        commit = self._acknowledger.again(log_id, command_id, recorded) if recorded else None
        return Answer(answer, recorded, commit, log_id)

    def close(self) -> None:
        """Leave the database."""
        self._group.close()
        self._datastore.close()
        self._database.close()

    def look_anew(self) -> None:
        """Trust nothing that was read before, and look whether the database holds what was signed of it."""
        self.forget_reads()
        check_floors(self)

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
    raise StreamMovedError from None


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
            ledger.datastore.appends.guard = ledger.look_anew
    except BaseException:
        ledger.close()
        raise
    return ledger

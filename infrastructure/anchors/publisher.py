"""Publishes the anchor log: a round at a fixed cadence, its tree, its witnesses (wire formats 3).

One turn is: a round from what is published now; tiles; floor; signature; witnesses; checkpoint. It can end between any
two of these; the next turn makes good what is missing and goes on.

Invariants:
- One turn at a time in a data directory (a lock), one round at a time in a database (another): rounds are dense, and
  one cadence holds however many processes keep it.
- Nothing is appended to an anchor log that is frozen, or whose stored rounds don't give the floor's root.
- What can't be traced stops no round: it is made with the empty trace root, and what it left out is traced by the next.
- A witness that is down, slow or wrong stops no round. One that says that it knows a larger tree freezes the log. What
  it said is kept, as is what one said that finds our tree inconsistent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from domain.errors import LedgerError, UnavailableError
from domain.time import SECOND_MS
from domain.transparency.anchor_slots import SlotKeys
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note
from domain.transparency.tlog_policy import NO_QUORUM, TlogPolicy
from infrastructure.anchors.cosigned import Cosigned, Dispute, Found, WitnessRecords
from infrastructure.anchors.keys import anchor_signer
from infrastructure.anchors.making import Tell, draft_round, published_texts
from infrastructure.anchors.places import anchor_tiles, anchors_locked, journal_of
from infrastructure.anchors.rounds import Draft, Round, Rounds
from infrastructure.anchors.witnesses import TIMEOUT_S, Answered, ask, configured, merged
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publishing import Prove, contradiction, freeze, publish_tree
from infrastructure.tlog.cosigning import cosignature_times
from infrastructure.tracing.tracer import Tracer
from infrastructure.witness.client import Cosigned as Answer
from infrastructure.witness.client import WitnessAheadError, WitnessDisagreesError

DEFAULT_EVERY_S = 60
"""Cadence of the rounds, in seconds."""


class AnchorSource:
    """The anchor log as its rounds have it at one moment (`infrastructure.publish.growing.TreeSource`)."""

    def __init__(self, rounds: Rounds, origin: str) -> None:
        self._rounds = rounds
        self._origin = origin
        self._frontier = rounds.frontier()

    @property
    def origin(self) -> str:
        """Return the anchor log's origin."""
        return self._origin

    def size(self) -> int:
        """Return how many rounds there are."""
        return self._frontier.size

    def root(self) -> bytes:
        """Return the root of their tree."""
        return self._frontier.root()

    def entries(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the entries of the rounds from `first`, without `last`."""
        return (stored.entry for stored in self._rounds.read(first, last))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did: the round that it made, if one was due, and the checkpoint that is published now."""

    made: Round | None
    published: Checkpoint
    cosigned_by: tuple[str, ...]


@dataclass
class AnchorPublisher:
    """Makes and publishes rounds for one cell.

    Args:
        ledger: the cell, opened with its data directory.
        witnesses: whom to ask, and what their quorum is; see `infrastructure.anchors.witnesses`.
        timeout_s: bound of one request to a witness.
        tell: is told what goes wrong beside the round.
    """

    ledger: Ledger
    witnesses: TlogPolicy
    timeout_s: float = TIMEOUT_S
    tell: Tell = lambda _line: None
    _by: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self._rounds = Rounds(self.ledger.datastore)
        self._records = WitnessRecords(self.ledger.datastore)
        self._signer = anchor_signer(self.ledger)
        self._floors = floors_of(self.ledger)
        self._tiles = anchor_tiles(self.ledger, self._signer.name)
        self._journal = journal_of(self.ledger)
        self._tracer: Tracer | None = None
        self._keys = SlotKeys(self.ledger.keyring.platform_secrets().anchor)

    def turn(self, *, every_ms: int = 0) -> Turn:
        """Make the next round if it is due, and publish what is not published yet.

        Args:
            every_ms: cadence; no round is made earlier than this after the one before. 0 makes one always.

        Raises:
            FrozenLogError: when the anchor log is frozen, or has to be.
            VerificationError: when what is stored or published is damaged; nothing is signed.
            UnavailableError: when disk or database refuse. Repeating is safe.
        """
        self._by = ()
        with anchors_locked(self.ledger):
            self._check_floor()
            logs, at_ms = self.ledger.logs(), self.ledger.clock.now_ms()
            texts = published_texts(logs, lambda log: tiles_of(self.ledger, log), self.tell)
            highest = max((log.slot for log in logs), default=0)

            tracer, reached = self._followed(), list[bool]()

            def due(newest: Round | None, committed: Mapping[int, bytes], traced: int) -> Draft | None:
                if newest is not None and 0 <= at_ms - newest.at_ms < every_ms:
                    return None
                draft = draft_round(
                    self._keys,
                    newest,
                    committed,
                    texts,
                    highest_slot=highest,
                    tell=self.tell,
                    trace=lambda index: None if tracer is None else tracer.trace(index, traced),
                )
                self._journal.write(0 if newest is None else newest.index + 1, at_ms, draft.changed, draft.trace)
                reached.append(draft.trace is not None)
                return draft

            made = self._rounds.append(due, at_ms)
            if made is not None and tracer is not None and reached[-1]:
                tracer.keep()
            published = publish_tree(
                AnchorSource(self._rounds, self._signer.name),
                self._signer,
                self._tiles,
                self._floors,
                at_unix_s=at_ms // SECOND_MS,
                cosign=self._cosign,
            )
        return Turn(made, published.checkpoint, self._by)

    def due_in_ms(self, every_ms: int) -> int:
        """Return how long it is to the next round of this cadence, in ms."""
        try:
            newest = self._rounds.newest()
        except UnavailableError:
            return every_ms
        passed = every_ms if newest is None else self.ledger.clock.now_ms() - newest.at_ms
        return max(0, every_ms - passed) if passed >= 0 else 0

    def _followed(self) -> Tracer | None:
        """Take in what the next round's trace covers; None where that can't be traced: the round is made without."""
        try:
            if self._tracer is None:
                self._tracer = Tracer(self.ledger)
            self._tracer.follow(self._rounds.traced())
        except UnavailableError:
            raise
        except LedgerError as error:
            self.tell(f"rounds are made without a trace: {error}")
            return None
        return self._tracer

    def _check_floor(self) -> None:
        """Refuse to append to rounds that are not those that were signed [a restored database makes them anew]."""
        origin = self._signer.name
        reason = self._floors.frozen(origin)
        if reason is not None:
            raise FrozenLogError(f"{origin} is frozen: {reason}")
        floor = self._floors.read(origin)
        if floor is None:
            return
        there = self._rounds.frontier_at(floor.size) or self._rounds.frontier()
        found = Checkpoint(origin, there.size, there.root())
        if found != floor:
            raise freeze(self._floors, origin, contradiction(floor, found))

    def _cosign(self, note: Note, prove: Prove) -> Note:
        """Ask all witnesses; keep what they say. The checkpoint that is returned is published.

        Raises:
            WitnessAheadError: when one knows a larger tree.
        """
        witnesses = configured(self.witnesses)
        sizes = {name: standing.size for name, standing in self._records.standings().items()}
        answers = ask(witnesses, note, sizes, prove, timeout_s=self.timeout_s)
        size = Checkpoint.parse(note.text).size
        for answer in answers:
            self._remember(answer, size, note)
        ahead = next((it.outcome for it in answers if isinstance(it.outcome, WitnessAheadError)), None)
        if ahead is not None:
            raise ahead
        cosigned = merged(note, answers)
        self._by = tuple(answer.witness.name for answer in answers if isinstance(answer.outcome, Answer))
        self._records.keep(Cosigned(cosigned, self._quorum(cosigned)), self.ledger.clock.now_ms())
        return cosigned

    def _quorum(self, note: Note) -> bool:
        keys = [witness.key for witness in self.witnesses.witnesses]
        times = cosignature_times(note, Checkpoint.parse(note.text), keys)
        return self.witnesses.quorum != NO_QUORUM and self.witnesses.evaluate(times).reached

    def _remember(self, answer: Answered, size: int, note: Note) -> None:
        name, outcome, at_ms = answer.witness.name, answer.outcome, self.ledger.clock.now_ms()
        if isinstance(outcome, Answer):
            self._records.cosigned(name, size, at_ms)
            return
        if isinstance(outcome, WitnessAheadError):
            self._records.dispute(Dispute(name, Found.AHEAD, outcome.size, note.to_bytes(), at_ms))
        elif isinstance(outcome, WitnessDisagreesError):
            self._records.dispute(Dispute(name, Found.DISAGREES, outcome.size, note.to_bytes(), at_ms))
        self._records.troubled(name, str(outcome))
        self.tell(str(outcome))

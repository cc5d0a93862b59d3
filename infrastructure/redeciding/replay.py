"""The replayer: folds views in feed order, makes each batch's decisions again, and compares them with those stored.

Who restarts, who follows the feed beside a decider and who audits uses this and nothing else.

Invariants:
- A batch is decided on the inputs up to the position that it names, whatever was committed beside it: row by row of the
  feed, after those that it folds together. So what is decided does not depend on how batches were cut. Decisions are
  applied when they are decided, and met in the feed they are compared, never folded.
- What comes after the last batch waits: where the next one begins, nobody knows before it is there. `settle` folds it
  for those who have to go on; if a batch then turns out to rest on less, `OvertakenError` tells to begin again.
- A batch of another engine can't be decided again here, nor one that was brought back after a restore, whose place in
  the feed is another one: its decisions are taken as they came, and counted.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.errors import VerificationError
from domain.identifiers import DECIDER_STREAM, PLATFORM_SLOT
from domain.message import Recorded
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.scheduling.views import View
from domain.transparency.traces import Kind
from infrastructure.redeciding.views import DIGEST, kept_view

Key = tuple[int, str, int]
"""Slot, stream and version: what names an entry of the cell."""

_KINDS: Final = frozenset("placed reserved deferred borrowed lent offered offer_closed suspected lost".split())
_REASONS: Final = frozenset({"reservation_expired", "node_lost", "release_expired"})


def nobody_elses(view: View) -> bool:
    """Tell whether only a decider makes such a view: in no batch, nobody decided it.

    A denial or expiry says so itself (`decider`); of version 1, which does not, none counts as somebody else's.
    """
    match view["kind"]:
        case "ended":
            return bool(view.get("decider", DIGEST in view))
        case "abandoned":
            return view["reason"] in _REASONS
        case "freed":
            return DIGEST in view  # a node's own reset carries its report
        case kind:
            return kind in _KINDS


class DifferenceError(VerificationError):
    """What is stored is not what this engine decides."""


class OvertakenError(VerificationError):
    """More was folded than a batch rests on: fold again, from where that was not so."""


class Kept(NamedTuple):
    """The state as a batch left it, from which a replay may go on. Nothing after that batch is folded in `dump`.

    `forgotten` names the decisions that are applied and stand after `position`, of whose streams the state knows the
    version no more: so many have ended since.
    """

    position: int
    batches: int
    epoch: int
    engine: str
    judged: bool
    dump: dict[str, Any]
    forgotten: Sequence[tuple[int, str, int]] = ()


class _Pending(NamedTuple):
    position: int
    number: int
    view: View


@dataclass
class Replay:
    """Folds and decides again.

    Args:
        engine: digest of the engine that is imported here.

    Attributes:
        state: after the last batch, and after what `settle` folded since.
        position: of the feed, up to which inputs are folded.
        batches: how many were met; the next one is that version of the decider's stream.
        kinds: of each view that was taken and not yet drained, in order; what was an input may yet turn into a decision
            while its transaction is not read to its end.
        redecided: how many decisions were made again and found equal.
        foreign: how many were made by other engines, which are taken as they came, by engine.
        together: of the feed, up to which inputs were folded since the last batch without deciding between them.
        unsure: whether decisions that can't be made again here may stand among what is not folded yet: it is folded
            together before anything is decided.
        returned: how many entries that may be decisions, or begin a batch, were brought back after a restore, and are
            taken as they came.
        after_batch: is called when a batch was decided again, before anything after it is folded.
    """

    engine: str
    state: Scheduling = field(default_factory=Scheduling)
    position: int = 0
    batches: int = 0
    epoch: int = 0
    redecided: int = 0
    foreign: dict[str, int] = field(default_factory=dict)
    returned: int = 0
    together: int = 0
    unsure: bool = False

    def __post_init__(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._expected: dict[Key, Decision] = {}
        self._own: set[int] = set()
        self._mine: set[Key] = set()
        self._met: deque[tuple[int, Key]] = deque()  # decisions that were met after `position`, in order
        self._judged = True  # no decision may stand outside of a batch, unless the one before was of another engine
        self._resumed = False
        self._drained = 0
        self.after_batch: Callable[[], object] = lambda: None
        self.kinds: list[Kind] = []

    @classmethod
    def resume(cls, kept: Kept) -> "Replay":
        """Go on from a kept state; the next view to be taken is the first after its position."""
        replay = cls(kept.engine, Scheduling.load(kept.dump), kept.position, kept.batches, kept.epoch)
        replay._resumed, replay._judged = True, kept.judged
        replay._mine = {(slot, stream, version) for slot, stream, version in kept.forgotten}
        return replay

    def keep(self) -> Kept:
        """Return the state as the last batch left it. To be called before anything after it was folded."""
        known = self.state.next_version
        met = [key for position, key in self._met if position > self.position]
        applied = dict.fromkeys([*met, *sorted(self._mine), *self._expected])
        forgotten = [key for key in applied if key[2] >= known(key[0], UUID(key[1]))]
        return Kept(self.position, self.batches, self.epoch, self.engine, self._judged, self.state.dump(), forgotten)

    def take(self, position: int, view: View, *, returned: bool = False) -> None:
        """Take the next view of the feed.

        Args:
            position: of its row.
            view: as it is kept.
            returned: whether the row was brought back after a restore.

        Raises:
            DifferenceError: when it, or what came before, is not what this engine decides.
            OvertakenError: when it begins a batch that rests on less than was folded.
        """
        number = self._drained + len(self.kinds)
        self.kinds.append(Kind.INPUT)
        if returned:
            self._take_returned(_Pending(position, number, view))
            return
        if view["kind"] == "decided":
            self._take_batch(_Pending(position, number, view))
            return
        key = _key(view)
        decision = self._expected.pop(key, None)
        if key in self._mine:
            self._mine.discard(key)
            self._meet(position, key)
            self._mark(number)
        elif decision is not None:
            self._compare(decision, _Pending(position, number, view))
        elif self._resumed and view["version"] < self.state.next_version(view["slot"], UUID(view["stream"])):
            self._meet(position, key)
            self._mark(number)  # applied before the state was kept
        else:
            self._pending.append(_Pending(position, number, view))

    @property
    def oldest_ms(self) -> int | None:
        """The recorded instant of the first input that is not folded; None where all are."""
        return int(self._pending[0].view["at_ms"]) if self._pending else None

    def settle(self, position: int) -> None:
        """Fold what was taken up to a position, all together, as an input of whatever is decided next.

        Raises:
            DifferenceError: when the last batch is not whole, or somebody decided outside of a batch.
        """
        self._finish()
        if self._pending and self._pending[0].position <= position:
            self.together = position
        self._fold(position)
        self.position = max(self.position, position)

    def advance(self) -> bool:
        """Fold the next row of the feed, to be decided on; tell whether there was one. Raises as `settle` does."""
        self._finish()
        if not self._pending:
            return False
        position = self._pending[0].position
        self._fold(position)
        self.position = max(self.position, position)
        return True

    def finish(self) -> None:
        """Check that nothing is missing of what was decided last. Folds nothing.

        Raises:
            DifferenceError: when a decision of the last batch is missing, or somebody decided outside of a batch.
        """
        self._finish()
        for one in self._pending:
            self._require_input(one)

    def committed(self, made: Iterable[Decision], epoch: int) -> None:
        """Take note of a batch that the caller decided on this state, applied to it and stored, before it is read."""
        self._own.add(self.batches)
        self.batches, self.epoch = self.batches + 1, epoch
        self._judged, self.unsure, self.together = True, False, 0
        self._mine |= {(one.slot, str(one.stream_id), one.version) for one in made}

    def drain(self) -> list[Kind]:
        """Return what the views taken since the last time are. To be called where a transaction ends."""
        kinds, self.kinds = self.kinds, []
        self._drained += len(kinds)
        return kinds

    def _take_batch(self, batch: _Pending) -> None:
        self._mark(batch.number)
        view = batch.view
        if (view["slot"], view["stream"]) != (PLATFORM_SLOT, str(DECIDER_STREAM)):
            raise DifferenceError(f"{_where(batch)} begins a batch outside of the decider's stream")
        if view["version"] in self._own:
            self._own.discard(view["version"])
            return
        if self._resumed and view["version"] < self.batches:
            return
        self._finish()
        if view["version"] != self.batches or view["epoch"] < self.epoch or view["position"] >= batch.position:
            raise DifferenceError(f"{_where(batch)} is not the batch that follows")
        self.batches, self.epoch = self.batches + 1, view["epoch"]
        if view["engine"] == self.engine:
            self._decide(batch)
        else:
            self._believe(batch)

    def _take_returned(self, one: _Pending) -> None:
        self._judged, self.unsure = False, True
        kind = one.view["kind"]
        self.returned += kind == "decided" or nobody_elses(one.view) or DIGEST in one.view
        if kind != "decided":
            self._pending.append(one)
            return
        self._mark(one.number)
        self.batches, self.epoch = one.view["version"] + 1, max(self.epoch, one.view["epoch"])

    def _decide(self, batch: _Pending) -> None:
        rests_on, together, count = (batch.view[name] for name in ("position", "together", "decisions"))
        if rests_on < self.position or together < self.together:
            raise OvertakenError(f"{_where(batch)} rests on position {rests_on}, but more was folded before it")
        if together > self.position:
            self._fold(together)
        self._judged, self.unsure = True, False
        made: list[Decision] = []
        while True:
            act = next_act(self.state, self.engine)[: count - len(made)] if len(made) < count else ()
            if act:
                self.state.apply(act)
                made += act
            elif self._pending and self._pending[0].position <= rests_on:
                if len(made) == count and next_act(self.state, self.engine):
                    raise DifferenceError(f"{_where(batch)} states {count} decisions, where more follow")
                self._fold(self._pending[0].position)
            else:
                break
        if len(made) < count:
            raise DifferenceError(f"{_where(batch)} states {count} decisions, where {len(made)} follow")
        self.position, self.together = rests_on, 0
        self._expected = {(one.slot, str(one.stream_id), one.version): one for one in made}
        for one in [one for one in self._pending if _key(one.view) in self._expected]:
            self._pending.remove(one)
            self._compare(self._expected.pop(_key(one.view)), one)
        self.after_batch()

    def _believe(self, batch: _Pending) -> None:
        """Fold what is there, and from now on the batch's decisions too, where they stand."""
        self._judged, self.unsure = False, True
        self._fold(batch.position)
        self.position, self.together = batch.position, 0
        engine = batch.view["engine"]
        self.foreign[engine] = self.foreign.get(engine, 0) + int(batch.view["decisions"])

    def _fold(self, position: int) -> None:
        while self._pending and self._pending[0].position <= position:
            one = self._pending.popleft()
            self._require_input(one)
            self.state.fold(one.view)

    def _require_input(self, one: _Pending) -> None:
        if self._judged and nobody_elses(one.view):
            raise DifferenceError(f"{_where(one)} is in no batch: nobody decided it")

    def _finish(self) -> None:
        for (slot, _, _), decision in self._expected.items():
            raise DifferenceError(
                f"batch {self.batches - 1}: {decision.event.TOPIC} was decided for slot {slot}, and is not stored"
            )

    def _meet(self, position: int, key: Key) -> None:
        """Note where a decision stands: a state that is kept before it must know it again."""
        met = self._met
        while met and met[0][0] <= self.position:
            met.popleft()
        met.append((position, key))

    def _compare(self, decision: Decision, one: _Pending) -> None:
        self._mark(one.number)
        self._meet(one.position, _key(one.view))
        stored = one.view
        at = Recorded(
            decision.stream_id, stored["leaf"], decision.stream_id, decision.version, stored["at_ms"],
            decision.event, b"",
        )  # fmt: skip
        decided = kept_view(at, decision.slot)
        if decided != stored:
            members = sorted(decided.keys() | stored.keys())
            name = next(name for name in members if decided.get(name) != stored.get(name))
            raise DifferenceError(
                f"{_where(one)} differs from what is decided ({decision.event.TOPIC}): {name} is "
                f"{_told(stored.get(name))}, decided {_told(decided.get(name))}"
            )
        self.redecided += 1

    def _mark(self, number: int) -> None:
        self.kinds[number - self._drained] = Kind.DECISION


def _key(view: View) -> Key:
    return view["slot"], view["stream"], view["version"]


def _where(one: _Pending) -> str:
    view = one.view
    return f"slot {view['slot']}, entry {view['leaf']} ({view['kind']}, feed position {one.position})"


def _told(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."  # noqa: PLR2004 - enough to find it

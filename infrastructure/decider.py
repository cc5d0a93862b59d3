"""The decider: follows the feed, decides until nothing more can be decided, appends in batches fenced by its epoch.

Invariants:
- A batch is one transaction: `DecisionsMade` with the position up to which inputs were folded, then its decisions. They
  are applied when they are decided; whoever replays decides them again there (infrastructure.redeciding.replay).
- Each row of the feed is decided on by itself, at its own time: how batches are cut, and what else came in, changes no
  decision. Rows are folded together where one of them has lost a race, and where they have waited for a decider so long
  that what is due comes first.
- A batch that was not stored never happened: the state is made again, from the last one that is kept.
- A deposed decider's batch fails as a whole (FencedError); it must stop.
- State comes from views alone, kept ones as far as they go: a tenant whose key is gone changes nothing.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from domain.errors import ConflictError, LedgerError, UnavailableError
from domain.executions.events import RuntimeReset
from domain.identifiers import DECIDER_STREAM, PLATFORM_SLOT
from domain.message import Pending, Recorded
from domain.platform.events import DecisionsMade, Ticked
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from infrastructure.commands.context import load_context
from infrastructure.commands.results import judge
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import FencedError, Guard
from infrastructure.redeciding.checkpoints import DECIDER, StateStore
from infrastructure.redeciding.replay import DifferenceError, OvertakenError, Replay
from infrastructure.stored_views import StoredViews

Watcher = Callable[[Recorded], None]
"""Is told, in feed order, every event that came after the views which were stored when the decider began."""

MOST_DECISIONS: Final = 256
"""Decisions in one batch, unless one act alone has more."""
MOST_S: Final = 0.006
"""So long a standing decider decides before it stores: what is decided waits no longer to be durable."""
STALE_MS: Final = 1000
"""Rows that waited longer for a decider are folded together, and what has come due meanwhile is settled first."""
TICK_EVERY_MS: Final = 50

_MAX_BATCHES = 1_000_000
_PAGE = 500
_KEEP_EVERY: Final = 10_000
"""A state is kept after so many events at the earliest: folding and deciding so many takes about a second."""
_KEEP_SHARE: Final = 10
"""And after so many times as long as keeping it takes: that grows with what waits."""


class Decider:
    """One per cell. `catch_up` reads; `settle` decides.

    Args:
        ledger: the ledger.
        watcher: is told every event after the stored views.
        most_decisions: in one batch, unless one act alone has more.
        most_s: seconds after which a batch takes no further act; None: however long.
    """

    def __init__(
        self, ledger: Ledger, watcher: Watcher | None = None, *, most_decisions: int = MOST_DECISIONS,
        most_s: float | None = None,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self._states = StateStore(ledger)
        self.views = StoredViews(ledger)
        self._watcher = watcher
        self._most, self._most_s = most_decisions, most_s
        self._epoch: int | None = None
        self._logs: dict[int, UUID] = {}
        self._lost = False  # whether the state holds decisions of which nobody knows that they are stored
        self._position, self._told = 0, 0
        self._since_kept, self._keep_from_s = 0, 0.0
        self._ticked_ms: int | None = None
        self._kept = self._states.newest(engine_digest(), last_position=self.views.stored)
        self._replay = self._begun()

    @property
    def state(self) -> Scheduling:
        """The scheduler's state as far as it was followed."""
        return self._replay.state

    @property
    def position(self) -> int:
        """Up to which position of the feed it has followed."""
        return self._position

    def catch_up(self) -> Scheduling:
        """Follow everything that was committed, store its views, return the state.

        Raises:
            DifferenceError: when stored decisions are not those that this engine makes.
        """
        self._follow(together=True)
        self._replay.drain()
        self.views.flush()
        return self.state

    def retire(self) -> None:
        """Give the epoch up: whoever settles again takes a new one, and deposes whoever decides by then."""
        self._epoch = None

    def follow(self) -> None:
        """Read on beside a decider, and fold no more than its batches say, to be ready when it is gone.

        Raises:
            DifferenceError: when stored decisions are not those that this engine makes.
        """
        self._follow()
        if self._replay.oldest_ms is None:
            self._replay.drain()
        self.views.flush()

    def settle(self) -> int:
        """Decide until nothing more can be decided. Returns how many events were appended.

        Raises:
            FencedError: when a newer decider has taken over.
        """
        if self._epoch is None:
            self._epoch = self._ledger.recorder.take_epoch()
        self._follow()
        appended = self._overdue()
        for _ in range(_MAX_BATCHES):
            stored = self._decide(self._epoch)
            if stored is None:
                if not self._tick():
                    self.views.flush()
                    self._replay.drain()
                    return appended
                stored = 1
            appended += stored
        raise UnavailableError("the decider doesn't come to rest; this is a fault of the program")

    def _overdue(self) -> int:
        """Let what has come due while nobody decided come first, so that nothing is placed after its time."""
        oldest_ms = self._replay.oldest_ms
        fresh = oldest_ms is not None and oldest_ms >= self._ledger.clock.now_ms() - STALE_MS
        if fresh and not self._replay.unsure:
            return 0
        self._follow(together=True)
        ticked = self._tick()
        self._follow(together=True)
        return int(ticked)

    def _decide(self, epoch: int) -> int | None:
        """Decide and store one batch; return how many events were stored, None at rest."""
        made = self._decisions()
        if not made:
            return None
        rests_on = {"together": self._replay.together, "position": self._replay.position}
        began = DecisionsMade(epoch=epoch, **rests_on, decisions=len(made), engine=engine_digest())
        platform = self._ledger.platform().log_id
        pending = [Pending(platform, DECIDER_STREAM, self._replay.batches, began)]
        pending += [Pending(self._log_of(one.slot), one.stream_id, one.version, one.event) for one in made]
        guards: list[Guard] = []
        last = made[-1].event
        if isinstance(last, RuntimeReset):
            context = load_context(self._ledger, last.execution_id)
            pending += judge(self._ledger, self.state, context, made[-1].version)
            guards = context.guards()
        stored = self._store(pending, guards)
        if stored:
            self._lost = False
            self._replay.committed(made, epoch)
            self._keep()
        self._follow(together=not stored)  # a batch that lost a race: with what came first
        return stored

    def _decisions(self) -> list[Decision]:
        """Decide up to the bound of a batch. What ends with a reset is a batch of its own: it is judged with it."""
        made: list[Decision] = []
        until_s = time.monotonic() + self._most_s if self._most_s is not None else math.inf
        while len(made) < self._most and not (made and time.monotonic() > until_s):
            act = next_act(self.state, engine_digest())
            resets = [at for at, one in enumerate(act) if isinstance(one.event, RuntimeReset)]
            if resets and made:
                break
            if not act:
                if self._replay.advance():
                    continue
                break
            act = act[: resets[0] + 1] if resets else act
            self._lost = True
            self.state.apply(act)
            made += act
            if resets:
                break
        return made

    def _store(self, pending: Sequence[Pending], guards: Sequence[Guard]) -> int:
        """Append; return how many events were stored: none where something else was recorded first."""
        try:
            answer = self._ledger.append(pending, epoch=self._epoch, guards=guards)
        except FencedError:
            raise
        except ConflictError:
            return 0
        self.views.remember(answer.recorded)
        return len(answer.recorded)

    def _tick(self) -> bool:
        """Record that an instant has come which something waits for, if no other input carried time past it."""
        due, now_ms = self.state.due_ms(), self._ledger.clock.now_ms()
        if due is None or due <= self.state.now_ms or now_ms < due:
            return False
        if self._ticked_ms is not None and now_ms < self._ticked_ms + TICK_EVERY_MS:
            return False
        platform = self._ledger.platform().log_id
        version = self.state.next_version(PLATFORM_SLOT, platform)
        # A conflict is no loss: another entry of the platform came first, and may have carried time past it.
        self._store([Pending(platform, platform, version, Ticked(due_ms=due))], ())
        self._ticked_ms = now_ms
        self._follow()
        return True

    def _follow(self, *, together: bool = False) -> None:
        """Read on; with `together`, fold all that was read without deciding between."""
        if self._lost:
            self._begin_again()
        try:
            self._read(together=together)
        except OvertakenError:
            self._begin_again()
            self._read(together=together)
        except DifferenceError:
            if self._kept is None:
                raise
            self._kept = None  # it may be the kept state that differs
            self._begin_again()
            self._read(together=together)

    def _read(self, *, together: bool) -> None:
        while True:
            self._before_page()
            rows = self._feed.read_feed(self._position, _PAGE)
            for row, folded in self.views.follow(rows):
                for one in folded:
                    self._replay.take(row.position, one.view, returned=row.returned)
                    if self._watcher is not None and one.recorded is not None and row.position > self._told:
                        self._watcher(one.recorded)
                self._since_kept += row.count
                self._position = row.position
                self._told = max(self._told, row.position)
            if len(rows) < _PAGE:
                break
        if together:
            self._replay.settle(self._position)

    def _before_page(self) -> None:
        """Do nothing. Who shares this process with others may stop here, by raising."""

    def _begin_again(self) -> None:
        """Go back to the last state that is kept, and read on from there."""
        self.views.flush()
        if self._watcher is None:
            self.views = StoredViews(self._ledger)
        self._replay = self._begun()

    def _begun(self) -> Replay:
        replay = Replay(engine_digest())
        if self._kept is not None:
            try:
                replay = Replay.resume(self._kept)
            except (LedgerError, ValueError, LookupError, TypeError, AttributeError):
                self._kept = None  # of another shape: the views give the state again
        replay.after_batch = self._remember
        self._position, self._since_kept, self._lost = replay.position, 0, False
        return replay

    def _keep(self) -> None:
        """Keep the state as the batch left it that was just stored, now and then."""
        if self._remember() and self._kept is not None:
            self.views.flush()  # who goes on from this state makes no views of what came before it
            self._states.put(DECIDER, self._kept)

    def _remember(self) -> bool:
        began_s = time.monotonic()
        if self._since_kept < _KEEP_EVERY or began_s < self._keep_from_s:
            return False
        self._kept, self._since_kept = self._replay.keep(), 0
        now_s = time.monotonic()
        self._keep_from_s = now_s + _KEEP_SHARE * (now_s - began_s)
        return True

    def _log_of(self, slot: int) -> UUID:
        if slot not in self._logs:
            self._logs = {log.slot: log.log_id for log in self._ledger.logs()}
        return self._logs[slot]

"""The decider: tails the feed, folds views, decides until nothing more can be decided, appends fenced by its epoch.

Invariants:
- State comes from the feed alone, own decisions included: what is folded here is what anybody folds who replays.
- A deposed decider's batch fails as a whole (FencedError); it must stop.
- A decision that lost a race (a stream moved on) is thrown away; the next fold decides anew.
"""

from collections.abc import Callable
from uuid import UUID

from domain.errors import ConflictError, UnavailableError
from domain.message import Pending, Recorded
from domain.platform.events import Ticked
from domain.scheduling.decide import Decision, decide
from domain.scheduling.state import Scheduling
from domain.scheduling.views import View, view_of
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import FencedError

Watcher = Callable[[Recorded], None]
"""Is told every event that is folded, in feed order."""

_MAX_ROUNDS = 100_000


class Decider:
    """One per cell. `catch_up` reads; `settle` decides.

    Args:
        ledger: the ledger.
        watcher: is told every folded event.
    """

    def __init__(self, ledger: Ledger, watcher: Watcher | None = None) -> None:
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self._watcher = watcher
        self._position = 0
        self._slots: dict[UUID, int] = {}
        self._cause: View | None = None
        self._epoch: int | None = None
        self.state = Scheduling()

    def catch_up(self) -> Scheduling:
        """Fold everything that was committed; return the state."""
        while rows := self._feed.read_feed(self._position):
            for row in rows:
                for recorded in self._ledger.history(
                    row.log_id, first=row.first_index, size=row.first_index + row.count
                ):
                    self._fold(recorded)
                self._position = row.position
        return self.state

    def settle(self) -> int:
        """Decide until nothing more can be decided. Returns how many events were appended.

        Raises:
            FencedError: when a newer decider has taken over.
        """
        if self._epoch is None:
            self._epoch = self._ledger.recorder.take_epoch()
        self.catch_up()
        appended = self._decide()
        while self._tick():
            appended += 1 + self._decide()
        return appended

    def _decide(self) -> int:
        appended = 0
        for _ in range(_MAX_ROUNDS):
            decisions = decide(self.state, self._cause, engine_digest()) if self._cause else ()
            if not decisions:
                return appended
            appended += self._append(decisions)
            self.catch_up()
        raise UnavailableError("the decider doesn't come to rest; this is a fault of the program")

    def _append(self, decisions: tuple[Decision, ...]) -> int:
        logs = {slot: log_id for log_id, slot in self._slots.items()}
        pending = [Pending(logs[item.slot], item.stream_id, item.version, item.event) for item in decisions]
        try:
            return len(self._ledger.append(pending, epoch=self._epoch).recorded)
        except FencedError:
            raise
        except ConflictError:
            return 0

    def _tick(self) -> bool:
        """Record that an instant has come which something waits for, if no other input carried time past it."""
        due = self.state.due_ms()
        if due is None or due <= self.state.now_ms or self._ledger.clock.now_ms() < due:
            return False
        platform = self._ledger.platform().log_id
        version = self.state.versions[str(platform)] + 1
        self._ledger.append([Pending(platform, platform, version, Ticked(due_ms=due))], epoch=self._epoch)
        self.catch_up()
        return True

    def _fold(self, recorded: Recorded) -> None:
        slot = self._slots.get(recorded.log_id)
        if slot is None:
            slot = self._slots[recorded.log_id] = self._ledger.log(recorded.log_id).slot
        self._cause = view_of(recorded, slot)
        self.state.fold(self._cause)
        if self._watcher is not None:
            self._watcher(recorded)

"""The decider: tails the feed, folds views, decides until nothing more can be decided, appends fenced by its epoch.

Invariants:
- State comes from the feed alone, own decisions included: what is folded here is what anybody folds who replays.
- It is folded from views, stored ones as far as they go: a tenant whose key is gone changes nothing.
- A deposed decider's batch fails as a whole (FencedError); it must stop.
- A decision that lost a race (a stream moved on) is thrown away; the next fold decides anew.
"""

from collections.abc import Callable
from uuid import UUID

from domain.errors import ConflictError, UnavailableError
from domain.executions.events import RuntimeReset
from domain.identifiers import PLATFORM_SLOT
from domain.message import Pending, Recorded
from domain.platform.events import Ticked
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.scheduling.views import View
from infrastructure.commands.context import load_context
from infrastructure.commands.results import judge
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import FencedError, Guard
from infrastructure.stored_views import StoredViews

Watcher = Callable[[Recorded], None]
"""Is told, in feed order, every event that came after the views which were stored when the decider began."""

_MAX_ROUNDS = 100_000
_PAGE = 500


class Decider:
    """One per cell. `catch_up` reads; `settle` decides.

    Args:
        ledger: the ledger.
        watcher: is told every event after the stored views.
    """

    def __init__(self, ledger: Ledger, watcher: Watcher | None = None) -> None:
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self.views = StoredViews(ledger)
        self._watcher = watcher
        self._position = 0
        self._slots: dict[UUID, int] = {}
        self._epoch: int | None = None
        self.state = Scheduling()

    def catch_up(self) -> Scheduling:
        """Fold everything that was committed, store its views, return the state."""
        self._follow()
        self.views.flush()
        return self.state

    def _follow(self) -> None:
        while True:
            rows = self._feed.read_feed(self._position, _PAGE)
            for row, folded in self.views.follow(rows):
                for view, recorded in folded:
                    self._fold(row.log_id, view, recorded)
                self._position = row.position
            if len(rows) < _PAGE:
                return

    def settle(self) -> int:
        """Decide until nothing more can be decided. Returns how many events were appended.

        Raises:
            FencedError: when a newer decider has taken over.
        """
        if self._epoch is None:
            self._epoch = self._ledger.recorder.take_epoch()
        self._follow()
        # What has come due while nobody decided comes first: nothing is placed after its time.
        appended = int(self._tick())
        appended += self._decide()
        while self._tick():
            appended += 1 + self._decide()
        self.views.flush()
        return appended

    def _decide(self) -> int:
        appended = 0
        for _ in range(_MAX_ROUNDS):
            decisions = next_act(self.state, engine_digest())
            if not decisions:
                return appended
            appended += self._append(_up_to_a_reset(decisions))
            self._follow()
        raise UnavailableError("the decider doesn't come to rest; this is a fault of the program")

    def _append(self, decisions: tuple[Decision, ...]) -> int:
        logs = {slot: log_id for log_id, slot in self._slots.items()}
        pending = [Pending(logs[item.slot], item.stream_id, item.version, item.event) for item in decisions]
        guards: list[Guard] = []
        last = decisions[-1].event
        if isinstance(last, RuntimeReset):
            context = load_context(self._ledger, last.execution_id)
            pending += judge(self._ledger, self.state, context)
            guards = context.guards(self._ledger)
        try:
            return len(self._ledger.append(pending, epoch=self._epoch, guards=guards).recorded)
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
        version = self.state.next_version(PLATFORM_SLOT, platform)
        try:
            self._ledger.append([Pending(platform, platform, version, Ticked(due_ms=due))], epoch=self._epoch)
        except FencedError:
            raise
        except ConflictError:
            pass  # another entry of the platform came first, and may have carried time past it
        self._follow()
        return True

    def _fold(self, log_id: UUID, view: View, recorded: Recorded | None) -> None:
        self._slots[log_id] = view["slot"]
        self.state.fold(view)
        if self._watcher is not None and recorded is not None:
            self._watcher(recorded)


def _up_to_a_reset(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Return the decisions up to the first reset. What follows it is judged with it; the rest is decided again."""
    resets = [at for at, item in enumerate(decisions) if isinstance(item.event, RuntimeReset)]
    return decisions[: resets[0] + 1] if resets else decisions

"""Durable decisions on a large cell: how many, how soon, made again, asked about, and after the decider was killed.

Invariants:
- The decider is the program's own, over the embedded server with fsync; every decision is sealed, hashed and stored.
- Its rate is that of filling an empty cell while the work that the size names is left pending, without the time to read
  what was appended before. What nodes report while latencies are measured is appended by the same process.
- A batch's latency is from its first decision to its commit.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from domain.errors import UnavailableError, VerificationError
from domain.message import Pending
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.scheduling.views import View
from infrastructure.decider import MOST_S, Decider
from infrastructure.engine_digest import engine_digest
from infrastructure.explaining import explain
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import Guard
from infrastructure.projector import Projector
from infrastructure.redeciding.replay import Replay
from infrastructure.stored_views import StoredViews
from scripts.bench.benchmark import Say
from scripts.bench.rounds import clean_heap, percentile
from scripts.bench.schedule.cell import NODE_SLOTS, Size
from scripts.bench.schedule.filling import Filling

AT_ONCE = 16
"""Executions that end between two settlings, while latencies are measured."""
READY = "ready"
_PAGE = 500
_A_MOMENT_S = 0.02
_ASKED = 500


class TimedDecider(Decider):
    """Notes when each batch's first decision was begun, and when it was durable."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, most_s=MOST_S)
        self.took_s: list[float] = []
        self.decided = 0
        self._began_s = 0.0

    def _decisions(self) -> list[Decision]:
        self._began_s = time.perf_counter()
        return super()._decisions()

    def _store(self, pending: Sequence[Pending], guards: Sequence[Guard]) -> int:
        stored = super()._store(pending, guards)
        if len(pending) > 1:  # a batch: its own event, then decisions
            self.took_s.append(time.perf_counter() - self._began_s)
            self.decided += stored - 1
        return stored


@dataclass(frozen=True, slots=True)
class Durable:
    """What a run came to."""

    decisions: int
    per_second: float
    p99_ms: float
    batches: int
    pending: int


def fill(ledger: Ledger, size: Size, say: Say) -> Filling:
    """Bring the cell and its first workloads into an empty ledger."""
    filling = Filling(ledger, size)
    filling.found(say)
    say("workloads")
    filling.queue(size.pending + size.nodes * NODE_SLOTS // 2)  # of those, about as many find a place at once
    return filling


def measure_durable(ledger: Ledger, filling: Filling, size: Size, releases: int, say: Say) -> Durable:
    """Decide all that can be decided, then go on with executions that end.

    Raises:
        VerificationError: when nothing was decided.
    """
    decider = TimedDecider(ledger)
    say("reading what was appended")
    decider.catch_up()
    say("deciding")
    with clean_heap():
        began_s = time.perf_counter()
        decider.settle()
        took_s = time.perf_counter() - began_s
    decided, per_second = decider.decided, decider.decided / took_s
    if not decided:
        raise VerificationError("nothing was decided")
    while (missing := size.pending - len(decider.state.waiting)) > 0:
        filling.queue(missing)
        decider.settle()
    decider.took_s = []
    logs = {log.slot: log.log_id for log in ledger.logs()}
    say("executions that end")
    with clean_heap():
        for _ in range(releases // AT_ONCE):
            filling.reset(_ending(decider.state, logs))
            decider.settle()
    return Durable(decided, per_second, percentile(decider.took_s, 99) * 1000, len(decider.took_s), size.pending)


def _ending(state: Scheduling, logs: dict[int, UUID]) -> list[tuple[UUID, str, int]]:
    found: list[tuple[UUID, str, int]] = []
    for execution, live in state.live.items():
        if len(found) == AT_ONCE:
            break
        stream = UUID(hex=execution.removeprefix("exec-0x"))
        found.append((logs[live.slot], execution, state.next_version(live.slot, stream)))
    return found


def measure_redecide(ledger: Ledger) -> tuple[float, int]:
    """Decide everything again from the views that are kept; return decisions per second, and how many they were.

    The time is that from the first batch on, with what is folded between batches.

    Raises:
        VerificationError: when a decision differs from the one that is stored, or none was made.
    """
    feed, views = Feed(ledger.datastore), StoredViews(ledger)
    taken: list[tuple[int, View]] = []
    position = 0
    while rows := feed.read_feed(position, _PAGE):
        for row, folded in views.follow(rows):
            taken += [(row.position, one.view) for one in folded]
            position = row.position
    first = next((at for at, (_, view) in enumerate(taken) if view["kind"] == "decided"), len(taken))
    replay = Replay(engine_digest())
    for at, view in taken[:first]:
        replay.take(at, view)
    with clean_heap():
        began_s = time.perf_counter()
        for at, view in taken[first:]:
            replay.take(at, view)
        replay.finish()
        took_s = time.perf_counter() - began_s
    if not replay.redecided:
        raise VerificationError("nothing was decided again")
    return replay.redecided / took_s, replay.redecided


def measure_why(ledger: Ledger, filling: Filling, say: Say) -> tuple[float, int]:
    """Ask why for workloads that wait, run or were denied; return the 99th percentile in ms, and how many were asked.

    The read models are up to date before, as a projector keeps them; that they still are is part of each answer.

    Raises:
        VerificationError: when there is nobody to ask about.
    """
    say("read models")
    Projector(ledger).catch_up()
    some = filling.submitted[:: max(len(filling.submitted) // _ASKED, 1)]
    if not some:
        raise VerificationError("nothing was submitted")
    say("why")
    took_s: list[float] = []
    with clean_heap():
        for prefixed_id in some:
            began_s = time.perf_counter()
            explain(ledger, prefixed_id)
            took_s.append(time.perf_counter() - began_s)
    return percentile(took_s, 99) * 1000, len(some)


def measure_recovery(ledger: Ledger, filling: Filling) -> float:
    """Kill a decider while it works, begin another one; return the seconds until that one is at rest.

    Raises:
        UnavailableError: when a decider doesn't come to rest.
    """
    data_dir = ledger.data_dir
    if data_dir is None:
        raise UnavailableError("a ledger without its directory can't be opened by another process")
    reader = Decider(ledger)
    reader.catch_up()
    logs = {log.slot: log.log_id for log in ledger.logs()}
    with _another(data_dir):
        filling.reset(_ending(reader.state, logs))
        time.sleep(_A_MOMENT_S)
    began_s = time.perf_counter()
    with _another(data_dir):
        return time.perf_counter() - began_s


@contextmanager
def _another(data_dir: Path) -> Iterator[None]:
    """Run a decider in a process of its own; begin when it is at rest, and kill it at the end."""
    command = [sys.executable, "-m", "scripts.bench.schedule.child", str(data_dir)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as child:
        try:
            if child.stdout is None or child.stdout.readline().rstrip() != READY:
                raise UnavailableError("the decider's process didn't come to rest")
            yield
        finally:
            child.kill()

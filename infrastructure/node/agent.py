"""A node at work over HTTP: enrolled, alive, polling for assignments, running as many as it has slots for.

Invariants:
- It takes no more than it has slots for, and calls free only what nothing holds that the ledger knows of.
- A ledger that is away is waited for; what runs goes on, what is to be said waits in the outbox.
- When it is told to end it takes nothing more, lets what runs finish for a while, ends the rest as lost, and says so.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from domain.errors import LedgerError, RefusedError, UnavailableError
from domain.nodes.telemetry import INTERVAL_MS, telemetry_claims
from domain.policies.facts import NodeFacts
from domain.statements import REPORT
from domain.time import SECOND_MS
from infrastructure.backoff import Backoff
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.assignment import Assignment
from infrastructure.node.claims import EvidencePort, SoftwareEvidence
from infrastructure.node.delivery import Delivery
from infrastructure.node.journal import Journal
from infrastructure.node.life import Lives
from infrastructure.node.outbox import Outbox
from infrastructure.node.recovery import Recovery
from infrastructure.node.wire import SentAssignment, SentAssignments, SentNode, SentNodes, SentTaken, read_sent
from infrastructure.runtime.pool import KeepPool
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

Tell = Callable[[str], None]

_POLL_MS: Final = 20_000
_MOST_AT_ONCE: Final = 64
_HELD_S: Final = 5.0
"""So long an assignment is still named as held after it left: the ledger may not have read its own news yet."""
_MODULES: Final = 64
_SENDERS: Final = 6
_GRACE_S: Final = 5.0
_LAST_S: Final = 3.0
_LONGEST_PAUSE_S: Final = 30.0
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Ended:
    """How a node ended: executions run to a result, given up as lost, and reports that nobody has taken yet."""

    node: str
    executed: int
    lost: int
    undelivered: int


class Agent:
    """One node.

    Args:
        client: the way to the ledger.
        wallet: the node's keys.
        journal: what it must not forget.
        clock: tells instants.
        entropy: draws jti.
        slots: executions at the same time; None: as many as it is enrolled with.
        tell: is told what people should know.
        evidence: makes the enclaves' evidence.
    """

    def __init__(
        self,
        client: Client,
        wallet: Wallet,
        journal: Journal,
        *,
        clock: Clock,
        entropy: Entropy,
        slots: int | None,
        tell: Tell,
        evidence: EvidencePort | None = None,
    ) -> None:
        self._client = client
        self._wallet = wallet
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._slots = slots
        self._tell = tell
        self._evidence = evidence or SoftwareEvidence()
        self._outbox = Outbox(journal, wallet, clock, entropy)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._taken: dict[str, Assignment] = {}
        self._held: dict[str, float] = {}
        self._under_way = 0
        self._modules: OrderedDict[str, bytes] = OrderedDict()

    def stop(self) -> None:
        """End soon. For any thread, and for signals."""
        self._stop.set()

    def run(self, ready: Callable[[str], None] = lambda _node: None) -> Ended:
        """Work until `stop`.

        Args:
            ready: is told the node's name once it takes work.

        Raises:
            NotAuthorisedError: when the ledger does not know this node's key.
            RefusedError: when the node enrolled with evidence of another kind than it makes.
            UnavailableError: when the journal can't be written.
        """
        with closing(self._client):
            return self._run(ready)

    def _run(self, ready: Callable[[str], None]) -> Ended:
        recovery = Recovery(self._client, self._outbox, self._tell)
        recovery.begin()
        known = self._begin(recovery)
        if known is None:
            return Ended("", 0, 0, self._outbox.undelivered())
        facts = known.known_facts()
        require_same_kind(facts, self._evidence)
        slots = min(self._slots or facts.slots, facts.slots)
        delivery = Delivery(self._outbox, self._client, self._tell, min(_SENDERS, slots))
        with KeepPool() as keeps, ThreadPoolExecutor(slots, "node-life") as pool:
            lives = Lives(self._client, self._outbox, keeps, self._evidence, self._clock, self._tell)
            delivery.start()
            beside = [
                threading.Thread(target=self._poll, args=(lives, pool, slots), name="node-poll", daemon=True),
                threading.Thread(target=self._beat, args=(facts, known), name="node-heartbeat", daemon=True),
            ]
            for thread in beside:
                thread.start()
            ready(known.node)
            self._stop.wait()
            self._end(lives)
        until_s = time.monotonic() + _LAST_S
        self._outbox.wait_delivered(_LAST_S)
        delivery.stop(max(0.0, until_s - time.monotonic()))
        if self._journal.failed:
            raise UnavailableError("the node's journal can't be written: the node has ended")
        return Ended(known.node, lives.executed, lives.lost, self._outbox.undelivered())

    def _begin(self, recovery: Recovery) -> SentNode | None:
        """Find out who this is and settle what was left; wait for a ledger that is away. None when told to end."""
        backoff, told = Backoff(most_s=_LONGEST_PAUSE_S), False
        while not self._stop.is_set():
            try:
                known = self._whoami()
                recovery.settle()
            except (UnavailableError, AnsweredError) as error:
                if not told:
                    told = True
                    self._tell(f"waiting for the ledger: {error}")
                self._stop.wait(backoff.next_s())
            else:
                return known
        return None

    def _whoami(self) -> SentNode:
        (found,) = read_sent(SentNodes, self._client.get("/v1/nodes")).nodes
        found.known_facts()
        return found

    def _end(self, lives: Lives) -> None:
        """Let what runs come to its end, for a while; then end it."""
        lives.stop()
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0, _GRACE_S)
        abandoned = lives.abandon()
        for name in abandoned:
            self._tell(f"{name}: ended as lost, because this node ends")

    def _poll(self, lives: Lives, pool: ThreadPoolExecutor, slots: int) -> None:
        with closing(self._client):
            self._poll_on(lives, pool, slots)

    def _poll_on(self, lives: Lives, pool: ThreadPoolExecutor, slots: int) -> None:
        backoff, away = Backoff(most_s=_LONGEST_PAUSE_S), False
        while not self._stop.is_set():
            if self._journal.failed:
                self.stop()
                return
            if self._journal.full:  # nothing could be said of it: others take what there is
                self._stop.wait(1.0)
                continue
            with self._changed:
                if not self._changed.wait_for(lambda: self._under_way < slots, 1.0):
                    continue
                free = min(_MOST_AT_ONCE, slots - self._under_way)
            try:
                found = self._ask(free)
            except (LedgerError, AnsweredError) as error:
                if not away:
                    away = True
                    self._tell(f"no assignments: {error}")
                self._stop.wait(backoff.next_s())
                continue
            away = False
            backoff.reset()
            for assignment in found:
                self._start(assignment, lives, pool)

    def _ask(self, free: int) -> list[Assignment]:
        now_s = time.monotonic()
        self._held = {name: until for name, until in self._held.items() if until > now_s or name in self._taken}
        asked = {"limit": free, "wait_ms": _POLL_MS, "holding": list(self._held)}
        answer = self._client.post("/v1/assignments", asked, wait_s=_POLL_MS / SECOND_MS)
        sent = read_sent(SentAssignments, answer).assignments
        for one in sent:
            self._held[one.execution] = now_s + _HELD_S
        fresh = [one for one in sent if not self._outbox.knows(one.execution) and one.execution not in self._taken]
        return [one.with_module(self._module(one)) for one in fresh]

    def _module(self, sent: SentAssignment) -> bytes:
        known = self._modules.pop(sent.module_digest, None)
        if known is None:
            known = self._client.get_bytes(f"/v1/assignments/{sent.execution}/module")
            if sha256(known).hexdigest() != sent.module_digest:
                raise UnavailableError("the ledger sends another module than the one that it names")
        self._modules[sent.module_digest] = known
        if len(self._modules) > _MODULES:
            self._modules.popitem(last=False)
        return known

    def _start(self, assignment: Assignment, lives: Lives, pool: ThreadPoolExecutor) -> None:
        name = assignment.execution_id
        with self._changed:
            if self._stop.is_set():
                return  # it came on an answer that was on its way: the next start asks for it again
            self._under_way += 1
            self._taken[name] = assignment

        def ended(_: Future[None]) -> None:
            with self._changed:
                self._under_way -= 1
                del self._taken[name]
                self._changed.notify_all()
            self._held[name] = time.monotonic() + _HELD_S

        pool.submit(lives.live, assignment).add_done_callback(ended)

    def _beat(self, facts: NodeFacts, known: SentNode) -> None:
        """Report load and what is free, once at the start and then at every interval."""
        with closing(self._client):
            self._beat_on(facts, known)

    def _beat_on(self, facts: NodeFacts, known: SentNode) -> None:
        following: tuple[int, str] | None = (known.telemetry.seq, known.telemetry.prev)
        while not self._stop.is_set():
            try:
                if following is None:
                    fresh = self._whoami().telemetry
                    following = (fresh.seq, fresh.prev)
                following = self._report(facts, known.platform, *following)
            except (LedgerError, AnsweredError):
                following = None  # it may have come or not: ask before the next one
            self._stop.wait(INTERVAL_MS / SECOND_MS)

    def _report(self, facts: NodeFacts, platform: str, seq: int, prev: str) -> tuple[int, str]:
        with self._changed:
            taken = list(self._taken.values())
        slots = max(0, facts.slots - max(len(taken), len(self._outbox.left_behind())))
        memory = max(0, facts.memory_bytes - sum(one.limits.memory_bytes for one in taken))
        said: dict[str, Any] = telemetry_claims(
            facts.node, seq, prev, load_percent=_load_percent(), free_slots=slots, free_memory_bytes=memory
        )
        content = payload(
            iss=self._wallet.did(Purpose.REPORT), aud=platform, claims=said, now_ms=self._clock.now_ms(),
            entropy=self._entropy,
        )  # fmt: skip
        token = jws.sign(REPORT, self._wallet.key(Purpose.REPORT), content)
        counts = read_sent(SentTaken, self._client.post("/v1/reports", {"report": token})).accepted
        return (seq + 1, sha256(token.encode()).hexdigest()) if counts else (seq, prev)


def require_same_kind(facts: NodeFacts, evidence: EvidencePort) -> None:
    """Raise unless a node's evidence is of the kind that it enrolled with: no execution of its would get any inputs.

    Raises:
        RefusedError: saying which it is.
    """
    if evidence.of_platform and facts.evidence_class == "software":
        raise RefusedError(f"node {facts.node} enrolled with software evidence: run it without a platform")
    if not evidence.of_platform and facts.evidence_class != "software":
        raise RefusedError(f"node {facts.node} enrolled with a machine that proved itself: name its platform")


def _load_percent() -> int:
    return min(_PERCENT, int(_PERCENT * os.getloadavg()[0] / (os.cpu_count() or 1)))

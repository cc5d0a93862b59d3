"""A cell in memory: records events, folds their views and settles, as a decider does; keeps all that was recorded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from domain.identifiers import node_stream, offer_stream, stream_of, uuid7
from domain.message import Event, Recorded
from domain.nodes.events import NodeDrained, NodeEnrolled
from domain.platform.events import Genesis, LevelsAdopted, Ticked
from domain.policies.facts import NodeFacts
from domain.policies.kinds import PRIMARY, Policy
from domain.pools.events import OfferWithdrawn
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.scheduling.views import View, view_of
from domain.tenants.events import PolicyAdopted
from tests.domain import samples

LEVELS = ("Disaster", "Finance")
PLATFORM = 0
MAX_ROUNDS = 500


def log_of(slot: int) -> UUID:
    """Return the log of a slot."""
    return uuid7(1_700_000_000_000, slot)


@dataclass
class Cell:
    """Everything that was recorded, in feed order, and the scheduler's state folded from it."""

    clock_ms: int = samples.NOW
    state: Scheduling = field(default_factory=Scheduling)
    feed: list[tuple[int, Recorded]] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    decided: list[tuple[int, tuple[Decision, ...]]] = field(default_factory=list)
    leaves: dict[int, int] = field(default_factory=dict)
    versions: dict[tuple[int, UUID], int] = field(default_factory=dict)
    watch: Callable[[int, Event, bool], None] | None = None
    kept: tuple[tuple[str, ...], tuple[int, str]] | None = None  # as the act that is recorded found it
    kept_quota: bool = False
    open_pools: bool = True  # whether whoever brings a node of another pool makes an offer of it

    def begin(self, levels: tuple[str, ...] = LEVELS) -> "Cell":
        """Record the genesis and the levels."""
        genesis = Genesis(
            cell=0, host=samples.HOST, origin=f"{samples.HOST}/t/0", root_scope="r", root_origin="r", engine="e"
        )
        self.record(PLATFORM, log_of(PLATFORM), genesis)
        self.record(PLATFORM, log_of(PLATFORM), LevelsAdopted(version=1, domains=levels, statements=()))
        return self

    def record(self, slot: int, stream: UUID, event: Event, *, by_decider: bool = False) -> Recorded:
        """Store an event at its stream's next version; fold its view, if it is no decision: those are applied."""
        leaf, version = self.leaves.get(slot, -1) + 1, self.versions.get((slot, stream), -1) + 1
        self.leaves[slot], self.versions[slot, stream] = leaf, version
        stored = Recorded(log_of(slot), leaf, stream, version, self.clock_ms, event, len(self.feed).to_bytes(32, "big"))
        if self.watch is not None:
            self.watch(slot, event, by_decider)
        self.feed.append((slot, stored))
        self.views.append(view_of(stored, slot))
        if not by_decider:
            self.state.fold(self.views[-1])
            self.kept, self.kept_quota = self.state.kept, self.state.kept_quota
        return stored

    def on(self, slot: int, prefixed_id: str, *events: Event) -> None:
        """Record events of a workload or execution."""
        for event in events:
            self.record(slot, stream_of(prefixed_id), event)

    def settle(self) -> int:
        """Decide until nothing more can be decided; every decision names the version that its stream expects."""
        for rounds in range(MAX_ROUNDS):
            decisions = next_act(self.state, samples.ENGINE)
            if not decisions:
                return rounds
            self.decided.append((len(self.feed), decisions))
            self.state.apply(decisions)
            for decision in decisions:
                assert decision.version == self.versions.get((decision.slot, decision.stream_id), -1) + 1, (
                    "an event would be lost"
                )
                self.record(decision.slot, decision.stream_id, decision.event, by_decider=True)
            self.kept, self.kept_quota = self.state.kept, self.state.kept_quota
        raise AssertionError("the decider does not come to rest")

    def advance(self, by_ms: int) -> None:
        """Let time pass; tick at every instant that something waits for, as a punctual decider does."""
        until = self.clock_ms + by_ms
        while (due := self.state.due_ms()) is not None and due <= until:
            self.clock_ms = max(self.clock_ms, due)
            if due > self.state.now_ms:
                self.record(PLATFORM, log_of(PLATFORM), Ticked(due_ms=due))
            assert self.settle(), "an instant was due and nothing was decided"
        self.clock_ms = until

    def join(self, facts: NodeFacts) -> None:
        """Enrol a node."""
        enrolled = NodeEnrolled(
            facts=facts, kid=samples.KID, public_key=samples.hexed(1), credential={},
            credential_digest=samples.hexed(2), acceptance="a.b.c",
        )  # fmt: skip
        self.record(PLATFORM, node_stream(facts.node), enrolled)
        if facts.pool != PRIMARY and self.open_pools:
            self.offer(facts.pool, facts.operator)

    def offer(
        self, pool: str, operator: str, slots: int | None = None, memory_bytes: int | None = None, until_ms: int = 2**45
    ) -> None:
        """Let a pool's operator make a standing offer."""
        stream = offer_stream(pool, operator)
        number = self.versions.get((PLATFORM, stream), -1) + 1
        event = samples.offer_stood(
            pool=pool, operator=operator, number=number, slots=slots, memory_bytes=memory_bytes, until_ms=until_ms
        )
        self.record(PLATFORM, stream, event)

    def withdraw(self, pool: str, operator: str) -> None:
        """Withdraw the newest standing offer."""
        stream = offer_stream(pool, operator)
        number = self.versions.get((PLATFORM, stream), -1)
        self.record(PLATFORM, stream, OfferWithdrawn(number=number, pool=pool, operator=operator, statements=()))

    def drain(self, name: str) -> None:
        """Drain a node."""
        drained = samples.SAMPLES_BY_TOPIC[NodeDrained.TOPIC].model_copy(update={"node": name})
        self.record(PLATFORM, node_stream(name), drained)

    def adopt(self, slot: int, policy: Policy) -> None:
        """Put a tenant's policy in force."""
        number = self.state.policy_of(slot)[0] + 1
        self.record(
            slot, log_of(slot), PolicyAdopted(version=number, policy=policy, digest=policy.digest(), statements=())
        )

    def replayed(self) -> Scheduling:
        """Fold the inputs again and decide again where something was decided.

        Raises:
            AssertionError: when a decision differs, or deciding changes the state.
        """
        again, made = Scheduling(), dict(self.decided)
        mine = {at + offset for at, act in self.decided for offset in range(len(act))}
        for at, view in enumerate(self.views):
            if at in made:
                before = again.digest()
                assert next_act(again, samples.ENGINE) == made[at]
                assert again.digest() == before, "deciding changes nothing"
                again.apply(made[at])
            if at not in mine:
                again.fold(view)
        return again

    def events_of(self, slot: int) -> list[Event]:
        """Return what one log holds."""
        return [stored.event for owner, stored in self.feed if owner == slot]

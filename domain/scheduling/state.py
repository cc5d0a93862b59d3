"""The scheduler's state: a fold of inputs' views, and of decisions when they are decided.

Invariants:
- `apply` has the effect that folding the views of the act's events would have, but for decision time, `seen` and the
  count of inputs: those move with inputs only, so who replays need not know when a batch became durable.
- `fold` is total and deterministic; two folds of the same views have the same digest at every prefix.
- A slot of a node is taken by `placed` and given back by `freed` (reset or abandoned), never earlier; of a tenant whose
  keys are gone also by `erased`, where it was restored from a time before it came to rest.
- Decision time is the greatest instant folded so far: a clock that steps back does not move it.

The object is an accumulator owned by one decider; nobody else changes it. Everything it hands out is frozen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import origin
from domain.message import Recorded
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.kinds import Policy
from domain.scheduling import watching
from domain.scheduling.dumps import dumped, load_into, policy_from, queued_from
from domain.scheduling.tables import Decision, Key, Live, Tables, Waiting
from domain.scheduling.views import View, view_of
from domain.workloads.events import WorkloadQueued

NODE_REASONS = frozenset({"reservation_expired", "evidence_refused", "node_lost"})
"""Why an attempt ended before its inputs were released, for a reason of the node: only these are placed again."""

INERT_KINDS = frozenset({"moved", "deferred", "reserved", "released", "finished", "decided"}) | watching.INERT_KINDS
"""Kinds of input that neither add work nor free a place: nothing can be decided because of them but expiry."""

_QUEUED = frozenset(WorkloadQueued.model_fields)


@dataclass
class Scheduling(Tables):
    """What the decisions read, and how it moves on."""

    def fold(self, view: View) -> None:
        """Take one view in.

        Raises:
            MalformedError: for a view of a version that this engine does not read.
        """
        if view["v"] != 1:
            raise MalformedError(f"view version {view['v']} is not read by this engine")
        self.inputs += 1
        self.now_ms = max(self.now_ms, view["at_ms"])
        self.seen[view["slot"]] = view["leaf"]
        self._take(view)

    def apply(self, act: Iterable[Decision]) -> None:
        """Take decisions in that `next_act` returned, or the first of them."""
        for made in act:
            recorded = Recorded(made.stream_id, 0, made.stream_id, made.version, self.now_ms, made.event, b"")
            self._take(view_of(recorded, made.slot))

    def _take(self, view: View) -> None:
        self.versions[view["slot"], view["stream"]] = view["version"]
        self.stirred = self.stirred or view["kind"] not in INERT_KINDS
        handler = _HANDLERS.get(view["kind"])
        if handler is not None:
            handler(self, view)

    def next_version(self, slot: int, stream: UUID) -> int:
        """Return the version that the next event of a stream in the log of `slot` has."""
        return self.versions.get((slot, str(stream)), -1) + 1

    def policy_of(self, slot: int) -> tuple[int, Policy]:
        """Return a tenant's policy version and policy; version 0 has no rules."""
        return self.policies.get(slot, (0, Policy()))

    def effective(self, waiting: Waiting) -> tuple[int, Policy]:
        """Return the policy version and the effective policy for a waiting workload."""
        version, policy = self.policy_of(waiting.slot)
        return version, effective_policy(policy, waiting.queued.clause_rules)

    def level(self, facts: WorkloadFacts) -> int:
        """Return the priority level: 0 is served first; a domain that isn't named comes last."""
        if facts.level is not None:
            return facts.level
        return self.levels.index(facts.domain) if facts.domain in self.levels else len(self.levels)

    def residents(self, node: str, *, without: str = "") -> tuple[Resident, ...]:
        """Return who lives on a node now, in the order of their ids."""
        return tuple(
            live.resident for execution, live in sorted(self.live.items()) if live.node == node and execution != without
        )

    def free(self, node: NodeFacts) -> tuple[int, int]:
        """Return free slots and free bytes of memory of a node."""
        there = [live.resident.workload.bounds.memory_bytes for live in self.live.values() if live.node == node.node]
        return node.slots - len(there), node.memory_bytes - sum(there)

    def origin(self, slot: int) -> str:
        """Return the origin of the tenant in a slot."""
        return origin(self.host, slot)

    def at_rest(self, slot: int) -> bool:
        """Tell whether nothing of a tenant waits or runs, and nothing more will be decided for it."""
        keys = [*self.waiting, *self.again, *self.unsettled, *(live.key for live in self.live.values())]
        return all(key[0] != slot for key in keys)

    def due_ms(self) -> int | None:
        """Return the next instant at which something expires, if anything can."""
        instants = [waiting.queued.not_after_ms for waiting in self.waiting.values()]
        instants += [live.until_ms for live in self.live.values()]
        signs = self.signs.due_ms()
        instants += [] if signs is None else [signs]
        return min(instants, default=None)

    def digest(self) -> str:
        """Return H(JCS of the folded state)."""
        return sha256_hex(canonical(self.dump()))

    def dump(self) -> dict[str, Any]:
        """Return the state as restricted JSON, everything in a fixed order."""
        return dumped(self)

    @classmethod
    def load(cls, dump: dict[str, Any]) -> "Scheduling":
        """Return the state of a dump: it goes on as the one that was dumped would have."""
        state = cls()
        load_into(state, dump)
        return state


def _key(view: View) -> Key:
    return view["slot"], view["workload_id"]


def _when_queued(state: Scheduling, view: View) -> None:
    queued = queued_from({name: view[name] for name in _QUEUED})
    key = _key(view)
    state.arrivals += 1
    state.waiting[key] = Waiting(view["slot"], queued, state.arrivals)
    state.again.pop(key, None)
    state.held.discard(key)
    state.deferred.discard(key)
    _settle(state, key)
    _close(state, key)  # a reservation of an earlier attempt must not bring that attempt back


def _when_ended(state: Scheduling, view: View) -> None:
    key = _key(view)
    state.waiting.pop(key, None)
    state.deferred.discard(key)
    state.failures.pop(key, None)
    state.again.pop(key, None)
    state.held.discard(key)
    _close(state, key)


def _settle(state: Scheduling, key: Key) -> None:
    """Forget what was known of the attempt as a whole."""
    state.attempts.pop(key, None)
    state.ran.discard(key)
    state.unsettled.pop(key, None)


def _present(state: Scheduling, live: Live) -> bool:
    """Tell whether an execution is of the attempt that its workload is at, not of one that it has gone on from."""
    return state.attempts.get(live.key, (0, ()))[0] == live.queued.attempt


def _when_settled(state: Scheduling, view: View) -> None:
    if state.attempts.get(_key(view), (0, ()))[0] == view["attempt"]:
        _settle(state, _key(view))


def _close(state: Scheduling, key: Key) -> None:
    """Mark the executions of an attempt that is over and has not got its inputs: they give their places back."""
    state.over |= {name for name, live in state.live.items() if live.key == key and live.phase == "reserved"}


def _give_back(state: Scheduling, view: View) -> Live | None:
    state.over.discard(view["execution_id"])
    state.gone.discard(view["execution_id"])
    return state.live.pop(view["execution_id"], None)


def _when_freed(state: Scheduling, view: View) -> None:
    live = _give_back(state, view)
    if live is not None and _present(state, live) and len(state.attempts[live.key][1]) == 1:
        _settle(state, live.key)  # an attempt of several is settled by its quorum's verdict


def _when_abandoned(state: Scheduling, view: View) -> None:
    over = view["execution_id"] in state.over  # its workload ended, or its attempt was given up: it counts no more
    live = _give_back(state, view)
    if live is not None:
        watching.when_abandoned(state, view, live)
    if live is None or not _present(state, live):
        return
    if live.key in state.ran:
        # Others of its attempt have had their inputs: it is not placed again, and as the last one it ends the attempt.
        if len(state.attempts[live.key][1]) > 1 and not any(one.key == live.key for one in state.live.values()):
            state.unsettled[live.key] = live.queued
        return
    if over or view["reason"] not in NODE_REASONS or live.key in state.held:
        return
    state.failures[live.key] = state.failures.get(live.key, 0) + 1
    state.again[live.key] = live.queued
    _close(state, live.key)


def _when_placed(state: Scheduling, view: View) -> None:
    waiting = state.waiting.pop(_key(view))
    state.deferred.discard(_key(view))
    policy = state.effective(waiting)[1]
    state.attempts[waiting.key] = (view["attempt"], tuple(place["cac_id"] for place in view["places"]))
    for place in view["places"]:
        resident = Resident(execution_id=place["execution_id"], workload=waiting.queued.facts, policy=policy)
        state.live[place["execution_id"]] = Live(
            view["slot"], waiting.queued, place["node"], resident, waiting.queued.not_after_ms, "reserved"
        )


def _when_phase(phase: str) -> Any:
    def handle(state: Scheduling, view: View) -> None:
        live = state.live.get(view["execution_id"])
        if live is not None:
            until = view.get("until_ms", live.until_ms)
            state.live[view["execution_id"]] = Live(live.slot, live.queued, live.node, live.resident, until, phase)
        if phase != "reserved":
            if live is not None and _present(state, live):
                state.ran.add(live.key)
                state.again.pop(live.key, None)  # a partner failed a moment before: now the attempt can't be repeated
            state.over.discard(view["execution_id"])  # it holds inputs: it ends by itself, or by its window

    return handle


def _when_faulted(state: Scheduling, view: View) -> None:
    """Hold the workload: it waits no more until governance queues it again (domain rule 4).

    Not so for an attempt that governance has let go on already: nobody could authorise that fault any more.
    """
    live = state.live.get(view["execution_id"])
    if live is not None:
        watching.when_faulted(state, view, live)
    if live is not None and _present(state, live):
        state.held.add(live.key)
        state.waiting.pop(live.key, None)
        state.deferred.discard(live.key)
        state.again.pop(live.key, None)
        _close(state, live.key)
    _when_phase("finished")(state, view)


def _when_completed(state: Scheduling, view: View) -> None:
    watching.when_completed(state, view)
    _when_phase("finished")(state, view)


def _when_node(state: Scheduling, view: View) -> None:
    facts = NodeFacts.model_validate_json(canonical(view["facts"]))
    state.nodes[facts.node] = facts
    state.drained.discard(facts.node)


def _when_policy(state: Scheduling, view: View) -> None:
    state.policies[view["slot"]] = (view["number"], policy_from(view["policy"]))


def _when_erased(state: Scheduling, view: View) -> None:
    """Let go of what a tenant still holds whose keys are gone: nothing can be decided for it.

    It holds nothing when they go. But a database that was restored from before then knows how it ended no more.
    """
    slot = view["erased"]
    for table in (state.waiting, state.again, state.unsettled):
        for key in [key for key in table if key[0] == slot]:
            del table[key]
    for name in [name for name, live in state.live.items() if live.slot == slot]:
        del state.live[name]
        state.over.discard(name)
        state.gone.discard(name)


def _when_genesis(state: Scheduling, view: View) -> None:
    state.host = view["host"]


def _when_levels(state: Scheduling, view: View) -> None:
    state.levels = tuple(view["domains"])


_HANDLERS = {
    "genesis": _when_genesis,
    "erased": _when_erased,
    "levels": _when_levels,
    "node": _when_node,
    "drained": lambda state, view: state.drained.add(view["node"]),
    "policy": _when_policy,
    "closed": lambda state, view: state.closed.add(view["slot"]),
    "opened": lambda state, view: state.closed.discard(view["slot"]),
    "queued": _when_queued,
    "ended": _when_ended,
    "settled": _when_settled,
    "deferred": lambda state, view: state.deferred.add(_key(view)),
    "placed": _when_placed,
    "reserved": _when_phase("reserved"),
    "released": _when_phase("released"),
    "finished": _when_completed,
    "faulted": _when_faulted,
    "freed": _when_freed,
    "abandoned": _when_abandoned,
    **watching.HANDLERS,
}

"""What is decided because something is over: its time, its node, its tenant, its attempt."""

from collections.abc import Iterator
from typing import Literal

from domain.cacs.events import QuorumFailed
from domain.executions.decisions import notices
from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, HeldKind, RuntimeReset
from domain.identifiers import PLATFORM_SLOT, stream_of, telemetry_stream
from domain.policies.feasible import Finding
from domain.scheduling import watching
from domain.scheduling.acts import denied, named_of, on
from domain.scheduling.desk import Desk
from domain.scheduling.tables import UNRELEASED, Decision, Live, Waiting
from domain.workloads.events import WorkloadExpired

MAX_FAILURES = 3
"""Attempts that may end for a node's reason before the workload is held."""


_HELD_AFTER: dict[str, HeldKind] = {"release_refused": "release_refused", "release_expired": "release_awaited"}


def held_kind(reason: str) -> HeldKind:
    """Return as what a workload is held whose last attempt was abandoned for a reason."""
    return _HELD_AFTER.get(reason, "node_lost")


def over_by_now(state: Desk, engine: str) -> tuple[Decision, ...]:
    """Return what has to be said of what is over, one kind at a time.

    An execution that is overdue and over as well must not get two events at one version.
    """
    if state.ripe or state.overdue:
        made = tuple(_expired(state, engine))
        if made:
            return made
        state.ripe.clear()
        state.overdue.clear()
    made = tuple(_told(state))
    if not made and state.gone:
        made = tuple(_gone(state))
    if not made and state.closed:
        made = tuple(_closed(state, engine))
    if not made and state.over:
        made = tuple(_over(state))
    if not made and state.again:
        made = tuple(_again(state, engine))
    if not made and state.unsettled:
        made = tuple(_unsettled(state, engine))
    return made


def _expired(state: Desk, engine: str) -> Iterator[Decision]:
    waiting = [one for key, one in state.ripe.items() if state.waiting.get(key) is one]
    for one in sorted(waiting, key=lambda one: one.arrived):
        event = WorkloadExpired(workload_id=one.key[1], **named_of(state, one, engine))
        yield from on(state, one.slot, stream_of(one.key[1]), event)
    for name, live in sorted(state.overdue.items()):
        if state.live.get(name) is live and live.until_ms <= state.now_ms:
            yield from _ended(state, live, "reservation_expired", "no report within the window")


def _ended(
    state: Desk, live: Live, reason: Literal["reservation_expired", "node_lost"], detail: str
) -> Iterator[Decision]:
    """End an execution that its node says nothing more of, as the phase demands that it is in."""
    name, stream = live.name, stream_of(live.name)
    if live.phase in UNRELEASED:
        # That a tenant's releaser never came is nothing that its node did.
        late = reason == "reservation_expired" and live.phase == "awaiting"
        why = "release_expired" if late else reason
        yield from on(state, live.slot, stream, ExecutionAbandoned(execution_id=name, reason=why))
        return
    reset = RuntimeReset(execution_id=name, report=None)
    if live.phase == "finished":  # the node never reported its reset, and would be refused now as late
        yield from on(state, live.slot, stream, reset)
        return
    fault = ExecutionFaulted(
        execution_id=name, kind="node_lost", detail=detail, report=None, fuel_bucket=0, memory_bucket=0
    )
    told = notices(live.policy, name, fault.kind, state.monitors.get(live.slot, ()))
    yield from on(state, live.slot, stream, fault, *told, reset)


def _told(state: Desk) -> Iterator[Decision]:
    """Say of nodes that they are in doubt, or lost."""
    for event in watching.told(state):
        yield from on(state, PLATFORM_SLOT, telemetry_stream(event.node), event)


def _gone(state: Desk) -> Iterator[Decision]:
    """End what a lost node still had: what has its inputs is a fault, what has not is placed again."""
    for name in sorted(state.gone):
        yield from _ended(state, state.live[name], "node_lost", "the node is lost")


def _closed(state: Desk, engine: str) -> Iterator[Decision]:
    """End what has not begun of tenants whose erasure is ordered; what has its inputs comes to its own end."""
    for slot in sorted(state.closed):
        account = state.tree.of(slot)
        for key in account.waiting:
            yield from _withdrawn(state, state.waiting[key], engine)
        living = [state.live[name] for name in account.living if name not in state.over]
        # One of an earlier attempt, which governance let go on, ends by itself.
        placed = {live.key: live for live in living if state.attempts.get(live.key, (0, ()))[0] == live.waiting.attempt}
        for key, live in sorted(placed.items(), key=lambda item: item[0]):
            if key not in state.ran:
                yield from _withdrawn(state, live.waiting, engine)


def _withdrawn(state: Desk, waiting: Waiting, engine: str) -> list[Decision]:
    finding = Finding("erasure_ordered", "workload", False, "an erasure that is ordered", "a tenant that takes work")  # noqa: FBT003
    return denied(state, waiting, finding, named_of(state, waiting, engine))


def _over(state: Desk) -> Iterator[Decision]:
    for name in sorted(state.over):
        event = ExecutionAbandoned(execution_id=name, reason="workload_ended")
        yield from on(state, state.live[name].slot, stream_of(name), event)


def _again(state: Desk, engine: str) -> Iterator[Decision]:
    """Place an attempt again that ended for a node's reason; after MAX_FAILURES of them hold the workload."""
    for (slot, workload), waiting in sorted(state.again.items(), key=lambda item: item[0]):
        if slot in state.closed:
            yield from _withdrawn(state, waiting, engine)
        elif state.failures[slot, workload] < MAX_FAILURES:
            event = waiting.queued.model_copy(update={"attempt": waiting.attempt + 1})
            yield from on(state, slot, stream_of(workload), event)
        else:
            yield from _held(state, waiting)


def _held(state: Desk, waiting: Waiting) -> list[Decision]:
    """Hold a workload by a fault of its last attempt, which was abandoned: governance decides, as after any fault."""
    name = state.first_of(waiting)
    fault = ExecutionFaulted(
        execution_id=name, kind=held_kind(state.again_after.get(waiting.key, "")),
        detail=f"{MAX_FAILURES} attempts ended before inputs were released", report=None, fuel_bucket=0,
        memory_bucket=0,
    )  # fmt: skip
    told = notices(state.effective(waiting)[1], name, fault.kind, state.monitors.get(waiting.slot, ()))
    return on(state, waiting.slot, stream_of(name), fault, *told)


def _unsettled(state: Desk, engine: str) -> Iterator[Decision]:
    """Say of an attempt of several enclaves, some of which had their inputs, that it will never agree."""
    for key, waiting in sorted(state.unsettled.items(), key=lambda item: item[0]):
        event = QuorumFailed(
            workload_id=key[1],
            attempt=waiting.attempt,
            cacs=state.attempts[key][1],
            reason="fault",
            **named_of(state, waiting, engine),
        )
        yield from on(state, key[0], stream_of(key[1]), event)

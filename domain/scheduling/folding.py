"""What each view changes in the tables. Of a decision it is the same, whether it is folded or applied.

Invariants:
- Every handler is total: a view of something that is not there changes nothing.
- A place on a node is taken by `placed` and given back by `freed` or `abandoned`, never earlier; of a tenant whose keys
  are gone also by `erased`, where it was restored from a time before it came to rest.
"""

from collections.abc import Callable, Mapping
from json import dumps
from typing import Any

from domain.canonical import canonical
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.kinds import Policy
from domain.scheduling import overflow, watching
from domain.scheduling.advances import count_shortage, count_spending, regrant
from domain.scheduling.desk import Desk
from domain.scheduling.passing import WATCHED, count_placement, count_telling, keep_on, keep_other
from domain.scheduling.quotas import MEMORY, SLOTS, Loan
from domain.scheduling.tables import UNRELEASED, Bandwidth, Borrow, Key, Limit, Live, Place, Quota, Shape, Waiting
from domain.scheduling.tokens import rescaled, spend
from domain.scheduling.views import View
from domain.scheduling.wake import BANDWIDTH

NODE_REASONS = frozenset(
    {"reservation_expired", "evidence_refused", "node_lost", "release_expired", "enclave_lost", "release_refused"}
)
"""Why an attempt ended before its inputs were released, for no reason of the gate: only these are placed again."""

_SHAPES = 8192


def shape_of(state: Desk, facts: Mapping[str, Any], rules: list[Any]) -> Shape:
    """Return the shape of a queued view's members, the same object for the same ones."""
    text = f"{facts}{rules}"
    shape = state.shapes.get(text)
    if shape is None:
        # The strict models read JSON; the rest of the event is of no account here.
        read = WorkloadFacts.model_validate_json(dumps(facts))
        policy = Policy.model_validate_json(dumps({"rules": rules}))
        if len(state.shapes) >= _SHAPES:
            state.shapes.clear()
        shape = state.shapes[text] = Shape(read, policy.rules)
    return shape


def _key(view: View) -> Key:
    return view["slot"], view["workload_id"]


def _when_queued(state: Desk, view: View) -> None:
    key = _key(view)
    state.dequeue(key)
    state.arrivals += 1
    shape = shape_of(state, view["facts"], view["clause_rules"])
    state.enqueue(
        Waiting(
            key, view["attempt"], shape, view["clause_id"], view["module_digest"], view["not_after_ms"], view["draft"],
            state.arrivals,
        )
    )  # fmt: skip
    _not_again(state, key)
    state.held.discard(key)
    _settle(state, key)
    _close(state, key)  # a reservation of an earlier attempt must not bring that attempt back


def _when_ended(state: Desk, view: View) -> None:
    key = _key(view)
    state.dequeue(key)
    state.failures.pop(key, None)
    _not_again(state, key)
    state.held.discard(key)
    _close(state, key)
    _forget(state, key)


def _not_again(state: Desk, key: Key) -> None:
    """Let an attempt that ended for a node's reason be: it is placed again, or held, or not to be repeated."""
    state.again_after.pop(key, None)
    waiting = state.again.pop(key, None)
    if waiting is not None:
        first = state.first_of(waiting)
        if first not in state.live:
            state.bury(key[0], first)


def _settle(state: Desk, key: Key) -> None:
    """Forget what was known of the attempt as a whole."""
    state.attempts.pop(key, None)
    state.ran.discard(key)
    state.unsettled.pop(key, None)


def _forget(state: Desk, key: Key) -> None:
    """Forget a workload of which nothing can be decided any more, until it is queued again."""
    if not (
        key in state.waiting or key in state.again or key in state.unsettled or key in state.attempts
        or key in state.lives_of
    ):  # fmt: skip
        state.failures.pop(key, None)
        state.held.discard(key)
        state.bury(key[0], key[1])


def _present(state: Desk, live: Live) -> bool:
    """Tell whether an execution is of the attempt that its workload is at, not of one that it has gone on from."""
    return state.attempts.get(live.key, (0, ()))[0] == live.waiting.attempt


def _when_settled(state: Desk, view: View) -> None:
    key = _key(view)
    if state.attempts.get(key, (0, ()))[0] == view["attempt"]:
        _settle(state, key)
        _forget(state, key)


def _close(state: Desk, key: Key) -> None:
    """Mark the executions of an attempt that is over and has not got its inputs: they give their places back."""
    lives = state.lives_of.get(key)
    if lives is not None:
        state.over.update([name for name, live in lives.items() if live.phase in UNRELEASED])


def _give_back(state: Desk, view: View) -> Live | None:
    name = view["execution_id"]
    state.over.discard(name)
    state.gone.discard(name)
    live = state.leave(name)
    if live is not None:
        state.bury(live.slot, name)
    return live


def _when_freed(state: Desk, view: View) -> None:
    live = _give_back(state, view)
    if live is None:
        return
    if _present(state, live) and len(state.attempts[live.key][1]) == 1:
        _settle(state, live.key)  # an attempt of several is settled by its quorum's verdict
    _forget(state, live.key)


def _when_abandoned(state: Desk, view: View) -> None:
    over = view["execution_id"] in state.over  # its workload ended, or its attempt was given up: it counts no more
    live = _give_back(state, view)
    if live is None:
        return
    watching.when_abandoned(state, view, live)
    if _present(state, live):
        _count_failure(state, view, live, over=over)
    if live.key in state.again:
        state.unearth(live.slot, state.first_of(live.waiting))  # its workload may be held by a fault of that one
    _forget(state, live.key)


def _count_failure(state: Desk, view: View, live: Live, *, over: bool) -> None:
    key = live.key
    if key in state.ran:
        # Others of its attempt have had their inputs: it is not placed again, and as the last one it ends the attempt.
        if len(state.attempts[key][1]) > 1 and key not in state.lives_of:
            state.unsettled[key] = live.waiting
        return
    if over or view["reason"] not in NODE_REASONS or key in state.held:
        if key not in state.lives_of and key not in state.again:
            _settle(state, key)
        return
    state.failures[key] = state.failures.get(key, 0) + 1
    state.again[key] = live.waiting
    state.again_after[key] = str(view["reason"])
    _close(state, key)


def _when_placed(state: Desk, view: View) -> None:
    key = _key(view)
    work, waiting = state.class_of.get(key), state.waiting.get(key)
    if work is None or waiting is None:
        return
    places, policy, who = view["places"], work.policy, work.manners
    account, count = work.account, len(places)
    facts = waiting.shape.facts
    slots, memory = facts.slots * count, facts.bounds.memory_bytes * count
    loan = state.tree.judge(account, slots, memory)
    borrow = None
    if isinstance(loan, Loan):
        borrow = Borrow(loan.lender.slot, loan.slots, loan.memory_bytes, count)
        loan.lender.lent[SLOTS] += loan.slots
        loan.lender.lent[MEMORY] += loan.memory_bytes
    grant = state.bandwidths.get(key[0])
    if grant is not None and key not in state.advances:
        state.spent[key[0]] = spend(grant, state.spent.get(key[0], 0), slots, state.now_ms)
    state.dequeue(key)
    state.attempts[key] = (view["attempt"], tuple(place["cac_id"] for place in places))
    until_ms = waiting.not_after_ms
    for place in places:
        if place["node"] in state.nodes:
            state.settle(Live(place["execution_id"], waiting, policy, who, place["node"], until_ms, "reserved", borrow))
    count_placement(state, work)
    if grant is not None:
        count_spending(state, work)


def _when_deferred(state: Desk, view: View) -> None:
    work = state.class_of.get(_key(view))
    if work is not None:
        state.queues.untold.pop(work, None)
        reason, before = str(view["reason"]), work.told
        work.tell(reason, view.get("rule") or reason, view.get("retry_ms"), state.now_ms)
        if (reason in WATCHED) != (before in WATCHED):
            count_telling(state, work)
        if reason == BANDWIDTH and not work.short_stamp:
            count_shortage(state, work)
        if work.waits_for == BANDWIDTH:
            state.retry(work)
        if reason != before and state.keeps(work):
            keep_other(state, work)


def _phase(state: Desk, view: View, phase: str) -> None:
    name = view["execution_id"]
    live = state.live.get(name)
    if live is not None:
        until_ms = view.get("until_ms", live.until_ms)
        if until_ms != live.until_ms:
            live.until_ms = until_ms
            state.expect(live)
        live.phase = phase
    if phase != "reserved":
        if live is not None and _present(state, live):
            state.ran.add(live.key)
            _not_again(state, live.key)  # a partner failed a moment before: now the attempt can't be repeated
        state.over.discard(name)  # it holds inputs: it ends by itself, or by its window


def _when_awaiting(state: Desk, view: View) -> None:
    """Note that an execution waits for the tenant's releaser: its node has an enclave, and no inputs yet."""
    live = state.live.get(view["execution_id"])
    if live is not None and live.phase == "reserved":
        live.phase = "awaiting"


def _when_faulted(state: Desk, view: View) -> None:
    """Hold the workload: it waits no more until governance queues it again (domain rule 4).

    Not so for an attempt that governance has let go on already: nobody could authorise that fault any more.
    """
    live = state.live.get(view["execution_id"])
    given_up = None if live is not None else state.failed(view["execution_id"])
    if given_up is not None:
        _not_again(state, given_up.key)
        _settle(state, given_up.key)
        _forget(state, given_up.key)
    if live is not None:
        watching.when_faulted(state, view, live)
        if _present(state, live):
            state.held.add(live.key)
            state.dequeue(live.key)
            _not_again(state, live.key)
            _close(state, live.key)
    _phase(state, view, "finished")


def _when_completed(state: Desk, view: View) -> None:
    watching.when_completed(state, view)
    _phase(state, view, "finished")


def _when_node(state: Desk, view: View) -> None:
    facts = NodeFacts.model_validate_json(canonical(view["facts"]))
    state.drained.discard(facts.node)
    state.put_node(facts)


def _when_drained(state: Desk, view: View) -> None:
    state.drained.add(view["node"])
    state.renode(view["node"])


def _when_policy(state: Desk, view: View) -> None:
    state.policies[view["slot"]] = (view["number"], Policy.model_validate_json(canonical(view["policy"])))
    state.regroup(state.tree.of(view["slot"]))


def _when_levels(state: Desk, view: View) -> None:
    state.levels = tuple(view["domains"])
    state.passes.clear()
    for account in list(state.tree.accounts.values()):
        state.regroup(account)


def _when_erased(state: Desk, view: View) -> None:
    """Let go of what a tenant still holds whose keys are gone: nothing can be decided for it.

    It holds nothing when they go. But a database that was restored from before then knows how it ended no more.
    """
    slot = view["erased"]
    state.closed.discard(slot)
    account = state.tree.of(slot)
    for key in list(account.waiting):
        state.dequeue(key)
    for table in (state.again, state.unsettled, state.attempts, state.failures):
        for key in [key for key in table if key[0] == slot]:
            del table[key]
    for name in list(account.living):
        state.leave(name)
        state.over.discard(name)
        state.gone.discard(name)


def _when_genesis(state: Desk, view: View) -> None:
    state.host = view["host"]


def _when_place(state: Desk, view: View) -> None:
    """Hang a tenant or scope below what its registration names: the origin of the log above."""
    slot, parent = view["slot"], view["parent"]
    host, _, number = (parent or "").rpartition("/t/")
    above = int(number) if host == state.host and number.isdecimal() and int(number) != slot else None
    state.places[slot] = Place(above)
    state.tree.hang(slot, above)
    state.epoch += 1
    keep_on(state)


def _when_quota(state: Desk, view: View) -> None:
    limits = [Limit(**view[name]) if view[name] is not None else None for name in ("slots", "memory_bytes")]
    quota = state.quotas[view["slot"]] = Quota(view["number"], limits[SLOTS], limits[MEMORY], view["weight"])
    state.tree.grant(view["slot"], quota)
    state.epoch += 1
    keep_on(state)


def _when_bandwidth(state: Desk, view: View) -> None:
    slot = view["slot"]
    grant = Bandwidth(*(view[name] for name in ("number", *Bandwidth._fields[1:])))
    before = state.bandwidths.get(slot)
    state.spent[slot] = rescaled(state.spent.get(slot, 0), before, grant)
    state.bandwidths[slot] = grant
    regrant(state, slot, before, grant)
    for work in state.tree.of(slot).classes.values():
        if work.told == BANDWIDTH and work.members:
            at_ms = state.has_tokens_at_ms(work)
            if at_ms != work.retry_ms:
                work.retry_ms = state.now_ms  # what was told is over: it is told again when that is due
    for work in list(state.queues.tokens.get(slot, ())):
        state.queues.look_at(work)


def _when_closed(state: Desk, view: View) -> None:
    state.closed.add(view["slot"])


def _when_opened(state: Desk, view: View) -> None:
    state.closed.discard(view["slot"])


HANDLERS: dict[str, Callable[[Desk, View], None]] = {
    "genesis": _when_genesis,
    "erased": _when_erased,
    "levels": _when_levels,
    "tenant": _when_place,
    "scope": _when_place,
    "quota": _when_quota,
    "bandwidth": _when_bandwidth,
    "node": _when_node,
    "drained": _when_drained,
    "policy": _when_policy,
    "closed": _when_closed,
    "opened": _when_opened,
    "offer_stood": overflow.when_stood,
    "offer_withdrawn": overflow.when_withdrawn,
    "queued": _when_queued,
    "ended": _when_ended,
    "settled": _when_settled,
    "deferred": _when_deferred,
    "placed": _when_placed,
    "reserved": lambda state, view: _phase(state, view, "reserved"),
    "awaiting": _when_awaiting,
    "released": lambda state, view: _phase(state, view, "released"),
    "finished": _when_completed,
    "faulted": _when_faulted,
    "freed": _when_freed,
    "abandoned": _when_abandoned,
    **watching.HANDLERS,
}

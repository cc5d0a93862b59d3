"""The scheduler's state as restricted JSON and back: what a checkpoint holds, and what the state digest covers.

Invariants:
- Only tables are dumped, and of what is worked out from them what was told and who is watched. The rest is worked out
  again: the state that is loaded decides what the one that was dumped would have.
- Facts, rules and policies are written once each, under their digest: many workloads share them.
"""

from typing import Any

from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.kinds import Policy
from domain.scheduling.advances import count_shortage, shortages
from domain.scheduling.colocation import Manners, manners
from domain.scheduling.desk import Desk
from domain.scheduling.eligibility import mask_of
from domain.scheduling.passing import watch_list
from domain.scheduling.quotas import MEMORY, SLOTS
from domain.scheduling.silence import Signs
from domain.scheduling.tables import Bandwidth, Borrow, Key, Limit, Live, Offer, Place, Quota, Shape, Waiting


def dumped(state: Desk) -> dict[str, Any]:
    """Return the state as restricted JSON, everything in a fixed order; `load_into` makes it again."""
    shapes: dict[Shape, str] = {}
    policies: dict[str, Any] = {}
    return {
        "host": state.host,
        "now_ms": state.now_ms,
        "inputs": state.inputs,
        "arrivals": state.arrivals,
        "levels": list(state.levels),
        "nodes": [facts.model_dump(mode="json") for facts in state.nodes.values()],
        "drained": sorted(state.drained),
        "policies": {
            str(slot): [number, _policy(policies, policy)] for slot, (number, policy) in state.policies.items()
        },
        "places": {str(slot): place.parent for slot, place in state.places.items()},
        "quotas": {
            str(slot): [quota.number, _limit(quota.slots), _limit(quota.memory_bytes), quota.weight]
            for slot, quota in state.quotas.items()
        },
        "bandwidths": {str(slot): list(grant) for slot, grant in state.bandwidths.items()},
        "spent": {str(slot): str(spent) for slot, spent in state.spent.items()},
        "offers": [[*pool, *offer] for pool, offer in state.offers.items()],
        "advances": {_name(key): str(spent) for key, spent in state.advances.items()},
        "turns": {str(slot): list(turn) for slot, turn in state.turns.items()},
        "passes": {str(level): count for level, count in state.passes.items()},
        "placements": state.placements,
        "kept": None if state.kept is None else [list(state.kept[0]), _name(state.kept[1])],
        "kept_quota": state.kept_quota,
        "kept_from": state.kept_from,
        "waiting": {_name(key): _waiting(shapes, waiting) for key, waiting in state.waiting.items()},
        "told": {
            _name(work.head.key): [work.told, work.rule, work.retry_ms, work.told_ms, work.repeats]
            for account in state.tree.accounts.values()
            for work in account.classes.values()
            if work.members and work.told
        },
        "watched": [[_name(work.head.key), work.since] for work in watch_list(state)],
        "short": {
            str(slot): watched
            for slot, account in state.tree.accounts.items()
            if (watched := [[_name(work.head.key), work.short_since] for work in shortages(account)])
        },
        "live": {
            name: [
                _name(live.key), _waiting(shapes, live.waiting), _policy(policies, live.policy), live.node,
                live.until_ms, live.phase, _borrow(live.borrow),
            ]
            for name, live in state.live.items()
        },
        "seen": {str(slot): leaf for slot, leaf in state.seen.items()},
        "failures": {_name(key): count for key, count in state.failures.items()},
        "again": {_name(key): _waiting(shapes, waiting) for key, waiting in state.again.items()},
        "again_after": {_name(key): reason for key, reason in state.again_after.items()},
        "over": sorted(state.over),
        "held": sorted(map(_name, state.held)),
        "attempts": {_name(key): [number, list(cacs)] for key, (number, cacs) in state.attempts.items()},
        "ran": sorted(map(_name, state.ran)),
        "unsettled": {_name(key): _waiting(shapes, waiting) for key, waiting in state.unsettled.items()},
        "closed": sorted(state.closed),
        "signs": state.signs.dump(),
        "loads": dict(state.loads),
        "gone": sorted(state.gone),
        "monitors": {str(slot): list(names) for slot, names in state.monitors.items()},
        "versions": {_name(key): version for key, version in state.versions.items()},
        "past": [_name(key) for key in state.past],
        "by_digest": {
            "shapes": {digest: _shape(shape) for shape, digest in shapes.items()},
            "policies": {digest: policy.model_dump(mode="json") for digest, policy in policies.items()},
        },
    }  # fmt: skip


def load_into(state: Desk, dump: dict[str, Any]) -> None:
    """Fill an empty state from a dump."""
    shapes = {digest: _shape_from(members) for digest, members in dump["by_digest"]["shapes"].items()}
    policies = {
        digest: Policy.model_validate_json(canonical(members))
        for digest, members in dump["by_digest"]["policies"].items()
    }
    for name in ("host", "now_ms", "inputs", "arrivals", "placements", "kept_from", "kept_quota"):
        setattr(state, name, dump[name])
    state.levels = tuple(dump["levels"])
    state.over, state.gone, state.closed = set(dump["over"]), set(dump["gone"]), set(dump["closed"])
    state.held, state.ran = set(map(_key, dump["held"])), set(map(_key, dump["ran"]))
    state.drained, state.signs = set(dump["drained"]), Signs.load(dump["signs"])
    state.monitors = {int(slot): tuple(names) for slot, names in dump["monitors"].items()}
    state.offers = {(pool, operator): Offer(*terms) for pool, operator, *terms in dump["offers"]}
    for facts in dump["nodes"]:
        state.put_node(NodeFacts.model_validate_json(canonical(facts)))
    for node, bucket in dump["loads"].items():
        state.report_load(node, bucket)
    _load_governance(state, dump, policies)
    waiting = [_waiting_from(_key(name), shapes, fields) for name, fields in dump["waiting"].items()]
    for one in sorted(waiting, key=lambda one: one.arrived):
        state.enqueue(one)
    _load_live(state, dump, shapes, policies)
    for name, told in dump["told"].items():
        work = state.class_of[_key(name)]
        work.told, work.rule, work.retry_ms, work.told_ms, work.repeats = told
    for name, since in dump["watched"]:
        work = state.class_of[_key(name)]
        state.stamps += 1
        work.stamp, work.since = state.stamps, since
        state.watched.append((work.stamp, work))
    for watched in dump["short"].values():
        for name, since in watched:
            work = state.class_of[_key(name)]
            count_shortage(state, work)
            work.short_since = since
    state.passes = {int(level): count for level, count in dump["passes"].items()}
    if dump["kept"] is not None:
        nodes, name = dump["kept"]
        state.kept = (tuple(nodes), _key(name))
        state.kept_nodes = mask_of([state.eligibility.index[node] for node in nodes])
        state.requota()
    state.seen = {int(slot): leaf for slot, leaf in dump["seen"].items()}
    state.failures = {_key(name): count for name, count in dump["failures"].items()}
    state.again_after = {_key(name): reason for name, reason in dump["again_after"].items()}
    state.again = {_key(name): _waiting_from(_key(name), shapes, one) for name, one in dump["again"].items()}
    state.unsettled = {_key(name): _waiting_from(_key(name), shapes, one) for name, one in dump["unsettled"].items()}
    state.attempts = {_key(name): (number, tuple(cacs)) for name, (number, cacs) in dump["attempts"].items()}
    state.versions = {_key(name): version for name, version in dump["versions"].items()}
    state.past = dict.fromkeys(_key(name) for name in dump["past"])


def _load_governance(state: Desk, dump: dict[str, Any], policies: dict[str, Policy]) -> None:
    state.policies = {int(slot): (number, policies[digest]) for slot, (number, digest) in dump["policies"].items()}
    for slot, parent in dump["places"].items():
        state.places[int(slot)] = Place(parent)
        state.tree.hang(int(slot), parent)
    for slot, (number, slots, memory, weight) in dump["quotas"].items():
        quota = state.quotas[int(slot)] = Quota(number, _limit_from(slots), _limit_from(memory), weight)
        state.tree.grant(int(slot), quota)
    state.bandwidths = {int(slot): Bandwidth(*grant) for slot, grant in dump["bandwidths"].items()}
    state.spent = {int(slot): int(spent) for slot, spent in dump["spent"].items()}
    state.advances = {_key(name): int(spent) for name, spent in dump["advances"].items()}
    state.turns = {int(slot): (turn[0], turn[1]) for slot, turn in dump["turns"].items()}


def _load_live(state: Desk, dump: dict[str, Any], shapes: dict[str, Shape], policies: dict[str, Policy]) -> None:
    borrows: dict[tuple[Key, int], Borrow] = {}
    known: dict[tuple[str, Shape], Manners] = {}
    for name, (workload, fields, digest, node, until_ms, phase, lent) in dump["live"].items():
        waiting = _waiting_from(_key(workload), shapes, fields)
        borrow = None
        if lent is not None:
            attempt = (waiting.key, waiting.attempt)
            if attempt not in borrows:
                borrows[attempt] = Borrow(*lent)
                lender = state.tree.of(lent[0])
                lender.lent[SLOTS] += lent[1]
                lender.lent[MEMORY] += lent[2]
            borrow = borrows[attempt]
        who = known.get((digest, waiting.shape))
        if who is None:
            who = known[digest, waiting.shape] = manners(policies[digest], waiting.facts)
        state.settle(Live(name, waiting, policies[digest], who, node, until_ms, phase, borrow))


def _name(key: tuple[int, str]) -> str:
    return f"{key[0]}/{key[1]}"


def _key(name: str) -> Key:
    slot, _, rest = name.partition("/")
    return int(slot), rest


def _shape(shape: Shape) -> dict[str, Any]:
    return {
        "facts": shape.facts.model_dump(mode="json"),
        "rules": [rule.model_dump(mode="json") for rule in shape.clause_rules],
    }


def _shape_from(members: dict[str, Any]) -> Shape:
    facts = WorkloadFacts.model_validate_json(canonical(members["facts"]))
    rules = Policy.model_validate_json(canonical({"rules": members["rules"]})).rules
    return Shape(facts, rules)


def _waiting(shapes: dict[Shape, str], waiting: Waiting) -> list[Any]:
    digest = shapes.get(waiting.shape)
    if digest is None:
        digest = shapes[waiting.shape] = sha256_hex(canonical(_shape(waiting.shape)))
    return [
        waiting.arrived, waiting.attempt, digest, waiting.clause_id, waiting.module_digest, waiting.not_after_ms,
        waiting.draft,
    ]  # fmt: skip


def _waiting_from(key: Key, shapes: dict[str, Shape], fields: list[Any]) -> Waiting:
    arrived, attempt, digest, clause_id, module_digest, not_after_ms, draft = fields
    return Waiting(key, attempt, shapes[digest], clause_id, module_digest, not_after_ms, draft, arrived)


def _policy(policies: dict[str, Any], policy: Policy) -> str:
    digest = policy.digest()
    policies[digest] = policy
    return digest


def _limit(limit: Limit | None) -> list[int] | None:
    return None if limit is None else list(limit)


def _limit_from(limit: list[int] | None) -> Limit | None:
    return None if limit is None else Limit(*limit)


def _borrow(borrow: Borrow | None) -> list[int] | None:
    return None if borrow is None else [borrow.lender, borrow.slots, borrow.memory_bytes, borrow.left]

"""The scheduler's state as restricted JSON and back: what a checkpoint holds, and what the state digest covers."""

from typing import Any

from domain.canonical import canonical
from domain.policies.facts import NodeFacts, Resident
from domain.policies.kinds import Policy
from domain.scheduling.silence import Signs
from domain.scheduling.tables import Key, Live, Tables, Waiting
from domain.workloads.events import WorkloadQueued


def dumped(state: Tables) -> dict[str, Any]:
    """Return the state as restricted JSON, everything in a fixed order; `loaded` makes it again."""
    return {
        "host": state.host,
        "now_ms": state.now_ms,
        "inputs": state.inputs,
        "arrivals": state.arrivals,
        "levels": list(state.levels),
        "nodes": {name: facts.model_dump(mode="json") for name, facts in state.nodes.items()},
        "drained": sorted(state.drained),
        "policies": {
            str(slot): [number, policy.model_dump(mode="json")] for slot, (number, policy) in state.policies.items()
        },
        "waiting": {_name(key): [w.arrived, w.queued.payload()] for key, w in state.waiting.items()},
        "live": {
            name: [
                e.slot, e.queued.payload(), e.node, e.until_ms, e.phase, e.resident.policy.model_dump(mode="json")
            ]
            for name, e in state.live.items()
        },
        "seen": {str(slot): leaf for slot, leaf in state.seen.items()},
        "deferred": sorted(map(_name, state.deferred)),
        "failures": {_name(key): count for key, count in state.failures.items()},
        "again": {_name(key): queued.payload() for key, queued in state.again.items()},
        "over": sorted(state.over),
        "held": sorted(map(_name, state.held)),
        "attempts": {_name(key): [number, list(cacs)] for key, (number, cacs) in state.attempts.items()},
        "ran": sorted(map(_name, state.ran)),
        "unsettled": {_name(key): queued.payload() for key, queued in state.unsettled.items()},
        "closed": sorted(state.closed),
        "signs": state.signs.dump(),
        "gone": sorted(state.gone),
        "monitors": {str(slot): list(names) for slot, names in state.monitors.items()},
        "versions": {f"{slot}/{stream}": version for (slot, stream), version in state.versions.items()},
    }  # fmt: skip


def load_into(state: Tables, dump: dict[str, Any]) -> None:
    """Fill empty tables from a dump."""
    state.host, state.now_ms, state.inputs, state.arrivals = (
        dump["host"], dump["now_ms"], dump["inputs"], dump["arrivals"]
    )  # fmt: skip
    state.levels, state.drained, state.over = tuple(dump["levels"]), set(dump["drained"]), set(dump["over"])
    state.signs, state.gone = Signs.load(dump["signs"]), set(dump["gone"])
    state.monitors = {int(slot): tuple(names) for slot, names in dump["monitors"].items()}
    state.closed, state.held = set(dump["closed"]), set(map(_unname, dump["held"]))
    state.ran, state.deferred = set(map(_unname, dump["ran"])), set(map(_unname, dump["deferred"]))
    state.nodes = {name: NodeFacts.model_validate_json(canonical(facts)) for name, facts in dump["nodes"].items()}
    state.policies = {int(slot): (number, policy_from(policy)) for slot, (number, policy) in dump["policies"].items()}
    for name, (arrived, queued) in dump["waiting"].items():
        key = _unname(name)
        state.waiting[key] = Waiting(key[0], queued_from(queued), arrived)
    for name, (slot, payload, node, until_ms, phase, policy) in dump["live"].items():
        queued = queued_from(payload)
        resident = Resident(execution_id=name, workload=queued.facts, policy=policy_from(policy))
        state.live[name] = Live(slot, queued, node, resident, until_ms, phase)
    state.seen = {int(slot): leaf for slot, leaf in dump["seen"].items()}
    state.failures = {_unname(name): count for name, count in dump["failures"].items()}
    state.again = {_unname(name): queued_from(queued) for name, queued in dump["again"].items()}
    state.unsettled = {_unname(name): queued_from(queued) for name, queued in dump["unsettled"].items()}
    state.attempts = {_unname(name): (number, tuple(cacs)) for name, (number, cacs) in dump["attempts"].items()}
    state.versions = {_unname(name): version for name, version in dump["versions"].items()}


def _unname(name: str) -> Key:
    slot, _, rest = name.partition("/")
    return int(slot), rest


def queued_from(members: dict[str, Any]) -> WorkloadQueued:
    """Return what was queued, from its members."""
    return WorkloadQueued.model_validate_json(canonical(members))


def policy_from(members: dict[str, Any]) -> Policy:
    """Return a policy, from its members."""
    return Policy.model_validate_json(canonical(members))


def _name(key: Key) -> str:
    return f"{key[0]}/{key[1]}"

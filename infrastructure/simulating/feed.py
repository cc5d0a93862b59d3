"""The simulated cell's inputs, as views: what the decisions would read of the events that a real cell records.

Invariants:
- Every view has the members of the one that `view_of` makes of such an event (a test holds them equal).
- Slots are numbered in the order of the tenants' names, so that nothing depends on the order of lines.
- Leaf indices and versions are those that the events would have: decisions take theirs too.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from domain.hashing import sha256_hex
from domain.identifiers import PLATFORM_SLOT, node_stream, offer_stream, origin, stream_of, uuid7
from domain.policies.kinds import PRIMARY, Policy
from domain.scheduling.tables import Decision
from domain.scheduling.views import VIEW_VERSION, View
from domain.time import MAX_INSTANT_MS
from infrastructure.simulating.governance import ROOT, Governance, Limits, Tenant, Tokens
from infrastructure.simulating.inputs import NodeLine
from infrastructure.simulating.shapes import Job

HOST = "simulated.example"


class Feed:
    """Makes one view after the other; knows whose slot is which, and what each stream's newest version is."""

    def __init__(self, tenants: Iterable[Tenant], scopes: Sequence[str] = ()) -> None:
        self.scopes = {name: number for number, name in enumerate((ROOT, *scopes), start=1)}
        first = len(self.scopes) + 1
        self.slots = {tenant: number for number, tenant in enumerate(sorted(set(tenants)), start=first)}
        self._leaves: Counter[int] = Counter()
        self._versions: Counter[int] = Counter()  # by the 128 bits of a stream's id

    def view(self, slot: int, stream: UUID, at_ms: int, members: Mapping[str, Any]) -> View:
        """Return the view of the next event of a stream."""
        leaf, version = self._leaves[slot], self._versions[stream.int]
        self._leaves[slot] = leaf + 1
        self._versions[stream.int] = version + 1
        return {
            "v": VIEW_VERSION, "slot": slot, "stream": str(stream), "version": version, "leaf": leaf, "at_ms": at_ms,
            **members,
        }  # fmt: skip

    def decided(self, act: Iterable[Decision]) -> None:
        """Count decisions: they are entries of their logs as well."""
        for made in act:
            self._leaves[made.slot] += 1
            self._versions[made.stream_id.int] = made.version + 1

    def forget(self, prefixed_id: str) -> None:
        """Forget a stream to which nothing will be added."""
        self._versions.pop(stream_of(prefixed_id).int, None)

    def platform(self, at_ms: int, members: Mapping[str, Any]) -> View:
        """Return the view of the next event in the platform's own stream."""
        return self.view(PLATFORM_SLOT, _log(PLATFORM_SLOT), at_ms, members)

    def beginning(self, nodes: Iterable[NodeLine], governance: Governance) -> Iterator[View]:
        """Yield what is in force at instant 0: genesis, levels, the tree with its limits, policies, tokens, nodes."""
        yield self.platform(0, {"kind": "genesis", "host": HOST})
        parents = {scope.name: scope.parent for scope in governance.scopes}
        for name, slot in self.scopes.items():
            parent = origin(HOST, self.scopes[parents[name]]) if name in parents else None
            yield self._own(slot, {"kind": "scope", "name": name, "scope_id": str(_log(slot)), "parent": parent})
        yield self.platform(0, {"kind": "levels", "domains": list(governance.levels)})
        limits: dict[int, Limits] = {self.scopes[scope.name]: scope for scope in governance.scopes}
        if governance.root is not None:
            limits[self.scopes[ROOT]] = governance.root
        for slot, limit in limits.items():
            yield self._own(slot, _quota(limit))
        for tenant, slot in self.slots.items():
            yield from self._tenant(tenant, slot, governance)
        open_pools: set[tuple[str, str]] = set()
        for node in nodes:
            if governance.overflow and node.pool != PRIMARY and (node.pool, node.operator) not in open_pools:
                open_pools.add((node.pool, node.operator))
                yield self.view(PLATFORM_SLOT, offer_stream(node.pool, node.operator), 0, _offer(node))
            if governance.overflow or node.pool == "primary":
                facts = node.facts().model_dump(mode="json")
                yield self.view(PLATFORM_SLOT, node_stream(node.id), 0, {"kind": "node", "facts": facts})

    def queued(self, job: Job, at_ms: int) -> View:
        """Return the view of a workload that is queued. It waits as long as it must."""
        shape = job.shape
        members = {**shape.members, "workload_id": job.workload_id, "not_after_ms": MAX_INSTANT_MS}
        return self.view(self.slots[shape.tenant], stream_of(job.workload_id), at_ms, members)

    def of_execution(self, slot: int, kind: str, execution: str, at_ms: int) -> View:
        """Return the view of a report of a node about an execution: released, finished, faulted, freed."""
        return self.view(slot, stream_of(execution), at_ms, {"kind": kind, "execution_id": execution})

    def settled(self, slot: int, job: Job, attempt: int, at_ms: int) -> View:
        """Return the view of the verdict over an attempt of several enclaves."""
        members = {"kind": "settled", "workload_id": job.workload_id, "attempt": attempt}
        return self.view(slot, stream_of(job.workload_id), at_ms, members)

    def _tenant(self, tenant: Tenant, slot: int, governance: Governance) -> Iterator[View]:
        limits = governance.limits.get(tenant)
        parent = origin(HOST, self.scopes[ROOT if limits is None else limits.parent])
        yield self._own(slot, {"kind": "tenant", "dao": tenant[0], "jurisdiction": tenant[1], "parent": parent})
        if limits is not None:
            yield self._own(slot, _quota(limits))
        tokens = governance.tokens.get(tenant)
        if tokens is not None:
            yield self._own(slot, _bandwidth(tokens))
        policy = governance.policies.get(tenant)
        if policy is not None:
            yield self._own(slot, _adopted(policy))

    def _own(self, slot: int, members: Mapping[str, Any]) -> View:
        return self.view(slot, _log(slot), 0, members)


def _log(slot: int) -> UUID:
    """Return the log of a slot, in whose own stream what concerns its owner lies."""
    return uuid7(0, int(sha256_hex(f"simulated log {slot}".encode())[:19], 16))


def _quota(limits: Limits) -> dict[str, Any]:
    granted = limits.model_dump(mode="json", include={"slots", "memory_bytes", "weight"})
    return {"kind": "quota", "number": 1, **granted}


def _bandwidth(tokens: Tokens) -> dict[str, Any]:
    return {"kind": "bandwidth", "number": 1, **tokens.model_dump(mode="json", exclude={"tenant"})}


def _adopted(policy: Policy) -> dict[str, Any]:
    return {"kind": "policy", "number": 1, "policy": policy.model_dump(mode="json")}


def _offer(node: NodeLine) -> dict[str, Any]:
    """Return what the operator of a node of another pool offers: all of it, for as long as it takes."""
    terms = {"slots": None, "memory_bytes": None, "until_ms": MAX_INSTANT_MS}
    named = {"kind": "offer_stood", "pool": node.pool, "operator": node.operator, "number": 0}
    return {**named, **terms, "statement": sha256_hex(b"simulated")}

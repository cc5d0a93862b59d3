"""The cell that is measured: 5,000 nodes, 1,000 DAOs in 40 jurisdictions, all policy kinds in force, far too much work.

Invariants:
- It is made of numbers, by arithmetic: every run has the same one, and so has who measures another metric.
- Each policy kind is in some tenant's policy, and every tenant has one; quotas are granted down to every tenant, and so
  are tokens, wide enough that capacity is what most wait for.
- Nodes of secondary pools, nodes that admit but a few, several operators, vendors and kinds of hardware: the rules have
  something to tell apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from domain.jurisdictions import COUNTRIES
from domain.policies.kinds import Policy
from domain.quotas.events import Quota
from infrastructure.simulating.governance import Governance, Limits, ScopeLimits, Tenant, TenantLimits, Tokens
from infrastructure.simulating.inputs import NodeLine, WorkloadLine

DAOS, JURISDICTIONS, NODES, PENDING = 1_000, 40, 5_000, 100_000
OPERATORS, NODE_SLOTS = 50, 4
GIB = 2**30
DOMAINS = ("Disaster", "Health", "Finance", "Planning")
TAGS = ("personal", "public", "model")
YEAR_MS = 366 * 86_400_000
RUNTIME_MS = 60_000

RULES: tuple[dict[str, Any], ...] = (
    {"kind": "in_country"},
    {"kind": "operators", "forbidden": ("operator-7", "operator-31")},
    {"kind": "nodes", "forbidden": ("node-17", "node-4000")},
    {"kind": "no_colocation", "tags": ("public",)},
    {"kind": "no_colocation", "domains": ("Finance",)},
    {"kind": "independent_attestations", "count": 2, "distinct": ("platform", "operator")},
    {"kind": "domain_beside_trigger", "domain": "Planning", "trigger": "evacuate"},
    {"kind": "evidence", "classes": ("vendor", "synthetic", "software")},
    {"kind": "maximum_bounds", "bounds": {"memory_bytes": 4 * GIB, "fuel": 10**12, "wall_ms": 3_600_000}},
    {"kind": "validity", "from_ms": 0, "until_ms": YEAR_MS},
    {"kind": "re_authorisation", "roles": ("admin",), "threshold": 2, "timeout_ms": 3_600_000},
    {"kind": "notification", "recipients": ("Monitor",)},
    {"kind": "overflow", "pools": ("spare",)},
)
"""One rule of each kind. A tenant has three that follow each other here."""

COLOCATION = frozenset({"no_colocation", "domain_beside_trigger"})


@dataclass(frozen=True, slots=True)
class Size:
    """How large a cell is."""

    daos: int
    jurisdictions: int
    nodes: int
    pending: int

    @classmethod
    def of(cls, *, quick: bool) -> "Size":
        """Return the size that the requirements name, or a tenth of it."""
        full = cls(DAOS, JURISDICTIONS, NODES, PENDING)
        return cls(full.daos // 10, full.jurisdictions, full.nodes // 10, full.pending // 10) if quick else full

    def __str__(self) -> str:
        return (
            f"{self.pending} pending of {self.daos} DAOs in {self.jurisdictions} jurisdictions, {self.nodes} nodes of "
            f"{NODE_SLOTS} slots, {len(RULES)} rules, quotas and tokens for all"
        )


@cache
def countries() -> tuple[str, ...]:
    """Return every country's code, in order."""
    return tuple(sorted(COUNTRIES))


def tenant_of(size: Size, number: int) -> Tenant:
    """Return the tenant of a DAO's number."""
    return f"Dao-{number}", countries()[number % size.jurisdictions]


def nodes_of(size: Size) -> Iterator[NodeLine]:
    """Yield the nodes: each jurisdiction has as many."""
    for number in range(size.nodes):
        yield NodeLine(
            id=f"node-{number}",
            country=countries()[number % size.jurisdictions],
            operator=f"operator-{number * 7 % OPERATORS}",
            vendor=("amd", "intel")[number // 3 % 2],
            pool="spare" if number % 20 == 0 else "primary",
            memory_bytes=(8 + number % 3 * 8) * GIB,
            slots=NODE_SLOTS,
            attributes=("sev", "gpu") if number % 4 == 0 else ("sev",),
        )


def governance_of(size: Size, *, colocation: bool = True) -> Governance:
    """Return what is in force; `colocation`: whether the rules about who may share a node are among it."""
    slots = size.nodes * NODE_SLOTS
    share = 2 * slots // size.jurisdictions
    each = max(2 * slots // size.daos, 2)
    scopes = [
        ScopeLimits(name=f"Scope-{countries()[at]}", slots=Quota(nominal=share, borrow=slots, lend=share))
        for at in range(size.jurisdictions)
    ]
    tenants = [tenant_of(size, number) for number in range(size.daos)]
    limits = {
        tenant: TenantLimits(
            tenant="/".join(tenant), parent=f"Scope-{tenant[1]}", weight=1 + number % 3,
            slots=Quota(nominal=each, borrow=each, lend=each),
            memory_bytes=Quota(nominal=each * 16 * GIB, borrow=each * 16 * GIB, lend=0),
        )
        for number, tenant in enumerate(tenants)
    }  # fmt: skip
    tokens = {
        tenant: Tokens(tenant="/".join(tenant), tokens=each * 100, period_ms=1000, burst=each * 10_000)
        for tenant in tenants
    }
    return Governance(
        levels=DOMAINS[:3],
        policies={tenant: policy_of(number, colocation=colocation) for number, tenant in enumerate(tenants)},
        root=Limits(slots=Quota(nominal=slots, lend=slots)),
        scopes=tuple(scopes),
        limits=limits,
        tokens=tokens,
    )


def policy_of(number: int, *, colocation: bool = True) -> Policy:
    """Return the policy of a DAO's number."""
    rules = [RULES[(number + step) % len(RULES)] for step in range(3)]
    return Policy.model_validate({"rules": tuple(r for r in rules if colocation or r["kind"] not in COLOCATION)})


def workloads_of(size: Size, count: int, first: int = 0, *, colocation: bool = True) -> Iterator[WorkloadLine]:
    """Yield workloads that arrive at one instant; `colocation`: whether they carry tags and forbid some."""
    for number in range(first, first + count):
        dao, jurisdiction = tenant_of(size, number * 13 % size.daos)
        shape = number // size.daos
        yield WorkloadLine.model_construct(  # made here, not read: a hundred thousand need no second look
            id=f"workload-{number}",
            at_ms=0,
            dao=dao,
            jurisdiction=jurisdiction,
            resource_class=f"{DOMAINS[(number + shape) % len(DOMAINS)]}::Work@v1",
            level=None,
            slots=1 if shape % 5 else 2,
            memory_bytes=(1 + shape % 2) * GIB,
            runtime_ms=RUNTIME_MS,
            tags=(TAGS[shape % len(TAGS)],) if colocation and shape % 2 else (),
            forbid_tags=("personal",) if colocation and shape % 7 == 0 else (),
            requires=("gpu",) if shape % 6 == 0 else ("sev",),
            in_country=False,
            independent=1,
            fails=False,
        )

"""What reads answer, as the OpenAPI document says it. Rows may have more members; those named here they always have."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """An answer's object."""

    model_config = ConfigDict(frozen=True, extra="allow")


class FieldError(Shape):
    """Which field is at fault, and why."""

    pointer: str
    detail: str


class Problem(Shape):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Paged(Shape):
    """A page; `next` is the cursor of the one after it, null at the end."""

    next: str | None


class Workload(Shape):
    """A workload, with the gates that it passed or failed."""

    workload: str
    status: str
    resource_class: str
    submitted_at_ms: int
    attempt: int
    gates: list[dict[str, Any]]
    executions: list[str]
    cacs: list[str]
    reason: str
    leaf_index: int


class Workloads(Paged):
    """A page of workloads."""

    workloads: list[Workload]


class Execution(Shape):
    """An execution; `enclave` says where it lived and whether it is gone."""

    execution: str
    workload: str
    attempt: int
    node: str
    clause_id: str
    status: str
    from_ms: int
    until_ms: int
    leaf_index: int
    enclave: dict[str, Any] | None


class Why(Shape):
    """What became of a workload, and the entry that decided it."""

    workload: str
    status: str
    runs: list[dict[str, Any]]
    waiting: dict[str, Any] | None
    running: list[str]
    decision: dict[str, Any]


class CacRow(Shape):
    """A CAC in a list."""

    cac: str
    execution: str
    workload: str
    clause_id: str
    outcome: str
    node: str
    output_address: str
    issued_at_ms: int
    leaf_index: int


class Cacs(Paged):
    """A page of CACs."""

    cacs: list[CacRow]


class Results(Shape):
    """A page of results in the order of the log; `next` goes on after it, also where nothing follows yet."""

    results: list[dict[str, Any]]
    next: str


class Subscriptions(Shape):
    """Subscriptions, without their addresses, and the keys (JWK Set) by which what is posted to them verifies."""

    subscriptions: list[dict[str, Any]]
    keys: dict[str, Any]
    certificate: str | None


class Cac(CacRow):
    """A CAC with the document that its enclave signed."""

    document: dict[str, Any]


class AdoptedPolicy(Shape):
    """A policy that was adopted; `in_force` now, or followed by another."""

    version: int
    digest: str
    in_force: bool
    policy: dict[str, Any]
    leaf_index: int
    adopted_at_ms: int


class Policies(Paged):
    """A page of policies, by version."""

    policies: list[AdoptedPolicy]


class ClauseRow(Shape):
    """A registered clause."""

    clause_id: str
    owner: str
    module_digest: str
    deprecated: bool


class Clauses(Paged):
    """A page of clauses, by id."""

    clauses: list[ClauseRow]


class Tenants(Paged):
    """The asker's own tenant; to the operator all logs, by slot and origin alone."""

    tenants: list[dict[str, Any]]


class Scopes(Shape):
    """The asker's own scope and those above it, the nearest first."""

    scopes: list[dict[str, Any]]


class NodeRow(Shape):
    """A node, as the asker may know it."""

    node: str


class Nodes(Shape):
    """Nodes, as the asker may know them: a node itself, everybody the facts, the operator what is free."""

    nodes: list[NodeRow]


class Usage(Shape):
    """What was metered: a tenant's in all and by day, an operator's in all, by operator and by node."""

    usage: dict[str, Any]


class Statement(Shape):
    """A statement of usage."""

    statement: dict[str, Any]


class Notices(Paged):
    """A page of notices."""

    notices: list[dict[str, Any]]


class Dispute(Shape):
    """A dispute, as far as it concerns who asks."""

    dispute: str
    scope: str
    status: str
    subject: dict[str, Any]
    grounds: str
    opened_by: dict[str, Any]
    opened_at_ms: int
    answer_by_ms: int
    decide_by_ms: int
    affected: list[dict[str, Any]]
    concerned: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    overturned: list[str]


class DisputeRow(Shape):
    """A dispute in a list."""

    dispute: str
    scope: str
    status: str
    subject: dict[str, Any]
    opened_at_ms: int
    affected: list[dict[str, Any]]


class Disputes(Paged):
    """A page of disputes, in the order of their openings."""

    disputes: list[DisputeRow]


class InvolvedRow(Shape):
    """An execution that is involved, with what was appraised of its enclave and the entries that tell of it."""

    slot: int
    jurisdiction: str
    execution: str
    workload: str
    node: str
    operator: str
    clause_id: str
    cac: str | None
    overturned_by: str | None
    reserved_at_ms: int
    evidence: dict[str, Any] | None
    entries: list[dict[str, Any]]


class InvolvedPage(Paged):
    """A page of what is involved, and how many of whom stand on it. One may be empty and others follow."""

    involved: list[InvolvedRow]
    jurisdictions: list[dict[str, Any]]


class LogStanding(Shape):
    """How a log stands: its size, what of it is published, the keys that sign it."""

    origin: str
    size: int
    published: int | None
    log_keys: list[str]


class Entry(Shape):
    """One event with its place; `event` is null where it is sealed."""

    leaf_index: int
    leaf_hash: str
    stream: str
    version: int
    topic: str
    at_ms: int | None
    sealed: bool
    event: dict[str, Any] | None


class History(Paged):
    """A page of the log, opened."""

    origin: str
    size: int
    entries: list[Entry]


class Inclusion(Shape):
    """The proof that a leaf is in the tree of a size (RFC 9162 2.1.3), hashes in base64; not signed."""

    origin: str
    index: int
    size: int
    leaf_hash: str
    root: str
    path: list[str]


class Consistency(Shape):
    """The proof that the tree of one size extends that of another (RFC 9162 2.1.4), hashes in base64; not signed."""

    origin: str
    old: int
    size: int
    old_root: str
    root: str
    path: list[str]

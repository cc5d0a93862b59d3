"""The closed list of policy rules.

Invariants:
- A rule is data: frozen, strict, nothing unknown. A policy is a tuple of rules; every rule must hold (deny by default).
- What a rule means is in domain.policies.feasible and nowhere else.
- `re_authorisation` and `notification` say who decides and who is told after a fault, `dispute_resolution` (a scope's)
  who decides disputes; no node is infeasible by them.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import DaoName, Digest
from domain.jurisdictions import Country, Jurisdiction, countries_within
from domain.malformed import malformed
from domain.message import Value
from domain.time import MAX_INSTANT_MS

MAX_POLICY_BYTES = 16_384
MAX_TENANT_RULES = 96
MAX_CLAUSE_RULES = 32
"""An effective policy holds both, so it never outgrows its own bound."""

Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:-]{0,63}$")]
Words = Annotated[tuple[Word, ...], Field(max_length=64)]
EvidenceClass = Literal["vendor", "synthetic", "software"]
Measurement = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{64}|[0-9a-f]{96})$")]
Independence = Literal["platform", "operator", "vendor"]


class InCountry(Value):
    """Only on nodes operated in the tenant's jurisdiction, or in the countries named here."""

    kind: Literal["in_country"]
    countries: Annotated[tuple[Country, ...], Field(max_length=64)] = ()


class Operators(Value):
    """Only on nodes of allowed operators (empty: any), never on those of forbidden ones."""

    kind: Literal["operators"]
    allowed: Words = ()
    forbidden: Words = ()


class Nodes(Value):
    """Only on allowed nodes (empty: any), never on forbidden ones."""

    kind: Literal["nodes"]
    allowed: Words = ()
    forbidden: Words = ()


class NoColocation(Value):
    """Never on a node together with participants that are not authorised here, or with domains or tags forbidden here.

    With `exclusive`, the node must also be one that admits authorised participants only: a fact of the node itself,
    so the guarantee doesn't rest on who happens to be there. It needs `authorised`; an empty list means this DAO alone.
    """

    kind: Literal["no_colocation"]
    authorised: Annotated[tuple[DaoName, ...], Field(max_length=64)] | None = None
    domains: Words = ()
    tags: Words = ()
    exclusive: bool = False

    @model_validator(mode="after")
    def _exclusive_for_somebody(self) -> "NoColocation":
        if self.exclusive and self.authorised is None:
            raise ValueError(
                "exclusive needs authorised (an empty list: this DAO alone)"
            )  # else it would forbid nothing
        return self


class IndependentAttestations(Value):
    """At least `count` enclaves on nodes that differ in platform and in everything named by `distinct`."""

    kind: Literal["independent_attestations"]
    count: Annotated[int, Field(ge=2, le=16)]
    distinct: Annotated[tuple[Independence, ...], Field(max_length=3)] = ("platform", "operator")


class DomainBesideTrigger(Value):
    """Never run `domain` where `trigger` runs: neither in the same workload nor on the same node at the same time."""

    kind: Literal["domain_beside_trigger"]
    domain: Word
    trigger: Word


class Evidence(Value):
    """Only evidence of these classes; with `domain`, only for workloads of that domain (verified hardware only).

    Evidence of a synthetic platform counts only where `roots` names its root (SHA-256 of the root key's SPKI, hex), and
    then as what `vendor` is. With `max_age_ms` it must also be fresh: at a gate no older than that, counted from when
    its nonce was issued. `least_status` lets a platform's warning pass (its vendor knows weaknesses of it); worse ends
    the execution, whatever a policy says. `measurements` are those of approved code on hardware (hex); without any,
    what this ledger's own runtime measures as.
    """

    kind: Literal["evidence"]
    classes: Annotated[tuple[EvidenceClass, ...], Field(min_length=1, max_length=3)] = ("vendor",)
    domain: Word | None = None
    max_age_ms: Annotated[int, Field(ge=1000, le=30 * 86_400_000)] | None = None
    roots: Annotated[tuple[Digest, ...], Field(max_length=8)] = ()
    least_status: Literal["affirming", "warning"] = "affirming"
    measurements: Annotated[tuple[Measurement, ...], Field(max_length=32)] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its policies keep their digests."""
        members: dict[str, Any] = handler(self)
        for name, unsaid in (("max_age_ms", None), ("roots", []), ("least_status", "affirming"), ("measurements", [])):
            if name in members and members[name] in (unsaid, ()):
                del members[name]
        return members

    def admits(self, evidence_class: str, root: str | None) -> bool:
        """Tell whether evidence of a class, and of a root, is what this rule asks for."""
        return root in self.roots if evidence_class == "synthetic" else evidence_class in self.classes


class MaximumBounds(Value):
    """No workload may ask for more than this."""

    kind: Literal["maximum_bounds"]
    bounds: Bounds


class Validity(Value):
    """Workloads run in [from_ms, until_ms) only."""

    kind: Literal["validity"]
    from_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]

    @model_validator(mode="after")
    def _ordered(self) -> "Validity":
        if self.until_ms <= self.from_ms:
            raise ValueError("until_ms must be after from_ms")  # pydantic turns it into its own error
        return self


class ReAuthorisation(Value):
    """Who re-authorises after a fault: `threshold` distinct persons with one of `roles`, within `timeout_ms`."""

    kind: Literal["re_authorisation"]
    roles: Annotated[tuple[Word, ...], Field(min_length=1, max_length=8)] = ("admin",)
    threshold: Annotated[int, Field(ge=1, le=16)] = 1
    timeout_ms: Annotated[int, Field(ge=1000, le=365 * 86_400_000)] = 86_400_000


class Notification(Value):
    """Who is told of a fault: parent scope or named monitors."""

    kind: Literal["notification"]
    recipients: Annotated[tuple[Word, ...], Field(min_length=1, max_length=16)]


class DisputeResolution(Value):
    """How a scope decides disputes: `threshold` distinct persons with one of `roles`, in these times.

    Those concerned answer within `answer_ms` of the opening; it is decided within `decide_ms` after that. `recipients`
    are told of every dispute, beside those whom the tenants' own policies and appointments name.
    """

    kind: Literal["dispute_resolution"]
    roles: Annotated[tuple[Word, ...], Field(min_length=1, max_length=8)] = ("resolver",)
    threshold: Annotated[int, Field(ge=1, le=16)] = 1
    answer_ms: Annotated[int, Field(ge=1000, le=365 * 86_400_000)] = 14 * 86_400_000
    decide_ms: Annotated[int, Field(ge=1000, le=365 * 86_400_000)] = 30 * 86_400_000
    recipients: Annotated[tuple[Word, ...], Field(max_length=16)] = ()


PRIMARY = "primary"
"""The pool whose nodes are used first. Nodes of every other pool are secondary: overflow goes there."""


class Overflow(Value):
    """Where a workload may overflow to when the primary pool has no place: nodes of these pools, and these nodes.

    Without such a rule: anywhere. With nothing named: nowhere.
    """

    kind: Literal["overflow"]
    pools: Words = ()
    nodes: Words = ()


class NodeLoad(Value):
    """Only on nodes whose last report shows at most this share of the processor busy.

    Reports are in powers of two: 50 lets in what reports up to 31 percent. A node that reports no load doesn't qualify.
    It is looked at when a place is chosen, and no more afterwards: what runs there is load itself.
    """

    kind: Literal["node_load"]
    most_percent: Annotated[int, Field(ge=1, le=99)]


Rule = Annotated[
    InCountry
    | Operators
    | Nodes
    | NoColocation
    | IndependentAttestations
    | DomainBesideTrigger
    | Evidence
    | MaximumBounds
    | Validity
    | ReAuthorisation
    | Notification
    | DisputeResolution
    | Overflow
    | NodeLoad,
    Field(discriminator="kind"),
]


class Policy(Value):
    """A tenant's effective policy. Its digest covers every byte of its canonical form."""

    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_TENANT_RULES + MAX_CLAUSE_RULES)] = ()

    def digest(self) -> str:
        """Return H(JCS of the effective policy) as 64 hex digits (wire formats 4)."""
        return _policy_digest(self)

    def re_authorisation(self) -> ReAuthorisation:
        """Return the rule for re-authorisation; by default one admin within a day.

        Where tenant and clause both have one the stricter of each member wins; without a common role nobody may.
        """
        found = [rule for rule in self.rules if isinstance(rule, ReAuthorisation)]
        if not found:
            return ReAuthorisation(kind="re_authorisation")
        stricter = {
            "roles": tuple(role for role in found[0].roles if all(role in rule.roles for rule in found)),
            "threshold": max(rule.threshold for rule in found),
            "timeout_ms": min(rule.timeout_ms for rule in found),
        }
        return found[0].model_copy(update=stricter)


@lru_cache(maxsize=256)
def _policy_digest(policy: Policy) -> str:
    """Few policies are named by very many decisions."""
    return sha256_hex(canonical(policy.model_dump(mode="json")))


def parse_policy(data: bytes, jurisdiction: Jurisdiction) -> Policy:
    """Read a policy file for a tenant of `jurisdiction`: ``{"rules": [{"kind": ...}, ...]}``.

    Raises:
        MalformedError: for another shape, or an in-country rule that names no country where the jurisdiction has none.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise MalformedError(f"a policy of {len(data)} bytes is larger than {MAX_POLICY_BYTES}")
    try:
        policy = Policy.model_validate_json(data)
    except ValidationError as error:
        raise malformed("policy", error, "/policy") from None
    if len(policy.rules) > MAX_TENANT_RULES:
        raise MalformedError(f"a policy has at most {MAX_TENANT_RULES} rules, not {len(policy.rules)}")
    for rule in policy.rules:
        if isinstance(rule, InCountry) and not (rule.countries or countries_within(jurisdiction)):
            raise MalformedError(f"in_country must name countries for the supranational scope {jurisdiction}")
    return policy

"""Acts of governance about others: what a scope grants right below it, and what is said in the platform's log."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field

from domain.canonical import MAX_INTEGER
from domain.clauses.decisions import deprecation_claims
from domain.clauses.events import ClauseDeprecated
from domain.errors import MalformedError, UnknownError
from domain.message import Value
from domain.nodes.decisions import drain_claims, return_claims
from domain.nodes.events import NodeDrained, NodeReturned
from domain.platform.events import LevelsAdopted
from domain.policies.kinds import Word
from domain.pools.decisions import offer_claims, withdrawal_claims
from domain.quotas.events import BandwidthGranted, Quota
from domain.quotas.tree import Quotas
from domain.tenants.decisions import endorsement_claims
from domain.tenants.events import IssuerEnrolled, IssuerRevoked
from domain.tenants.grants import Allowance, bandwidth_claims, granter, next_bandwidth, next_quota, quota_claims
from domain.tenants.state import Tenant
from domain.time import MAX_INSTANT_MS
from infrastructure.api.writes.acts import Act, Claims, Taken, unchanged
from infrastructure.api.writes.asked import Asked
from infrastructure.commands import clauses, genesis, grants, nodes, standing_offers, tenants
from infrastructure.commands.clauses import read_metadata
from infrastructure.credentials.data_integrity import parse_document
from infrastructure.ledger import Answer

_GRANT: Final = ("to", "version", "granted_by")
_ENDORSEMENT: Final = ("tenant", "dao", "jurisdiction", "admins")


class _Quotas(Value):
    slots: Quota | None
    memory_bytes: Quota | None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1

    def quotas(self) -> Quotas:
        """Return them."""
        return Quotas(self.slots, self.memory_bytes, self.weight)


class _Endorsement(Value):
    credential_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _OfferNamed(Value):
    pool: Word
    operator: Word


class _Offer(_OfferNamed):
    slots: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None
    memory_bytes: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]


def _draft_quota(asked: Asked) -> Claims:
    grantee = asked.below("to")
    return quota_claims(grantee, next_quota(grantee), asked.read(_Quotas, *_GRANT).quotas())


def _take_quota(asked: Asked, _: Any) -> Taken:
    grantee, quotas = asked.below("to"), asked.read(_Quotas, *_GRANT).quotas()
    return _of(grantee, grants.quota(asked.ledger, grantee, quotas, asked.tokens))


def _draft_tokens(asked: Asked) -> Claims:
    grantee = asked.below("to")
    return bandwidth_claims(grantee, next_bandwidth(grantee), _allowance(asked, grantee))


def _take_tokens(asked: Asked, _: Any) -> Taken:
    grantee = asked.below("to")
    return _of(grantee, grants.bandwidth(asked.ledger, grantee, _allowance(asked, grantee), asked.tokens))


def _allowance(asked: Asked, grantee: Tenant) -> Allowance:
    said = asked.read(BandwidthGranted, "to", version=1, granted_by=granter(grantee), statements=[])
    return Allowance(said.tokens, said.period_ms, said.burst, said.from_ms, said.until_ms)


def _draft_endorsement(asked: Asked) -> Claims:
    tenant = asked.below("tenant")
    return endorsement_claims(tenant, asked.read(_Endorsement, *_ENDORSEMENT).credential_digest)


def _take_endorsement(asked: Asked, credential: bytes) -> Taken:
    tenant = asked.below("tenant")
    return _of(tenant, tenants.renew(asked.ledger, tenant, parse_document(credential), asked.tokens))


def _take_issuer(asked: Asked, _: Any) -> Taken:
    said = asked.read(IssuerEnrolled, statements=[])
    return _of(asked.own, tenants.enrol_issuer(asked.ledger, asked.own, said.did, asked.tokens))


def _take_issuer_revocation(asked: Asked, _: Any) -> Taken:
    said = asked.read(IssuerRevoked, statements=[])
    return _of(asked.own, tenants.revoke_issuer(asked.ledger, asked.own, said.did, said.reason, asked.tokens))


def _draft_levels(asked: Asked) -> Claims:
    platform, domains = asked.platform, asked.read(LevelsAdopted, version=1, statements=[]).domains
    version = genesis.next_levels_version(asked.ledger.stream(platform.log_id, platform.log_id))
    return genesis.levels_claims(version, domains)


def _take_levels(asked: Asked, _: Any) -> Taken:
    said = asked.read(LevelsAdopted, statements=[])
    return asked.platform.log_id, genesis.adopt_levels(asked.ledger, asked.own, said.domains, asked.tokens)


def _draft_drain(asked: Asked) -> Claims:
    _, said = asked.platform, asked.read(NodeDrained, statements=[])
    return drain_claims(said.node, said.reason)


def _take_drain(asked: Asked, _: Any) -> Taken:
    said = asked.read(NodeDrained, statements=[])
    return asked.platform.log_id, nodes.drain_node(asked.ledger, said.node, said.reason, asked.tokens)


def _draft_return(asked: Asked) -> Claims:
    _, said = asked.platform, asked.read(NodeReturned, statements=[])
    return return_claims(said.node, said.reason)


def _take_return(asked: Asked, _: Any) -> Taken:
    said = asked.read(NodeReturned, statements=[])
    return asked.platform.log_id, nodes.return_node(asked.ledger, said.node, said.reason, asked.tokens)


def _draft_offer(asked: Asked) -> Claims:
    _, said = asked.platform, asked.read(_Offer, "number")
    number, _ = standing_offers.newest_offer(asked.ledger, said.pool, said.operator)
    return offer_claims(
        said.pool, said.operator, number, slots=said.slots, memory_bytes=said.memory_bytes, until_ms=said.until_ms
    )


def _take_offer(asked: Asked, given: tuple[bytes, tuple[str, ...]]) -> Taken:
    platform, (public_key, appointed), said = asked.platform, given, asked.read(_Offer, "number")
    if len(asked.tokens) != 1:
        raise MalformedError("an offer is signed by its operator alone", [("/statements", "one statement")])
    answer = standing_offers.stand_offer(
        asked.ledger, pool=said.pool, operator=said.operator, slots=said.slots, memory_bytes=said.memory_bytes,
        until_ms=said.until_ms, public_key=public_key, statement=asked.tokens[0], appointed=appointed,
    )  # fmt: skip
    return platform.log_id, answer


def _draft_offer_end(asked: Asked) -> Claims:
    _, said = asked.platform, asked.read(_OfferNamed, "number")
    _, standing = standing_offers.newest_offer(asked.ledger, said.pool, said.operator)
    if standing is None:
        raise UnknownError("no offer of that operator stands in that pool")
    return withdrawal_claims(said.pool, said.operator, standing.number)


def _take_offer_end(asked: Asked, _: Any) -> Taken:
    platform, said = asked.platform, asked.read(_OfferNamed, "number")
    answer = standing_offers.withdraw_offer(
        asked.ledger, pool=said.pool, operator=said.operator, statements=asked.tokens
    )
    return platform.log_id, answer


def _take_clause(asked: Asked, given: tuple[bytes, bytes]) -> Taken:
    metadata, module = given
    answer = clauses.register(asked.ledger, asked.own, read_metadata(metadata), module, asked.tokens)
    return asked.ledger.platform().log_id, answer


def _draft_deprecation(asked: Asked) -> Claims:
    said = asked.read(ClauseDeprecated, statements=[])
    return deprecation_claims(said.clause_id, said.reason)


def _take_deprecation(asked: Asked, _: Any) -> Taken:
    said = asked.read(ClauseDeprecated, statements=[])
    answer = clauses.deprecate(asked.ledger, asked.own, said.clause_id, said.reason, asked.tokens)
    return asked.ledger.platform().log_id, answer


def _of(tenant: Tenant, answer: Answer) -> Taken:
    return UUID(tenant.log_id), answer


GRANTED: Mapping[str, Act] = {
    "grant_quota": Act(_draft_quota, _take_quota, of="scope", aud="to"),
    "grant_tokens": Act(_draft_tokens, _take_tokens, of="scope", aud="to"),
    "endorse": Act(_draft_endorsement, _take_endorsement, of="scope", aud="tenant"),
    "enrol_issuer": Act(unchanged, _take_issuer, of="scope"),
    "revoke_issuer": Act(unchanged, _take_issuer_revocation, of="scope"),
    "stand_offer": Act(_draft_offer, _take_offer, of="scope", aud="platform"),
    "withdraw_offer": Act(_draft_offer_end, _take_offer_end, of="scope", aud="platform"),
    "adopt_levels": Act(_draft_levels, _take_levels, of="scope", aud="platform"),
    "drain_node": Act(_draft_drain, _take_drain, of="scope", aud="platform"),
    "return_node": Act(_draft_return, _take_return, of="scope", aud="platform"),
    "register_clause": Act(unchanged, _take_clause, of="tenant", aud="platform"),
    "deprecate_clause": Act(_draft_deprecation, _take_deprecation, of="tenant", aud="platform"),
}

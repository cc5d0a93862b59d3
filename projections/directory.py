"""Who and what a log speaks of: tenant or scope, keys, policies, quotas, and on the platform clauses and nodes.

Invariants:
- Pure, like every projection: the same entries give the same rows.
- Keys are named by thumbprint; nothing secret is ever in an event, so nothing secret is here.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from domain.clauses import events as clauses
from domain.message import Event, Recorded
from domain.nodes import events as nodes
from domain.platform import events as platform
from domain.pools import events as pools
from domain.quotas import events as quotas
from domain.tenants import events as tenants

NAME = "directory_v2"

Row = dict[str, Any]


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`tenant`, `key/<kid>`, `policy`, `clause/<id>`, `node/<name>`)."""
    changes = _project(recorded.event, rows)
    return {key: {**row, "leaf_index": recorded.leaf_index} for key, row in changes.items()}


@singledispatch
def _project(event: Event, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001 - nothing to note
    return {}


@_project.register
def _(event: platform.Genesis, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {"cell": {"cell": event.cell, "host": event.host, "root": event.root_origin}}


@_project.register
def _(event: platform.LevelsAdopted, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {"levels": {"version": event.version, "domains": list(event.domains)}}


@_project.register(tenants.TenantRegistered)
@_project.register(tenants.ScopeRegistered)
@_project.register(tenants.ScopeRegisteredBelow)
def _(
    event: tenants.TenantRegistered | tenants.ScopeRegistered | tenants.ScopeRegisteredBelow,
    rows: Mapping[str, Row],  # noqa: ARG001
) -> dict[str, Row]:
    who: Row = {"origin": event.origin, "did": event.did, "threshold": event.threshold}
    if isinstance(event, tenants.TenantRegistered):
        who |= {"dao": event.dao, "jurisdiction": event.jurisdiction, "endorsed": False}
        who |= {} if event.custody is None else {"custody": event.custody}
    if isinstance(event, tenants.ScopeRegisteredBelow):
        who |= {"name": event.name, "kind": event.kind, "parent": event.parent}
    keys = {f"key/{a.kid}": _key(a.person, "admin", "ledger-governance+jwt") for a in event.admins}
    return {"tenant": who, **keys}


@_project.register
def _(event: tenants.TenantEndorsed, rows: Mapping[str, Row]) -> dict[str, Row]:
    return {"tenant": {**rows["tenant"], "endorsed": True, "credential_digest": event.credential_digest}}


@_project.register
def _(event: tenants.PrincipalEnrolled, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {f"key/{event.kid}": _key(event.person, event.role, event.statement_type)}


@_project.register
def _(event: tenants.ReaderEnrolled, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    limits = event.model_dump(mode="json", include={"jurisdictions", "from_ms", "until_ms"})
    return {f"key/{event.kid}": {**_key(event.person, event.role, event.statement_type), **limits}}


@_project.register
def _(event: tenants.PrincipalRevoked, rows: Mapping[str, Row]) -> dict[str, Row]:
    key = f"key/{event.kid}"
    return {key: {**rows[key], "revoked": True}}


@_project.register
def _(event: tenants.IssuerEnrolled, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {f"issuer/{event.did}": {"revoked": False}}


@_project.register
def _(event: tenants.IssuerRevoked, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {f"issuer/{event.did}": {"revoked": True}}


@_project.register
def _(event: tenants.PolicyAdopted, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    rules = [rule.kind for rule in event.policy.rules]
    return {"policy": {"version": event.version, "digest": event.digest, "rules": rules}}


@_project.register
def _(event: tenants.MonitorAppointed, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {f"monitor/{event.name}": {"kind": event.kind}}


@_project.register
def _(event: quotas.QuotaGranted, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    granted = event.model_dump(mode="json", include={"version", "slots", "memory_bytes", "weight", "granted_by"})
    return {"quota": granted}


@_project.register
def _(event: quotas.BandwidthGranted, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {"tokens": event.model_dump(mode="json", exclude={"statements"})}


@_project.register
def _(event: tenants.KeyDisclosed, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    return {"disclosures": {"count": rows.get("disclosures", {}).get("count", 0) + 1}}


@_project.register
def _(event: clauses.ClauseRegistered, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    about = {"owner": event.metadata.owner, "module_digest": event.module_digest, "deprecated": False}
    return {f"clause/{event.metadata.clause_id}": about}


@_project.register
def _(event: clauses.ClauseDeprecated, rows: Mapping[str, Row]) -> dict[str, Row]:
    key = f"clause/{event.clause_id}"
    return {key: {**rows[key], "deprecated": True}}


@_project.register
def _(event: nodes.NodeEnrolled, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    about = {"operator": event.facts.operator, "country": event.facts.country, "slots": event.facts.slots}
    return {f"node/{event.facts.node}": {**about, "drained": False}}


@_project.register
def _(event: pools.OfferStood, rows: Mapping[str, Row]) -> dict[str, Row]:  # noqa: ARG001
    terms = event.model_dump(mode="json", include={"number", "kid", "slots", "memory_bytes", "until_ms"})
    return {f"offer/{event.pool}/{event.operator}": {**terms, "withdrawn": False}}


@_project.register
def _(event: pools.OfferWithdrawn, rows: Mapping[str, Row]) -> dict[str, Row]:
    key = f"offer/{event.pool}/{event.operator}"
    return {key: {**rows[key], "withdrawn": True}}


@_project.register
def _(event: nodes.NodeDrained, rows: Mapping[str, Row]) -> dict[str, Row]:
    key = f"node/{event.node}"
    return {key: {**rows[key], "drained": True}}


@_project.register
def _(event: nodes.NodeReturned, rows: Mapping[str, Row]) -> dict[str, Row]:
    key = f"node/{event.node}"
    return {key: {**rows[key], "drained": False}}


def _key(person: str, role: str, statement_type: str) -> Row:
    return {"person": person, "role": role, "statement_type": statement_type}

"""Enrolment of nodes (credential, facts, the node key's own acceptance); the operator's word on them afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.attestation.appraise import platform_id
from domain.canonical import canonical
from domain.errors import ConflictError, NotAuthorisedError, UnavailableError, UnknownError
from domain.hashing import sha256_hex
from domain.identifiers import node_stream
from domain.message import Pending
from domain.nodes.decisions import drain_claims, return_claims
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeReturned
from domain.policies.facts import NodeFacts
from domain.statements import GOVERNANCE, REPORT, require_claims, require_threshold
from infrastructure.commands.border import all_verified_or_known, keys_of, verified_or_known
from infrastructure.commands.loading import load_node, load_root
from infrastructure.commands.machines import require_proved
from infrastructure.commands.tenants import statement_command
from infrastructure.keys.did_key import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Answer, Command, Ledger

_ATTEMPTS = 8


def enrol_node(
    ledger: Ledger, facts: NodeFacts, *, public_key: bytes, credential: Mapping[str, Any], acceptance: str
) -> Answer:
    """Enrol a node under its name, once.

    Raises:
        NotAuthorisedError: when credential or acceptance are not this node's, or facts differ from the credential.
        ConflictError: when the name is taken, or a platform id is another node's.
    """
    platform = ledger.platform()
    root = load_root(ledger)
    kid, now_ms = thumbprint(public_key), ledger.clock.now_ms()
    keys = {kid: public_key}
    signed = verified_or_known(ledger, platform.log_id, acceptance, typ=REPORT, keys=keys, aud=platform.origin)
    require_claims(signed, enrolment_claims(facts))
    command = statement_command(platform.log_id, [signed], {"node": facts.node})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    claims = ledger.credentials.node(credential, root.issuers, now_ms, node=did_key(public_key)).subject
    said = (claims.operator, claims.country_of_operation, claims.vendor, claims.platform_ids)
    if said != (facts.operator, facts.country, facts.vendor, facts.platform_ids):
        raise NotAuthorisedError("operator, country, vendor or platform ids are not what the credential says")
    if (claims.attributes, claims.admits) != (facts.attributes, facts.admits):
        raise NotAuthorisedError("attributes or admitted DAOs are not what the credential says")
    if facts.evidence_class != "software":
        require_proved(ledger, facts, kid)
    elif facts.platform_ids != (platform_id(kid),) or facts.evidence_root is not None:
        raise NotAuthorisedError(f"a node with software evidence has the one platform id {platform_id(kid)}")
    event = NodeEnrolled(
        facts=facts,
        kid=kid,
        public_key=public_key.hex(),
        credential=dict(credential),
        credential_digest=sha256_hex(canonical(dict(credential))),
        acceptance=acceptance,
    )
    try:
        load_node(ledger, facts.node)
    except UnknownError:
        stream = node_stream(facts.node)
        machines = [Command(platform.log_id, "platform-id", one, facts.node.encode(), {}) for one in facts.platform_ids]
        return ledger.append([Pending(platform.log_id, stream, 0, event)], command=command, claims=machines)
    raise ConflictError("a node of that name is enrolled; choose another name")


def enrolment_claims(facts: NodeFacts) -> dict[str, Any]:
    """Return what a node's key says when it enrols."""
    return {"act": "enrol_node", "facts": facts.model_dump(mode="json")}


def drain_node(ledger: Ledger, name: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Let a node take no new work, by the root scope's admins.

    Raises:
        UnknownError: when it is not enrolled.
        NotAuthorisedError: below the threshold.
    """
    event = NodeDrained(node=name, reason=reason, statements=tuple(tokens))
    return _by_the_operator(ledger, event, drain_claims(name, reason))


def return_node(ledger: Ledger, name: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Let a node take work again that was drained, in doubt or lost. Raises as `drain_node` does."""
    event = NodeReturned(node=name, reason=reason, statements=tuple(tokens))
    return _by_the_operator(ledger, event, return_claims(name, reason))


def _by_the_operator(ledger: Ledger, event: NodeDrained | NodeReturned, expected: Mapping[str, Any]) -> Answer:
    platform = ledger.platform()
    root = load_root(ledger)
    load_node(ledger, event.node)
    keys = keys_of(root.principals.values(), GOVERNANCE)
    aud = platform.origin
    signed = all_verified_or_known(ledger, platform.log_id, event.statements, typ=GOVERNANCE, keys=keys, aud=aud)
    require_threshold(signed, root.principals, roles=root.admins, threshold=root.threshold, expected=expected)
    command = statement_command(platform.log_id, signed, {"node": event.node})
    stream = node_stream(event.node)
    for _ in range(_ATTEMPTS):
        known = ledger.answered(command)
        if known is not None:
            return Answer(known, ())
        newest = next(ledger.newest(platform.log_id, stream))
        try:
            return ledger.append([Pending(platform.log_id, stream, newest.version + 1, event)], command=command)
        except ConflictError:  # another act of the operator came first
            continue
    raise UnavailableError("the node's stream keeps growing: send it again")

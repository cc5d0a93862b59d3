"""A node from outside has its machine proved: it asks for a nonce, and sends evidence with its own signed word.

Invariants:
- Who asks shows a credential in force over its key and signs, before anything is written; each statement counts once.
  So a stranger uses up no challenge, and nobody's nonce.
- Evidence is looked at only where a nonce is open for the key that signed the word over its digests.
"""

from collections.abc import Mapping
from typing import Any, Final

from domain.attestation.events import NodeChallenged, NodeEvidenceAppraised
from domain.errors import ConflictError, RefusedError, UnavailableError, UnknownError
from domain.nodes.decisions import challenge_claims, proof_claims
from domain.statements import REPORT, require_claims
from infrastructure.commands.border import verified_or_known
from infrastructure.commands.evidence import GivenEvidence
from infrastructure.commands.loading import load_node, load_root
from infrastructure.commands.machines import NO_NONCE, Story, appraise_machine, challenge, story_of
from infrastructure.commands.tenants import statement_command
from infrastructure.keys.did_key import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Answer, Command, Ledger
from infrastructure.statements import jws

_ATTEMPTS: Final = 8
_MAX_NAME: Final = 64


def request_challenge(
    ledger: Ledger, node: str, *, public_key: bytes, credential: Mapping[str, Any], request: str
) -> Answer:
    """Issue a nonce to a node that asks from outside; the same request gets the same nonce again.

    Args:
        ledger: the ledger.
        node: the name under which it will enrol.
        public_key: its report key.
        credential: its credential, as it will enrol with.
        request: its key's statement that it asks (`domain.nodes.decisions.challenge_claims`).

    Raises:
        NotAuthorisedError: when credential or statement are not this key's.
        ConflictError: when the name is enrolled already.
        RefusedError: as `challenge_node`.
    """
    platform, kid, now_ms = ledger.platform(), thumbprint(public_key), ledger.clock.now_ms()
    ledger.credentials.node(credential, load_root(ledger).issuers, now_ms, node=did_key(public_key))
    signed = verified_or_known(
        ledger, platform.log_id, request, typ=REPORT, keys={kid: public_key}, aud=platform.origin
    )
    require_claims(signed, challenge_claims(node))

    def asked(issued: NodeChallenged) -> Command:
        told = {"node": node, "nonce": issued.nonce, "expires_ms": issued.expires_ms}
        return statement_command(platform.log_id, [signed], told)

    known = ledger.answered(statement_command(platform.log_id, [signed], {}))
    if known is not None:
        return Answer(known, ())
    try:
        load_node(ledger, node)
    except UnknownError:
        for _ in range(_ATTEMPTS):
            try:
                return challenge(ledger, node, public_key, asked)[1]
            except ConflictError:  # another key's asked first, or this very statement a moment ago
                known = ledger.answered(statement_command(platform.log_id, [signed], {}))
                if known is not None:
                    return Answer(known, ())
        raise UnavailableError("much is asked under this name: ask again") from None
    raise ConflictError("a node of that name is enrolled; choose another name")


def take_proof(ledger: Ledger, token: str, given: GivenEvidence) -> Answer:
    """Appraise a machine's evidence that a node sends with its signed word; the same word gets the first answer again.

    Args:
        ledger: the ledger.
        token: its key's statement over node, nonce and digests (`domain.nodes.decisions.proof_claims`).
        given: what came beside it.

    Raises:
        NotAuthorisedError: when the statement is not by a key that has an open nonce, or speaks of other evidence.
        RefusedError: when no nonce is open for this name and key.
        MalformedError: when the evidence is empty or too large.
        UnavailableError: when something else keeps happening to the name.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _proof(ledger, token, given)
        except ConflictError:  # another key's challenge came between, or this very statement a moment ago
            continue
    raise UnavailableError("much is asked under this name: send it again")


def _proof(ledger: Ledger, token: str, given: GivenEvidence) -> Answer:
    header, content = jws.peek(token)
    node = content.get("node")
    story = story_of(ledger, node) if isinstance(node, str) and 0 < len(node) <= _MAX_NAME else Story(())
    public = story.key_of(header["kid"])
    if public is None or not isinstance(node, str):
        raise RefusedError(NO_NONCE)
    platform, keys = ledger.platform(), {header["kid"]: public}
    signed = verified_or_known(ledger, platform.log_id, token, typ=REPORT, keys=keys, aud=platform.origin)
    known = ledger.answered(statement_command(platform.log_id, [signed], {}))
    if known is not None:
        return Answer(known, ())
    issued = story.open_for(signed.kid)
    if issued is None:
        raise RefusedError(NO_NONCE)
    given.require_bounded()
    require_claims(signed, proof_claims(node, issued.nonce, given.evidence, given.endorsements))

    def told(event: NodeEvidenceAppraised) -> Command:
        members = {
            "node": node,
            "accepted": event.accepted,
            "status": event.status.value,
            "reason": event.reason,
            "evidence_class": event.evidence_class,
            "evidence_root": event.kept.root,
            "platform_id": event.platform_id,
        }
        return statement_command(platform.log_id, [signed], members)

    return appraise_machine(ledger, issued, story.version, given, told)[1]

"""A machine proves itself before its node enrols: challenge, evidence over the node's key, appraisal kept as an event.

Invariants:
- A nonce is an event, of one node's name and key; it expires, and any evidence that answers it uses it up. What is
  asked with one key changes nothing for another.
- Only an accepted appraisal over exactly this node's key proves a machine, and only for a while.
- The first challenge enrols the key that signs attestation results: it is in the log before any result is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.attestation.appraiser import AttestationResult
from domain.attestation.claims import VerifiedClaims
from domain.attestation.events import NodeChallenged, NodeEvidenceAppraised, ResultKeyEnrolled
from domain.attestation.platform import (
    EXPIRED,
    NONCE_LIFE_MS,
    PROOF_LIFE_S,
    VOUCHED_FOR_NODE,
    judge_enrolment,
    node_report_data,
    require_proofs,
    with_reasons,
)
from domain.errors import ConflictError, RefusedError
from domain.identifiers import RESULT_KEY_STREAM, node_evidence_stream
from domain.message import Pending, Recorded
from domain.policies.facts import NodeFacts
from domain.time import SECOND_MS
from infrastructure.commands.evidence import GivenEvidence, answer
from infrastructure.commands.loading import load_genesis
from infrastructure.keys import ed25519
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Answer, Command, Ledger

MAX_CHALLENGES: Final = 64
"""For one name and key."""
MAX_EVENTS: Final = 1_024
"""Of one name, whoever's keys. Who could use them up has many credentials in force, and could take the name itself."""
NO_NONCE: Final = "no nonce is open for this node's key: ask for one first"


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to a node's name before it enrolled."""

    past: tuple[Recorded, ...]

    @property
    def version(self) -> int:
        """Of the newest event; -1 where there is none."""
        return self.past[-1].version if self.past else -1

    def open_for(self, kid: str) -> NodeChallenged | None:
        """Return a key's newest nonce, unless evidence has used it up."""
        for item in reversed(self.past):
            event = item.event
            if isinstance(event, NodeChallenged | NodeEvidenceAppraised) and event.kid == kid:
                return event if isinstance(event, NodeChallenged) else None
        return None

    def key_of(self, kid: str) -> bytes | None:
        """Return the public key of a thumbprint that was challenged under this name."""
        for item in self.past:
            if isinstance(item.event, NodeChallenged) and item.event.kid == kid:
                return bytes.fromhex(item.event.public_key)
        return None

    def require_room(self, node: str, kid: str) -> None:
        """Raise unless this key may be challenged once more under this name."""
        asked = sum(isinstance(item.event, NodeChallenged) and item.event.kid == kid for item in self.past)
        if asked >= MAX_CHALLENGES or self.version + 1 >= MAX_EVENTS:
            raise RefusedError(f"node {node} was challenged too often; choose another name")


def challenge_node(ledger: Ledger, node: str, public_key: bytes) -> NodeChallenged:
    """Issue a nonce for evidence over a node's key; an earlier one of that key that is open counts no more.

    Raises:
        RefusedError: when this name and key were challenged too often.
        ConflictError: when something else happened to the name meanwhile.
    """
    issued, _ = challenge(ledger, node, public_key, lambda _: None)
    return issued


def challenge(
    ledger: Ledger, node: str, public_key: bytes, asked: Callable[[NodeChallenged], Command | None]
) -> tuple[NodeChallenged, Answer]:
    """Do what `challenge_node` does, as a command. Raises as that does."""
    enrol_result_key(ledger)
    platform, kid, story = ledger.platform().log_id, thumbprint(public_key), story_of(ledger, node)
    story.require_room(node, kid)
    issued = NodeChallenged(
        node=node,
        kid=kid,
        public_key=public_key.hex(),
        nonce=ledger.entropy.bytes(32).hex(),
        expires_ms=ledger.clock.now_ms() + NONCE_LIFE_MS,
    )
    pending = Pending(platform, node_evidence_stream(node), story.version + 1, issued)
    return issued, ledger.append([pending], command=asked(issued))


def story_of(ledger: Ledger, node: str) -> Story:
    """Return what happened to a name so far."""
    return Story(tuple(ledger.stream(ledger.platform().log_id, node_evidence_stream(node))))


def evidence_data(ledger: Ledger, issued: NodeChallenged) -> bytes:
    """Return what a machine's evidence must be bound to (64 bytes)."""
    host = load_genesis(ledger).host
    return node_report_data(host, issued.node, bytes.fromhex(issued.nonce), bytes.fromhex(issued.public_key))


def prove_machine(ledger: Ledger, node: str, public_key: bytes, given: GivenEvidence) -> NodeEvidenceAppraised:
    """Appraise a machine's evidence over a node's key; the nonce is used up, whatever the verdict.

    Raises:
        RefusedError: when no nonce is open for this name and key.
        MalformedError: when the evidence is empty or too large.
        ConflictError: when something else answered the nonce first.
    """
    story = story_of(ledger, node)
    issued = story.open_for(thumbprint(public_key))
    if issued is None:
        raise RefusedError(NO_NONCE)
    event, _ = appraise_machine(ledger, issued, story.version, given, lambda _: None)
    return event


def appraise_machine(
    ledger: Ledger,
    issued: NodeChallenged,
    version: int,
    given: GivenEvidence,
    told: Callable[[NodeEvidenceAppraised], Command | None],
) -> tuple[NodeEvidenceAppraised, Answer]:
    """Appraise evidence that answers a nonce, as a command. Raises as `prove_machine` does.

    Args:
        ledger: the ledger.
        issued: the open nonce.
        version: of the name's stream when it was open.
        given: what came.
        told: makes the command of what was found.
    """
    platform, stream = ledger.platform().log_id, node_evidence_stream(issued.node)
    bound, expired = evidence_data(ledger, issued), ledger.clock.now_ms() >= issued.expires_ms

    def judge(claims: VerifiedClaims) -> AttestationResult:
        return with_reasons(judge_enrolment(claims, bound), [EXPIRED] if expired else [])

    answered = answer(ledger, given, judge, log_id=platform, stream=stream, nonce=bytes.fromhex(issued.nonce))
    result, claims = answered.result, answered.claims
    event = NodeEvidenceAppraised(
        node=issued.node,
        kid=issued.kid,
        nonce=issued.nonce,
        status=result.status,
        reason=result.reason or VOUCHED_FOR_NODE,
        evidence_class=None if claims is None else claims.evidence_class.value,
        platform_id=result.platform_id,
        kept=answered.kept,
    )
    stored = ledger.append(
        [Pending(platform, stream, version + 1, event)],
        command=told(event),
        attachments=answered.attachments,
        claims=answered.taken(platform, issued.node),
        guards=answered.guards,
    )
    return event, stored


def require_proved(ledger: Ledger, facts: NodeFacts, kid: str) -> None:
    """Require that each of a node's machines was proved over its key, and that class and root are those proved.

    Raises:
        NotAuthorisedError: when one was not.
    """
    oldest_s = ledger.clock.now_ms() // SECOND_MS - PROOF_LIFE_S
    stream = ledger.stream(ledger.platform().log_id, node_evidence_stream(facts.node))
    proofs = [
        item.event
        for item in stream
        if isinstance(item.event, NodeEvidenceAppraised)
        and item.event.accepted
        and item.event.kid == kid
        and item.event.kept.at_s >= oldest_s
    ]
    require_proofs(facts, proofs)


def enrol_result_key(ledger: Ledger) -> None:
    """Enrol the key that signs attestation results, once."""
    platform = ledger.platform().log_id
    if ledger.first(platform, RESULT_KEY_STREAM) is not None:
        return
    public = ed25519.public_bytes(ledger.keyring.get(platform).result_key())
    event = ResultKeyEnrolled(kid=thumbprint(public), public_key=public.hex())
    try:
        ledger.append([Pending(platform, RESULT_KEY_STREAM, 0, event)])
    except ConflictError:  # another process did
        return
